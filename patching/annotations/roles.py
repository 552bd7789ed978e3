"""What an outline does, by what it is called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import shapely

from patching.annotations.base import OTHERS, UNCLASSIFIED, Kind, deciding_name, kind_of

Role = Literal["tumor", "ignore", "hole", "normal", "aside"]
"""What an outline does. A `hole` is of a class that means normal by its name, and cuts the tumor outlines
that it lies wholly inside of; tumor wins over `normal`, which is told, and over `aside`, which is not."""
Outlines = dict[Role, list[shapely.Geometry]]
"""Valid polygons of each role."""
_QUPATH: Mapping[str, Kind] = {
    "Tumor": "tumor",
    "Stroma": "normal",
    "Immune cells": "normal",
    "Ignore*": "ignore",
    "Necrosis": "ignore",
    "Other": "ignore",
}
"""Classes that QuPath offers by itself, and what they mean where nobody says otherwise."""
_ALWAYS = "Ignore*"
"""What it says, whatever `*` makes of all others."""


def with_qupath(classes: Mapping[str, str]) -> dict[str, str]:
    """The class map with those of QuPath's own classes that it does not explain, by name or by `*`.

    >>> with_qupath({"stroma": "tumor", "*": "normal"})
    {'stroma': 'tumor', '*': 'normal', 'Ignore*': 'ignore'}
    """
    own = {name: kind for name, kind in _QUPATH.items() if deciding_name([name], classes) is None}
    return {**classes, **{name: own[name] for name in own if OTHERS not in classes or name == _ALWAYS}}


def no_outlines() -> Outlines:
    """An empty list for each role."""
    return {role: [] for role in get_args(Role)}


def told_map(classes: Mapping[str, str]) -> str:
    """The class map in words, with those of QuPath's own classes that it leaves as they are.

    >>> told_map({"*": "normal", "1": "tumor"})
    "'*' is normal, '1' is tumor; in files of QuPath: 'Ignore*' is ignore"
    """
    own = {name: kind for name, kind in with_qupath(classes).items() if name not in classes}
    parts = [", ".join(f"{name!r} is {kind}" for name, kind in part.items()) for part in (classes, own)]
    return "; in files of QuPath: ".join(part for part in parts if part)


class Roles:
    """Looks outlines up in the class map.

    Args:
        classes: class -> kind.
        path: the file, for errors.
    """

    def __init__(self, classes: Mapping[str, str], path: Path) -> None:
        self._classes, self._path = classes, path

    def of(self, names: Sequence[str]) -> Role:
        """The role of an outline of these names, the most specific first.

        Raises:
            AnnotationError: the map has none of them, nor `*`.
        """
        kind, name = kind_of(names, self._classes, self._path), deciding_name(names, self._classes)
        # What has no class, or is but one of all others, may be a region of interest around tumor.
        named = name is not None and name.casefold() != UNCLASSIFIED
        return "hole" if kind == "normal" and named else cast(Role, kind)
