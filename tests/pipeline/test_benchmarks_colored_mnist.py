"""Colored MNIST: published counts, the palette, a pixel by hand, and the same bytes for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.groups import GroupLayout
from patching.errors import ConfigError, ManifestError, MissingFileError
from pipeline.published.colored_mnist import (
    PUBLISHED,
    SIGMA,
    color_counts,
    colored,
    colored_mnist,
    read_palette,
)

LAYOUT = GroupLayout(10, 10)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Files in the published form: 60 training and 20 test images of 4 by 4 pixels."""
    return write_mnist(tmp_path)


def write_mnist(folder: Path, n_train: int = 60, n_test: int = 20) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", n_train), ("test", n_test)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(n) % 10).astype(np.uint8)
    np.savez(folder / "mnist.npz", **arrays)
    rows = [f"{digit},{digit / 10},0.5,{1 - digit / 10}" for digit in range(10)]
    (folder / "lff_color_palette.csv").write_text("\n".join(["digit,r,g,b", *rows]) + "\n")
    return folder


@pytest.mark.real_data
def test_the_real_training_set_has_the_published_counts(real_data: Path) -> None:
    splits = colored_mnist(real_data / "mnist")
    assert {name: part.images.shape for name, part in splits.items()} == {
        "train": (55_000, 28, 28, 3),
        "validation": (5_000, 28, 28, 3),
        "test": (10_000, 28, 28, 3),
    }
    counts_KA = splits["train"].counts(LAYOUT)
    assert (np.trace(counts_KA), counts_KA.sum() - np.trace(counts_KA)) == (54_751, 249)
    off_diagonal = counts_KA[~np.eye(10, dtype=bool)]
    assert (off_diagonal.min(), off_diagonal.max()) == (2, 4)
    for split in ("validation", "test"):
        counts_KA = splits[split].counts(LAYOUT)
        assert (np.ptp(counts_KA, axis=1) <= 1).all()


@pytest.mark.real_data
def test_the_real_colors_stay_by_their_mean(real_data: Path) -> None:
    part = colored_mnist(real_data / "mnist")["test"]
    palette_A3 = read_palette(real_data / "mnist")
    brightest_N3 = part.images.max(axis=(1, 2)) / 255
    # A digit's brightest pixel is about 255, so that the largest value shows the color itself.
    apart_N3 = np.abs(brightest_N3 - palette_A3[part.attribute_N])
    assert np.median(apart_N3) < SIGMA[4]
    assert (part.images[:, 0, 0] == 0).all()


def test_a_pixel_by_hand() -> None:
    gray_NHW = np.array([[[0, 200], [255, 1]]], np.uint8)
    images_NHWC = colored(gray_NHW, np.array([[0.5024, 1.2, -0.1]]))
    assert images_NHWC[0].tolist() == [[[0, 0, 0], [100, 200, 0]], [[128, 255, 0], [0, 1, 0]]]


@pytest.mark.parametrize("ratio", PUBLISHED)
def test_the_published_number_conflicts(ratio: float) -> None:
    count_K = np.full(10, 5500)
    counts_KA = color_counts(count_K, ratio)
    assert counts_KA.sum(axis=1).tolist() == count_K.tolist()
    assert counts_KA.sum() - np.trace(counts_KA) == PUBLISHED[ratio]


@given(st.lists(st.integers(0, 200), min_size=10, max_size=10).filter(any), st.floats(0.001, 0.999))
def test_every_image_gets_one_color(count: list[int], ratio: float) -> None:
    for share in (ratio, None):
        counts_KA = color_counts(np.array(count), share)
        assert counts_KA.min() >= 0
        assert counts_KA.sum(axis=1).tolist() == count
        others = counts_KA[~np.eye(10, dtype=bool)].reshape(10, 9)
        assert (np.ptp(others, axis=1) <= 1).all()
    assert (np.ptp(counts_KA, axis=1) <= 1).all()


def test_the_same_seed_gives_the_same_bytes_and_another_others(tiny: Path) -> None:
    one, same, other = (colored_mnist(tiny, 0.2, seed=seed, n_validation=20) for seed in (1, 1, 2))
    for split in ("train", "validation", "test"):
        assert one[split].images.tobytes() == same[split].images.tobytes()
        assert one[split].attribute_N.tobytes() == same[split].attribute_N.tobytes()
        assert one[split].images.tobytes() != other[split].images.tobytes()
    names = np.concatenate([one[split].name_N for split in ("train", "validation", "test")])
    assert len(set(names)) == 80
    assert (names[40], names[60]) == ("mnist-train-00040", "mnist-test-00000")


def test_validation_is_colored_as_asked(tiny: Path) -> None:
    biased = colored_mnist(tiny, 0.1, n_validation=20, validation_colors="biased")["validation"]
    assert (biased.label_N != biased.attribute_N).sum() == 2
    unbiased = colored_mnist(tiny, 0.1, n_validation=20)["validation"]
    assert (unbiased.label_N != unbiased.attribute_N).sum() == 10


def test_the_severity_is_the_spread_of_the_colors(tiny: Path) -> None:
    mean_A3 = read_palette(tiny)
    part = colored_mnist(tiny, 0.1, severity=4, n_validation=20)["train"]
    with np.load(tiny / "mnist.npz") as arrays:
        gray_NHW = arrays["x_train"][:40]
    mean_images = colored(gray_NHW, mean_A3[part.attribute_N])
    assert np.abs(part.images.astype(int) - mean_images).max() <= 255 * 5 * SIGMA[4] + 1


def test_bad_files_are_told(tiny: Path) -> None:
    with pytest.raises(ConfigError, match="severity 7"):
        colored_mnist(tiny, severity=7)
    with pytest.raises(ConfigError, match="5000 validation images of 60"):
        colored_mnist(tiny)
    (tiny / "lff_color_palette.csv").write_text("digit,r,g\n0,1,1\n")
    with pytest.raises(ManifestError, match="digit, r, g and 1 rows"):
        colored_mnist(tiny, n_validation=20)
    write_mnist(tiny)
    np.savez(tiny / "mnist.npz", x_train=np.zeros((3, 4, 4)))
    with pytest.raises(ManifestError, match="y_train"):
        colored_mnist(tiny, n_validation=20)
    (tiny / "mnist.npz").write_bytes(b"no archive")
    with pytest.raises(ManifestError, match="plain arrays"):
        colored_mnist(tiny, n_validation=20)
    with (tiny / "mnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ManifestError, match="plain arrays"):
        colored_mnist(tiny, n_validation=20)
    (tiny / "mnist.npz").unlink()
    with pytest.raises(MissingFileError, match=r"mnist\.npz"):
        colored_mnist(tiny, n_validation=20)


@pytest.mark.parametrize("digits", [np.full(60, 0.5), np.full(60, -1), np.full(60, 10), np.full(60, None)])
def test_digits_are_whole_numbers_from_0_to_9(tiny: Path, digits: NDArray[np.generic]) -> None:
    with np.load(tiny / "mnist.npz") as arrays:
        content = dict(arrays)
    np.savez(tiny / "mnist.npz", **content | {"y_train": digits})
    with pytest.raises(ManifestError, match=r"mnist\.npz"):
        colored_mnist(tiny, n_validation=20)
