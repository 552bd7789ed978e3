"""Which slides a run is to predict: files, folders, patterns, addresses, or tables of slides."""

import glob
import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from patching.errors import ConfigError, ManifestError, MissingFileError, UnreadableSlideError
from patching.manifest import SlideRow, read_manifest
from patching.readers.cells import Reading
from patching.readers.containers.companions import belonging
from patching.readers.naming import SlideKind
from patching.readers.registry import reader_for
from patching.readers.zarr.files import Source, is_url

logger = logging.getLogger(__name__)
_OME_ZARR = ("zarr.json", ".zgroup", ".zattrs")
_ENDINGS = re.compile(
    r"(\.ome)?\.(tiff?|zarr|svs|ndpi|mrxs|scn|bif|svslide|vms|vmu|png|jpe?g|dcm|qptiff|czi|lif|nd2|oib|oif|oir|"
    r"vsi|zvi|ims|i[2]?syntax|kfb|sdpc|tron|tmap|mdsx?)$",
    re.IGNORECASE,
)
_LONGEST = 200
_INGESTED = "annotation_fingerprint"
"""Column that only tables of `evenpatch ingest` have."""


def find_slides(
    given: Sequence[str],
    mpp: float | None = None,
    channels: Sequence[str] | None = None,
    root: Path | None = None,
    kind: SlideKind | None = None,
) -> tuple[SlideRow, ...]:
    """The slides that the arguments name, each once, in their order.

    A folder gives its files that a reader knows or that are called as slides are, and its OME-Zarr folders,
    by name, and nothing of the folders in it. A `.csv` is a slides.csv; its column patient_id may be absent.

    Args:
        given: the arguments.
        mpp: µm per level-0 pixel of the slides that are no row of a table.
        channels: the same for their channels' names.
        root: folder of the project, which the paths in a table that `evenpatch ingest` wrote are relative to.
        kind: what the pixels are of the slides that are no row of a table; None leaves it to the files.

    Raises:
        MissingFileError: an argument names nothing.
        ManifestError: a table is wrong, or two slides of different arguments share their name.
        ConfigError: that is no pixel size, or names a channel twice.
    """
    _check(mpp, channels)
    listed: list[SlideRow] = []
    sources: dict[Source, None] = {}
    for argument in given:
        if argument.lower().endswith(".csv"):
            # In full: other machines may be told to open what it names.
            listed += _listed(Path(argument).resolve(), root)
        else:
            sources |= dict.fromkeys(_found(argument))
    names = _names(list(sources))
    rows = [
        SlideRow(name, name, (source,), tuple(channels or ()) or None, mpp=mpp, reading=Reading(kind=kind))
        for source, name in names.items()
    ]
    together = (*listed, *rows)
    doubled = sorted(name for name, count in Counter(row.slide_id for row in together).items() if count > 1)
    if doubled:
        raise ManifestError(
            has=f"several slides called {', '.join(doubled)}",
            needs="a name of its own for each: outputs are named by it",
            do="give them different names in the column `slide_id` of a slides.csv",
        )
    return together


def _check(mpp: float | None, channels: Sequence[str] | None) -> None:
    if mpp is not None and not 0 < mpp < math.inf:
        raise ConfigError(
            has=f"{mpp:g} µm per pixel", needs="a number above 0", do="correct `--mpp`, or leave it out"
        )
    if channels and not (all(channels) and len(set(channels)) == len(channels)):
        raise ConfigError(
            has=f"the channels {', '.join(map(repr, channels))}",
            needs="a name of its own for each",
            do="correct `--channels`, or leave it out",
        )


def _listed(table: Path, root: Path | None) -> tuple[SlideRow, ...]:
    rows = read_manifest(table, patients=False)
    ingested = all(_INGESTED in row.extra for row in rows)
    return read_manifest(table, root, patients=False) if ingested else rows


def _found(argument: str) -> list[Source]:
    if is_url(argument):
        return [argument]
    path = Path(argument)
    if path.is_file() or _is_zarr(path):
        return [path.resolve()]
    # Path.glob takes no absolute pattern.
    inside = sorted(path.iterdir() if path.is_dir() else map(Path, glob.glob(argument)))  # noqa: PTH207
    slides = [each for each in inside if _is_slide(each)]
    parts = _parts(slides)
    found: list[Source] = [each.resolve() for each in slides if each not in parts]
    if not found:
        raise MissingFileError(
            has=f"no slide among {len(inside)} of {argument}" if inside else f"no file or folder {argument}",
            needs="a slide, a folder or a pattern of slides, or a slides.csv",
            do="correct the path; put patterns in quotes where the shell does not know them",
        )
    if others := [each.name for each in inside if each.resolve() not in found]:
        told = _some(others)
        logger.info(
            "%s: %d slides; passed over %d that are none: %s", argument, len(found), len(others), told
        )
    return found


def _parts(slides: Sequence[Path]) -> set[Path]:
    """Those that belong to another one, such as the pictures of a VMS and the levels of a DICOM slide."""
    parts: set[Path] = set()
    for slide in slides:
        if slide not in parts and slide.is_file():
            with suppress(UnreadableSlideError):  # it will be told of the slide itself
                parts.update(belonging(slide))
    return parts


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in _OME_ZARR)


def _is_slide(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():
        return _is_zarr(path) and not path.name.startswith(".")
    # A damaged one is no slide by its content; it must fail, not be passed over.
    if _ENDINGS.search(path.name):
        return True
    try:
        return bool(reader_for(path))
    except UnreadableSlideError:
        return False


def _names(sources: Sequence[Source]) -> dict[Source, str]:
    """A name for each: that of the file, with its ending where several share it, and its folder's too."""
    names: dict[Source, str] = {}
    for make in (_stem, _whole, _with_folder):
        left = {source: make(str(source)) for source in sources if source not in names}
        counts = Counter((*left.values(), *names.values()))
        names |= {source: name for source, name in left.items() if counts[name] == 1}
    return {source: names.get(source) or _with_folder(str(source)) for source in sources}


def _stem(source: str) -> str:
    return _legal(_ENDINGS.sub("", source.rstrip("/").rpartition("/")[2]))


def _whole(source: str) -> str:
    return _legal(source.rstrip("/").rpartition("/")[2])


def _with_folder(source: str) -> str:
    return _legal("_".join(source.rstrip("/").split("/")[-2:]))


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")[:_LONGEST] or "slide"
