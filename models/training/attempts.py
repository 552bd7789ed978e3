"""Every candidate of a method on equal terms: what each reached, and the best by validation."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Composition, composition
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.groups import TrainGroups
from models.metrics.selection import LAST, Choice, Score, resolved_rule
from models.networks.classifier import Classifier
from models.training.first_models import FirstModels, second_settings
from models.training.keeping import TrainResult
from models.training.making import algorithm_type, candidates, first_stage, make_algorithm, view_of
from models.training.processes import check_divisible
from models.training.setup import Setup, backbone_of
from patching.errors import AlgorithmError, DivergenceError, EmptyGroupError

logger = logging.getLogger(__name__)

Announce = Callable[[Mapping[str, Any], Composition], None]


Failure = AlgorithmError | EmptyGroupError | DivergenceError
"""What may come of a candidate in place of a classifier."""


@dataclass(frozen=True)
class Trial:
    """One candidate: what it changed, and what it reached on validation.

    Attributes:
        override: settings laid over the algorithm's.
        score: what the selection compares; none if it diverged or could not run.
        figures: the validation row of its kept step; empty if it failed, or was trained in inner folds alone.
        history: of its training; empty likewise.
        failure: why it failed, or empty.
        out_of_fold: figures of the training patches, each scored by the inner training that did not see its
            patient; empty without cross-validation.
    """

    override: Mapping[str, Any]
    score: Score | None
    figures: Mapping[str, float]
    history: tuple[dict[str, float], ...]
    failure: str = ""
    out_of_fold: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FitResult:
    """The chosen classifier and how it was found.

    Attributes:
        classifier: with the weights of the best step of the chosen candidate.
        backbone: name of its network, and of the settings it is built with.
        algorithm_settings: of the chosen candidate, complete.
        history: of the chosen candidate, one row per validation (`TrainResult.history`).
        composition: of the chosen candidate, by the true groups.
        trials: every candidate that was tried, in the order of the settings.
        chosen: its position in `trials`.
        oracle: the best test figures that any state of any candidate reached, each by itself: what a
            selection that looks at the test split would report. Empty unless asked for; chosen by nothing.
        choice: what chose the state and the candidate, and why it.
    """

    classifier: Classifier
    backbone: tuple[str, dict[str, Any]]
    algorithm_settings: Mapping[str, Any]
    history: tuple[dict[str, float], ...]
    composition: Composition
    trials: tuple[Trial, ...]
    chosen: int
    oracle: Mapping[str, float]
    choice: Choice


@dataclass
class _Tried:
    """What the candidates reached by one set of attributes, in the order of the settings."""

    trials: list[Trial] = field(default_factory=list)
    best: tuple[int, Score, Classifier, AbstractAlgorithm[Any, Any]] | None = None
    failures: list[Failure] = field(default_factory=list)

    def note(
        self,
        override: Mapping[str, Any],
        result: TrainResult,
        classifier: Classifier,
        method: AbstractAlgorithm[Any, Any],
    ) -> None:
        if self.best is None or result.score > self.best[1]:
            self.best = len(self.trials), result.score, classifier, method
        self.trials.append(Trial(override, result.score, result.best, result.history))

    def result(self, setup: Setup) -> FitResult:
        if self.best is None:
            raise no_candidate(self.failures)
        chosen, _, classifier, method = self.best
        rows = [row for trial in self.trials for row in trial.history]
        oracle = {key: max(row[key] for row in rows) for key in rows[0] if key.startswith("oracle_")}
        return FitResult(
            classifier=classifier,
            backbone=backbone_of(setup.settings, method.assembly),
            algorithm_settings=method.settings.model_dump(mode="json", exclude={"candidates"}),
            history=self.trials[chosen].history,
            composition=composition(method.expectation(), _true_groups(setup)),
            trials=tuple(self.trials),
            chosen=chosen,
            oracle=oracle,
            choice=setup.choice,
        )


def no_candidate(failures: Sequence[Failure]) -> Failure:
    """Why there is no classifier; where nothing diverged, with the last candidate's own advice."""
    if not any(isinstance(error, DivergenceError) for error in failures):
        return failures[-1]
    return DivergenceError(
        has=f"{len(failures)} of {len(failures)} candidates failed; the last: {failures[-1].in_one_line}",
        needs="one training that stays finite",
        do="lower learning_rate, set clip_norm, or lower beta",
    )


def _true_groups(setup: Setup) -> TrainGroups:
    """For the table alone: a method that may not see attributes has its own view of the samples."""
    return TrainGroups(setup.layout, setup.train.label_N, setup.train.attribute_N)


