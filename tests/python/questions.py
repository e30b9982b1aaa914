"""questions.py ARCHIVE PAGE NOTEBOOK: runs every query of the page and every cell of the notebook on an archive, and prints
how many rows each gave, and what the plot shows."""

import json
import re
import sys

import duckdb
import matplotlib

import archive as reader

matplotlib.use("Agg")
root, page, notebook = sys.argv[1:]
WRITTEN = "heatstream-data/site/archive"

text = open(page, encoding="utf-8").read()
blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
answers = {"sql": [], "python": []}
for language, block in blocks:
    block = block.replace(WRITTEN, root)
    if language == "sql":
        answers["sql"].append(len(duckdb.sql(block).fetchall()))
    elif language == "python":
        scope = {}
        exec(block, scope)
        answers["python"].append(len(scope["result"]))

scope = {}
for cell in json.load(open(notebook, encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]).replace(WRITTEN, root).replace("print(", "str("), scope)
line = scope["axes"].get_lines()[0]
answers["plot"] = {"hours": len(line.get_xdata()), "lost": scope["lost"]}
listed = ", ".join("'" + path + "'" for path in reader.files(root, "readings"))
answers["rows"] = duckdb.sql(f"SELECT count(*) FROM read_parquet([{listed}])").fetchall()[0][0]
json.dump(answers, sys.stdout)
