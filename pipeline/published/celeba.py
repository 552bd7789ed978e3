"""CelebA with its attributes as published: blond hair is the class, and goes with the sex.

Liu et al., "Deep Learning Face Attributes in the Wild" (ICCV 2015); the task is that of Sagawa et al. (ICLR
2020). The layout is that of the tables on Kaggle, which WILDS reads too (p-lambda/wilds, celebA): the folder
img_align_celeba/, list_attr_celeba.csv (image_id, then forty columns of -1 and 1) and
list_eval_partition.csv (image_id, partition: 0 = train, 1 = validation, 2 = test).
"""

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from patching.errors import ManifestError
from pipeline.published.base import AbstractBenchmark, Benchmark, required
from pipeline.published.metadata_folder import GET, image_sets, read_columns


class CelebA(AbstractBenchmark):
    """`layout: celeba`."""

    layout: Literal["celeba"]
    images: str = "img_align_celeba"
    """Folder of the images, inside the folder; where the archive was unpacked twice nested, say so here."""
    label: str = "Blond_Hair"
    """Attribute that is the class."""
    attribute: str = "Male"
    """Attribute that goes with it."""
    side: int = Field(ge=8, le=1024)
    """Images become squares of so many pixels."""

    def load(self, folder: Path) -> Benchmark:
        """Join both tables, and find the images.

        Raises:
            MissingFileError: a table or an image is not there.
            ManifestError: a column is missing or holds what it must not, or the tables differ in images.
        """
        path = required(folder / "list_attr_celeba.csv", "the attributes of the images", GET)
        parts = required(folder / "list_eval_partition.csv", "the split of the images", GET)
        known = read_columns(path, ("image_id", self.label, self.attribute))
        table = known.merge(read_columns(parts, ("image_id", "partition")), on="image_id", how="outer")
        if len(table) != len(known) or table[[self.label, "partition"]].isna().any(axis=None):
            raise ManifestError(
                has=f"{path} and {parts}, which do not list the same images once each",
                needs="both tables of one CelebA",
                do=GET,
            )
        columns = {
            "image": table["image_id"],
            "label": _zero_one(table[self.label], path),
            "attribute": _zero_one(table[self.attribute], path),
            "split": table["partition"],
        }
        classes, attributes = _named(self.label), _named(self.attribute)
        sets = image_sets(
            pd.DataFrame(columns), folder / self.images, path, (classes, attributes), side=self.side
        )
        return Benchmark(sets, classes, attributes, self.attribute.lower(), self.side)


def _zero_one(column: pd.Series, path: Path) -> pd.Series:
    """-1 and 1 as 0 and 1; tables that have 0 and 1 already are taken as they are."""
    if not column.isin((-1, 0, 1)).all():
        raise ManifestError(
            has=f"{path}: {column.name} with the values {', '.join(map(str, column.unique()[:8]))}",
            needs="-1 and 1",
            do=GET,
        )
    return (column > 0).astype("int64")


def _named(attribute: str) -> tuple[str, str]:
    """Names of 0 and 1.

    >>> _named("Blond_Hair")
    ('not blond hair', 'blond hair')
    """
    word = attribute.replace("_", " ").lower()
    return f"not {word}", word
