"""Where patches lie and how they are read: pure arithmetic, no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from patching.errors import MissingMppError, SlideError
from patching.geometry import Level, Mpp, Size

EdgeRule = Literal["drop", "pad", "shift"]
MAX_PATCHES = 2**22
"""On one slide: the tables over a grid of this many places stay under 1 GiB."""
MAX_READ = 2**13
"""Pixels a side that are read for one patch."""


class PatchSpec(BaseModel):
    """What a patch is: its stored size, its resolution, and the step to the next one.

    Example: `size=256, mpp=0.5` on a slide of 0.25 µm/px covers 512 level-0 pixels a side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int = Field(gt=0, le=MAX_READ)
    """Side of the stored patch in its own pixels."""
    mpp: float | None = Field(default=None, gt=0)
    """µm per stored pixel; exactly one of `mpp` and `downsample` is given."""
    downsample: float | None = Field(default=None, ge=1)
    """Level-0 pixels per stored pixel."""
    stride: int | None = Field(default=None, gt=0)
    """Stored pixels from one patch to the next; None is `size`."""
    overlap: float | None = Field(default=None, ge=0, lt=1)
    """Share of its side that a patch has in common with the next; instead of `stride`."""
    edge: EdgeRule = "drop"
    """Patches that stick out of the slide are dropped, filled up by the reader, or moved back inside."""
    tolerance: float = Field(default=0.01, ge=0, lt=0.1)
    """A level this close to the wanted resolution (relative) is taken as it is."""

    @model_validator(mode="after")
    def _one_resolution_one_step(self) -> "PatchSpec":
        if (self.mpp is None) == (self.downsample is None):
            raise ValueError("give exactly one of mpp (µm per stored pixel) and downsample (level-0 pixels)")
        if self.stride is not None and self.overlap is not None:
            raise ValueError("give stride (stored pixels) or overlap (share of a patch's side), not both")
        return self

    @property
    def step(self) -> float:
        """Stored pixels from one patch to the next, more than 0; need not be whole."""
        return float(self.stride or self.size * (1 - (self.overlap or 0.0)))


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


def read_plan(
    levels: Sequence[Level], downsample: float, tolerance: float = 0.0, mpp: Mpp | None = None
) -> tuple[int, float]:
    """Coarsest level that is not coarser than wanted, and the shrink factor (>= 1) still to apply.

    A level within `tolerance` of the wanted resolution counts as equal: its factor is exactly 1.

    Args:
        levels: of the slide.
        downsample: level-0 pixels per wanted pixel.
        tolerance: relative.
        mpp: of the slide at level 0, for the error to tell.

    Raises:
        SlideError: every level is coarser than wanted; up-sampling would invent detail.
    """
    fine = [i for i, level in enumerate(levels) if level.downsample <= downsample * (1 + tolerance)]
    if not fine:
        raise _too_coarse(min(level.downsample for level in levels), downsample, mpp)
    level = max(fine, key=lambda i: levels[i].downsample)
    factor = downsample / levels[level].downsample
    return level, 1.0 if abs(factor - 1) <= tolerance else factor


def resolve(spec: PatchSpec, levels: Sequence[Level], mpp: Mpp | None) -> Sampling:
    """Resolve a spec on a slide's levels and pixel size.

    Extent and stride are whole numbers of pixels of the level that is read, so that a patch holds
    just the pixels of its extent and patches meet without gap. The resolution is off by at most half
    such a pixel per patch side, and `downsample` tells what it came to.

    Raises:
        MissingMppError: the spec is in µm and the slide has no pixel size.
        SlideError: the slide is coarser than the spec, its pixels are not square, or a patch would be
            read from more than MAX_READ pixels a side.
    """
    wanted = spec.downsample if spec.downsample is not None else _from_mpp(spec, mpp)
    number, factor = read_plan(levels, wanted, spec.tolerance, mpp)
    scale, read = levels[number].downsample, round(spec.size * factor)
    if read > MAX_READ:
        raise SlideError(
            has=f"patches of {read} pixels a side on the slide's nearest finer level",
            needs=f"at most {MAX_READ}",
            do="check the slide's µm per pixel, give slides of more levels, or train on finer patches "
            "(`tile.patch`)",
        )
    extent, stride = (max(1, round(pixels * scale)) for pixels in (read, max(1, round(spec.step * factor))))
    return Sampling(number, read, extent, stride, extent / spec.size)


