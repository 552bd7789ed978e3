"""Some channels of a slide, in another order."""

import numpy as np
import pytest

from patching.geometry import Location, Size
from patching.readers.projection import SelectedSlide
from patching.readers.registry import open_slide
from tests.patching.conftest import Written


@pytest.mark.parametrize("order", [(2, 0), (1,), (2, 1, 0)])
def test_pixels_and_names_follow_the_order(ome_tiff: Written, order: tuple[int, ...]) -> None:
    with SelectedSlide(open_slide(ome_tiff.path), order) as slide:
        assert slide.channels == tuple(("CARS", "TPEF", "SHG")[number] for number in order)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        assert slide.mpp is not None
        assert slide.mpp.mean == 0.5
        for level, image_HWC in enumerate(ome_tiff.levels):
            found_HWC = slide.read_region(Location(40, 20), level, Size(50, 30))
            y, x = 20 // 2**level, 40 // 2**level
            expected_HWC = image_HWC[y : y + 30, x : x + 50][..., list(order)]
            height, width = expected_HWC.shape[:2]
            np.testing.assert_array_equal(found_HWC[:height, :width], expected_HWC)


def test_announced_regions_are_decoded_once(ome_tiff: Written) -> None:
    with SelectedSlide(open_slide(ome_tiff.path), (2, 0)) as slide:
        places_N2 = np.array([[0, 0], [30, 10], [200, 100]])
        regions = slide.expect(0, places_N2, Size(40, 40))
        before = slide.segments_decoded
        for number, (x, y) in enumerate(places_N2.tolist()):
            out_HWC = np.empty((40, 40, 2), np.uint16)
            regions.read(number, out_HWC)
            np.testing.assert_array_equal(out_HWC, ome_tiff.image_HWC[y : y + 40, x : x + 40][..., [2, 0]])
        assert slide.segments_decoded - before <= 3 * len(places_N2) * 4
