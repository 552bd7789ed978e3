"""Hand-made statistics against other implementations, on images that no symmetry maps onto themselves."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from skimage import color, feature

from models.data.dataset import MemoryPatches
from models.data.statistics import patches as blocks
from models.data.statistics.cooccurrence import channel_cooccurrence, gray_levels
from models.data.statistics.gradients import channel_gradients
from models.data.statistics.intensity import QUANTILES, between_channels, channel_intensity, saturation
from models.data.statistics.patches import block_statistics, same_share, statistics_of
from models.data.statistics.settings import StatisticsSettings
from patching.errors import ConfigError, StoreError

N, C, H, W = 3, 2, 20, 28
SETTINGS = StatisticsSettings()
CHANNELS = ("CARS", "SHG")


def images(seed: int = 0, channels: int = C) -> NDArray[np.float64]:
    """[N, C, H, W]: skewed counts over a slope, so that no axis is like another."""
    rng = np.random.default_rng(seed)
    slope_HW = np.arange(H)[:, None] * 2.0 + np.arange(W) * 0.3
    return rng.poisson(20 + slope_HW, (N, channels, H, W)).astype(np.float64) ** 1.5


def test_moments_and_quantiles_are_those_of_scipy() -> None:
    images_NCHW = images()
    found = channel_intensity(images_NCHW)
    for n in range(N):
        for c in range(C):
            values = images_NCHW[n, c].ravel()
            expected = {
                "mean": values.mean(),
                "std": values.std(),
                "skewness": stats.skew(values),
                "kurtosis": stats.kurtosis(values),
                "mad": stats.median_abs_deviation(values),
            }
            expected |= {f"q{100 * q:02.0f}": np.quantile(values, q) for q in QUANTILES}
            assert {name: each[n, c] for name, each in found.items()} == pytest.approx(expected)


def test_channels_are_correlated_as_numpy_says() -> None:
    images_NCHW = images(channels=3)
    images_NCHW[:, 2] += 2 * images_NCHW[:, 0]
    found = between_channels(images_NCHW)
    assert set(found) == {(0, 1), (0, 2), (1, 2)}
    for (a, b), correlation_N in found.items():
        expected = [np.corrcoef(each[a].ravel(), each[b].ravel())[0, 1] for each in images_NCHW]
        assert correlation_N == pytest.approx(expected)
    assert (found[0, 2] > found[0, 1] + 0.1).all()


def test_saturation_is_that_of_hsv() -> None:
    rgb_NCHW = np.random.default_rng(1).random((N, 3, H, W))
    expected_NHW = color.rgb2hsv(np.moveaxis(rgb_NCHW, 1, -1))[..., 1]
    found = saturation(rgb_NCHW)
    assert found["mean"] == pytest.approx(expected_NHW.mean(axis=(1, 2)))
    assert found["std"] == pytest.approx(expected_NHW.std(axis=(1, 2)))


def wave(angle: float, width: int = 40) -> NDArray[np.float64]:
    """A plane wave that runs along the angle, [1, 1, 32, width]."""
    y_HW, x_HW = np.mgrid[:32, :width]
    return 9 * np.sin(0.5 * (x_HW * np.cos(angle) + y_HW * np.sin(angle)))[None, None]


@pytest.mark.parametrize("angle", [0, 0.3, np.pi / 2, 2.5])
def test_a_wave_has_one_direction_and_noise_has_none(angle: float) -> None:
    one = channel_gradients(wave(angle), (1,))
    assert one["coherence"].item() > 0.97
    assert one["local_coherence"].item() > 0.97
    noise = channel_gradients(np.random.default_rng(0).normal(size=(1, 1, 64, 64)), (1, 2, 4))
    assert noise["coherence"].item() < 0.1


def test_two_waves_side_by_side_have_a_direction_each() -> None:
    both = np.concatenate([wave(0, 60), wave(np.pi / 2, 60)], axis=3)
    found = channel_gradients(both, (1, 4))
    assert found["coherence"].item() < 0.2
    assert found["local_coherence"].item() > 0.8


def test_coherence_is_that_of_the_structure_tensor_of_scikit_image() -> None:
    images_NCHW = images()
    found = channel_gradients(images_NCHW, (1.5, 3))["local_coherence"]
    from scipy import ndimage

    for n in range(N):
        smooth_HW = ndimage.gaussian_filter(images_NCHW[n, 1], 1.5, mode="nearest")
        dy_HW, dx_HW = np.gradient(smooth_HW)
        tensor = [ndimage.gaussian_filter(p, 3, mode="nearest") for p in (dy_HW**2, dy_HW * dx_HW, dx_HW**2)]
        large_HW, small_HW = feature.structure_tensor_eigenvalues(tensor)
        assert found[n, 1] == pytest.approx((large_HW - small_HW).sum() / (large_HW + small_HW).sum())


def test_a_slope_has_its_steepness_and_no_curvature() -> None:
    slope_HW = 3.0 * np.arange(H)[:, None] + 4.0 * np.arange(W)
    # The Gaussian's edges flatten it: most of the patch is inside.
    found = channel_gradients(np.pad(slope_HW, 40, mode="reflect", reflect_type="odd")[None, None], (1,))
    assert found["gradient_1"].item() == pytest.approx(5, rel=0.02)
    assert found["laplacian_1"].item() < 0.6
    twice = channel_gradients(2 * images(), SETTINGS.scales)
    for name, once_NC in channel_gradients(images(), SETTINGS.scales).items():
        assert twice[name] == pytest.approx(once_NC * (1 if "coherence" in name else 2)), name


def test_edges_fade_at_coarser_scales() -> None:
    found = channel_gradients(np.random.default_rng(0).normal(size=(1, 1, 64, 64)), (1, 2, 4))
    assert found["gradient_1"] > 2 * found["gradient_2"] > 4 * found["gradient_4"]
    assert found["laplacian_1"] > 3 * found["laplacian_2"] > 9 * found["laplacian_4"]


def pairs(gray_HW: NDArray[np.uint8], dy: int, dx: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Levels of all pairs (p, p + (dy, dx)) inside the image."""
    found = [
        (int(gray_HW[y, x]), int(gray_HW[y + dy, x + dx]))
        for y in range(H)
        for x in range(W)
        if 0 <= y + dy < H and 0 <= x + dx < W
    ]
    first, second = np.array(found).T
    return np.concatenate([first, second]), np.concatenate([second, first])


