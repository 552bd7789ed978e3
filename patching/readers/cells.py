"""How a slide is to be read, as text: cells of slides.csv and back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import get_args

from patching.readers.base import SlideKind
from patching.readers.joined_reader import Shift
from patching.readers.planes import Choice, Series
from patching.readers.registry import READERS

COLUMNS = ("z", "t", "axes", "reader", "shift", "kind", "series", "annotation_origin")
ORIGINS = ("slide", "bounds")
_KINDS: dict[str, SlideKind] = {kind: kind for kind in get_args(SlideKind)}
_MOST_DIGITS = 9  # more than any stack has planes, or slide pixels


@dataclass(frozen=True, slots=True)
class Reading:
    """How a slide is to be read; None leaves it to the file."""

    z: Choice = None
    """A plane's number from 0, or `max` or `mean` over all."""
    t: Choice = None
    """The same along time."""
    axes: str | None = None
    """Names for the file's axes, in its order."""
    reader: str | None = None
    """A name in READERS."""
    shift: tuple[Shift, ...] | None = None
    """What each modality's content is moved by, level-0 pixels."""
    kind: SlideKind | None = None
    """What the pixels are."""
    series: Series = None
    """The image of a file that holds several: its number from 0, or its name."""
    annotation_origin: str | None = None
    """Of ORIGINS: what the annotation counts from, the slide's corner or its scanned region's."""

    @classmethod
    def parsed(cls, text: Mapping[str, str]) -> "Reading":
        """From cells by column; those that are wrong are left empty, see `wrong_cells`."""
        return cls(
            z=_choice(text.get("z", "")),
            t=_choice(text.get("t", "")),
            axes=text.get("axes") or None,
            reader=text.get("reader") or None,
            shift=_shifts(text.get("shift", "")),
            kind=_KINDS.get(text.get("kind", "")),
            series=_series(text.get("series", "")),
            annotation_origin=text.get("annotation_origin") or None,
        )

    def filled(self, default: "Reading") -> "Reading":
        """The same with a cohort's defaults where nothing is set."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Reading(
            **{name: getattr(default, name) if value is None else value for name, value in own.items()}
        )

    def cells(self) -> dict[str, str]:
        """The columns that are set, as text."""
        values = {name: getattr(self, name) for name in COLUMNS}
        if self.shift is not None:
            values["shift"] = ";".join(f"{step.x},{step.y}" for step in self.shift)
        return {name: str(value) for name, value in values.items() if value is not None}


def wrong_cells(reading: Reading, text: Mapping[str, str], images: Sequence[object]) -> Iterator[str]:
    """What is wrong with the columns of COLUMNS."""
    for name, choice in (("z", reading.z), ("t", reading.t)):
        if text.get(name) and choice is None:
            yield f"{name} {text[name]!r}, which needs a plane's number from 0, max, mean or nothing"
    if reading.reader and reading.reader not in READERS:
        yield f"reader {reading.reader!r}, which needs {', '.join(READERS)} or nothing"
    if text.get("kind") and reading.kind is None:
        yield f"kind {text['kind']!r}, which needs {', '.join(_KINDS)} or nothing"
    if reading.annotation_origin and reading.annotation_origin not in ORIGINS:
        yield f"annotation_origin {reading.annotation_origin!r}, which needs {', '.join(ORIGINS)} or nothing"
    if text.get("shift") and (reading.shift is None or len(reading.shift) != len(images)):
        yield f"shift {text['shift']!r}, which needs `x,y` in whole pixels for each image, separated by `;`"


def _choice(text: str) -> Choice:
    projections: dict[str, Choice] = {"max": "max", "mean": "mean"}
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
    return projections.get(text, number)


def _series(text: str) -> Series:
    """A number, or a name; what has more digits than any number of images is a name."""
    number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if number else text or None


def _shifts(text: str) -> tuple[Shift, ...] | None:
    try:
        pairs = [[_pixels(number) for number in pair.split(",")] for pair in text.split(";") if pair.strip()]
        return tuple(Shift(x, y) for x, y in pairs) or None
    except ValueError:
        return None


def _pixels(text: str) -> int:
    """A number of either sign.

    Raises:
        ValueError: none, or beyond every slide.
    """
    if len(text.strip()) > _MOST_DIGITS + 1:
        raise ValueError(f"a shift of {len(text)} digits")
    return int(text)
