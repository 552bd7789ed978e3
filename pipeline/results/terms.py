"""What decides the figures of methods side by side, besides the predictions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from pipeline.artifacts import Paths, run_name
from pipeline.config import Context, Settings, stage_mapping, validated
from pipeline.files import read_json
from pipeline.results.bootstrap import BootstrapSettings, bootstrap_settings
from pipeline.results.tested import (
    CONTROL,
    DecidedRule,
    Source,
    Tested,
    base_of,
    decided_name,
    decided_title,
    rule_of,
)
from pipeline.training.layout import NamedLayout, read_layout


class PrimarySettings(Settings):
    """The one comparison that was fixed before the run, and that no other one corrects."""

    candidate: str = Field(min_length=1)
    """Of this algorithm,"""
    reference: str = Field(min_length=1)
    """against this one;"""
    metric: Literal["wga"]
    """by the worst group, which all other differences that are judged are about too;"""
    threshold: str = Field(min_length=1)
    """at this threshold of the attribute stage."""

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        if self.candidate == self.reference:
            raise ValueError("the candidate is its own reference; name two algorithms")
        return self


class JudgingSettings(Settings):
    """The keys of configs/report.yaml that the report, compare and a study share."""

    names: dict[str, str]
    """Algorithms in the order of every table, with the name to print."""
    candidate: str
    """The algorithm under test."""
    minimum_test_patients: PositiveInt
    """No verdict where fewer test patients hold tumor, or fewer hold patches without."""
    primary: PrimarySettings
    """The comparison that is read without a correction; all others are corrected together."""
    decided: tuple[DecidedRule, ...]
    """Decision rules that every method is shown with as well, fitted on its validation patients."""

    minimum_validation_patients: PositiveInt
    """Validation patients that such a rule takes in every group, of every fold of a study."""

    def subject(self, runs: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
        """The one model that the report is about, by algorithm and threshold; none where there is no run.

        The candidate at the primary threshold; without it the candidate at another, else the run whose
        algorithm `names` lists first. Of equals the first by the run's name.

        Args:
            runs: algorithm and threshold of each, in any order: whoever asks finds the same one.
        """
        wanted = (self.candidate, self.primary.threshold)
        rank = {algorithm: place for place, algorithm in enumerate(self.names)}

        def order(run: tuple[str, str]) -> tuple[bool, bool, int, str]:
            return (run != wanted, run[0] != wanted[0], rank.get(run[0], len(rank)), run_name(*run))

        return min(runs, key=order, default=None)

    @field_validator("names")
    @classmethod
    def _tell_apart(cls, names: dict[str, str]) -> dict[str, str]:
        twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
        if twice:
            raise ValueError(f"give every algorithm a name of its own; several are called {', '.join(twice)}")
        return names

    @field_validator("decided")
    @classmethod
    def _with_the_control(cls, rules: tuple[DecidedRule, ...]) -> tuple[DecidedRule, ...]:
        if CONTROL not in rules or len(rules) != len(set(rules)):
            raise ValueError(f"name each rule once, and {CONTROL}: it is the control of every gain")
        return rules


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
        decided: rules that every method is shown with as well.
    """

    judging: JudgingSettings
    bootstrap: Mapping[Source, BootstrapSettings]
    variants: bool
    references: tuple[str, ...] | None
    thresholds: Mapping[str, float]
    layouts: Mapping[str, NamedLayout]
    decided: tuple[DecidedRule, ...]

    def named(self, algorithm: str) -> str:
        """The name of an algorithm to print; of one with a decision rule, with the rule in words."""
        base = base_of(algorithm)
        return decided_title(self.judging.names.get(base, base.replace("_", " ")), rule_of(algorithm))

    def place(self, algorithm: str) -> tuple[int, str]:
        """What sorts algorithms: as the names are listed, others after them; with a rule after the plain."""
        order = list(self.judging.names)
        base = base_of(algorithm)
        return (order.index(base) if base in order else len(order), algorithm)

    def is_candidate(self, algorithm: str) -> bool:
        """Whether it is under test; with a decision rule of its own it is not."""
        candidate = self.judging.candidate
        varied = self.variants and algorithm.startswith(f"{candidate}_") and rule_of(algorithm) is None
        return algorithm == candidate or varied

    def is_primary(self, candidate: str, reference: str, threshold: str) -> bool:
        """Whether this comparison of the worst group was fixed before the run."""
        fixed = self.judging.primary
        return (candidate, reference, threshold) == (fixed.candidate, fixed.reference, fixed.threshold)

    @property
    def control(self) -> str:
        """The primary reference decided by tissue, which every candidate is compared with."""
        return decided_name(self.judging.primary.reference, CONTROL)


def judging_of(context: Context) -> JudgingSettings:
    """A cohort's settings of the report, as far as they decide figures.

    Raises:
        ConfigError: they are wrong.
    """
    content = stage_mapping(context.configs, context.cohort, "report")
    known = {name: content[name] for name in JudgingSettings.model_fields if name in content}
    return validated(JudgingSettings, known, str(context.configs / "report.yaml"))


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
        decided=judging.decided,
    )


def _thresholds(paths: Paths) -> dict[str, float]:
    if not paths.groups.is_file():
        return {}
    found = read_json(paths.groups, "attribute").get("thresholds", {})
    return {name: float(content["value"]) for name, content in found.items() if "value" in content}
