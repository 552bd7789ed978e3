"""Published layouts by name."""

from collections.abc import Mapping
from typing import Any

from patching.errors import ConfigError
from pipeline.config import validated
from pipeline.published.align_conflict import AlignConflict
from pipeline.published.base import AbstractBenchmark
from pipeline.published.celeba import CelebA
from pipeline.published.colored_mnist import ColoredMnist
from pipeline.published.metadata_folder import MetadataFolder

LAYOUTS: dict[str, type[AbstractBenchmark]] = {
    "colored_mnist": ColoredMnist,
    "metadata_folder": MetadataFolder,
    "celeba": CelebA,
    "align_conflict": AlignConflict,
}
TEXT = ("civilcomments", "multinli")
"""Benchmarks of the same papers that are not images."""


def make_benchmark(section: Mapping[str, Any], origin: str) -> AbstractBenchmark:
    """The benchmark of a cohort's `benchmark` section.

    Args:
        section: `layout`, and that layout's own settings.
        origin: the file to blame.

    Raises:
        ConfigError: no such layout, a text benchmark, or a setting it does not have.
    """
    name = section.get("layout")
    if name in TEXT:
        raise ConfigError(
            has=f"{origin}: the benchmark {name}, which is text",
            needs=f"images, in one of the layouts {', '.join(LAYOUTS)}",
            do="use a library for text: patches, augmentation and networks here are for images",
        )
    layout = LAYOUTS.get(str(name))
    if layout is None:
        raise ConfigError(
            has=f"{origin}: the layout {name!r}",
            needs=f"one of {', '.join(LAYOUTS)}",
            do="correct `benchmark.layout`",
        )
    return validated(layout, dict(section), origin)
