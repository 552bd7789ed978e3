"""What the axes of an image mean: a letter of T, C, Z, Y, X for each, from its type and its name."""

from collections.abc import Sequence

from patching.readers.zarr.documents import Axis
from patching.readers.zarr.files import ZarrFiles

_ORDER_BEFORE_AXES = "TCZYX"
"""Of versions 0.1 and 0.2, whose arrays have five axes."""
_WORDS = {"TIME": "T", "CHANNEL": "C", "CHANNELS": "C"}
_LETTERS = {"time": "T", "channel": "C"}
_SPACE = "ZYX"


def letters(files: ZarrFiles, axes: Sequence[Axis]) -> str:
    """A letter for each axis; any other than T, C, Z, Y, X, S is one whose meaning is not told.

    A type (time, channel, space) counts where the name is none of t, c, z, y, x. Axes of space without
    such a name are z, y, x, as the specification orders them.

    Raises:
        UnreadableSlideError: not one Y and one X, or a name and a type that contradict each other.
    """
    found = _spaces_named([_letter(files, axis) for axis in axes])
    if found.count("Y") != 1 or found.count("X") != 1 or any(found.count(axis) > 1 for axis in "TCZS"):
        raise files.refusal(f"axes {found}, from {_shown(axes)}, without one Y and one X, or doubled")
    return found


def of_names(names: Sequence[str]) -> str:
    """Letters of axes that an array itself names; `?` for those that are none of T, C, Z, Y, X."""
    upper = [_WORDS.get(name.upper(), name.upper()) for name in names]
    return "".join(name if len(name) == 1 and name in _ORDER_BEFORE_AXES else "?" for name in upper)


def unnamed(files: ZarrFiles, dimensions: int) -> str:
    """Letters where no axes are told: of five, as in the versions that told none; of fewer, y and x last.

    Raises:
        UnreadableSlideError: fewer than two.
    """
    if dimensions < 2:
        raise files.refusal(f"an array of {dimensions} dimensions")
    if dimensions == len(_ORDER_BEFORE_AXES):
        return _ORDER_BEFORE_AXES
    return "?" * (dimensions - 2) + "YX"


def _letter(files: ZarrFiles, axis: Axis) -> str:
    """Of one axis by itself; `space` where only that is known."""
    name = str(axis.name or "").strip().upper()
    name = _WORDS.get(name, name)
    kind = str(axis.type or "").strip().lower()
    of_type = _LETTERS.get(kind, "space" if kind == "space" else "")
    if len(name) == 1 and name in _ORDER_BEFORE_AXES:
        of_name = "space" if name in _SPACE else name
        if of_type and of_type != of_name:
            raise files.refusal(f"an axis {axis.name} of the type {axis.type}: one of both is wrong")
        return name
    if of_type:
        return of_type
    return name if len(name) == 1 and name.isascii() else "?"


def _spaces_named(found: Sequence[str]) -> str:
    """With letters for the axes of space that have none, the last ones first."""
    free = [axis for axis in _SPACE if axis not in found]
    named = list(found)
    for at in reversed(range(len(named))):
        if named[at] == "space":
            named[at] = free.pop() if free else "?"
    return "".join(named)


def _shown(axes: Sequence[Axis]) -> str:
    return ", ".join(f"{axis.name} ({axis.type})" if axis.type else str(axis.name) for axis in axes) or "none"
