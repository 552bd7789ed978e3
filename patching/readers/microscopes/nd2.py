"""ND2: Nikon's file; read with nd2 (BSD), which bioio-nd2 reads with too."""

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import Foreign, damaged
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp, Size
from patching.readers.microscopes.base import FrameContainer, Image, extra
from patching.readers.microscopes.nd2_chunks import stored_frames

logger = logging.getLogger(__name__)
_FRAME = "CYXS"
_by_nd2 = Foreign(damaged, (zlib.error,))


class Nd2Container(FrameContainer):
    """An ND2 file of 2006 or later; each stage position is an image.

    A frame is stored with all its channels, and is a view of the file unless it is compressed. Frames of a
    scan that was stopped do not exist.

    Raises:
        UnreadableSlideError: damaged, or nd2 is not installed.
    """

    def _open(self) -> Sequence[Image]:
        with extra(self.path, "nd2"):
            import nd2
        self._stored = stored_frames(self.path)
        self._file = _by_nd2(self.path, nd2.ND2File, self.path)
        self.resources.callback(self._file.close)
        self.resources.callback(self._held.clear)
        sizes: dict[str, int] = _by_nd2(self.path, lambda: dict(self._file.sizes))
        self._loops = {axis: count for axis, count in sizes.items() if axis not in _FRAME}
        if min(sizes.values(), default=0) < 0 or "Y" not in sizes or "X" not in sizes:
            raise damaged(self.path, f"axes of {sizes}")
        components = _by_nd2(self.path, lambda: int(self._file.components_per_channel))
        if components not in (1, 3):
            raise UnreadableSlideError(
                has=f"{self.path}: {components} components in a channel",
                needs="one, or three that are colors",
                do="save it as OME-TIFF in NIS-Elements or Fiji (Bio-Formats)",
            )
        packing = _by_nd2(self.path, lambda: self._file.attributes.compressionType)
        if packing == "lossy":
            raise UnreadableSlideError(
                has=f"{self.path}: frames compressed with loss",
                needs="frames stored whole or without loss: nd2 returns wrong values for these",
                do="save it as OME-TIFF in NIS-Elements or Fiji (Bio-Formats)",
            )
        self._packed = packing == "lossless"
        self._channels = sizes.get("C", 1)
        stacked = {axis: count for axis, count in self._loops.items() if axis != "P"} | {"C": self._channels}
        tail = {axis: sizes[axis] for axis in "YXS" if axis in sizes}
        names, mpp, light = self._about()
        image = Image(
            name="",
            axes="".join([*stacked, *tail]),
            shape=(*stacked.values(), *tail.values()),
            dtype=_by_nd2(self.path, lambda: np.dtype(self._file.dtype)),
            sizes=(Size(sizes["X"], sizes["Y"]),),
            mpp=mpp,
            channels=names,
            brightfield=light if sizes.get("S") == 3 else None,
        )
        return [replace(image, name=name) for name in self._positions()]

    def _about(self) -> tuple[tuple[str, ...], Mpp | None, bool | None]:
        """Names of channels, pixel size, and whether the microscope tells of transmitted light.

        Pixels can be read without: a description that nd2 does not understand is told in the log.
        """
        try:
            found = _by_nd2(self.path, lambda: list(self._file.metadata.channels or ()))
            names = _by_nd2(self.path, lambda: tuple(str(each.channel.name or "") for each in found))
            sides = _by_nd2(
                self.path,
                lambda: [
                    float(side)
                    for each in found[:1]
                    if each.volume and all(each.volume.axesCalibrated[:2])
                    for side in each.volume.axesCalibration[:2]
                ],
            )
            lights = _by_nd2(
                self.path, lambda: ["brightfield" in (each.microscope.modalityFlags or ()) for each in found]
            )
        except UnreadableSlideError as error:
            logger.warning("%s: names of channels and pixel size cannot be read: %s", self.path, error.has)
            return (), None, None
        known = len(sides) == 2 and all(0 < side < math.inf for side in sides)
        light = (bool(lights) and all(lights)) or None
        return names, Mpp(sides[0], sides[1]) if known else None, light

    def _positions(self) -> list[str]:
        count = self._loops.get("P", 1)
        names: list[str] = _by_nd2(
            self.path,
            lambda: [
                str(point.name or "")
                for loop in self._file.experiment
                if loop.type == "XYPosLoop"
                for point in loop.parameters.points
            ],
        )
        return names if len(names) == count else [""] * count

    def _frame(self, image: int, page: int) -> NDArray[Any] | None:
        told = self.images[image]
        *places, channel = np.unravel_index(page, told.shape[: told.axes.index("Y")])
        stacked = dict(zip(told.axes, places, strict=False)) | {"P": image}
        sequence = 0
        for axis, count in self._loops.items():
            sequence = sequence * count + int(stacked[axis])
        if sequence not in self._stored:
            logger.warning("%s: frame %d does not exist; its pixels are unknown", self.path, sequence)
            return None
        frame: NDArray[Any] = _by_nd2(self.path, self._file.read_frame, sequence)
        # [C, Y, X, S] without axes of length 1.
        size = told.sizes[0]
        expected = (self._channels, size.height, size.width, told.samples)
        if frame.size != math.prod(expected) or (not self._packed and self._stored[sequence] < frame.nbytes):
            raise damaged(self.path, f"a frame of {frame.shape}, where {expected} was told")
        chosen: NDArray[Any] = frame.reshape(expected)[channel]
        return chosen
