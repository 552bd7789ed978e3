"""Folders of bias-aligned and bias-conflicting images: Corrupted CIFAR-10 and bFFHQ as they are shared.

Lee et al., "Learning Debiased Representation via Disentangled Feature Augmentation" (NeurIPS 2021; files by
kakaoenterprise/Learning-Debiased-Disentangled), after Nam et al. (NeurIPS 2020) and, for bFFHQ, Kim et al.
(BiaSwap, ICCV 2021). Under the folder, for a ratio such as 0.5pct:

    <ratio>/align/<label>/<n>_<label>_<attribute>.png       training, label = attribute
    <ratio>/conflict/<label>/<n>_<label>_<attribute>.png    training, label and attribute differ
    <ratio>/valid/... (cifar10c) or valid/... (bffhq)       validation
    test/...                                                test

The label is the last number but one of a file's name, the attribute the last. In bFFHQ they are age (0 =
young, 1 = old) and sex (0 = woman, 1 = man). Its authors test on the bias-conflicting images alone; here the
aligned ones are tested too, in groups of their own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from models.data.splitting import SPLITS, TEST, TRAIN, VALIDATION
from patching.errors import ManifestError
from pipeline.published.base import AbstractBenchmark, Benchmark, required
from pipeline.published.metadata_folder import GET, image_sets

_NAME = re.compile(r".*_(?P<label>\d+)_(?P<attribute>\d+)")
_SUFFIXES = (".png", ".jpg", ".jpeg")


class AlignConflict(AbstractBenchmark):
    """`layout: align_conflict`."""

    layout: Literal["align_conflict"]
    ratio: str = "0.5pct"
    """Name of the folder of a ratio of bias-conflicting images."""
    classes: tuple[str, ...] = Field(min_length=2)
    """Name of label 0, 1, ..."""
    attributes: tuple[str, ...] = Field(min_length=2)
    """Name of attribute value 0, 1, ..."""
    attribute_name: str
    """What the attribute is, in a word."""
    side: int = Field(ge=8, le=1024)
    """Images become squares of so many pixels."""

    def load(self, folder: Path) -> Benchmark:
        """List the folders; labels and attributes are in the files' names.

        Raises:
            MissingFileError: a folder is not there.
            ManifestError: a file's name without label and attribute, or an image in the wrong folder.
        """
        training = required(folder / self.ratio, "the images of that ratio", GET)
        inside = training / "valid"
        valid = inside if inside.is_dir() else required(folder / "valid", "the images of validation", GET)
        found = [
            *_rows(folder, required(training / "align", "aligned images", GET), TRAIN, aligned=True),
            *_rows(folder, required(training / "conflict", "conflicting images", GET), TRAIN, aligned=False),
            *_rows(folder, valid, VALIDATION),
            *_rows(folder, required(folder / "test", "the images of the test", GET), TEST),
        ]
        table = pd.DataFrame(found, columns=["image", "label", "attribute", "split"])
        sets = image_sets(table, folder, folder, (self.classes, self.attributes), side=self.side)
        return Benchmark(sets, self.classes, self.attributes, self.attribute_name, self.side)


def _rows(
    folder: Path, part: Path, split: str, *, aligned: bool | None = None
) -> Iterator[tuple[str, int, int, int]]:
    """Image, label, attribute and split of every file of a part, in the order of their names."""
    for path in sorted(part.rglob("*")):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise ManifestError(
                has=f"{path}", needs="a name <n>_<label>_<attribute>", do="remove the file, or rename it"
            )
        label, attribute = int(match["label"]), int(match["attribute"])
        if aligned is not None and (label == attribute) != aligned:
            raise ManifestError(
                has=f"{path} with label {label} and attribute {attribute}",
                needs=f"{'equal' if aligned else 'different'} numbers in {part.name}",
                do=GET,
            )
        yield path.relative_to(folder).as_posix(), label, attribute, SPLITS.index(split)
