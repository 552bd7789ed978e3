"""What an outline does, by what it is called."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import shapely

from patching.annotations.base import OTHERS, UNCLASSIFIED, deciding_name, kind_of

logger = logging.getLogger(__name__)
Role = Literal["tumor", "ignore", "hole", "normal", "aside"]
"""What an outline does. A `hole` is of a class that means normal by its name, and cuts the tumor outlines
that it lies wholly inside of; tumor wins over `normal`, which is told, and over `aside`, which is not."""
Outlines = dict[Role, list[shapely.Geometry]]
"""Valid polygons of each role."""
_SHOWN = 10


def no_outlines() -> Outlines:
    """An empty list for each role."""
    return {role: [] for role in get_args(Role)}


class Roles:
    """Looks outlines up in the class map, and remembers which of them only `*` explains.

    Args:
        classes: class -> kind.
        path: the file, for errors and the log.
    """

    def __init__(self, classes: Mapping[str, str], path: Path) -> None:
        self._classes, self._path = classes, path
        self._others = Counter[str]()

    def of(self, names: Sequence[str]) -> Role:
        """The role of an outline of these names, the most specific first.

        Raises:
            AnnotationError: the map has none of them, nor `*`.
        """
        kind, name = kind_of(names, self._classes, self._path), deciding_name(names, self._classes)
        if name is None:
            self._others[names[0]] += 1
        # What has no class, or is but one of all others, may be a region of interest around tumor.
        named = name is not None and name.casefold() != UNCLASSIFIED
        return "hole" if kind == "normal" and named else cast(Role, kind)

    def tell_others(self) -> None:
        """Say in the log which classes only `*` explains: one of them may be a slip of the pen."""
        if self._others and len(self._classes) > 1:
            told = [f"{name!r} ({count})" for name, count in self._others.most_common(_SHOWN)]
            more = f" and {len(self._others) - _SHOWN} more" if len(self._others) > _SHOWN else ""
            logger.info(
                "%s: `*` makes %s of %s%s", self._path.name, self._classes[OTHERS], ", ".join(told), more
            )