class Attempts:
    """The candidates of one method, one after the other.

    Args:
        views: setups that differ in the attributes of their validation patches alone.
        name: of the method.
        settings: its YAML, `candidates` included.
        announce: called with a candidate's override and composition before it is trained.
        kept: number of the validation whose state is kept, where cross-validation found it.
    """

    def __init__(
        self,
        views: Mapping[str, Setup],
        name: str,
        settings: Mapping[str, Any],
        announce: Announce | None = None,
        kept: float = LAST,
    ) -> None:
        self.views, self.setup = views, next(iter(views.values()))
        self.name, self.settings, self.announce, self.kept = name, settings, announce, kept
        self.overrides = self._overrides()
        self.first_models = FirstModels(self.setup, name, self._beside(tuple(views)))
        self.tried = {name: _Tried() for name in views}

    def run(self) -> dict[str, FitResult]:
        """Train them all; the result by the name of every view.

        Raises:
            ConfigError, AlgorithmError, EmptyGroupError, DivergenceError: see `models.training.fit.fit`.
        """
        # What cannot work is told before anything is trained, a first model included.
        resolved_rule(self.setup.settings.selection, grouped=self.setup.settings.attributes != "nowhere")
        view_of(self.name, self.setup.known)
        check_divisible(self.name, algorithm_type(self.name), self.setup.settings)
        bound = [None if self._first(o) else self._bound(o, None) for o in self.overrides]
        for number, method in enumerate(bound):
            self._attempt(number, method)
        return {name: tried.result(self.views[name]) for name, tried in self.tried.items()}

    def _overrides(self) -> tuple[dict[str, Any], ...]:
        """The candidates; where nothing chooses, the first alone."""
        found, choice = candidates(self.settings), self.setup.choice
        if choice.by != "last":
            return found
        level = logging.WARNING if self.setup.settings.choose_by == "auto" else logging.INFO
        logger.log(level, "%s: the last step is kept (%s)", self.name, choice.why)
        if len(found) > 1:
            logger.warning("%s: the first of %d candidates is taken: %s", self.name, len(found), found[0])
        return found[:1]

    def _beside(self, names: Sequence[str]) -> dict[str, Setup]:
        return {name: self.views[name] for name in names[1:]}

    def _first(self, override: Mapping[str, Any]) -> FirstStage | None:
        return first_stage(self.name, {**self.settings, **override})

    def _bound(self, override: Mapping[str, Any], first: FirstModel | None) -> AbstractAlgorithm[Any, Any]:
        return make_algorithm(self.name, {**self.settings, **override}, self.setup.known, first)

    def _attempt(self, number: int, bound: AbstractAlgorithm[Any, Any] | None) -> None:
        """Train a candidate, once for all views that share its first model."""
        names = tuple(self.views)
        with self._told(number, names):
            for first, sharing in self._first_models(number):
                with self._told(number, sharing):
                    self._train(number, bound or self._bound(self.overrides[number], first), sharing)

    def _first_models(self, number: int) -> list[tuple[FirstModel | None, list[str]]]:
        """Every first model of a candidate, with the names of the views whose attributes chose it."""
        wanted = self._first(self.overrides[number])
        if wanted is None:
            return [(None, list(self.views))]
        parts: dict[int, tuple[FirstModel | None, list[str]]] = {}
        for name in self.views:
            first = self.first_models.get(wanted, name if name in self.first_models.beside else None)
            parts.setdefault(id(first), (first, []))[1].append(name)
        return list(parts.values())

    @contextmanager
    def _told(self, number: int, names: Sequence[str]) -> Iterator[None]:
        """Around what may not work with a candidate, which then loses, with the reason."""
        try:
            yield
        except (DivergenceError, AlgorithmError, EmptyGroupError) as error:
            override, diverged = self.overrides[number], isinstance(error, DivergenceError)
            # Of several candidates, one may ask for a pseudo-group that is empty.
            if not diverged and len(self.overrides) == 1:
                raise
            what = "diverged" if diverged else "cannot run"
            logger.warning("%s %s %s: %s", self._title(number), dict(override), what, error)
            for tried in (self.tried[name] for name in names):
                tried.failures.append(error)
                tried.trials.append(Trial(override, None, {}, (), failure=error.in_one_line))

    def _title(self, number: int) -> str:
        return f"{self.name} {number + 1}/{len(self.overrides)}"

    def _train(self, number: int, method: AbstractAlgorithm[Any, Any], names: Sequence[str]) -> None:
        override, setup, title = self.overrides[number], self.views[names[0]], self._title(number)
        if self.announce:
            self.announce(override, composition(method.expectation(), _true_groups(setup)))
        wanted, settings = self._first(override), setup.settings
        trainer = setup.trainer(
            method,
            second_settings(settings, wanted) if wanted else settings,
            beside=self._beside(names),
            kept=self.kept,
        )
        result = setup.run(trainer, f"{self.name}-{number}", title)
        found = {names[0]: (trainer.classifier, result)}
        found |= {name: trainer.restored(name) for name in names[1:]}
        for name, (classifier, result) in found.items():
            figures = trainer.judge.short(result.best)
            logger.info("%s %s: step %d kept, %s", title, dict(override), result.best_step, figures)
            self.tried[name].note(override, result, classifier, method)
