"""What pixels are is declared, or told by the file; how they are stored does not tell it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching.errors import ChannelError, UnreadableSlideError
from patching.geometry import Location, Size
from patching.readers.registry import open_slide


def planes_of(image_HWC: NDArray[Any], path: Path) -> Path:
    """Colors as three pages without names."""
    planes = np.ascontiguousarray(np.moveaxis(image_HWC, -1, 0))
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "CYX"})
    return path


def three(path: Path, dtype: type = np.uint8) -> Path:
    image_HWC = np.random.default_rng(1).integers(0, 200, (40, 60, 3)).astype(dtype)
    return planes_of(image_HWC, path)


def test_colors_without_names_are_intensities_until_somebody_says_more(tmp_path: Path) -> None:
    path = three(tmp_path / "a.tif")
    with open_slide(path) as slide:
        assert (slide.kind, slide.channels, slide.background) == ("intensity", ("C0", "C1", "C2"), 0)
    with open_slide(path, kind="brightfield") as slide:
        assert (slide.kind, slide.channels, slide.background) == ("brightfield", ("R", "G", "B"), 255)
    with open_slide(path, ["red", "Green", "B"]) as slide:
        assert (slide.kind, slide.channels) == ("brightfield", ("red", "Green", "B"))


def test_16_bit_colors_end_at_white(tmp_path: Path) -> None:
    with open_slide(three(tmp_path / "a.tif", np.uint16), kind="brightfield") as slide:
        region_HWC = slide.read_region(Location(58, 0), 0, Size(4, 2))
    assert (region_HWC[:, 2:] == 65_535).all()
    assert (region_HWC[:, :2] < 200).all()


def test_what_is_declared_wins_over_the_file(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, brightfield_HWC, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert slide.brightfield
    with open_slide(path, kind="intensity") as slide:
        assert (slide.kind, slide.background, slide.channels) == ("intensity", 0, ("R", "G", "B"))
    with open_slide(path, ["R", "G", "B"], kind="intensity") as slide:
        assert not slide.brightfield


@pytest.mark.parametrize(
    ("dtype", "names", "told"),
    [
        (np.float32, None, "float32, declared as brightfield"),
        (np.uint8, ["CARS", "TPEF", "SHG"], "CARS, TPEF, SHG in uint8, declared"),
        (np.uint8, ["B", "G", "R"], "B, G, R in uint8, declared"),
    ],
)
def test_light_that_cannot_be(tmp_path: Path, dtype: type, names: list[str] | None, told: str) -> None:
    path = three(tmp_path / "a.tif", dtype)
    with pytest.raises(ChannelError, match=told):
        open_slide(path, names, kind="brightfield")


def test_names_of_colors_do_not_turn_other_numbers_into_light(tmp_path: Path) -> None:
    with open_slide(three(tmp_path / "a.tif", np.float32), ["R", "G", "B"]) as slide:
        assert slide.kind == "intensity"


def test_one_picture_is_number_0(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    open_slide(path, series=0).close()
    for series in (1, "left"):
        with pytest.raises(UnreadableSlideError, match=f"one image, where `series` asks for {series!r}"):
            open_slide(path, series=series)
