"""The statistics of many patches: names of the columns, and one row a patch, computed in blocks."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import AbstractPatches
from models.data.statistics.cooccurrence import channel_cooccurrence
from models.data.statistics.gradients import channel_gradients
from models.data.statistics.intensity import between_channels, channel_intensity, saturation
from models.data.statistics.settings import StatisticsSettings
from patching.errors import ConfigError, StoreError

_BLOCK_VALUES = 2**18
"""Pixel values a thread works on at a time: 2 MiB as float64, some 20 MiB with all that is made of them."""


def statistics_of(
    patches: AbstractPatches, channels: Sequence[str], settings: StatisticsSettings
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the statistics, and their values of every patch, [N, S].

    A patch's row depends on its own pixels and the settings alone, to the bit, and is the same for its eight
    rotations and reflections but for rounding. The whole patch counts, background too.

    Args:
        channels: names of the patches' channels, which head the statistics' names.

    Raises:
        ConfigError: patches smaller than the settings' lengths.
        StoreError: pixels that are not finite.
    """
    _check_side(patches, settings)
    step = max(1, _BLOCK_VALUES // int(np.prod(patches.shape_NHWC[1:])))
    starts = range(0, len(patches), step)

    def block(start: int) -> dict[str, NDArray[np.float64]]:
        rows_M = np.arange(start, min(start + step, len(patches)))
        return block_statistics(patches.read(rows_M), channels, settings)

    with ThreadPoolExecutor(settings.threads) as pool:
        found = list(pool.map(block, starts))
    names = tuple(found[0])
    values_NS = np.concatenate([np.stack([each[name] for name in names], axis=1) for each in found])
    if wrong := int((~np.isfinite(values_NS).all(axis=1)).sum()):
        raise StoreError(
            has=f"{wrong} of {len(patches)} patches with pixels that are not finite",
            needs="a number in every pixel",
            do="exclude their slides, or mend them, and tile again",
        )
    return names, values_NS


def same_share(patient_N: NDArray[np.str_], most: int | None) -> NDArray[np.int64]:
    """Rows of about `most` patches, ascending: the same share of every patient's, drawn by a fixed seed.

    Drawn, because every k-th patch of a slide's rows may be of one of its columns; shares are rounded up.

    Args:
        patient_N: patient of every patch.
        most: None for all.
    """
    if most is None or most >= len(patient_N):
        return np.arange(len(patient_N))
    number_N, count_P = np.unique(patient_N, return_inverse=True, return_counts=True)[1:]
    order_N = np.lexsort((np.random.default_rng(0).random(len(patient_N)), number_N))
    rank_N = np.arange(len(patient_N)) - np.repeat(np.cumsum(count_P) - count_P, count_P)
    wanted_P = -(-count_P * most // len(patient_N))
    return np.sort(order_N[rank_N < np.repeat(wanted_P, count_P)])


def block_statistics(
    images_NHWC: NDArray[np.generic], channels: Sequence[str], settings: StatisticsSettings
) -> dict[str, NDArray[np.float64]]:
    """Statistics of N patches of any dtype by name, [N] each: `<channel>.<statistic>`, those of pairs of
    channels `<channel>+<channel>.correlation`, and of all together `saturation.mean` and `.std` (from two
    channels on)."""
    images_NCHW = np.ascontiguousarray(np.moveaxis(images_NHWC, -1, 1), dtype=np.float64)
    of_channels_NC = {
        **channel_intensity(images_NCHW),
        **channel_gradients(images_NCHW, settings.scales),
        **channel_cooccurrence(images_NCHW, settings.distances, settings.gray_levels),
    }
    found = {
        f"{channel}.{name}": values_NC[:, c]
        for c, channel in enumerate(channels)
        for name, values_NC in of_channels_NC.items()
    }
    if len(channels) > 1:
        pairs = between_channels(images_NCHW).items()
        found |= {f"{channels[a]}+{channels[b]}.correlation": values_N for (a, b), values_N in pairs}
        found |= {f"saturation.{name}": values_N for name, values_N in saturation(images_NCHW).items()}
    return found


def _check_side(patches: AbstractPatches, settings: StatisticsSettings) -> None:
    side = min(patches.shape_NHWC[1:3])
    longest = max(chain(settings.distances, settings.scales))
    if longest >= side / 2:
        raise ConfigError(
            has=f"patches of {side} px, and a scale or distance of {longest:g} px",
            needs=f"scales and distances below {side / 2:g} px",
            do="give smaller ones in configs/statistics.yaml",
        )
