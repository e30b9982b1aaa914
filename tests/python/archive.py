"""The files of an archive that count: those that manifests name, as revisions changed them (see schemas/archive.md)."""

import json
import pathlib


def files(root, dataset):
    """Paths of a data set's files, by manifests and revisions."""
    root = pathlib.Path(root)
    live = {}
    manifests = [json.loads(path.read_text()) for path in sorted(root.joinpath("manifests").rglob("*.json"))]
    chapters = [manifest for manifest in manifests if "chapter" in manifest]
    for manifest in manifests:
        key = (manifest["topic"], manifest["partition"])
        first = manifest["first_offset"]
        told = (c["first_offset"] <= first < c["next_offset"] for c in chapters if key == (c["topic"], c["partition"]))
        if "chapter" in manifest or not any(told):
            for file in manifest["files"]:
                last = file.get("offsets", {}).get("last", manifest["last_offset"])
                live[file["path"]] = (key, last, file["dataset"], None)
    for path in sorted(root.joinpath("revisions").rglob("*.json")):
        revision = json.loads(path.read_text())
        key = (revision["topic"], revision["partition"])
        for change in revision["changes"]:
            replaced = set(change.get("inputs", []))
            for file, (of, last, _, number) in live.items():
                inside = file.rpartition("/")[0] == change["folder"] and of == key and number is None
                if inside and last < change.get("commits_up_to", 0) and file not in change.get("except", []):
                    replaced.add(file)
            replaced.update(aside["file"]["path"] for aside in change.get("set_aside", []))
            for file in replaced:
                live.pop(file, None)
            for file in change.get("outputs", []):
                live[file["path"]] = (key, file["offsets"]["last"], file["dataset"], revision["number"])
    return [str(root / path) for path, (_, _, of, _) in sorted(live.items()) if of == dataset]


def all_files(root, dataset):
    """Paths of a data set's files, as someone finds them who knows no manifests."""
    return [str(path) for path in sorted(pathlib.Path(root, dataset).rglob("*.parquet"))]
