"""What a benchmark gives: the images of every split, with class and spurious attribute of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.groups import GroupLayout
from patching.errors import ManifestError, MissingFileError
from pipeline.config import Settings


class Images(Protocol):
    """N images of one shape; an array [N, H, W, 3] is one, and files that are read when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: Any, /) -> Any:
        """The image [H, W, 3], uint8, of a row 0..N-1."""


ImagesT_co = TypeVar("ImagesT_co", bound=Images, covariant=True)


@dataclass(frozen=True)
class ImageSet(Generic[ImagesT_co]):
    """One split of a benchmark.

    Attributes:
        images: uint8 [H, W, 3] by row.
        label_N: class 0..K-1 of every image.
        attribute_N: value 0..A-1 of the spurious attribute of every image.
        name_N: name of every image, unique over all splits: its file, or its number in the published array.
    """

    images: ImagesT_co
    label_N: NDArray[np.int64]
    attribute_N: NDArray[np.int64]
    name_N: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label_N)

    def counts(self, layout: GroupLayout) -> NDArray[np.int64]:
        """Images of every group, [K, A]."""
        return layout.counts(self.label_N, self.attribute_N)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read.

    Attributes:
        splits: train, validation and test.
        classes: name of every class, in the order of its number.
        attributes: name of every value of the spurious attribute.
        attribute_name: what the attribute is: color, place, ...
        side: height and width of every image.
    """

    splits: Mapping[str, ImageSet[Images]]
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    attribute_name: str
    side: int

    @property
    def layout(self) -> GroupLayout:
        """How classes and attribute values number the groups."""
        return GroupLayout(len(self.classes), len(self.attributes))


class AbstractBenchmark(Settings, ABC):
    """Settings of one published layout, and how its files are read.

    An implementation adds its settings and writes `load`.
    """

    folder: str
    """Where the files lie, relative to the repository's root; `$(NAME:-default)` reads the environment."""

    @abstractmethod
    def load(self, folder: Path) -> Benchmark:
        """Read the benchmark; images in files are only looked for, and read when they are asked for.

        Args:
            folder: `self.folder`, found.

        Raises:
            MissingFileError: a file is not there.
            ManifestError: a table or an array is not as published.
        """


def required(path: Path, what: str, get: str) -> Path:
    """`path`, which has to be a file or a folder.

    Raises:
        MissingFileError: it is not there.
    """
    if path.exists():
        return path
    raise MissingFileError(has=f"no {path}", needs=what, do=get)


def numbered(values: ArrayLike, names: Sequence[str], what: str, origin: Path) -> NDArray[np.int64]:
    """Values 0..n-1 of a table's column or of file names, n names being configured.

    Raises:
        ManifestError: another value.
    """
    found = np.asarray(values)
    # A column of floats comes from empty cells.
    if found.dtype.kind not in "iub" or (found.size and not 0 <= found.min() <= found.max() < len(names)):
        # As text, since words and empty cells of one column have no order.
        shown = sorted(set(map(str, found.tolist())))[:8]
        raise ManifestError(
            has=f"{origin}: {what} with the values {', '.join(shown)}",
            needs=f"whole numbers from 0 to {len(names) - 1}: {', '.join(names)}",
            do="correct the table, or the names in the cohort's `benchmark` section",
        )
    return found.astype(np.int64)
