"""The files of an archive that count: those that a manifest names (see the README of the archive's folders)."""

import json
import pathlib


def files(root, dataset):
    """Paths of a data set's files, by the manifests."""
    found = []
    for path in sorted(pathlib.Path(root, "manifests").rglob("*.json")):
        manifest = json.loads(path.read_text())
        found += [str(pathlib.Path(root, file["path"])) for file in manifest["files"] if file["dataset"] == dataset]
    return found


def all_files(root, dataset):
    """Paths of a data set's files, as someone finds them who knows no manifests."""
    return [str(path) for path in sorted(pathlib.Path(root, dataset).rglob("*.parquet"))]
