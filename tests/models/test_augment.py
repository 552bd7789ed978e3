"""Augmentation: area-preserving, deterministic, for any dtype and channel count."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import albumentations
import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.area_preserving import TRANSFORMS, compose
from models.data.augment import PRESETS, Augmentation, Augmenter

DTYPES = ("uint8", "uint16", "float32")


def blob(dtype: str, channels: int = 3) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """A patch with an off-center piece of tissue on dark background, and the tissue's mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    mask_HW = (((x - 40) / 18) ** 2 + ((y - 22) / 11) ** 2 < 1).astype(np.uint8)
    bright = {"uint8": 160.0, "uint16": 9000.0, "float32": 2500.0}[dtype]
    image_HWC = bright * mask_HW[..., None] * rng.uniform(0.8, 1.2, (64, 64, channels))
    return image_HWC.astype(dtype), mask_HW


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_keeps_shape_and_units_and_repeats_with_its_seed(
    preset: Augmentation, dtype: str, channels: int
) -> None:
    image_HWC, _ = blob(dtype, channels)
    images_NHWC = np.stack([image_HWC] * 6)
    augmenter = Augmenter(preset, [float(image_HWC.std())] * channels)
    first = augmenter(images_NHWC, seed=3)
    other = augmenter(images_NHWC, seed=4)
    assert (first.shape, first.dtype) == (images_NHWC.shape, np.float32)
    np.testing.assert_array_equal(first, augmenter(images_NHWC, seed=3))
    assert np.array_equal(first, other) == (preset == "none")
    assert 0.8 < first.mean() / image_HWC.mean() < 1.2
    assert first.max() > 0.7 * image_HWC.max()


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_transform_preserves_the_tissue_area(name: str, dtype: str) -> None:
    image_HWC, mask_HW = blob(dtype)
    std = float(image_HWC.std())
    pipeline = compose([name], [std] * 3)
    pipeline.transforms[0].p = 1.0
    pipeline.set_random_seed(0)
    threshold = image_HWC[mask_HW == 1].mean() / 2
    for _ in range(25):
        drawn = pipeline(image=image_HWC, mask=mask_HW)
        assert drawn["mask"].sum() == mask_HW.sum()
        area = (drawn["image"].mean(axis=-1) > threshold).sum()
        assert abs(area / mask_HW.sum() - 1) < 0.03


def test_symmetries_are_the_eight_of_the_square() -> None:
    image_HWC, _ = blob("uint16", 2)
    turned = [np.rot90(view, k) for view in (image_HWC, image_HWC[:, ::-1]) for k in range(4)]
    drawn = Augmenter("symmetries", [1.0, 1.0])(np.stack([image_HWC] * 100), seed=0)
    found = {next(i for i, view in enumerate(turned) if np.array_equal(view, each)) for each in drawn}
    assert found == set(range(8))


def test_offers_nothing_that_changes_area() -> None:
    assert set(PRESETS) == set(get_args(Augmentation))
    assert {name for names in PRESETS.values() for name in names} <= set(TRANSFORMS)
    made = [make([1.0]) for make in TRANSFORMS.values()]
    moving = [each for each in made if not isinstance(each, albumentations.ImageOnlyTransform)]
    assert [type(each) for each in moving] == [albumentations.D4]


def test_transforms_draw_independently_of_each_other() -> None:
    image_HWC, _ = blob("float32", 1)
    drawn = Augmenter("default", [float(image_HWC.std())])(np.stack([image_HWC] * 40), seed=0)
    assert len({each.tobytes() for each in drawn}) > 20


@pytest.mark.parametrize("preset", ["symmetries", "default"])
def test_the_place_decides_and_not_the_company(preset: Augmentation) -> None:
    image_HWC, _ = blob("uint16", 2)
    images_NHWC = np.stack([image_HWC] * 9)
    augmenter = Augmenter(preset, [500.0, 300.0])
    whole = augmenter(images_NHWC, seed=11)
    some_M = np.array([7, 2, 3])
    np.testing.assert_array_equal(augmenter(images_NHWC[some_M], 11, some_M), whole[some_M])
    assert not np.array_equal(augmenter(images_NHWC[:3], 11, some_M), whole[:3])


def test_threads_share_an_augmenter() -> None:
    image_HWC, _ = blob("uint16", 2)
    images_NHWC = np.stack([image_HWC] * 16)
    augmenter = Augmenter("default", [500.0, 300.0])
    expected = [augmenter(images_NHWC, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as executor:
        for one, other in zip(
            executor.map(lambda seed: augmenter(images_NHWC, seed), range(8)), expected, strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_places_and_seeds_draw_independently() -> None:
    """Offsets of neighboring places and seeds are not alike, and fill their range evenly."""
    flat_NHWC = np.zeros((400, 2, 2, 1), np.float32)
    augmenter = Augmenter("default", [1.0])
    drawn = np.concatenate([augmenter(flat_NHWC, seed).mean(axis=(1, 2, 3)) for seed in range(4)])
    moved = drawn[np.abs(drawn) > 1e-3]
    assert 0.4 < len(moved) / len(drawn) < 0.85
    assert len(np.unique(moved)) == len(moved)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.1
