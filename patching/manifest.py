"""slides.csv: one row per slide, checked as a whole."""

import csv
import difflib
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from patching.errors import ManifestError
from patching.geometry import Mpp
from patching.numbers import micrometres
from patching.readers.base import AbstractSlide
from patching.readers.cells import COLUMNS, Reading, wrong_cells
from patching.readers.planes import Series
from patching.readers.registry import open_slide
from patching.readers.zarr.files import Source, is_url

logger = logging.getLogger(__name__)
REQUIRED = ("slide_id", "patient_id", "image")
OPTIONAL = ("channels", "annotation", "label", "mpp", "split", *COLUMNS)
SPLITS = ("train", "validation", "test")
# It names files, with up to 55 bytes of suffixes, and a leading dot would hide them.
_SLIDE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
_SHOWN = 10
_LARGEST = 64 * 2**20
_LONGEST_NAME = 255  # bytes of one file's name, on every common file system
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class SlideRow:
    """One slide of a cohort, as its manifest tells."""

    slide_id: str
    """Unique in the cohort; up to 200 letters, digits, `_`, `.`, `-`, the first no `.`."""
    patient_id: str
    """The unit of splitting."""
    images: tuple[Source, ...]
    """One file, OME-Zarr folder or address, or one per modality."""
    channels: tuple[str, ...] | None = None
    """Names that replace the files' own."""
    annotation: Path | None = None
    """Mask image or outlines."""
    label: int | None = None
    """0 or 1 for the whole slide, where there is no annotation."""
    mpp: float | None = None
    """µm per pixel at level 0; wins over the file's own."""
    split: str | None = None
    """train, validation or test, where the manifest fixes it."""
    extra: dict[str, str] = field(default_factory=dict)
    """Every other column, as text."""
    reading: Reading = field(default_factory=Reading)
    """The columns `z`, `t`, `axes`, `reader`, `shift`, `kind`, `series` and `annotation_origin`."""

    def open(self) -> AbstractSlide:
        """Open the slide as the row says: see `open_slide`."""
        how = self.reading
        return open_slide(
            self.images,
            self.channels,
            how.reader,
            z=how.z,
            t=how.t,
            axes=how.axes,
            shift=how.shift,
            kind=how.kind,
            series=how.series,
        )


