"""Where patches lie and how they are read: pure arithmetic, no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from patching.errors import MissingMppError, SlideError
from patching.geometry import Level, Mpp, Size


class PatchSpec(BaseModel):
    """What a patch is: its stored size, its resolution, and the step to the next one.

    Example: `size=256, mpp=0.5` on a slide of 0.25 µm/px covers 512 level-0 pixels a side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(gt=0)
    """Side of the stored patch in its own pixels."""
    mpp: float | None = Field(default=None, gt=0)
    """µm per stored pixel; exactly one of `mpp` and `downsample` is given."""
    downsample: float | None = Field(default=None, ge=1)
    """Level-0 pixels per stored pixel."""
    stride: int | None = Field(default=None, gt=0)
    """Stored pixels from one patch to the next; None is `size`."""
    edge: Literal["drop", "pad"] = "drop"
    """Patches that stick out of the slide are dropped, or filled up by the reader."""
    tolerance: float = Field(default=0.01, ge=0, lt=0.1)
    """A level this close to the wanted resolution (relative) is taken as it is."""

    @model_validator(mode="after")
    def _one_resolution(self) -> "PatchSpec":
        if (self.mpp is None) == (self.downsample is None):
            raise ValueError("give exactly one of mpp (µm per stored pixel) and downsample (level-0 pixels)")
        return self


@dataclass(frozen=True, slots=True)
class Sampling:
    """A patch spec resolved on one slide.

    `level` and `read` say what to read (`read` pixels a side at that level, then area-resampled to
    the spec's size); `extent` and `stride` are level-0 pixels; `downsample` is level-0 per stored pixel.
    """

    level: int
    read: int
    extent: int
    stride: int
    downsample: float


def read_plan(levels: Sequence[Level], downsample: float, tolerance: float = 0.0) -> tuple[int, float]:
    """Coarsest level that is not coarser than wanted, and the shrink factor (>= 1) still to apply.

    A level within `tolerance` of the wanted resolution counts as equal: its factor is exactly 1.

    Raises:
        SlideError: every level is coarser than wanted; up-sampling would invent detail.
    """
    fine = [i for i, level in enumerate(levels) if level.downsample <= downsample * (1 + tolerance)]
    if not fine:
        finest = min(level.downsample for level in levels)
        raise SlideError(
            has=f"a slide {finest / downsample:.3g} times coarser than the patch spec",
            needs="a slide at least as fine as the spec: up-sampling is refused",
            do="raise `tile.patch.mpp` or `tile.patch.downsample`, or leave this slide out",
        )
    level = max(fine, key=lambda i: levels[i].downsample)
    factor = downsample / levels[level].downsample
    return level, 1.0 if abs(factor - 1) <= tolerance else factor


def resolve(spec: PatchSpec, levels: Sequence[Level], mpp: Mpp | None) -> Sampling:
    """Resolve a spec on a slide's levels and pixel size.

    The extent is rounded to whole level-0 pixels, so that patches lie on the pixel grid and meet
    without gap; the resolution is off by at most half a level-0 pixel per patch side.

    Raises:
        MissingMppError: the spec is in µm and the slide has no pixel size.
        SlideError: the slide is coarser than the spec.
    """
    wanted = spec.downsample if spec.downsample is not None else _from_mpp(spec, mpp)
    level, factor = read_plan(levels, wanted, spec.tolerance)
    scale = levels[level].downsample
    extent = round(spec.size * scale * factor)
    downsample = extent / spec.size
    read = spec.size if factor == 1.0 else round(extent / scale)
    return Sampling(level, read, extent, max(1, round((spec.stride or spec.size) * downsample)), downsample)


def _from_mpp(spec: PatchSpec, mpp: Mpp | None) -> float:
    if mpp is None or spec.mpp is None:
        raise MissingMppError(
            has=f"a slide without pixel size, and a patch spec of {spec.mpp} µm per pixel",
            needs="the slide's µm per pixel at level 0",
            do="fill the mpp column of slides.csv, or replace `tile.patch.mpp` by `tile.patch.downsample`",
        )
    return spec.mpp / mpp.mean


def grid_locations(
    size: Size, extent: int, stride: int, edge: Literal["drop", "pad"] = "drop"
) -> NDArray[np.int64]:
    """Top-left corners of all patches, level 0, row by row.

    Args:
        size: the slide at level 0.
        extent: side of a patch in level-0 pixels.
        stride: step in level-0 pixels.
        edge: "drop" keeps patches wholly inside; "pad" covers every pixel of the slide.

    Returns:
        int64 [N, 2] of (x, y).
    """
    x, y = (_starts(length, extent, stride, edge) for length in (size.width, size.height))
    return np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)


def _starts(length: int, extent: int, stride: int, edge: str) -> NDArray[np.int64]:
    span = max(0, length - extent)
    count = 1 + (-(-span // stride) if edge == "pad" else span // stride)
    if edge == "drop" and length < extent:
        count = 0
    return np.arange(count, dtype=np.int64) * stride