def test_cooccurrence_is_that_of_all_pairs() -> None:
    images_NCHW = images()
    found = channel_cooccurrence(images_NCHW, (1, 3), 16)
    # At 45 degrees a distance of 3 is (2, 2): 2.12 px, rounded.
    for distance, slanted in ((1, 1), (3, 2)):
        gray_HW = gray_levels(images_NCHW[2, 1:], 16)[0]
        directions = [(0, distance), (distance, 0), (slanted, slanted), (slanted, -slanted)]
        expected = []
        for dy, dx in directions:
            a, b = pairs(gray_HW, dy, dx)
            counts = np.bincount(16 * a + b, minlength=256) / len(a)
            expected.append(
                [
                    ((a - b) ** 2).mean(),
                    (1 / (1 + (a - b) ** 2)).mean(),
                    np.sqrt((counts**2).sum()),
                    np.corrcoef(a, b)[0, 1],
                ]
            )
        names = ("contrast", "homogeneity", "energy", "correlation")
        for name, value in zip(names, np.mean(expected, axis=0), strict=True):
            assert found[f"{name}_{distance}"][2, 1] == pytest.approx(value), (name, distance)


def test_gray_levels_span_the_bulk_of_a_plane_and_keep_two_kinds_apart() -> None:
    plane = np.linspace(-5, 5, 1000).reshape(1, 25, 40)
    plane[0, 0, :5] = 1e6
    gray = gray_levels(plane, 4)
    assert np.bincount(gray.ravel()).tolist() == pytest.approx([250] * 4, abs=12)
    # 99 of 100 pixels are 0: so is every quantile.
    rare = np.zeros((1, 100, 10))
    rare[0, 3, 2] = 0.02
    assert gray_levels(rare, 4).ravel().tolist() == (3 * (rare.ravel() > 0)).tolist()


def test_a_constant_channel_has_defined_statistics() -> None:
    images_NHWC = np.stack(
        [np.full((1, 28, 30), 0.3), images()[:1, 0, :, :].repeat(2, 1)[:, :28, :].repeat(2, 2)[..., :30]], -1
    )
    found = block_statistics(images_NHWC, CHANNELS, SETTINGS)
    assert all(np.isfinite(each).all() for each in found.values())
    own = {name.partition(".")[2]: each.item() for name, each in found.items() if name.startswith("CARS.")}
    zero = ("skewness", "kurtosis", "mad", "std", "coherence", "local_coherence", "contrast_1")
    zero += tuple(f"{kind}_{scale:g}" for kind in ("gradient", "laplacian") for scale in SETTINGS.scales)
    assert {name: own[name] for name in zero} == dict.fromkeys(zero, 0)
    assert own["mean"] == pytest.approx(0.3)
    assert np.full((1, 1, 840), 0.3).mean(axis=-1) != 0.3, "rounding is what the guard is for"
    assert [own[name] for name in ("energy_1", "homogeneity_3", "correlation_1")] == [1, 1, 1]
    assert found["CARS+SHG.correlation"].item() == 0


