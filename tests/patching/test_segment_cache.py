"""Segments shared by threads: decoded once, dropped after their last use, bounded in bytes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.readers.tiff.segment_cache import Key, Segment, SegmentCache


class Decoder:
    """Counts what is decoded; segment n holds n + 1 everywhere."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.buffers: list[bool] = []
        self._lock = threading.Lock()

    def __call__(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        with self._lock:
            self.keys.append(key)
            self.buffers.append(buffer is not None)
        if key[2] == 99:
            raise ValueError("damaged")
        pixels = np.empty((4, 5, 1), np.uint8) if buffer is None else buffer
        pixels[:] = key[2] + 1
        return Segment(pixels, (4, 5), 0, 0, 0)


def use(cache: SegmentCache, index: int) -> int:
    with cache.lent([(0, 0, index)]) as (segment,):
        assert segment.pixels_HWS is not None
        return int(segment.pixels_HWS[3, 4, 0])


def test_planned_segments_are_decoded_once_and_their_memory_is_used_again() -> None:
    decoder = Decoder()
    cache = SegmentCache(decoder, capacity=1000)
    cache.expect([(0, 0, n) for n in (0, 1, 1, 2, 0, 3)])
    assert [use(cache, n) for n in (0, 1, 1, 2, 0, 3)] == [1, 2, 2, 3, 1, 4]
    assert [key[2] for key in decoder.keys] == [0, 1, 2, 3]
    # Segment 1 was dropped before 2 was decoded, and 2 before 3.
    assert decoder.buffers == [False, False, True, True]
    assert use(cache, 1) == 2, "what nobody announced is decoded again"
    assert cache.decoded == 5


def test_beyond_its_capacity_the_oldest_goes() -> None:
    decoder = Decoder()
    cache = SegmentCache(decoder, capacity=2 * 20)
    for index in (0, 1, 0, 2, 0, 1):
        use(cache, index)
    assert [key[2] for key in decoder.keys] == [0, 1, 2, 1]


def test_a_last_use_may_be_taken_by_hand() -> None:
    cache = SegmentCache(Decoder(), capacity=1000)
    cache.expect([(0, 0, 0), (0, 0, 1), (0, 0, 1)])
    assert cache.expects_one([(0, 0, 0)])
    assert not cache.expects_one([(0, 0, 0)]), "it is over"
    assert not cache.expects_one([(0, 0, 1)]), "two uses"
    use(cache, 1)
    assert not cache.expects_one([(0, 0, 1)]), "it is decoded already"
    assert not cache.expects_one([(0, 0, 7)]), "nobody announced it"


def test_damage_reaches_everybody() -> None:
    decoder = Decoder()
    cache = SegmentCache(decoder, capacity=1000)
    cache.expect([(0, 0, 99)] * 8)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(use, cache, 99) for _ in range(8)]
    assert all(isinstance(future.exception(), ValueError) for future in futures)


def test_damage_stays_with_its_segment() -> None:
    cache = SegmentCache(Decoder(), capacity=1000)
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"), cache.lent([(0, 0, 3), (0, 0, 99), (0, 0, 5)]):
            pass
    assert [use(cache, n) for n in (3, 5)] == [4, 6]


def test_who_waits_for_a_segment_that_was_left_decodes_it() -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(Decoder):
        def __call__(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
            if key[2] == 99:
                begun.set()
                go.wait(5)
            return super().__call__(key, buffer)

    cache = SegmentCache(Slow(), capacity=1000)

    def damaged_first() -> None:
        with cache.lent([(0, 0, 1), (0, 0, 99)]):  # decoded from the last one on
            pass

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(damaged_first)
        assert begun.wait(5)
        waiting = pool.submit(use, cache, 1)
        go.set()
        assert isinstance(failing.exception(timeout=5), ValueError)
        assert waiting.result(timeout=5) == 2


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("compression", ["jpeg", "zlib"])
def test_threads_share_a_slide(tmp_path: Path, threads: int, compression: str) -> None:
    image_HWC = np.random.default_rng(3).integers(0, 255, (200, 300, 3), np.uint8)
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, image_HWC, tile=(64, 48), photometric="rgb", compression=compression)
    size = Size(70, 60)
    corner_N2 = np.stack(np.meshgrid(np.arange(-10, 280, 31), np.arange(-5, 190, 17)), -1).reshape(-1, 2)
    with open_slide(path) as slide:
        whole_HWC = slide.read_region(Location(0, 0), 0, slide.size)
        before = slide.segments_decoded
    padded_HWC = np.pad(whole_HWC, ((100, 100), (100, 100), (0, 0)), constant_values=255)
    with open_slide(path) as slide, ThreadPoolExecutor(threads) as pool:
        announced = slide.expect(0, corner_N2, size)
        regions = [np.empty((size.height, size.width, 3), np.uint8) for _ in corner_N2]
        list(pool.map(announced.read, range(len(regions)), regions))
        assert slide.segments_decoded == before == 4 * 7
    for (x, y), region_HWC in zip(corner_N2.tolist(), regions, strict=True):
        np.testing.assert_array_equal(region_HWC, padded_HWC[y + 100 : y + 160, x + 100 : x + 170])


def test_a_region_can_be_read_into_an_array(tmp_path: Path) -> None:
    image_HWC = np.random.default_rng(3).integers(0, 255, (128, 96, 3), np.uint8)
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, image_HWC, tile=(64, 48), photometric="rgb", compression="jpeg")
    with open_slide(path) as slide:
        slide.expect(0, np.array([[48, 64]]), Size(48, 64))
        out = np.zeros((64, 48, 3), np.uint8)
        assert slide.read_region(Location(48, 64), 0, Size(48, 64), out=out) is out
        assert slide.segments_decoded == 1
        np.testing.assert_array_equal(out, tifffile.imread(path)[64:, 48:])
        with pytest.raises(ValueError, match="cannot take"):
            slide.read_region(Location(0, 0), 0, Size(10, 10), out=out)
