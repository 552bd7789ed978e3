"""What the panels of the report are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from markupsafe import Markup
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from models.networks.card import DecisionCard, ModelCard
from patching.errors import ArtifactError
from pipeline.cards.model_card import read_card
from pipeline.config import Context, Settings
from pipeline.explain.handover import Explanation, explanation_of
from pipeline.look.plots import svg, svg_uri
from pipeline.report.evidence import Evidence, load_evidence
from pipeline.report.guidelines.statements import Statements
from pipeline.report.names import Names, names_of
from pipeline.report.subject import Subject
from pipeline.results.audit.findings import audited
from pipeline.results.audit.gathering import present_statistics
from pipeline.results.audit.record import Audit
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import Scoreboard
from pipeline.results.predictions import find_tested, sound_runs
from pipeline.results.runs import made_by, present_study, seed_runs
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.seeds import trained_alike
from pipeline.results.terms import JudgingSettings, Terms, terms_of
from pipeline.results.tested import Tested, base_of
from pipeline.tables.dots import dot_plot


class SlidesSettings(Settings):
    """How many test slides are shown, those with the most errors first."""

    rows: PositiveInt
    """In the report's table."""
    inside: NonNegativeInt
    """With pictures in the report itself."""
    per_page: PositiveInt
    """With pictures on each page beside it."""
    pages: NonNegativeInt
    """Such pages at most; slides.csv has all slides."""
    side: PositiveInt = Field(le=1200)
    """Longest side of a picture in pixels."""


class ExportSettings(Settings):
    """What is written beside the report."""

    slides: NonNegativeInt = 50
    """Slides with files for QuPath at most, those with the most wrong patches first."""


class ReportSettings(JudgingSettings):
    """configs/report.yaml."""

    references: tuple[str, ...]
    """The algorithms the candidate is compared with; all differences are printed whatever they are."""
    care_below: float = Field(gt=0, lt=1)
    """A range of tissue is to be used with care where its accuracy's interval begins under it (`care`)."""
    overlays: NonNegativeInt
    """Slide overlays shown at most."""
    hash_ids: bool = False
    """Whether slides and patients are called by a salted hash of their ids."""
    hash_salt: str = "$(EVENPATCH_SALT:-)"
    """What is hashed with them; `$(NAME)` reads the environment."""
    prevalence: float = Field(default=0.1, gt=0, lt=1)
    """Share of tumor that predictive values are told for, beside the test patches' own."""
    inside: float = Field(default=0.999, gt=0, le=1)
    """Tumor fraction from which a tumor patch lies wholly inside its outline; under it, at the border."""
    gallery_mb: NonNegativeFloat
    """Megabytes of the gallery's pictures; patches beyond are listed without."""
    slides: SlidesSettings
    statements: Statements
    """What only the people of the study can say; guidelines and cards ask for it."""
    exports: ExportSettings = ExportSettings()