def read_manifest(path: Path, root: Path | None = None, *, patients: bool = True) -> tuple[SlideRow, ...]:
    """Read and check a slides.csv; a column that looks like a misspelled one is told in the log.

    Args:
        path: the CSV, UTF-8.
        root: folder that `image` and `annotation` are relative to; by default the CSV's own.
        patients: whether `patient_id` must be told; a slide without one is its own patient else.

    Raises:
        ManifestError: names the problems of the whole file, at most ten of them.
    """
    lines, header = _lines(path)
    missing = [name for name in REQUIRED if name not in header and (patients or name != "patient_id")]
    doubled = sorted({column for column in header if header.count(column) > 1})
    _tell_misspelled(path, header)
    problems = [f"no column {column}" for column in missing]
    for separator, called in ((";", "`;`"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            problems = [f"one column {header[0]!r}: columns must be separated by a comma, not by {called}"]
    problems += [f"column {column!r} twice" for column in doubled]
    if not lines:
        problems.append("no slides: not one row under the header")
    if problems:
        raise _refused(path, problems)
    rows: list[SlideRow] = []
    for number, cells in lines:
        if not patients:
            cells["patient_id"] = cells.get("patient_id") or cells["slide_id"]
        row, wrong = _row(cells, path.parent if root is None else root)
        problems += [f"line {number}: {problem}" for problem in wrong]
        if row.mpp and not Mpp(row.mpp, row.mpp).plausible:
            logger.warning("%s: line %d: mpp %g µm is no light microscope's", path, number, row.mpp)
        rows.append(row)
    problems += _doubled(rows)
    _tell_alike(
        path, "slide_id", (row.slide_id for row in rows), "which macOS and Windows keep in one folder"
    )
    if patients:
        _tell_alike(
            path, "patient_id", (row.patient_id for row in rows), "who are split as different patients"
        )
        problems += _conflicts(rows)
    if problems:
        raise _refused(path, problems)
    return tuple(rows)


def _tell_misspelled(path: Path, header: Sequence[str]) -> None:
    """Unknown columns are kept for the reader's own use, so that a slip of the pen costs its content."""
    absent = [column for column in REQUIRED + OPTIONAL if column not in header]
    for name in header:
        for meant in difflib.get_close_matches(name.lower(), absent, n=1, cutoff=_ALIKE):
            if name not in REQUIRED + OPTIONAL:
                logger.warning("%s: unknown column %r is not used; is it `%s`?", path, name, meant)


def _lines(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Numbered rows and the header. Spreadsheets add a byte order mark, hence utf-8-sig."""
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise _refused(path, [f"{size} bytes, more than {_LARGEST}"])
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="", restval="")
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            numbered = [(reader.line_num, dict(cells)) for cells in reader]
            return [(number, cells) for number, cells in numbered if not _is_empty(cells)], header
    except FileNotFoundError as error:
        raise ManifestError(
            has=f"no file {path}",
            needs="the cohort's slides.csv",
            do="correct `manifest` in the cohort's YAML, or generate the cohort",
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, [f"not a CSV file in UTF-8: {error}"]) from error


def _is_empty(cells: Mapping[str, str | list[str]]) -> bool:
    """Spreadsheets write a row that was once touched, and emptied, as commas alone."""
    return not any(
        text.strip() for cell in cells.values() for text in ([cell] if isinstance(cell, str) else cell)
    )


def _row(cells: Mapping[str, str | list[str]], root: Path) -> tuple[SlideRow, list[str]]:
    """Parse one row; a wrong cell is told and left empty."""
    wrong: list[str] = []
    if "" in cells and isinstance(cells[""], list):
        wrong.append(f"{len(cells[''])} cells more than the header has columns")
    text = {name: cell.strip() for name, cell in cells.items() if isinstance(cell, str)}
    row = SlideRow(
        slide_id=text["slide_id"],
        # One name is one patient, whichever way a system writes its accents.
        patient_id=unicodedata.normalize("NFC", text["patient_id"]),
        images=tuple(name if is_url(name) else root / name for name in _parts(text["image"])),
        channels=tuple(_parts(text.get("channels", ""))) or None,
        annotation=root / text["annotation"] if text.get("annotation") else None,
        label={"0": 0, "1": 1}.get(text.get("label", "")),
        mpp=micrometres(text.get("mpp")),
        split=text.get("split") or None,
        extra={name: cell for name, cell in text.items() if name and name not in REQUIRED + OPTIONAL},
        reading=Reading.parsed(text),
    )
    wrong += [*_wrong_cells(row, text), *wrong_cells(row.reading, text, row.images)]
    return row, wrong


def _wrong_cells(row: SlideRow, text: Mapping[str, str]) -> Iterator[str]:
    if not _SLIDE_ID.fullmatch(row.slide_id):
        yield f"slide_id {row.slide_id!r}, which needs 1 to 200 of A-Z a-z 0-9 _ . -, the first of them no ."
    if not row.patient_id:
        yield "no patient_id"
    if not row.images:
        yield "no image"
    if any(
        len(name.encode()) > _LONGEST_NAME
        for name in re.split("[;/]", f"{text['image']}/{text.get('annotation', '')}")
    ):
        yield f"a file name of more than {_LONGEST_NAME} bytes"
    if row.channels and len(set(row.channels)) < len(row.channels):
        yield f"a channel named twice in {text['channels']!r}"
    if text.get("label") and row.label is None:
        yield f"label {text['label']!r}, which needs 0, 1 or nothing"
    if text.get("mpp") and row.mpp is None:
        yield f"mpp {text['mpp']!r}, which needs a number of µm per pixel above 0"
    if row.split and row.split not in SPLITS:
        yield f"split {row.split!r}, which needs {', '.join(SPLITS)} or nothing"


def _doubled(rows: Sequence[SlideRow]) -> Iterator[str]:
    seen: set[str] = set()
    for row in rows:
        if row.slide_id in seen:
            yield f"slide_id {row.slide_id!r} twice"
        seen.add(row.slide_id)


def _tell_alike(path: Path, column: str, names: Iterable[str], consequence: str) -> None:
    """Names that a reader takes for one and the program does not."""
    alike: dict[str, set[str]] = {}
    for name in names:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(key, set()).add(name)
    found = [sorted(several) for several in alike.values() if len(several) > 1]
    for several in found[:_SHOWN]:
        told = ", ".join(map(repr, several))
        logger.warning("%s: %s %s differ in case or spaces alone, %s", path, column, told, consequence)
    if len(found) > _SHOWN:
        logger.warning("%s: and %d more such %s", path, len(found) - _SHOWN, column)


def _conflicts(rows: Sequence[SlideRow]) -> Iterator[str]:
    """What no single row shows of a patient."""
    split_of: dict[str, str | None] = {}
    owner_of: dict[tuple[Source, Series], str] = {}
    for row in rows:
        if (split := split_of.setdefault(row.patient_id, row.split)) != row.split:
            yield f"patient {row.patient_id!r} in two splits: {split or 'none'}, {row.split or 'none'}"
        for image in row.images:
            # A file of several images may hold those of several patients.
            if (owner := owner_of.setdefault((image, row.reading.series), row.patient_id)) != row.patient_id:
                yield f"{Path(image).name} of two patients: {owner!r}, {row.patient_id!r}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _refused(path: Path, problems: Sequence[str]) -> ManifestError:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return ManifestError(
        has=f"{path}: {'; '.join(problems[:_SHOWN])}{more}",
        needs=f"the columns {', '.join(REQUIRED)}, and rows that keep their rules (README, slides.csv)",
        do="mend the lines named above",
    )