def _too_coarse(finest: float, downsample: float, mpp: Mpp | None) -> SlideError:
    pixel = "" if mpp is None else f" (its finest level has {mpp.mean * finest:.4g} µm per pixel)"
    allowed = f"{finest:.4g}" if mpp is None else f"{finest:.4g}, which is mpp {mpp.mean * finest:.4g}"
    return SlideError(
        has=f"a slide {finest / downsample:.3g} times coarser than the patch spec{pixel}",
        needs=f"patches of downsample {allowed}, or more: up-sampling is refused",
        do="raise `tile.patch.mpp` or `tile.patch.downsample`, or leave this slide out",
    )


def _from_mpp(spec: PatchSpec, mpp: Mpp | None) -> float:
    if mpp is None or spec.mpp is None:
        raise MissingMppError(
            has=f"a slide without pixel size, and a patch spec of {spec.mpp} µm per pixel",
            needs="the slide's µm per pixel at level 0",
            do="fill the column mpp of slides.csv, set `ingest.mpp` for all slides without one, or replace "
            "`tile.patch.mpp` by `tile.patch.downsample`",
        )
    if not mpp.square:
        raise SlideError(
            has=f"pixels of {mpp.x:.4g} x {mpp.y:.4g} µm, and a patch spec of {spec.mpp} µm per pixel",
            needs="pixels whose sides agree within 1 %: a patch is a square of pixels and of µm",
            do="give the right one in the mpp column of slides.csv where the file errs; else write the slide "
            "again with square pixels, or use `tile.patch.downsample`",
        )
    return spec.mpp / mpp.mean


def grid_locations(size: Size, extent: int, stride: int, edge: EdgeRule = "drop") -> NDArray[np.int64]:
    """Top-left corners of all patches, level 0, row by row, each once.

    Args:
        size: the slide at level 0.
        extent: side of a patch in level-0 pixels.
        stride: step in level-0 pixels.
        edge: "drop" keeps the patches that lie wholly inside. The others cover every pixel of the slide
            (if `stride` is not over `extent`): "pad" lets the last row and column stick out, "shift"
            moves them back to end with the slide. A side shorter than a patch has one with "pad", else none.

    Returns:
        int64 [N, 2] of (x, y).

    Raises:
        SlideError: more than MAX_PATCHES.
    """
    columns, rows = (_count(length, extent, stride, edge) for length in (size.width, size.height))
    if columns * rows > MAX_PATCHES:
        raise SlideError(
            has=f"a grid of {columns} x {rows} patches on {size.width} x {size.height} pixels",
            needs=f"at most {MAX_PATCHES} patches",
            do="make their overlap smaller (predicting: `--overlap`), or patches larger or coarser in "
            "`tile.patch`",
        )
    x, y = (np.arange(count, dtype=np.int64) * stride for count in (columns, rows))
    if edge == "shift":
        x, y = np.minimum(x, size.width - extent), np.minimum(y, size.height - extent)
    return np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)


def _count(length: int, extent: int, stride: int, edge: EdgeRule) -> int:
    if length < extent and edge != "pad":
        return 0
    span = max(0, length - extent)
    if edge == "drop":
        return 1 + span // stride
    # A stride over the extent must not put a patch wholly outside.
    return min(1 + -(-span // stride), -(-length // stride)) if edge == "pad" else 1 + -(-span // stride)
