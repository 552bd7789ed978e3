"""From patches to a classifier: every candidate of an algorithm on equal terms, chosen by validation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Composition, composition
from models.groups import TrainGroups
from models.metrics.selection import Score, resolved_rule
from models.networks.classifier import Classifier
from models.training.first_models import FirstModels, second_settings
from models.training.making import algorithm_type, candidates, first_stage, make_algorithm, view_of
from models.training.processes import check_divisible
from models.training.setup import Setup, backbone_of
from patching.errors import AlgorithmError, DivergenceError, EmptyGroupError

logger = logging.getLogger(__name__)

Announce = Callable[[Mapping[str, Any], Composition], None]


@dataclass(frozen=True)
class Trial:
    """One candidate: what it changed, and what it reached on validation.

    Attributes:
        override: settings laid over the algorithm's.
        score: what the selection compares; none if it diverged or could not run.
        figures: the validation row of its best step; empty if it failed.
        history: of its training; empty if it failed.
        failure: why it failed, or empty.
    """

    override: Mapping[str, Any]
    score: Score | None
    figures: Mapping[str, float]
    history: tuple[dict[str, float], ...]
    failure: str = ""


@dataclass(frozen=True)
class FitResult:
    """The chosen classifier and how it was found.

    Attributes:
        classifier: with the weights of the best step of the chosen candidate.
        backbone: name of its network, and of the settings it is built with.
        algorithm_settings: of the chosen candidate, complete.
        history: of the chosen candidate, one row per validation (`TrainResult.history`).
        composition: of the chosen candidate, by the true groups.
        trials: every candidate in the order of the settings.
        chosen: its position in `trials`.
        oracle: the best test figures that any state of any candidate reached, each by itself: what a
            selection that looks at the test split would report. Empty unless asked for; chosen by nothing.
    """

    classifier: Classifier
    backbone: tuple[str, dict[str, Any]]
    algorithm_settings: Mapping[str, Any]
    history: tuple[dict[str, float], ...]
    composition: Composition
    trials: tuple[Trial, ...]
    chosen: int
    oracle: Mapping[str, float]


def fit(
    setup: Setup,
    algorithm: str,
    algorithm_settings: Mapping[str, Any],
    announce: Announce | None = None,
) -> FitResult:
    """Train every candidate of `algorithm` with the same budget and seed; keep the best on validation.

    Args:
        setup: what is trained on, and how.
        algorithm: a key of models.algorithms.registry.ALGORITHMS.
        algorithm_settings: its YAML, `candidates` included.
        announce: called with a candidate's override and composition before it is trained.

    Raises:
        ConfigError: an unknown name or setting.
        EmptyGroupError, AlgorithmError: the algorithm cannot run on these groups, with any candidate.
        DivergenceError: every candidate failed, and not all for that reason.
    """
    resolved_rule(setup.settings.selection, grouped=setup.settings.attributes != "nowhere")
    return _Fit(setup, algorithm, algorithm_settings, announce).run()


class _Fit:
    """The candidates of one method, one after the other."""

    def __init__(
        self, setup: Setup, name: str, settings: Mapping[str, Any], announce: Announce | None
    ) -> None:
        self.setup, self.name, self.settings, self.announce = setup, name, settings, announce
        self.overrides = candidates(settings)
        self.first_models = FirstModels(setup, name)
        train = setup.train
        # For the table alone: a method that may not see attributes has its own view of the samples.
        self.true_groups = TrainGroups(setup.layout, train.label_N, train.attribute_N)
        self.best: tuple[Score, int, Classifier, AbstractAlgorithm[Any, Any]] | None = None
        self.cannot_run: list[AlgorithmError | EmptyGroupError] = []

    def run(self) -> FitResult:
        # What cannot work is told before anything is trained, a first model included.
        view_of(self.name, self.setup.known)
        check_divisible(self.name, algorithm_type(self.name), self.setup.settings)
        bound = [None if self._first(o) else self._bound(o) for o in self.overrides]
        trials = [self._attempt(number, bound[number]) for number in range(len(self.overrides))]
        if self.best is None:
            raise self._failure(trials)
        _, chosen, classifier, method = self.best
        rows = [row for trial in trials for row in trial.history]
        oracle = {key: max(row[key] for row in rows) for key in rows[0] if key.startswith("oracle_")}
        return FitResult(
            classifier=classifier,
            backbone=backbone_of(self.setup.settings, method.assembly),
            algorithm_settings=method.settings.model_dump(mode="json", exclude={"candidates"}),
            history=trials[chosen].history,
            composition=composition(method.expectation(), self.true_groups),
            trials=tuple(trials),
            chosen=chosen,
            oracle=oracle,
        )

    def _first(self, override: Mapping[str, Any]) -> Any:
        return first_stage(self.name, {**self.settings, **override})

    def _bound(self, override: Mapping[str, Any]) -> AbstractAlgorithm[Any, Any]:
        wanted = self._first(override)
        first = self.first_models.get(wanted) if wanted else None
        return make_algorithm(self.name, {**self.settings, **override}, self.setup.known, first)

    def _attempt(self, number: int, method: AbstractAlgorithm[Any, Any] | None) -> Trial:
        override = self.overrides[number]
        title = f"{self.name} {number + 1}/{len(self.overrides)}"
        try:
            return self._train(number, override, method or self._bound(override), title)
        except DivergenceError as error:
            logger.warning("%s %s diverged: %s", title, dict(override), error)
            return Trial(override, None, {}, (), failure=error.in_one_line)
        except (AlgorithmError, EmptyGroupError) as error:
            # Of several candidates, one may ask for a pseudo-group that is empty.
            if len(self.overrides) == 1:
                raise
            logger.warning("%s %s cannot run: %s", title, dict(override), error)
            self.cannot_run.append(error)
            return Trial(override, None, {}, (), failure=error.in_one_line)

    def _train(
        self, number: int, override: Mapping[str, Any], method: AbstractAlgorithm[Any, Any], title: str
    ) -> Trial:
        if self.announce:
            self.announce(override, composition(method.expectation(), self.true_groups))
        wanted, settings = self._first(override), self.setup.settings
        trainer = self.setup.trainer(method, second_settings(settings, wanted) if wanted else settings)
        result = self.setup.run(trainer, f"{self.name}-{number}", title)
        figures = trainer.judge.short(result.best)
        logger.info("%s %s: best at step %d, %s", title, dict(override), result.best_step, figures)
        if self.best is None or result.score > self.best[0]:
            self.best = result.score, number, trainer.classifier, method
        return Trial(override, result.score, result.best, result.history)

    def _failure(self, trials: Sequence[Trial]) -> DivergenceError | AlgorithmError | EmptyGroupError:
        """Why there is no classifier; where nothing diverged, with the last candidate's own advice."""
        if len(self.cannot_run) == len(trials):
            return self.cannot_run[-1]
        return DivergenceError(
            has=f"{len(trials)} of {len(trials)} candidates failed; the last: {trials[-1].failure}",
            needs="one training that stays finite",
            do="lower learning_rate, set clip_norm, or lower beta",
        )
