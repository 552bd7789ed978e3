"""What a file of several images is, whatever program wrote it.

A *page* is what lies at one place of the axes beside Y, X and S; pages are numbered in the order of these
axes, the last one fastest.
"""

import mmap
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp, Size
from patching.readers.base import Window

CACHE_BYTES = 384 * 2**20
_KINDS = "uif"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a file.

    `axes` are letters for `shape`: those of pages, then Y and X, then S where a pixel has several samples.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sizes: tuple[Size, ...]
    """Levels, finest first."""
    mpp: Mpp | None = None
    channels: tuple[str, ...] = ()
    """Names, as the file tells them; none or another number if it does not."""
    brightfield: bool | None = None
    problem: UnreadableSlideError | None = None
    """Why it cannot be read; others in the file can."""

    @classmethod
    def unreadable(cls, name: str, problem: UnreadableSlideError) -> "Image":
        """An image that keeps its number, and is refused where it is chosen."""
        return cls(name, "YX", (1, 1), np.dtype(np.uint8), (Size(1, 1),), problem=problem)

    @property
    def samples(self) -> int:
        """Values of a pixel on a page."""
        return self.shape[-1] if self.axes.endswith("S") else 1


class AbstractContainer(ABC):
    """An opened file. It is given to one slide, which closes it.

    Raises:
        UnreadableSlideError: damaged, or of a kind that would be read wrongly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resources = ExitStack()
        with ExitStack() as if_it_fails:
            if_it_fails.callback(self.resources.close)
            self.images = tuple(self._open())
            if not self.images:
                raise damaged(path, "a file without an image")
            for image in self.images:
                check_image(path, image)
            if_it_fails.pop_all()

    @abstractmethod
    def _open(self) -> Sequence[Image]:
        """Open the file and tell its images."""

    @abstractmethod
    def limit(self, nbytes: int) -> None:
        """Hold at most this many bytes of decoded pixels."""

    @property
    @abstractmethod
    def decoded(self) -> int:
        """Tiles or pages decoded so far."""

    @abstractmethod
    def read(
        self,
        place: tuple[int, int, int],
        window: Window,
        region_HWS: NDArray[Any],
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        """Fill the pixels of a page that exist; leave the others, and `covered_HW` there, as they are.

        Args:
            place: numbers of the image, its level and its page.
            window: inside that level.
            region_HWS: of the window's size.
            covered_HW: becomes True where a pixel exists; None if nobody asks.
        """


class FrameContainer(AbstractContainer):
    """A file whose pages are read whole; those that must be decoded are held while there is room."""

    def __init__(self, path: Path) -> None:
        self._held: OrderedDict[tuple[int, int], NDArray[Any] | None] = OrderedDict()
        self._lock = Lock()
        self._capacity, self._decoded = CACHE_BYTES, 0
        super().__init__(path)

    def limit(self, nbytes: int) -> None:
        """See the base class; one page is held whatever the limit."""
        self._capacity = nbytes

    @property
    def decoded(self) -> int:
        """See the base class."""
        return self._decoded

    @abstractmethod
    def _frame(self, image: int, page: int) -> NDArray[Any] | None:
        """A page [H, W, S] or [H, W], a view of the file where possible; None if there is none.

        Only one thread at a time calls it.
        """

    def read(
        self,
        place: tuple[int, int, int],
        window: Window,
        region_HWS: NDArray[Any],
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        """See the base class: a page exists as a whole, or not at all."""
        image, _, page = place
        frame_HWS = self._whole(image, page)
        if frame_HWS is None:
            return
        rows = slice(window.top, window.top + window.height)
        region_HWS[:] = frame_HWS[rows, window.left : window.left + window.width]
        if covered_HW is not None:
            covered_HW[:] = True

    def _whole(self, image: int, page: int) -> NDArray[Any] | None:
        with self._lock:
            if (image, page) in self._held:
                frame_HWS = self._held.pop((image, page))
            else:
                frame_HWS = self._checked(image, page)
                self._decoded += 1
            self._held[image, page] = frame_HWS
            while len(self._held) > 1 and sum(map(_nbytes, self._held.values())) > self._capacity:
                self._held.popitem(last=False)
            return frame_HWS

    def _checked(self, number: int, page: int) -> NDArray[Any] | None:
        image, frame = self.images[number], self._frame(number, page)
        if frame is None:
            return None
        size = image.sizes[0]
        expected = (size.height, size.width, image.samples)
        if frame.size != np.prod(expected) or frame.shape[:2] != expected[:2] or frame.dtype != image.dtype:
            raise damaged(
                self.path, f"a page of {frame.dtype} {frame.shape}, where {image.dtype} {expected} was told"
            )
        return frame.reshape(expected)


def _nbytes(frame_HWS: NDArray[Any] | None) -> int:
    """Memory that a frame takes; views of the file take none."""
    base: Any = frame_HWS
    while isinstance(base, np.ndarray):
        base = base.base
    return 0 if frame_HWS is None or isinstance(base, mmap.mmap) else int(frame_HWS.nbytes)


def check_image(path: Path, image: Image) -> None:
    """Refuse an image without pixels, or of pixels that are no numbers of one value.

    Raises:
        UnreadableSlideError: it is one.
    """
    if min(image.shape, default=0) < 1 or len(image.axes) != len(image.shape):
        raise damaged(path, f"an image of axes {image.axes} and lengths {image.shape}")
    if image.dtype.kind not in _KINDS:
        raise UnreadableSlideError(
            has=f"{path}: pixels of type {image.dtype}",
            needs="whole or real numbers",
            do="export the intensities as OME-TIFF",
        )


@contextmanager
def extra(path: Path, name: str) -> Iterator[None]:
    """For the import of a package of the extra `microscopes`.

    Raises:
        UnreadableSlideError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnreadableSlideError(
            has=f"{path}: it is read with the package {name}, which is not installed",
            needs="the extra `microscopes`",
            do="run `pip install 'evenpatch[microscopes]'`, or save the file as OME-TIFF",
        ) from error
