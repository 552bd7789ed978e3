"""Rows of slides.csv, and where their files are."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from patching.manifest import SlideRow, read_manifest
from patching.readers.zarr.files import Source, is_url
from pipeline.artifacts import Paths
from pipeline.patch_tables import read_slides
from pipeline.workspace import located


def manifest_rows(manifest: str, root: Path) -> tuple[SlideRow, ...]:
    """Rows of a cohort's manifest; their files as it tells them, absolute or relative to the project.

    Args:
        manifest: the path that the cohort's file names.
        root: the project's folder.

    Raises:
        ManifestError: as `read_manifest`.
    """
    return read_manifest(located(manifest, root), Path(manifest).parent)


def ingested_rows(paths: Paths, *, patients: bool = True) -> tuple[SlideRow, ...]:
    """The same of the table that ingest wrote.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    read_slides(paths)
    return read_manifest(paths.slides, Path(), patients=patients)


def with_files(rows: Iterable[SlideRow], root: Path) -> list[SlideRow]:
    """The rows, their files where they are found from `root`."""
    return [
        replace(
            row,
            images=tuple(_located(image, root) for image in row.images),
            annotation=None if row.annotation is None else located(row.annotation, root),
        )
        for row in rows
    ]


def file_cells(row: SlideRow) -> dict[str, str]:
    """Cells `image` and `annotation`: places as the row tells them, which hold wherever the project lies."""
    return {
        "image": ";".join(map(_place, row.images)),
        "annotation": "" if row.annotation is None else _place(row.annotation),
    }


def _place(path: Source) -> str:
    if is_url(path) or Path(path).is_absolute():
        return str(path)
    return Path(os.path.normpath(path)).as_posix()


def _located(image: Source, root: Path) -> Source:
    return image if is_url(image) else located(image, root)
