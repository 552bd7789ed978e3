"""Receipts: what a slide's files were made from, so that a run that was interrupted goes on where it stopped.

They lie apart from the outputs in `.receipts`, since they name the state of the code.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c
import torch

import models
import patching
import pipeline
from models.networks.card import ModelCard
from patching.digests import fingerprint
from patching.errors import AnnotationError, ArtifactError, ConfigError, UnreadableSlideError
from patching.manifest import SlideRow
from patching.readers.zarr.files import Source, is_url
from patching.tissue.registry import make_detector
from pipeline.config import Settings
from pipeline.deployment.outputs import halves_of, remove
from pipeline.deployment.page import OF_THE_RUN
from pipeline.deployment.summary import SUMMARY
from pipeline.files import read_json, write_json
from pipeline.provenance import version_of

_FOLDER = ".receipts"
_TAIL = 64 * 1024
# Their pixels, figures or bytes end up in the outputs.
_LIBRARIES = (
    "imagecodecs",
    "monai",
    "numpy",
    "opencv-python-headless",
    "openslide-bin",
    "openslide-python",
    "pandas",
    "pillow",
    "pyarrow",
    "scikit-image",
    "scipy",
    "shapely",
    "tifffile",
    "torch",
    "zarr",
)


def key_of(row: SlideRow, digest: str, settings: Settings, card: ModelCard) -> str:
    """Digest of all that a slide's files depend on.

    Of the slide it is names, lengths and times of its files: to read them whole would take as long as to
    predict them.

    Args:
        row: the slide.
        digest: of the model.
        settings: of the prediction.
        card: of the model.

    Raises:
        AnnotationError: the annotation or an external mask cannot be read.
    """
    masks = [] if card.tissue is None else make_detector(**card.tissue.settings).files(row.slide_id)
    content = {
        "slide": [row.slide_id, row.channels, row.label, row.mpp, row.reading.cells()],
        "files": [stamp for image in row.images for stamp in _stamps(image)],
        "outlines": [_digest(path) for path in (row.annotation, *masks) if path is not None],
        "model": digest,
        "settings": settings.model_dump(mode="json"),
        "device": torch.cuda.is_available(),
        "code": code_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_whole(out: Path, slide_id: str, key: str) -> bool:
    """Whether an earlier run wrote a slide's files from the very same, and they are as they were.

    They are recognized by their lengths and last 64 KiB. A receipt that is missing or damaged says nothing.
    """
    try:
        known = read_json(_receipt(out, slide_id), "predict")
    except ArtifactError:
        return False
    return known.get("key") == key and known.get("files") == _marks(out / slide_id)


def write_receipt(out: Path, slide_id: str, key: str) -> None:
    """Say that a slide's files are whole."""
    write_json(_receipt(out, slide_id), {"key": key, "files": _marks(out / slide_id)})


def forget(out: Path, slide_id: str) -> None:
    """Remove what an earlier run wrote of a slide; the receipt goes first.

    Raises:
        ConfigError: a folder of this name is there, and no run wrote it, or the run needs the name.
    """
    receipt, folder = _receipt(out, slide_id), out / slide_id
    if slide_id in OF_THE_RUN:
        raise ConfigError(
            has=f"a slide called {slide_id}, as a file of the run is",
            needs="another name: the slide's folder is named by it",
            do="rename the file, or give it another `slide_id` in a slides.csv",
        )
    if folder.exists() and not receipt.is_file() and not (folder / SUMMARY).is_file():
        raise ConfigError(
            has=f"{folder}, which no prediction wrote",
            needs="a folder for the outputs of its own",
            do="name another folder with `--out`",
        )
    receipt.unlink(missing_ok=True)
    remove(folder)


def remove_halves(out: Path, slide_ids: Iterable[str]) -> None:
    """Remove what a run that was killed left half-written of these slides, and no other hidden file."""
    for slide_id in slide_ids:
        for path in halves_of(out / slide_id):
            remove(path)
    for path in (out / _FOLDER).glob(".*.part"):
        path.unlink()


@cache
def code_version() -> str:
    """Digest of the sources of evenpatch, and of versions of the libraries whose work is in the outputs."""
    digest = hashlib.sha256(json.dumps({name: version_of(name) for name in _LIBRARIES}).encode())
    for package in (patching, models, pipeline):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _receipt(out: Path, slide_id: str) -> Path:
    return out / _FOLDER / f"{slide_id}.json"


def _stamps(image: Source) -> Iterator[list[Any]]:
    """Name, length and time of a slide's files; the name alone of an address, and of what cannot be read."""
    if is_url(image):
        yield [str(image)]
        return
    path = Path(image).resolve()
    # MIRAX keeps its pixels in the folder of the same name.
    folder = path.with_suffix("") if path.suffix.lower() == ".mrxs" else path
    for file in (path, *sorted(folder.rglob("*"))):
        try:
            found = file.stat()
        except OSError:  # a link to nowhere: who opens the slide tells what it lacks
            yield [str(file)]
        else:
            yield [str(file), *(() if file.is_dir() else (found.st_size, found.st_mtime_ns))]


def _digest(path: Path) -> str:
    try:
        return fingerprint([path])
    except UnreadableSlideError as error:
        raise AnnotationError(has=error.has, needs=error.needs, do=error.do) from error


def _marks(folder: Path) -> dict[str, list[int]]:
    """Length, and checksum of the end, of every file."""
    return {
        path.relative_to(folder).as_posix(): _mark(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _mark(path: Path) -> list[int]:
    with path.open("rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - _TAIL))
        return [length, google_crc32c.value(file.read())]
