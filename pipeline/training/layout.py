"""Names of classes, attribute values and groups, and how an attribute table carries them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.groups import GroupLayout
from patching.errors import ArtifactError
from pipeline.artifacts import ATTRIBUTES, Paths
from pipeline.files import read_metadata

GIVEN = "given"
"""Stands for a threshold's name where the attribute came with the images."""
_LAYOUT_KEY = b"evenpatch.layout"
_THRESHOLD_KEY = b"evenpatch.tissue_threshold"


@dataclass(frozen=True)
class NamedLayout:
    """Names of the classes and of the attribute's values; their numbers are the layout of the groups."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def groups(self) -> GroupLayout:
        """How they number the groups."""
        return GroupLayout(len(self.classes), len(self.attributes))

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every group in the order of its number."""
        return tuple(f"{label}, {attribute}" for label in self.classes for attribute in self.attributes)


TISSUE = NamedLayout(("non-tumor", "tumor"), ("little tissue", "much tissue"))
"""Of the tables that the attribute stage writes."""


def write_attributes(path: Path, table: pd.DataFrame, layout: NamedLayout) -> None:
    """Write the attribute table (ATTRIBUTES) of a threshold, with its layout among the file's metadata."""
    _write(path, table, {_LAYOUT_KEY: json.dumps(asdict(layout)).encode()})


def write_tissue_attributes(path: Path, table: pd.DataFrame, above: float) -> None:
    """Write the attribute table of a threshold on the tissue fraction; its layout is TISSUE.

    Args:
        path: of the file.
        table: with the columns ATTRIBUTES.
        above: patches whose tissue fraction exceeds it have attribute 1.
    """
    _write(path, table, {_THRESHOLD_KEY: repr(above).encode()})


def _write(path: Path, table: pd.DataFrame, metadata: dict[bytes, bytes]) -> None:
    columns = pa.Table.from_pandas(table[list(ATTRIBUTES)], preserve_index=False)
    told = columns.replace_schema_metadata({**(columns.schema.metadata or {}), **metadata})
    pq.write_table(told, path, write_page_checksum=True)


def read_tissue_threshold(path: Path) -> float | None:
    """The tissue fraction above which the attribute is 1; None where it is not made of tissue.

    Raises:
        ArtifactError: the table's metadata are damaged.
    """
    text = read_metadata(path, "attribute").get(_THRESHOLD_KEY)
    try:
        return None if text is None else float(text)
    except ValueError as error:
        raise ArtifactError(
            has=f"{path} with the threshold {text!r}",
            needs="a number",
            do="run `evenpatch attribute` again",
        ) from error


def read_layout(paths: Paths, threshold: str) -> NamedLayout:
    """Classes and attribute values of an attribute table: those it names, else TISSUE.

    Raises:
        ArtifactError: its metadata are damaged.
    """
    path = paths.attribute_table(threshold)
    metadata = read_metadata(path, "attribute")
    if _LAYOUT_KEY not in metadata:
        return TISSUE
    try:
        content = json.loads(metadata[_LAYOUT_KEY])
        return NamedLayout(tuple(content["classes"]), tuple(content["attributes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            has=f"{path}, whose layout cannot be read ({error})",
            needs="names of classes and attribute values",
            do="run `evenpatch import` again",
        ) from error
