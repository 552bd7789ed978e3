"""Rebuild whole specimens from the public IDC set's patches, as slides with masks: FOLDER to --out.

FOLDER holds files named <id>_idx5_x<X>_y<Y>_class<C>.png, in any folders below it (docs/idc.md). Written
are slides/IDC-<id>.tif, tiled and without loss, transparent where the set has no patch; masks/IDC-<id>.png
with 0 for normal, 1 for carcinoma, 255 for no patch; slides.csv, the manifest that a cohort and `evenpatch
predict` take, with the id as the patient; and excluded.csv, the ids that cannot be rebuilt, with the reason.
An id whose files are as they were is not rebuilt again: an interrupted call goes on where it was.
"""

import argparse
import csv
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from patching.damage import decoded
from patching.errors import ArtifactError, ConfigError, ErrorBudgetError, MissingFileError, SlideError
from patching.manifest import SlideRow
from pipeline.cohort.excluded import write_excluded
from pipeline.files import read_json, replacing, write_json
from pipeline.locks import Claim, held
from pipeline.published.patch_set import PatchFile, PatchSet, find_patches
from pipeline.published.specimens import rebuilt, write_specimen

logger = logging.getLogger(__name__)

_COUNTED = ("patches", "tumor", "doubled", "smaller")
_VERSION = 1
"""Of what is written: another one rebuilds everything."""
_BUDGET = 0.05
_MPP = 4.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where, to where, and what is allowed."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the set was unpacked")
    parser.add_argument("--out", type=Path, required=True, help="folder for slides, masks and slides.csv")
    parser.add_argument(
        "--mpp",
        type=float,
        default=_MPP,
        help=f"µm per pixel, by the set's publications: its files do not tell (default: {_MPP:g})",
    )
    parser.add_argument(
        "--error-budget",
        type=float,
        default=_BUDGET,
        help=f"share of the ids that may fail, 0 to 1 (default: {_BUDGET:g})",
    )


def run(options: argparse.Namespace) -> None:
    """Rebuild what is not rebuilt yet, and write the tables.

    Raises:
        ConfigError: an option out of its range, or no folder to write to.
        MissingFileError: no folder, or no patches in it.
        BusyError: another process is at work there.
        ErrorBudgetError: more ids fail than the budget allows, or all of them.
        DiskSpaceError: the disk is full.
    """
    _check(options)
    found = find_patches(options.folder)
    if found.others:
        logger.warning("%d files are no patches by their names, as %s", len(found.others), found.others[0])
    if found.links:
        logger.warning(
            "%d folders are links, and left out, as %s: name what they point to, or copy it",
            len(found.links),
            found.links[0],
        )
    with held([Claim(options.out / ".lock", str(options.out))], "assemble", wait=0.0):
        _assemble(found, options)


def _assemble(found: PatchSet, options: argparse.Namespace) -> None:
    out = options.out
    rows = {name: _row(out, name, options.mpp) for name in found.specimens}
    # A table of an earlier call must not outlive one that failed.
    (out / "slides.csv").unlink(missing_ok=True)
    counted: Counter[str] = Counter()
    errors: dict[str, SlideError] = {}
    for name in track(rows, "rebuilding", console=Console(stderr=True), transient=True):
        try:
            counted.update(_specimen(out, rows[name], found.specimens[name]))
        except SlideError as error:
            errors[rows[name].slide_id] = error
    told = [_row(Path(), name, options.mpp) for name in rows]
    write_excluded(out / "excluded.csv", "assemble", list(rows.values()), errors, told)
    _require_budget(out, len(rows), errors, options.error_budget)
    kept = [row for row in rows.values() if row.slide_id not in errors]
    _write_manifest(out / "slides.csv", kept)
    logger.info(
        "%d of %d ids rebuilt: %d patches, %d with carcinoma; %d copies of patches; %d of fewer pixels; %s",
        len(kept),
        len(rows),
        *(counted[key] for key in _COUNTED),
        out / "slides.csv",
    )


def _check(options: argparse.Namespace) -> None:
    if not options.folder.is_dir():
        raise MissingFileError(
            has=f"no folder {options.folder}", needs="the unpacked set", do="correct the path (docs/idc.md)"
        )
    if not (0 <= options.error_budget <= 1 and 0 < options.mpp < float("inf")):
        raise ConfigError(
            has=f"--error-budget {options.error_budget:g}, --mpp {options.mpp:g}",
            needs="a share from 0 to 1, and µm per pixel above 0",
            do="correct the option",
        )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            has=f"--out {options.out} ({error.strerror})",
            needs="a folder that can be written to",
            do="name another one, or change the permissions",
        ) from error


def _row(out: Path, name: str, mpp: float) -> SlideRow:
    slide_id = f"IDC-{name}"
    image, mask = out / "slides" / f"{slide_id}.tif", out / "masks" / f"{slide_id}.png"
    return SlideRow(slide_id, name, (image,), annotation=mask, mpp=mpp)


def _specimen(out: Path, row: SlideRow, patches: Sequence[PatchFile]) -> Mapping[str, int]:
    """Counts of a specimen, rebuilt now or before.

    Raises:
        SlideError: it cannot be rebuilt; an earlier one is removed.
    """
    image, mask = out / "slides" / f"{row.slide_id}.tif", out / "masks" / f"{row.slide_id}.png"
    receipt, digest = out / ".receipts" / f"{row.slide_id}.json", _digest(patches)
    known = _known(receipt) if image.is_file() and mask.is_file() else {}
    if known.get("made_from") == digest:
        return {key: int(known[key]) for key in _COUNTED}
    for path in (receipt, image, mask):
        path.unlink(missing_ok=True)
    specimen = rebuilt(row.patient_id, patches)
    write_specimen(specimen, image, mask)
    counts = {key: int(getattr(specimen, key)) for key in _COUNTED}
    write_json(receipt, {"made_from": digest, **counts})
    return counts


def _known(receipt: Path) -> dict[str, Any]:
    """What an earlier call wrote; what cannot be read says nothing, and the id is rebuilt."""
    try:
        return read_json(receipt, "assemble")
    except ArtifactError:
        return {}


def _digest(patches: Sequence[PatchFile]) -> str:
    """Of the files' names, sizes and times: reading half a million of them takes minutes.

    Raises:
        UnreadableSlideError: a link to nowhere.
    """
    stats = [(str(patch.path), decoded(patch.path, patch.path.stat)) for patch in patches]
    content = [_VERSION, [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _require_budget(out: Path, total: int, errors: Mapping[str, SlideError], budget: float) -> None:
    if len(errors) <= budget * total and len(errors) < total:
        return
    slide_id, first = next(iter(errors.items()))
    raise ErrorBudgetError(
        has=f"{len(errors)} of {total} ids that cannot be rebuilt, as {slide_id}: {first.in_one_line}",
        needs=f"at most a share of {budget:g}, and one that can",
        do=f"mend those listed in {out / 'excluded.csv'}, or raise --error-budget",
    )


def _write_manifest(path: Path, rows: Sequence[SlideRow]) -> None:
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("slide_id", "patient_id", "image", "annotation", "mpp"))
        for row in rows:
            name = row.slide_id
            writer.writerow((name, row.patient_id, f"slides/{name}.tif", f"masks/{name}.png", f"{row.mpp:g}"))
