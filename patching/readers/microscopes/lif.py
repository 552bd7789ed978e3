"""LIF: Leica's file of many images; read with liffile (BSD), which bioio-lif reads with too."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import Foreign, damaged
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp, Size
from patching.numbers import micrometres, number
from patching.readers.microscopes.base import FrameContainer, Image, extra

_DESCRIBED = "./Data/Image/ImageDescription"
_AXIS_X, _AXIS_Y = "1", "2"
_by_liffile = Foreign(damaged)


class LifContainer(FrameContainer):
    """A LIF file. Its pixels are not compressed: pages are views of the file, but those stored blue first.

    Lifetimes of photons (FLIM) and scans without Y or X are refused where they are chosen. Tiles of a scan
    that was not merged are planes along an axis M.

    Raises:
        UnreadableSlideError: damaged, or liffile is not installed.
    """

    def _open(self) -> Sequence[Image]:
        with extra(self.path, "liffile"):
            import liffile
        file = _by_liffile(self.path, liffile.LifFile, self.path)
        self.resources.callback(file.close)
        found = _by_liffile(self.path, lambda: list(file.images))
        self._images: list[Any] = found
        self._arrays: dict[int, NDArray[Any]] = {}
        self.resources.callback(self._arrays.clear)
        self.resources.callback(self._held.clear)
        return [self._image(image) for image in found]

    def _image(self, image: Any) -> Image:
        name = str(image.path or image.name)
        if image.is_flim:
            return Image.unreadable(name, self._refusal(f"{name}, lifetimes of photons", "its intensities"))
        sizes: dict[str, int] = _by_liffile(self.path, lambda: dict(image.sizes))
        dtype = _by_liffile(self.path, lambda: np.dtype(image.dtype))
        if "Y" not in sizes or "X" not in sizes:
            return Image.unreadable(
                name, self._refusal(f"{name} of axes {''.join(sizes)}", "an image in Y and X")
            )
        others = [axis for axis in sizes if axis not in "YXS"]
        axes = "".join([*others, "Y", "X", *("S" for _ in range("S" in sizes))])
        return Image(
            name=name,
            axes=axes,
            shape=tuple(sizes[axis] for axis in axes),
            dtype=dtype,
            sizes=(Size(sizes["X"], sizes["Y"]),),
            mpp=self._mpp(image),
            channels=_channels(image),
        )

    def _refusal(self, has: str, needs: str) -> UnreadableSlideError:
        return UnreadableSlideError(
            has=f"{self.path}: the image {has}",
            needs=needs,
            do="choose another image by the column `series`, or export what is needed as OME-TIFF from LAS X",
        )

    def _mpp(self, image: Any) -> Mpp | None:
        """Leica tells the way from the first pixel's middle to the last one's."""
        sides: dict[str, float] = {}
        for told in image.xml_element.findall(f"{_DESCRIBED}/Dimensions/DimensionDescription"):
            count = number(told.get("NumberOfElements"))
            length = micrometres((told.get("Length") or "").lstrip("-"), told.get("Unit") or None)
            if count and count > 1 and length:
                sides[told.get("DimID", "")] = length / (count - 1)
        x, y = sides.get(_AXIS_X), sides.get(_AXIS_Y)
        return Mpp(x, y) if x and y else None

    def _frame(self, image: int, page: int) -> NDArray[Any]:
        if image not in self._arrays:
            self._arrays[image] = self._array(image)
        pages = self._arrays[image]
        stacked = pages.shape[:-3]
        frame_HWS: NDArray[Any] = pages[np.unravel_index(page, stacked)] if stacked else pages
        return frame_HWS

    def _array(self, number: int) -> NDArray[Any]:
        """All pages [..., H, W, S]."""
        image, axes = self._images[number], self.images[number].axes
        names = list(_by_liffile(self.path, lambda: tuple(image.dims)))
        # Blue first: liffile turns it around in memory, which it cannot in the file.
        where = None if "S" in names else "memmap"
        array: NDArray[Any] = _by_liffile(self.path, lambda: image.asarray(out=where))
        ordered = array.transpose([names.index(axis) for axis in axes])
        return ordered if axes.endswith("S") else ordered[..., None]


def _channels(image: Any) -> tuple[str, ...]:
    """Names of dyes or, where none are told, of the colors that channels are shown in."""
    channels = image.xml_element.findall(f"{_DESCRIBED}/Channels/ChannelDescription")
    dyes = [
        next((told.findtext("Value", "") for told in channel.findall("ChannelProperty")
              if told.findtext("Key") == "DyeName"), "")
        for channel in channels
    ]  # fmt: skip
    return tuple(dyes if all(dyes) else (channel.get("LUTName", "") for channel in channels))