@dataclass(frozen=True)
class Sources:
    """What every panel gets.

    Attributes:
        boards: figures of the test split by threshold, low before high; all seeds of a run pooled. None where
            the split has no test patients.
        unread: a sentence on each run, other seeds included, that cannot be read and so is not on a board.
        study: of a repeated cross-validation; empty where there is none of the present patches.
        ids: what slides, patients and patches are called: templates print no id but through it.
    """

    evidence: Evidence
    boards: Mapping[str, Scoreboard]
    unread: tuple[str, ...]
    study: tuple[Scoreboard, ...]
    terms: Terms
    settings: ReportSettings
    ids: Names

    @cached_property
    def subject(self) -> Subject | None:
        """The model to trust or not; none where the split has no test patients."""
        tested = [run for run in self.evidence.runs if run.threshold in self.boards]
        by_name = {(run.algorithm, run.threshold): run for run in tested}
        chosen = self.settings.subject(by_name)
        if chosen is None:
            return None
        plain, board = by_name[chosen], self.boards[chosen[1]]
        method = next(each for each in board.methods if each.algorithm == plain.as_decided)
        return Subject(
            board,
            method,
            run=next(run for run in method.pool.runs if run.seed == plain.seed),
            evidence=self.evidence,
            intervals=self.intervals,
            prevalence=self.settings.prevalence,
            inside=self.settings.inside,
        )

    @property
    def shown(self) -> Tested:
        """The training that cards are of: the subject's, or without a test the one that it would be."""
        by_name = {(run.algorithm, run.threshold): run for run in self.evidence.runs}
        if self.subject is not None:
            return by_name[base_of(self.subject.run.algorithm), self.subject.run.threshold]
        chosen = self.settings.subject(by_name)
        return self.evidence.runs[0] if chosen is None else by_name[chosen]

    @cached_property
    def card(self) -> ModelCard | str:
        """model.json of that training, or why it cannot be read, in words."""
        try:
            return read_card(self.evidence.paths, self.shown.name)
        except ArtifactError as error:
            return (
                f"{error.has.replace(f'{self.evidence.paths.root}/', '')}; "
                f"`{made_by(self.evidence.paths.cohort, self.shown.name)[0]}` writes it anew"
            )

    @property
    def decision(self) -> DecisionCard:
        """How that training's verdicts are made, as far as its card can be read."""
        if isinstance(self.card, ModelCard):
            return self.card.decision
        return self.shown.decision or DecisionCard()

    @cached_property
    def explained(self) -> Explanation | str:
        """What `evenpatch explain` wrote for the subject, or why there is nothing, in words."""
        if self.subject is None:
            return "there are no test patches"
        return explanation_of(self.evidence.paths, self.subject.training)

    @property
    def main(self) -> str | None:
        """The subject's threshold: others repeat what stands there, and go to the appendix."""
        return None if self.subject is None else self.subject.board.threshold

    @property
    def intervals(self) -> BootstrapSettings:
        """Of the test split's figures."""
        return self.terms.bootstrap["split"]

    @cached_property
    def audit(self) -> Audit:
        """Of the subject on its test patches; without one, of the training patients alone."""
        evidence, subject = self.evidence, self.subject
        predictions = subject.run.patches if subject else None
        statistics = present_statistics(evidence.paths)
        return audited(evidence.index, evidence.slides, predictions, statistics, self.audit_settings)

    @property
    def audit_settings(self) -> BootstrapSettings:
        """Level and minimums of the audit, which is there without test patients too."""
        return self.terms.bootstrap.get("split", BootstrapSettings())

    @property
    def single(self) -> bool:
        """Whether every figure of the test split is of one training."""
        return all(board.single for board in self.boards.values())

    def told_threshold(self, threshold: str) -> str:
        """A threshold's name with its value, trained at or not."""
        if threshold in self.boards:
            return self.boards[threshold].told_threshold
        return f"Threshold “{threshold}” (tissue fraction {self.evidence.threshold_value(threshold):.3g})"

    def named(self, algorithm: str) -> str:
        """The name of an algorithm to print."""
        return self.terms.named(algorithm)

    def dots(self, boards: Sequence[Scoreboard], name: str) -> Markup:
        """A picture of scoreboards as a data URI; `name` tells it from the report's others."""
        present = {method.algorithm for board in boards for method in board.methods}
        order = sorted(present, key=self.terms.place)
        with dot_plot(boards, {each: self.named(each) for each in order}) as figure:
            return svg_uri(svg(figure, name))


def gather(context: Context, settings: ReportSettings) -> Sources:
    """Read a cohort's outputs, and make the scoreboards of its runs, their other seeds, and its study.

    Raises:
        ArtifactError: a stage's output is missing, no training has been evaluated, or runs were not tested
            on the same patches.
        ConfigError: the cohort is an imported benchmark.
    """
    evidence = load_evidence(context, settings)
    names = seed_runs(context, [run.name for run in evidence.runs])
    main = settings.subject((run.algorithm, run.threshold) for run in evidence.runs)
    seeds, unread = sound_runs(context, names, main)
    tested = trained_alike([*evidence.runs, *seeds])
    study = find_tested(context, ["study"]) if present_study(context) else ()
    terms = terms_of(context, [*tested, *study], settings, references=settings.references)
    # A split without test patients leaves nothing to put on a board.
    with_patches = [one for one in tested if len(one.patches)]
    boards = {board.threshold: board for board in scoreboards_of(with_patches, terms)}
    return Sources(
        evidence=evidence,
        boards={name: boards[name] for name in evidence.thresholds if name in boards},
        unread=(*evidence.unread, *unread),
        study=scoreboards_of(study, replace(terms, references=None)),
        terms=terms,
        settings=settings,
        ids=names_of(hash_ids=settings.hash_ids, salt=settings.hash_salt),
    )
