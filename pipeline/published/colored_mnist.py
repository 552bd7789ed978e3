"""Colored MNIST: digits whose color goes with the digit in training, and with nothing in the test.

Nam et al., "Learning from Failure" (NeurIPS 2020) color the digits; Lee et al., "Learning Debiased
Representation via Disentangled Feature Augmentation" (NeurIPS 2021) publish the counts of the training set
of 55,000 images that GERNE is measured on.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.data.splitting import TEST, TRAIN, VALIDATION
from patching.errors import ConfigError, ManifestError
from pipeline.files import read_csv
from pipeline.published.base import AbstractBenchmark, Benchmark, ImageSet, required

Colors = Literal["unbiased", "biased"]
Gray = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.str_]]
"""Gray images, their digits and their names."""

SIGMA = {1: 0.05, 2: 0.02, 3: 0.01, 4: 0.005}
"""Standard deviation of an image's color about its mean color, by severity."""
N_TRAIN, N_VALIDATION = 55_000, 5_000
PUBLISHED = {0.005: 249, 0.01: 491, 0.02: 986, 0.05: 2449}
"""Bias-conflicting images among the 55,000, by ratio.

They are a draw and no rule: images of the ratio's share got any of the ten colors, so that a tenth of them
kept their own. No rounding per digit gives these numbers, which is why they stand here.
"""
_GET = "see docs/benchmark-cohorts.md for the files and where they come from"
_DIGITS = 10


class ColoredMnist(AbstractBenchmark):
    """`layout: colored_mnist`."""

    layout: Literal["colored_mnist"]
    ratio: float = Field(default=0.005, gt=0, lt=1)
    """Share of bias-conflicting training images."""
    severity: Literal[1, 2, 3, 4] = 4
    """Colors vary less at a higher one."""
    seed: NonNegativeInt = 0
    """Decides which images conflict, and every color."""
    validation: PositiveInt = N_VALIDATION
    """The last so many of MNIST's training images validate."""
    validation_colors: Colors = "unbiased"
    """`unbiased`: each color equally likely; `biased`: as in training."""

    def load(self, folder: Path) -> Benchmark:
        """The colored digits, in memory.

        Raises:
            MissingFileError, ManifestError, ConfigError: see `colored_mnist`.
        """
        splits = colored_mnist(
            folder,
            self.ratio,
            severity=self.severity,
            seed=self.seed,
            validation_colors=self.validation_colors,
            n_validation=self.validation,
        )
        names = tuple(str(digit) for digit in range(_DIGITS))
        colors = tuple(f"color of {digit}" for digit in names)
        return Benchmark(splits, names, colors, "color", side=splits[TRAIN].images.shape[1])


def colored_mnist(
    folder: Path,
    ratio: float = 0.005,
    *,
    severity: int = 4,
    seed: int = 0,
    validation_colors: Colors = "unbiased",
    n_validation: int = N_VALIDATION,
) -> dict[str, ImageSet[NDArray[np.uint8]]]:
    """Colored MNIST in memory: the splits train, validation and test; label and attribute are 0..9.

    Training are all but the last `n_validation` of MNIST's training images, in the official order; test are
    its test images, each color equally often with every digit. The same arguments give the same bytes.

    Args:
        folder: with mnist.npz (x_train, y_train, x_test, y_test) and lff_color_palette.csv.
        ratio: share of bias-conflicting training images; for the published ratios and 55,000 images their
            number is the published one.
        severity: 1..4, see SIGMA.
        seed: decides which images conflict, and every color.
        validation_colors: `unbiased` as the test, or `biased` as the training.
        n_validation: how many images validate.

    Raises:
        MissingFileError: one of the files is not there.
        ManifestError: its content is not as expected.
        ConfigError: an unknown severity, or no image is left for training.
    """
    if severity not in SIGMA:
        raise ConfigError(
            has=f"severity {severity}", needs=f"one of {', '.join(map(str, SIGMA))}", do="choose one of them"
        )
    palette_A3, mnist = read_palette(folder), _read_mnist(folder)
    gray_NHW, label_N = mnist["x_train"], mnist["y_train"].astype(np.int64)
    start = len(label_N) - n_validation
    if start < 1:
        raise ConfigError(
            has=f"{n_validation} validation images of {len(label_N)}",
            needs="images left for training",
            do="set `benchmark.validation` lower",
        )
    name_N = _names("train", len(label_N))
    test = mnist["x_test"], mnist["y_test"].astype(np.int64), _names("test", len(mnist["y_test"]))
    parts: dict[str, tuple[Gray, float | None]] = {
        TRAIN: ((gray_NHW[:start], label_N[:start], name_N[:start]), ratio),
        VALIDATION: (
            (gray_NHW[start:], label_N[start:], name_N[start:]),
            ratio if validation_colors == "biased" else None,
        ),
        TEST: (test, None),
    }
    splits = {}
    for number, (split, ((image_NHW, digit_N, own_N), bias)) in enumerate(parts.items()):
        rng = np.random.default_rng([seed, number])
        attribute_N = assigned_colors(digit_N, bias, rng)
        color_N3 = palette_A3[attribute_N] + rng.normal(scale=SIGMA[severity], size=(len(digit_N), 3))
        splits[split] = ImageSet(colored(image_NHW, color_N3), digit_N, attribute_N, own_N)
    return splits


