"""Every file that one stage writes and another reads: is it whole?"""

import os
from collections.abc import Iterator
from pathlib import Path

from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.files import read_json, read_table, require_all_recorded

_OF_DATA = {
    "cohort": "ingest",
    "patches": "tile",
    "statistics": "statistics",
    "attributes": "attribute",
}
_OF_OUTPUTS = (
    "shortcuts",
    "train",
    "evaluate",
    "explain",
    "intervene",
    "track",
    "register",
    "study",
    "tune",
    "sweep",
)
"""Folders named after the verb that writes them."""
_NUMBERS = ("history.csv", "histogram.csv")


def file_problems(paths: Paths) -> Iterator[str]:
    """Files that are damaged, and what writes them anew; stores, weights and pictures are not read."""
    for path, stage in _written(paths):
        try:
            _read(path, stage)
        except ArtifactError as error:
            yield f"{error.has}; {error.do}"


def _written(paths: Paths) -> Iterator[tuple[Path, str]]:
    places = [(paths.data / name, stage) for name, stage in _OF_DATA.items()]
    places += [(paths.outputs / name, name) for name in _OF_OUTPUTS]
    for place, stage in places:
        for folder, inside, names in os.walk(place):
            inside[:] = sorted(
                name for name in inside if not name.startswith(".") and not name.endswith(".zarr")
            )
            yield from ((Path(folder, name), stage) for name in sorted(names) if not name.startswith("."))


def _read(path: Path, stage: str) -> None:
    if path.suffix == ".json":
        require_all_recorded(path.parent, stage, read_json(path, stage, seal=True))
    elif path.suffix == ".parquet" or path.name in _NUMBERS:
        read_table(path, (), stage, numbers=path.suffix == ".csv")
    elif path.suffix == ".csv":
        read_table(path, (), stage)
