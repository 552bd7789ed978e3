"""Patches as the public IDC set names them: `<id>_idx<level>_x<X>_y<Y>_class<C>.png`, in any folders.

Janowczyk and Madabhushi, "Deep learning for digital pathology image analysis" (J Pathol Inform 7:29, 2016),
publish the patches of Cruz-Roa et al. (SPIE 9041, 2014) so: <id>/0/ and <id>/1/ with 50 x 50 pixels each, X
and Y their top-left corner in the specimen, counted from 1. Redistributions keep the names; one of them holds
the whole set a second time in a folder of its own.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patching.errors import MissingFileError, SlideError
from patching.geometry import Location

STEP = 50
"""Pixels from one patch to the next, and of a patch's side."""
_FIRST = 1
"""What the names call the specimen's first column and row."""
_NAME = re.compile(
    r"(?P<id>[A-Za-z0-9]+)_idx(?P<level>\d{1,3})_x(?P<x>\d{1,9})_y(?P<y>\d{1,9})_class(?P<label>[01])\.png"
)
_LABELS = ("0", "1")


@dataclass(frozen=True)
class PatchFile:
    """A patch, as far as its name tells it.

    Attributes:
        level: of what follows `idx`: the set's own number of a resolution.
        location: of its first pixel in the specimen, counted from 0.
        label: 1 where it holds carcinoma, else 0.
    """

    path: Path
    level: int
    location: Location
    label: int


@dataclass(frozen=True)
class PatchSet:
    """The patches of a folder.

    Attributes:
        specimens: patches by id, ids and paths in alphabetical order.
        others: files that are not named so.
        links: folders that are links, which are not looked into.
    """

    specimens: Mapping[str, Sequence[PatchFile]]
    others: Sequence[Path]
    links: Sequence[Path]


def find_patches(folder: Path) -> PatchSet:
    """Look for patches in a folder and in all below it; nothing is opened.

    Raises:
        MissingFileError: no such folder, or no file in it is named so.
    """
    specimens: dict[str, list[PatchFile]] = {}
    others: list[Path] = []
    links: list[Path] = []
    for path in _files(folder, links):
        if match := _NAME.fullmatch(path.name):
            location = Location(int(match["x"]) - _FIRST, int(match["y"]) - _FIRST)
            patch = PatchFile(path, int(match["level"]), location, int(match["label"]))
            specimens.setdefault(match["id"], []).append(patch)
        else:
            others.append(path)
    if not specimens:
        raise MissingFileError(
            has=f"no patch in {folder}, {len(others)} other files, {len(links)} links to folders",
            needs="files named <id>_idx<level>_x<X>_y<Y>_class<0 or 1>.png, in it or in folders below",
            do="give the folder that the set was unpacked to (docs/idc.md)",
        )
    return PatchSet({name: specimens[name] for name in sorted(specimens)}, others, links)


def _files(folder: Path, links: list[Path]) -> Iterator[Path]:
    def unread(error: OSError) -> None:
        raise MissingFileError(
            has=f"{error.filename}, which cannot be read ({error.strerror})",
            needs="a folder whose files can be listed",
            do="change its permissions, or take it out",
        ) from error

    for place, folders, names in os.walk(folder, onerror=unread):
        folders.sort()
        # Followed, a link that leads upwards would never end.
        links.extend(path for name in folders if (path := Path(place, name)).is_symlink())
        # Programs leave hidden files everywhere: `._8863_...` is no patch, though it ends like one.
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def require_grid(name: str, patches: Sequence[PatchFile]) -> None:
    """Check, by their names alone, that the patches of an id lie side by side.

    Raises:
        SlideError: patches of two resolutions, off the grid, or in a folder of the other label.
    """
    levels = sorted({patch.level for patch in patches})
    if len(levels) > 1:
        raise SlideError(
            has=f"{name} with patches of {' and '.join(f'idx{level}' for level in levels)}",
            needs="patches of one resolution",
            do="take the others out of the folder",
        )
    off = [patch for patch in patches if patch.location.x % STEP or patch.location.y % STEP]
    if off:
        raise SlideError(
            has=f"{off[0].path}, and {len(off) - 1} more of {name}, off the grid",
            needs=f"X and Y of 1 and a multiple of {STEP}: patches that do not overlap",
            do="correct the names, or take these patches out of the folder",
        )
    astray = [p for p in patches if p.path.parent.name in _LABELS and p.path.parent.name != str(p.label)]
    if astray:
        raise SlideError(
            has=f"{astray[0].path}, and {len(astray) - 1} more of {name}, in the folder of the other label",
            needs="folder and name that say the same",
            do="unpack the set again, or take these patches out of the folder",
        )
