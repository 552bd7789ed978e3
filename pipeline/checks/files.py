"""Every file that one stage writes and another reads: is it whole?"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from patching.errors import ArtifactError
from patching.sealing import CHECKSUM
from pipeline.artifacts import Paths
from pipeline.files import read_json, read_table, require_all_recorded
from pipeline.results.runs import made_by

logger = logging.getLogger(__name__)
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
    """Files that are damaged, and what writes them anew; stores, weights and pictures are not read.

    JSON without a checksum is no problem, but nothing says that it is whole: the log tells how much there is.
    """
    bare = []
    for path, stage in _written(paths):
        try:
            if path.suffix == ".json":
                require_all_recorded(path.parent, stage, read_json(path, stage))
                bare += [] if CHECKSUM in json.loads(path.read_bytes()) else [path]
            elif path.suffix in (".csv", ".parquet"):
                read_table(path, (), stage, numbers=path.name in _NUMBERS)
        except ArtifactError as error:
            yield f"{error.has}; {error.do}"
    if bare:
        logger.warning(
            "%d JSON files hold no checksum, as an earlier version or another program writes them, so that "
            "nothing says whether they are whole; %s is one",
            len(bare),
            bare[0],
        )


def _written(paths: Paths) -> Iterator[tuple[Path, str]]:
    places = [(paths.data / name, stage) for name, stage in _OF_DATA.items()]
    places += [(paths.outputs / name, name) for name in _OF_OUTPUTS]
    for place, verb in places:
        for folder, inside, names in os.walk(place):
            inside[:] = sorted(
                name for name in inside if not name.startswith(".") and not name.endswith(".zarr")
            )
            stage = _made_by(paths, verb, Path(folder).relative_to(place))
            yield from ((Path(folder, name), stage) for name in sorted(names) if not name.startswith("."))


def _made_by(paths: Paths, verb: str, folder: Path) -> str:
    """A verb, with its options where it writes one run of many."""
    if verb not in ("train", "evaluate") or not folder.parts:
        return f"{verb} --cohort {paths.cohort}"
    train, evaluate = made_by(paths.cohort, folder.parts[0])
    return (train if verb == "train" else evaluate).removeprefix("evenpatch ")
