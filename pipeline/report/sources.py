"""What the panels of the report are made from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from markupsafe import Markup
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from pipeline.config import Context, Settings
from pipeline.look.plots import svg, svg_uri
from pipeline.report.evidence import Evidence, load_evidence
from pipeline.report.guidelines.statements import Statements
from pipeline.report.names import Names, names_of
from pipeline.results.audit.findings import audited
from pipeline.results.audit.gathering import present_statistics
from pipeline.results.audit.record import Audit
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.predictions import find_tested
from pipeline.results.runs import present_study, seed_runs
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.seeds import trained_alike
from pipeline.results.terms import JudgingSettings, Terms, terms_of
from pipeline.results.tested import Tested
from pipeline.tables.dots import dot_plot


class Question(StrEnum):
    """What a reader of the report asks, in the order of its parts."""

    TRUST = "When can I trust it?"
    FAIL = "Where does it fail?"
    WHY = "Why?"
    COMPARED = "What was it compared with?"
    MADE = "How was it made?"


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
class Subject:
    """The one model that the report is about (JudgingSettings.subject), among all that were compared.

    Attributes:
        board: of its threshold.
        method: its figures, decided as its own card says; all of its seeds pooled.
        run: the training that single patches are shown of; its patches are decided as the card says, too.
    """

    board: Scoreboard
    method: Method
    run: Tested


@dataclass(frozen=True)
class Sources:
    """What every panel gets.

    Attributes:
        boards: figures of the test split by threshold, low before high; all seeds of a run pooled. None where
            the split has no test patients.
        study: of a repeated cross-validation; empty where there is none of the present patches.
        ids: what slides, patients and patches are called: templates print no id but through it.
    """

    evidence: Evidence
    boards: Mapping[str, Scoreboard]
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
        return Subject(board, method, next(run for run in method.pool.runs if run.seed == plain.seed))

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


@dataclass(frozen=True)
class Panel:
    """A part of the report: `templates/<name>.html` rendered with `sources`, and its own `values` if any.

    Attributes:
        question: the reader's, that it helps to answer.
        appendix: whether it is detail, which the printed report leaves out unless it is asked for.
        tested: whether it is about test patients, and left out where there are none; False: it is there only
            then; None: it is always there.
        scripts: files among the templates that it runs; sort.js is there already.
        files: what lies beside the report in the folder of the panel's name, if anything: names in it, which
            may hold `/`, and contents. Links to them are `<name>/...`.
        present: whether there is anything to show; without it there always is.
    """

    name: str
    title: str
    question: Question
    values: Callable[[Sources], Mapping[str, Any]] | None = None
    tested: bool | None = None
    appendix: bool = False
    scripts: tuple[str, ...] = ()
    files: Callable[[Sources], Iterator[tuple[str, bytes]]] | None = None
    present: Callable[[Sources], bool] | None = None


def gather(context: Context, settings: ReportSettings) -> Sources:
    """Read a cohort's outputs, and make the scoreboards of its runs, their other seeds, and its study.

    Raises:
        ArtifactError: a stage's output is missing, no training has been evaluated, or runs were not tested
            on the same patches.
        ConfigError: the cohort is an imported benchmark.
    """
    evidence = load_evidence(context, tuple(settings.names))
    seeds = seed_runs(context, [run.name for run in evidence.runs])
    tested = trained_alike([*evidence.runs, *(find_tested(context, seeds) if seeds else ())])
    study = find_tested(context, ["study"]) if present_study(context) else ()
    terms = terms_of(context, [*tested, *study], settings, references=settings.references)
    # A split without test patients leaves nothing to put on a board.
    with_patches = [one for one in tested if len(one.patches)]
    boards = {board.threshold: board for board in scoreboards_of(with_patches, terms)}
    return Sources(
        evidence=evidence,
        boards={name: boards[name] for name in evidence.thresholds if name in boards},
        study=scoreboards_of(study, replace(terms, references=None)),
        terms=terms,
        settings=settings,
        ids=names_of(hash_ids=settings.hash_ids, salt=settings.hash_salt),
    )
