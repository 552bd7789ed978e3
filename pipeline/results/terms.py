"""What decides the figures of methods side by side, besides the predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import PositiveInt

from pipeline.artifacts import Paths
from pipeline.config import Context, Settings
from pipeline.files import read_json
from pipeline.results.bootstrap import BootstrapSettings, bootstrap_settings
from pipeline.results.tested import Source, Tested
from pipeline.training.layout import NamedLayout, read_layout


class JudgingSettings(Settings):
    """The keys of configs/report.yaml that the report, compare and a study share."""

    names: dict[str, str]
    """Algorithms in the order of every table, with the name to print."""
    candidate: str
    """The algorithm under test."""
    minimum_test_patients: PositiveInt
    """No verdict where fewer test patients hold tumor, or fewer hold patches without."""


@dataclass(frozen=True)
class Terms:
    """What decides the figures, besides the predictions.

    Attributes:
        judging: names, candidate and the fewest test patients of a verdict.
        bootstrap: draws, level and minimums, for each source of predictions.
        variants: whether `<candidate>_...` are under test with it.
        references: what it is compared with, in order; none: every other method.
        thresholds: value of the tissue fraction by the threshold's name, in order; may be incomplete.
        layouts: names of classes and attribute values by the threshold's name; may be incomplete.
    """

    judging: JudgingSettings
    bootstrap: Mapping[Source, BootstrapSettings]
    variants: bool
    references: tuple[str, ...] | None
    thresholds: Mapping[str, float]
    layouts: Mapping[str, NamedLayout]

    def named(self, algorithm: str) -> str:
        """The name of an algorithm to print."""
        return self.judging.names.get(algorithm, algorithm.replace("_", " "))

    def is_candidate(self, algorithm: str) -> bool:
        candidate = self.judging.candidate
        return algorithm == candidate or (self.variants and algorithm.startswith(f"{candidate}_"))


def terms_of(
    context: Context,
    tested: Sequence[Tested],
    judging: JudgingSettings,
    *,
    candidate: str | None = None,
    variants: bool = False,
    references: tuple[str, ...] | None = None,
) -> Terms:
    """The terms of these predictions: a cohort's settings, thresholds and layouts.

    Args:
        candidate: in place of the settings' one.
        variants, references: see `Terms`.
    """
    paths, thresholds = context.paths, {one.threshold for one in tested}
    return Terms(
        judging=judging.model_copy(update={"candidate": candidate}) if candidate else judging,
        bootstrap={
            source: bootstrap_settings(context, study=source == "study")
            for source in sorted({one.source for one in tested})
        },
        variants=variants,
        references=references,
        thresholds=_thresholds(paths),
        layouts={
            name: read_layout(paths, name) for name in thresholds if paths.attribute_table(name).is_file()
        },
    )


def _thresholds(paths: Paths) -> dict[str, float]:
    if not paths.groups.is_file():
        return {}
    found = read_json(paths.groups, "attribute").get("thresholds", {})
    return {name: float(content["value"]) for name, content in found.items() if "value" in content}