def _names(part: str, count: int) -> NDArray[np.str_]:
    return np.array([f"mnist-{part}-{number:05d}" for number in range(count)])


def colored(gray_NHW: NDArray[np.uint8], color_N3: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Gray digits times one color each, clamped to [0, 1]; uint8 [N, H, W, 3], the background stays black.

    Fractions are cut off, as in the authors' images: gray 200 times 0.5024 is 100.
    """
    images_NHWC = np.empty((*gray_NHW.shape, 3), np.uint8)
    color_N3 = np.clip(color_N3, 0, 1).astype(np.float32)
    for channel in range(3):
        images_NHWC[..., channel] = gray_NHW * color_N3[:, channel, None, None]
    return images_NHWC


def assigned_colors(
    label_N: NDArray[np.int64], ratio: float | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The color 0..9 of every image: the counts of `color_counts`, dealt at random within a digit."""
    counts_KA = color_counts(np.bincount(label_N, minlength=_DIGITS), ratio)
    attribute_N = np.empty(len(label_N), np.int64)
    for digit, counts_A in enumerate(counts_KA):
        attribute_N[label_N == digit] = rng.permutation(np.repeat(np.arange(_DIGITS), counts_A))
    return attribute_N


def color_counts(count_K: NDArray[np.int64], ratio: float | None) -> NDArray[np.int64]:
    """How many images of every digit get every color, [10, 10].

    Args:
        count_K: images of every digit.
        ratio: share of images that get another color than their digit's, in proportion to the digits and
            spread evenly over the nine others; None: every color equally often.
    """
    counts_KA = np.zeros((_DIGITS, _DIGITS), np.int64)
    other_K = count_K if ratio is None else _in_proportion(_conflicting(int(count_K.sum()), ratio), count_K)
    # What does not divide evenly goes to the colors that follow the digit's own.
    following = np.arange(_DIGITS) if ratio is None else np.arange(1, _DIGITS)
    for digit in range(_DIGITS):
        counts_KA[digit, digit] = count_K[digit] - other_K[digit]
        whole, rest = divmod(int(other_K[digit]), len(following))
        counts_KA[digit, (digit + following) % _DIGITS] += whole + (np.arange(len(following)) < rest)
    return counts_KA


def _conflicting(count: int, ratio: float) -> int:
    published = PUBLISHED.get(ratio) if count == N_TRAIN else None
    return round(count * ratio) if published is None else published


def _in_proportion(total: int, count_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """`total` shared out in proportion to `count_K`, by largest remainders."""
    wanted_K = total * count_K / count_K.sum()
    share_K: NDArray[np.int64] = np.floor(wanted_K).astype(np.int64)
    share_K[np.argsort(share_K - wanted_K, kind="stable")[: total - share_K.sum()]] += 1
    return share_K


def read_palette(folder: Path) -> NDArray[np.float64]:
    """The ten mean colors of lff_color_palette.csv, [10, 3] in 0..1; row i is the color of digit i.

    Raises:
        MissingFileError: no such file.
        ManifestError: not ten colors.
    """
    path = required(folder / "lff_color_palette.csv", "the ten mean colors", _GET)
    table = read_csv(path)
    columns = ["digit", "r", "g", "b"]
    if list(table) != columns or table["digit"].tolist() != list(map(str, range(_DIGITS))):
        raise ManifestError(
            has=f"{path} with the columns {', '.join(map(str, table))} and {len(table)} rows",
            needs=f"the columns {', '.join(columns)} and the digits 0 to 9 in order",
            do=_GET,
        )
    return table[columns[1:]].to_numpy(np.float64)


def _read_mnist(folder: Path) -> dict[str, NDArray[np.uint8]]:
    path = required(folder / "mnist.npz", "MNIST as arrays", _GET)
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path) as arrays:
            mnist = {name: arrays[name] for name in names}
    # TypeError: a single array, which numpy gives without its archive.
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ManifestError(
            has=f"{path}: {error}", needs=f"the plain arrays {', '.join(names)}", do=_GET
        ) from error
    for part in ("train", "test"):
        image, label = mnist[f"x_{part}"], mnist[f"y_{part}"]
        sound = image.dtype == np.uint8 and image.ndim == 3 and label.shape == (len(image),)
        if not sound or label.dtype.kind not in "iu" or not np.isin(label, range(_DIGITS)).all():
            raise ManifestError(
                has=f"{path}: x_{part} {image.dtype} {image.shape}, y_{part} {label.shape}",
                needs="uint8 images [N, H, W] and a digit 0 to 9 for each",
                do=_GET,
            )
    return mnist
