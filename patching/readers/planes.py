"""Which planes of a stack make the slide: one along Z and T by its number, or a projection of all.

A stack's planes are numbered in the order in which its file stores them, the last axis fastest. Choosing
is arithmetic on these numbers, whatever the order of the axes; the readers then read only what is chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patching.errors import UnreadableSlideError
from patching.readers.naming import counted

Choice = int | Literal["max", "mean"] | None
Series = int | str | None
"""An image of a file that holds several: its number from 0 in the file's order, or its name."""
_ORDER = "TZCS"
_MOST_PLANES = 2**20


@dataclass(frozen=True, slots=True)
class Planes:
    """The user's choice of image and planes.

    `z` and `t` are a number from 0, or `max` or `mean` over all planes. A stack with more than one plane
    along an axis needs a choice. `axes` renames the file's axes where it names them wrongly or not at all:
    as many letters of T Z C S Y X, in the file's order (S are the samples of a pixel, such as R, G, B).
    `series` chooses among the images of a file; None is the reader's default.
    """

    z: Choice = None
    t: Choice = None
    axes: str | None = None
    series: Series = None


ONE_PLANE = Planes()


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read of a stack, and what becomes of it.

    `wanted` are the numbers of the planes to be read, in this order; `groups_TZC` holds positions in
    `wanted`: those of a channel are projected, along Z first.
    """

    wanted: tuple[int, ...]
    groups_TZC: NDArray[np.intp]

    @property
    def direct(self) -> bool:
        """Whether what is read is the slide, with nothing to be picked or projected."""
        in_order = np.arange(self.groups_TZC.size).reshape(1, 1, -1)
        return len(self.wanted) == self.groups_TZC.size and np.array_equal(self.groups_TZC, in_order)


def select(source: str, axes: str, shape: Sequence[int], planes: Planes, samples: int = 1) -> Selection:
    """Choose planes.

    Args:
        source: the file, for the error.
        axes: a letter for each axis, as the file names them.
        shape: their lengths.
        planes: what is asked for.
        samples: planes that can only be read together, along the last axis beside Y and X.

    Raises:
        UnreadableSlideError: several planes along an axis without a choice or a name; a number too large;
            names that do not fit.
    """
    named = renamed(source, axes, shape, planes.axes)
    stacked = {axis: n for axis, n in zip(named, shape, strict=True) if axis not in "YX" and n > 1}
    layout = f"{source}: axes {axes} of {'x'.join(map(str, shape))}"
    if unknown := [axis for axis in stacked if axis not in _ORDER]:
        raise UnreadableSlideError(
            has=f"{layout}, with several planes along {', '.join(unknown)}",
            needs="axes that have a meaning: T, Z, C (channels) and S (samples of a pixel) beside Y and X",
            do=f"name them in the column `axes`, for example {_example(axes)}, or name the axis C in OME-XML",
        )
    if math.prod(stacked.values()) > _MOST_PLANES:
        raise UnreadableSlideError(
            has=layout,
            needs=f"at most {_MOST_PLANES} planes",
            do="check the file: its description may be damaged",
        )
    numbers = np.arange(math.prod(stacked.values())).reshape([*stacked.values()])
    present = [axis for axis in _ORDER if axis in stacked]
    ordered = numbers.transpose([list(stacked).index(axis) for axis in present])
    numbers_TZC = ordered.reshape(stacked.get("T", 1), stacked.get("Z", 1), -1)
    numbers_TZC = _chosen(layout, numbers_TZC, 0, "t", planes.t)
    numbers_TZC = _chosen(layout, numbers_TZC, 1, "z", planes.z)
    return _reading_together(numbers_TZC, samples)


def renamed(source: str, axes: str, shape: Sequence[int], names: str | None) -> str:
    """The axes as the user names them.

    Raises:
        UnreadableSlideError: another number of letters, unknown or doubled ones, or Y and X elsewhere.
    """
    if names is None:
        return axes
    moved = [at for at, axis in enumerate(axes) if axis in "YX"]
    fitting = len(names) == len(axes) and all(names[at] == axes[at] for at in moved)
    if not fitting or len(set(names)) < len(names) or set(names) - set("TZCSYX"):
        raise UnreadableSlideError(
            has=f"{source}: axes {axes} of {'x'.join(map(str, shape))}, named {names} in the column `axes`",
            needs=f"{len(axes)} different letters of T, Z, C, S, Y, X, with Y and X where the file has them",
            do=f"correct the column `axes`, for example {_example(axes)}, or leave it empty",
        )
    return names


def _example(axes: str) -> str:
    """The file's axes with the unknown ones named, the likeliest meanings first."""
    free = iter([axis for axis in "CZTS" if axis not in axes.replace("S", "")])
    return "".join(axis if axis in "YXCZT" else next(free, axis) for axis in axes)


def _chosen(
    layout: str, numbers_TZC: NDArray[np.intp], axis: int, name: str, choice: Choice
) -> NDArray[np.intp]:
    count = numbers_TZC.shape[axis]
    if choice is None and count > 1:
        raise UnreadableSlideError(
            has=f"{layout}, with several planes along {name.upper()} ({count})",
            needs=f"a choice: a plane's number from 0 to {count - 1}, or `max` or `mean` over all",
            do=f"fill the column `{name}`, or set `ingest.{name}`; if they are channels, name the axis C "
            "in the column `axes`",
        )
    if not isinstance(choice, int):
        return numbers_TZC
    if not 0 <= choice < count:
        raise UnreadableSlideError(
            has=f"{layout}, with {counted(count, 'plane')} along {name.upper()}, of which number {choice} "
            "is asked for",
            needs=f"a number from 0 to {count - 1}, or `max` or `mean`",
            do=f"correct the column `{name}` or `ingest.{name}`",
        )
    return numbers_TZC.take([choice], axis)


def _reading_together(numbers_TZC: NDArray[np.intp], samples: int) -> Selection:
    """Every number in the order of T, Z and C, with those that are read along with it."""
    pages = list(dict.fromkeys((numbers_TZC // samples).ravel().tolist()))
    place = {page: at for at, page in enumerate(pages)}
    firsts = np.vectorize(place.__getitem__, otypes=[np.intp])(numbers_TZC // samples)
    wanted = tuple(page * samples + sample for page in pages for sample in range(samples))
    return Selection(wanted, firsts * samples + numbers_TZC % samples)


def require_one_plane(source: str, planes: Planes) -> None:
    """Refuse a choice that a format of one image without stacks cannot fulfil.

    Raises:
        UnreadableSlideError: a number above 0, a name, or names for axes.
    """
    if planes.series not in (None, 0):
        raise UnreadableSlideError(
            has=f"{source}: one image, where `series` asks for {planes.series!r}",
            needs="a file of several images, or no choice among them",
            do="leave the column `series` empty, or set it to 0",
        )
    select(source, "YX", (1, 1), planes)
