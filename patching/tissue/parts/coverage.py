"""What of an image shows the slide, and what stands in for the rest."""

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.morphology import morphed

_ROWS = 1024  # rows whose uncovered pixels are filled at once: eight bytes a pixel
_MARGIN = 64  # rows beyond them in which the nearest covered pixel is searched: wider than any blur
_LINE = 8  # pixels of one line from which it is judged by itself
_MOST = 0.25  # quantile that says what most pixels of a line have in common
_LARGEST = 1e100
_MIXED = 0.1  # share of fill in a pixel from which it counts as mixed


def extended(image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_]) -> NDArray[np.generic]:
    """The image, where it is not covered with the value of the nearest covered pixel, as at an image's edge.

    A blur then takes nothing over from fill. Further from covered rows than any blur reaches, the values
    stay what they are.
    """
    filled_HWC = image_HWC.copy()
    for top in range(0, len(image_HWC), _ROWS):
        first, last = max(0, top - _MARGIN), min(len(image_HWC), top + _ROWS + _MARGIN)
        known_HW = covered_HW[first:last]
        if known_HW.all() or not known_HW.any():
            continue
        _, label_HW = cv2.distanceTransformWithLabels(
            np.ascontiguousarray(~known_HW).view(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows = slice(top - first, min(_ROWS, len(image_HWC) - top) + top - first)
        empty_HW, part_HWC = ~known_HW[rows], image_HWC[first:last]
        # Labels number the covered pixels from 1, in an order of OpenCV's own.
        place_L = np.zeros(int(label_HW.max()) + 1, np.intp)
        place_L[label_HW[known_HW]] = np.flatnonzero(known_HW)
        nearest_N = place_L[label_HW[rows][empty_HW]]
        filled_HWC[top : top + _ROWS][empty_HW] = part_HWC.reshape(-1, part_HWC.shape[-1])[nearest_N]
    return filled_HWC


def inner(covered_HW: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """What is covered and at least `margin` pixels away from what is not; the image's edge is no border."""
    side = 2 * margin + 1
    return morphed(covered_HW, cv2.MORPH_ERODE, np.ones((side, side), np.uint8))


def without_mixed(image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Coverage without the pixels along its border that are part fill, part slide: averages of both.

    Where a border runs along a line, it cuts all its pixels alike: they are mixed where most of them went
    some way from the next one inside toward the fill. All other borders are judged together.
    """
    mixed_HW = np.zeros(covered_HW.shape, np.bool_)
    for axis in (0, 1):
        for step in (1, -1):
            y_N, x_N, share_N = _toward_fill(image_HWC, covered_HW, axis, step)
            line_N = y_N if axis == 0 else x_N
            mixed_N = _of_most(share_N, line_N, covered_HW.shape[axis]) > _MIXED
            mixed_HW[y_N[mixed_N], x_N[mixed_N]] = True
    if not mixed_HW.any():
        return covered_HW
    # A corner is mixed where a side is.
    near_HW = morphed(mixed_HW, cv2.MORPH_DILATE, np.ones((3, 3), np.uint8))
    return covered_HW & ~(mixed_HW | (near_HW & ~inner(covered_HW, 1)))


def _toward_fill(
    image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_], axis: int, step: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Covered pixels (y, x) whose next one along `axis` is not covered, and the share of it in them."""
    size = covered_HW.shape[axis]
    if size < 3:
        nothing_N = np.zeros(0, np.intp)
        return nothing_N, nothing_N, np.zeros(0)
    here, there, back = (
        tuple(slice(1 + way, size - 1 + way) if k == axis else slice(None) for k in (0, 1))
        for way in (0, step, -step)
    )
    place = list(np.nonzero(covered_HW[here] & ~covered_HW[there] & covered_HW[back]))
    place[axis] = place[axis] + 1
    y_N, x_N = place
    dy, dx = (step, 0) if axis == 0 else (0, step)
    last = covered_HW.shape[0] - 1, covered_HW.shape[1] - 1
    fill_NC, pixel_NC, inside_NC, beyond_NC = (
        _numbers(image_HWC[(y_N + way * dy).clip(0, last[0]), (x_N + way * dx).clip(0, last[1])])
        for way in (1, 0, -1, -2)
    )
    # What the slide itself does toward its border, it does one pixel before as well.
    return y_N, x_N, _way(inside_NC, pixel_NC, fill_NC) - _way(beyond_NC, inside_NC, fill_NC)


def _numbers(values_NC: NDArray[np.generic]) -> NDArray[np.float64]:
    """As floats; what is none, or beyond all that a detector gives, is 0: fill may be anything."""
    number_NC = values_NC.astype(np.float64)
    number_NC[~(np.abs(number_NC) < _LARGEST)] = 0
    return number_NC


def _way(
    start_NC: NDArray[np.float64], here_NC: NDArray[np.float64], end_NC: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much of the way from one color to another is gone."""
    whole_NC = end_NC - start_NC
    gone_N = ((here_NC - start_NC) * whole_NC).sum(axis=-1) / np.maximum(
        np.square(whole_NC).sum(axis=-1), 1e-12
    )
    return np.asarray(gone_N, np.float64)


def _of_most(share_N: NDArray[np.float64], line_N: NDArray[np.intp], lines: int) -> NDArray[np.float64]:
    """For each pixel what most of its line have at least, or all those of lines too short for that."""
    most_N, length_N = np.zeros(share_N.size), np.bincount(line_N, minlength=lines)[line_N]
    alone_N = np.flatnonzero(length_N < _LINE)
    order_N = np.argsort(line_N, kind="stable")
    order_N = order_N[length_N[order_N] >= _LINE]
    starts = np.flatnonzero(np.diff(line_N[order_N])) + 1
    for group_N in (alone_N, *np.split(order_N, starts)):
        if group_N.size:
            most_N[group_N] = np.quantile(share_N[group_N], _MOST)
    return most_N
