"""The one training loop: batch plans in, the best state by the validation split's rule out."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from models.algorithms.base import AbstractAlgorithm
from models.augment import Augmenter
from models.classifier import Classifier
from models.dataset import LabelledPatches, PatchData
from models.determinism import deterministic
from models.networks import Networks
from models.optimization import evenly_spaced, make_optimizer, precision
from models.progress import training_progress
from models.resume import Tensors, TrainingState, load_state, prefixed, save_state, without_prefix
from models.selection import Judge, Score
from models.stepping import Stepper, mean_figures
from models.train_settings import TrainSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What came out of a training; the classifier holds the weights of `best_step`.

    Attributes:
        history: one row per validation: step, samples_seen, epoch (samples seen / training patches), means
            since the last row of train_loss (may be negative for GERNE), learning_rate, gradient_norm,
            clip_rate and gradient diagnostics, and `Judge.figures`.
        best_step: the step whose weights were kept.
        score: its score.
    """

    history: tuple[dict[str, float], ...]
    best_step: int
    score: Score

    @property
    def best(self) -> dict[str, float]:
        """The row of `best_step`."""
        return next(row for row in self.history if row["step"] == self.best_step)


class Trainer:
    """A training of one classifier by one algorithm with one seed.

    Args:
        classifier: initialized; trained in place.
        algorithm: bound to `train`.
        train: the training split without its attributes, in the order of the algorithm's samples.
        judge: of the validation split.
        settings: of the training.
        seed: of batches, augmentation and dropout. On a CPU the same seed gives the same weights.
        companions: initialized; one of every name in `algorithm.companions`.
        oracle: a judge of test patches, for columns `oracle_*` of the history that nothing is chosen by.
    """

    def __init__(
        self,
        classifier: Classifier,
        algorithm: AbstractAlgorithm[Any, Any],
        train: LabelledPatches,
        judge: Judge,
        settings: TrainSettings,
        seed: int,
        *,
        companions: Mapping[str, Classifier] | None = None,
        oracle: Judge | None = None,
    ) -> None:
        self.classifier, self.algorithm, self.settings, self.seed = classifier, algorithm, settings, seed
        self.data, self.judge, self.oracle = train, judge, oracle
        self.companions = dict(companions or {})
        self.accelerator = Accelerator(cpu=settings.device == "cpu", mixed_precision=precision(settings))
        optimizer = make_optimizer([classifier, *self.companions.values()], settings)
        main, *others, self.optimizer = self.accelerator.prepare(
            classifier, *self.companions.values(), optimizer
        )
        self.networks = Networks(
            main, classifier, dict(zip(self.companions, others, strict=True)), settings.batch_norm
        )
        self.steps = math.ceil(settings.epochs * len(train) / algorithm.samples_per_step)
        self.validation_steps = evenly_spaced(
            self.steps, math.ceil(settings.epochs / settings.validate_every)
        )
        self.step = Stepper(
            networks=self.networks,
            algorithm=algorithm,
            data=train,
            augmenter=Augmenter(settings.augmentation, classifier.normalization.raw_std_C),
            accelerator=self.accelerator,
            optimizer=self.optimizer,
            settings=settings,
            seed=seed,
            steps=self.steps,
        )

    def run(
        self,
        *,
        state_path: Path | None = None,
        fingerprint: str = "",
        title: str = "train",
        quiet: bool = False,
    ) -> TrainResult:
        """Train for the whole budget and keep the best state.

        Args:
            state_path: where the state is saved at every validation; taken up if it is of this training.
            fingerprint: tells this training from every other.
            title: of the progress bar.
            quiet: no progress bar.

        Raises:
            DivergenceError: names the step and its patches; the last saved state is kept.
            CheckpointError: the saved state is damaged.
        """
        state = self._start(state_path, fingerprint)
        with deterministic(self.accelerator.device), training_progress(quiet=quiet) as progress:
            bar = progress.add_task(title, total=self.steps, completed=state.step, figures="")
            plans = self.algorithm.batches(np.random.default_rng(self.seed))
            window: list[dict[str, float]] = []
            samples_seen = state.history[-1]["samples_seen"] if state.history else 0
            # Batches have memory (the pass of every group), so that resuming replays them.
            for plan in islice(plans, state.step, self.steps):
                window.append(self.step(plan, state.step))
                state.step += 1
                self._move_average(state)
                samples_seen += len(plan)
                progress.update(bar, completed=state.step)
                if state.step in self.validation_steps:
                    row = self._validate(state, samples_seen, mean_figures(window))
                    progress.update(bar, figures=self.judge.short(row))
                    window = []
                    if state_path:
                        save_state(state_path, state)
        # Autocast belongs to training: whoever predicts later does so in float32.
        self.accelerator.unwrap_model(self.networks.main, keep_fp32_wrapper=False)
        self.classifier.load_state_dict(state.best)
        return TrainResult(tuple(state.history), state.best_step, self._score(state, state.best_step))

    def _start(self, state_path: Path | None, fingerprint: str) -> TrainingState:
        found = load_state(state_path, fingerprint, self.optimizer) if state_path else None
        if found is None:
            weights = _copy(self.classifier.state_dict())
            average = _copy(weights) if self.settings.weight_average else {}
            return TrainingState(
                fingerprint=fingerprint, step=0, history=[], best_step=0,
                model=weights, average=average, best={}, companions={}, method={},
                optimizer=self.optimizer.state_dict(),
            )  # fmt: skip
        logger.info("going on at step %d of %d", found.step, self.steps)
        self.classifier.load_state_dict(found.model)
        for name, companion in self.companions.items():
            companion.load_state_dict(without_prefix(found.companions, name))
        self.algorithm.state.update(found.method)
        self.optimizer.load_state_dict(found.optimizer)
        device = self.accelerator.device
        found.average = {key: value.to(device) for key, value in found.average.items()}
        return found

    def _move_average(self, state: TrainingState) -> None:
        if self.settings.weight_average is None:
            return
        # Ramped up, or the random initial weights would weigh in for long.
        decay = min(self.settings.weight_average, (1 + state.step) / (10 + state.step))
        for key, value in self.classifier.state_dict().items():
            own = state.average[key]
            if value.is_floating_point():
                own.lerp_(value.to(own.device), 1 - decay)
            else:
                own.copy_(value)

    def _validate(
        self, state: TrainingState, samples_seen: float, means: dict[str, float]
    ) -> dict[str, float]:
        state.model = _copy(self.classifier.state_dict())
        state.companions = _copy(
            {
                key: value
                for name, companion in self.companions.items()
                for key, value in prefixed(companion.state_dict(), name).items()
            }
        )
        state.method = _copy(self.algorithm.state)
        state.optimizer = self.optimizer.state_dict()
        judged = state.average or state.model
        self.classifier.load_state_dict(judged)
        epoch = round(samples_seen / len(self.data), 4)
        position = {"step": state.step, "samples_seen": samples_seen, "epoch": epoch}
        with self.accelerator.autocast():
            row = {**position, **means, **self.judge.figures(self._logits(self.judge.patches))}
            if self.oracle:
                found = self.oracle.figures(self._logits(self.oracle.patches))
                row |= {f"oracle_{key}": found[f"validation_{key}"] for key in ("wga", "gba", "average")}
        state.history.append(row)
        if not state.best or self._score(state, state.step) > self._score(state, state.best_step):
            state.best, state.best_step = _copy(judged), state.step
        self.classifier.load_state_dict(state.model)
        return row

    def _logits(self, patches: LabelledPatches | PatchData) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self.classifier.predict_logits(patches.images.chunks(256))

    def _score(self, state: TrainingState, step: int) -> Score:
        return self.judge.score([row for row in state.history if row["step"] <= step])


def _copy(tensors: Tensors) -> Tensors:
    return {key: value.detach().clone() for key, value in tensors.items()}