def symmetries() -> list[Callable[[NDArray[Any]], NDArray[Any]]]:
    turned = [lambda image, k=k: np.rot90(image, k, axes=(1, 2)) for k in range(4)]
    return [*turned, *(lambda image, turn=turn: turn(image)[:, ::-1] for turn in turned)]


@pytest.mark.parametrize("symmetry", symmetries())
def test_rotations_and_reflections_change_nothing(symmetry: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    images_NHWC = np.moveaxis(images()[:, :, :, :H], 1, -1)
    changed_NHWC = symmetry(images_NHWC)
    before = block_statistics(images_NHWC, CHANNELS, StatisticsSettings(distances=(1, 2, 3)))
    after = block_statistics(changed_NHWC, CHANNELS, StatisticsSettings(distances=(1, 2, 3)))
    for name, values_N in before.items():
        assert after[name] == pytest.approx(values_N, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_the_type_of_the_numbers_does_not_matter(dtype: type) -> None:
    images_NHWC = np.random.default_rng(3).integers(0, 250, (2, 28, 28, 2)).astype(np.uint8)
    before = block_statistics(images_NHWC, CHANNELS, SETTINGS)
    after = block_statistics(images_NHWC.astype(dtype), CHANNELS, SETTINGS)
    assert {name: each.tolist() for name, each in before.items()} == {
        name: each.tolist() for name, each in after.items()
    }


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, 28), (2, 28 * 2 + 1 + 2), (3, 89), (5, 28 * 5 + 10 + 2)]
)
def test_the_number_of_statistics_follows_the_channels(channels: int, expected: int) -> None:
    names = [f"c{n}" for n in range(channels)]
    images_NHWC = np.random.default_rng(0).integers(0, 9, (4, 28, 28, channels)).astype(np.uint16)
    found, values_NS = statistics_of(MemoryPatches(images_NHWC), names, SETTINGS)
    assert len(set(found)) == len(found) == expected
    assert values_NS.shape == (4, expected)


def test_a_patch_has_its_row_whatever_is_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 4000, (11, 28, 28, 2)).astype(np.uint16)
    monkeypatch.setattr(blocks, "_BLOCK_VALUES", 4 * 28 * 28 * 2)
    names, together_NS = statistics_of(MemoryPatches(images_NHWC), CHANNELS, StatisticsSettings(threads=3))
    for n in range(len(images_NHWC)):
        alone = block_statistics(images_NHWC[n : n + 1], CHANNELS, SETTINGS)
        assert together_NS[n].tolist() == [alone[name].item() for name in names]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 70))
def test_of_every_patient_the_same_share_is_kept(patients: list[int], most: int) -> None:
    patient_N = np.array([f"p{number}" for number in patients])
    kept_M = same_share(patient_N, most)
    assert kept_M.tolist() == sorted(set(kept_M.tolist())) == same_share(patient_N, most).tolist()
    share = min(Fraction(most, len(patients)), Fraction(1))
    for name in set(patient_N):
        assert (patient_N[kept_M] == name).sum() == math.ceil((patient_N == name).sum() * share)
    assert same_share(patient_N, None).tolist() == list(range(len(patients)))


def test_no_patch_is_preferred() -> None:
    kept_M = same_share(np.repeat(["a", "b"], [600, 1400]), 500)
    assert np.bincount(kept_M % 4, minlength=4).min() > 90
    assert np.bincount(kept_M // 200, minlength=10).min() > 30


def test_pixels_that_are_no_numbers_are_refused() -> None:
    images_NHWC = np.ones((3, 28, 28, 2), np.float32)
    images_NHWC[1, 4, 5, 0] = np.nan
    with pytest.raises(StoreError, match="1 of 3 patches"):
        statistics_of(MemoryPatches(images_NHWC), CHANNELS, SETTINGS)


@pytest.mark.parametrize("settings", [{"scales": [1, 14]}, {"distances": [14]}])
def test_lengths_beyond_the_patch_are_refused(settings: dict[str, Any]) -> None:
    patches = MemoryPatches(np.zeros((1, 28, 28, 1), np.uint8))
    with pytest.raises(ConfigError, match="patches of 28 px, and a scale or distance of 14 px"):
        statistics_of(patches, ["R"], StatisticsSettings.model_validate(settings))


@pytest.mark.parametrize(
    "wrong", [{"scales": [2, 1]}, {"distances": [1, 1]}, {"scales": []}, {"scales": [0]}]
)
def test_scales_and_distances_ascend(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"scales|distances"):
        StatisticsSettings.model_validate(wrong)
