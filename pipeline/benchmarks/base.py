"""What a benchmark gives: the images of every split, with class and spurious attribute of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.groups import GroupLayout
from patching.errors import MissingFileError
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
        origin_N: row of every image in the published data, counted over all its splits.
    """

    images: ImagesT_co
    label_N: NDArray[np.int64]
    attribute_N: NDArray[np.int64]
    origin_N: NDArray[np.int64]

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
        """Read the benchmark.

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
