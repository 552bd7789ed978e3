"""An image folder with a table of labels, attributes and splits, as Waterbirds has it.

Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts" (ICLR 2020) publish Waterbirds as
`waterbird_complete95_forest2water2/` with metadata.csv: img_id, img_filename, y (1 = waterbird), split
(0 = train, 1 = validation, 2 = test), place (1 = water), place_filename. WILDS 2.0 (p-lambda/wilds) reads the
same folder. SubpopBench (YyzHarry/SubpopBench) writes metadata_<name>.csv with id, filename, split, y, a for
its benchmarks: the same table under other column names, which are settings here.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from models.data.splitting import SPLITS
from patching.errors import ManifestError
from pipeline.files import read_csv
from pipeline.published.base import AbstractBenchmark, Benchmark, Images, ImageSet, numbered, required
from pipeline.published.image_files import ImageFiles

GET = "see docs/benchmark-cohorts.md for where the files come from, and for `benchmark.folder`"


class MetadataFolder(AbstractBenchmark):
    """`layout: metadata_folder`; the columns' defaults are those of Waterbirds."""

    layout: Literal["metadata_folder"]
    table: str = "metadata.csv"
    """In the folder."""
    images: str = "."
    """Folder that the images' names start from, inside the folder."""
    image_column: str = "img_filename"
    label_column: str = "y"
    attribute_column: str = "place"
    split_column: str = "split"
    """0 = train, 1 = validation, 2 = test."""
    classes: tuple[str, ...] = Field(min_length=2)
    """Name of label 0, 1, ..."""
    attributes: tuple[str, ...] = Field(min_length=1)
    """Name of attribute value 0, 1, ..."""
    attribute_name: str
    """What the attribute is, in a word."""
    side: int = Field(ge=8, le=1024)
    """Images become squares of so many pixels."""

    def load(self, folder: Path) -> Benchmark:
        """Read the table, and find the images.

        Raises:
            MissingFileError: the table or an image is not there.
            ManifestError: a column is missing, or holds what it must not.
        """
        path = required(folder / self.table, "the table of images", GET)
        columns = (self.image_column, self.label_column, self.attribute_column, self.split_column)
        table = read_columns(path, columns)[list(columns)].set_axis(
            ["image", "label", "attribute", "split"], axis=1
        )
        splits = image_sets(
            table, folder / self.images, path, (self.classes, self.attributes), side=self.side
        )
        return Benchmark(splits, self.classes, self.attributes, self.attribute_name, self.side)


def read_columns(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file that has at least these columns: names first, then numbers.

    Raises:
        ManifestError: it lacks one, or is no CSV.
    """
    try:
        table = read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ManifestError(has=f"{path}: {error}", needs="a CSV file", do=GET) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise ManifestError(
            has=f"{path} without {', '.join(missing)}; it has {', '.join(map(str, table))}",
            needs=f"the columns {', '.join(columns)}",
            do="name the file's own columns in the cohort's `benchmark` section",
        )
    return table.assign(**{name: _numbers(table[name]) for name in columns[1:]})


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers; as it is where a word is among them, which `numbered` tells."""
    try:
        return pd.to_numeric(column)
    except ValueError:
        return column


def image_sets(
    table: pd.DataFrame,
    images: Path,
    origin: Path,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    side: int,
) -> dict[str, ImageSet[Images]]:
    """The splits of a table of image files.

    Args:
        table: columns image (relative to `images`), label, attribute and split (0, 1, 2).
        images: where the images' names start.
        origin: the file to blame.
        names: of the classes, and of the attribute's values.
        side: of the images, in pixels.

    Raises:
        MissingFileError: an image is not there.
        ManifestError: an unknown label, attribute or split, an image twice or outside the folder, or a split
            without images.
    """
    label_N = numbered(table["label"], names[0], "the label", origin)
    attribute_N = numbered(table["attribute"], names[1], "the attribute", origin)
    split_N = numbered(table["split"], SPLITS, "the split", origin)
    name_N = _inside(table["image"], origin)
    _check(name_N, split_N, origin)
    result: dict[str, ImageSet[Images]] = {}
    for number, split in enumerate(SPLITS):
        rows = split_N == number
        files = ImageFiles([images / name for name in name_N[rows]], side)
        result[split] = ImageSet(files, label_N[rows], attribute_N[rows], name_N[rows])
    return result


def _inside(names: pd.Series, origin: Path) -> NDArray[np.str_]:
    """Names without `.` and doubled slashes, so that a file has one name, and none leaves the folder."""
    paths = [PurePosixPath(str(name)) for name in names]
    outside = [path for path in paths if path.is_absolute() or ".." in path.parts]
    if outside:
        raise ManifestError(
            has=f"{origin}: {outside[0]}, outside the folder of the images, and {len(outside) - 1} more",
            needs="names that start in that folder",
            do="correct the table, or `benchmark.images`",
        )
    return np.array([path.as_posix() for path in paths], dtype=np.str_)


def _check(name_N: NDArray[np.str_], split_N: NDArray[np.int64], origin: Path) -> None:
    names, counts = np.unique(name_N, return_counts=True)
    if (counts > 1).any():
        raise ManifestError(
            has=f"{origin}: {names[counts > 1][0]} {counts.max()} times",
            needs="every image once",
            do="remove the repeated rows: an image in two splits is tested on what it taught",
        )
    empty = [split for number, split in enumerate(SPLITS) if not (split_N == number).any()]
    if empty:
        raise ManifestError(
            has=f"{origin}: no image of the split {', '.join(empty)}",
            needs="images of train (0), validation (1) and test (2)",
            do=GET,
        )
