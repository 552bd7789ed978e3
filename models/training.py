"""The one training loop: batch plans in, the best state by the validation split's rule out."""

import logging
import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.algorithms.base import AbstractAlgorithm, BatchPlan
from models.augment import Augmenter
from models.batchnorm import forward_parts, train_mode
from models.classifier import Classifier, to_tensor
from models.dataset import PatchData
from models.determinism import deterministic, seed_of_step
from models.gradients import gradient_figures
from models.optimization import evenly_spaced, learning_rate, make_optimizer, precision
from models.resume import Tensors, TrainingState, load_state, save_state
from models.selection import Judge, Score
from models.train_settings import TrainSettings
from patching.errors import DivergenceError

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
        algorithm: bound to the groups of `train`.
        train: the training split, in the order of the algorithm's groups.
        validation: the validation split.
        settings: of the training.
        seed: of batches, augmentation and dropout. On a CPU the same seed gives the same weights.
    """

    def __init__(
        self,
        classifier: Classifier,
        algorithm: AbstractAlgorithm[Any],
        train: PatchData,
        validation: PatchData,
        settings: TrainSettings,
        seed: int,
    ) -> None:
        self.classifier, self.algorithm, self.settings, self.seed = classifier, algorithm, settings, seed
        self.data, self.validation = train, validation
        self.judge = Judge(
            validation,
            algorithm.groups.layout,
            settings.selection,
            settings.minimum_validation_patches,
            settings.selection_smoothing,
        )
        self.augmenter = Augmenter(settings.augmentation, classifier.normalization.raw_std_C)
        self.accelerator = Accelerator(cpu=settings.device == "cpu", mixed_precision=precision(settings))
        optimizer = make_optimizer(classifier, settings)
        self.model, self.optimizer = self.accelerator.prepare(classifier, optimizer)
        self.steps = math.ceil(settings.epochs * len(train) / algorithm.samples_per_step)
        self.validation_steps = evenly_spaced(
            self.steps, math.ceil(settings.epochs / settings.validate_every)
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
        with deterministic(self.accelerator.device), _progress(quiet) as progress:
            bar = progress.add_task(title, total=self.steps, completed=state.step, figures="")
            plans = self.algorithm.batches(np.random.default_rng(self.seed))
            window: list[dict[str, float]] = []
            samples_seen = state.history[-1]["samples_seen"] if state.history else 0
            # Batches have memory (the pass of every group), so that resuming replays them.
            for plan in islice(plans, state.step, self.steps):
                window.append(self._step(plan, state))
                samples_seen += len(plan.indices_N)
                progress.update(bar, completed=state.step)
                if state.step in self.validation_steps:
                    row = self._validate(state, samples_seen, _means(window))
                    progress.update(bar, figures=_short(row))
                    window = []
                    if state_path:
                        save_state(state_path, state)
        # Autocast belongs to training: whoever predicts later does so in float32.
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.classifier.load_state_dict(state.best)
        return TrainResult(tuple(state.history), state.best_step, self._score(state, state.best_step))

    def _start(self, state_path: Path | None, fingerprint: str) -> TrainingState:
        found = load_state(state_path, fingerprint, self.optimizer) if state_path else None
        if found is None:
            weights = _copy(self.classifier.state_dict())
            average = _copy(weights) if self.settings.weight_average else {}
            return TrainingState(fingerprint, 0, [], 0, weights, average, {}, self.optimizer.state_dict())
        logger.info("going on at step %d of %d", found.step, self.steps)
        self.classifier.load_state_dict(found.model)
        self.optimizer.load_state_dict(found.optimizer)
        device = self.accelerator.device
        found.average = {key: value.to(device) for key, value in found.average.items()}
        return found

    def _step(self, plan: BatchPlan, state: TrainingState) -> dict[str, float]:
        step_seed = seed_of_step(self.seed, state.step)
        torch.manual_seed(step_seed)
        images_NHWC = self.augmenter(self.data.images.read(plan.indices_N), step_seed)
        images_BCHW = to_tensor(images_NHWC, self.accelerator.device)
        labels_B = torch.from_numpy(self.data.label_N[plan.indices_N])
        train_mode(self.model, self.settings.batch_norm)
        rate = self._set_learning_rate(state.step)

        def losses(images_BCHW: torch.Tensor, rows_B: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(
                self.model(images_BCHW).float(),
                labels_B[rows_B].to(images_BCHW.device),
                reduction="none",
                label_smoothing=self.settings.label_smoothing,
            )

        parts = forward_parts(self.model, losses, images_BCHW, plan, self.settings.batch_norm)
        loss = torch.stack([self.algorithm.loss(*part) for part in parts]).sum()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        figures = {"train_loss": loss.item(), "learning_rate": rate}
        if self.settings.log_gradients and state.step % self.settings.log_gradients_every == 0:
            figures |= gradient_figures(parts, self.algorithm, parameters)
        self.accelerator.backward(loss)
        figures |= self._clip(parameters)
        self._check_finite(figures, plan, state.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        self._move_average(state)
        return figures

    def _clip(self, parameters: list[torch.nn.Parameter]) -> dict[str, float]:
        limit = self.settings.clip_norm
        norm = float(self.accelerator.clip_grad_norm_(parameters, limit or math.inf))
        return {"gradient_norm": norm, "clip_rate": float(limit is not None and norm > limit)}

    def _check_finite(self, figures: dict[str, float], plan: BatchPlan, step: int) -> None:
        loss, norm = figures["train_loss"], figures["gradient_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergenceError(
                has=f"loss {loss} and gradient norm {norm} at step {step + 1} of {self.steps}, "
                f"on the training patches {plan.indices_N.tolist()}",
                needs="finite numbers",
                do="lower learning_rate, set clip_norm, or lower beta (the last validated state is kept)",
            )

    def _set_learning_rate(self, step: int) -> float:
        rate = learning_rate(step, self.steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

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
        state.optimizer = self.optimizer.state_dict()
        judged = state.average or state.model
        self.classifier.load_state_dict(judged)
        with self.accelerator.autocast():
            logits_NK = self.classifier.predict_logits(self.validation.images.chunks(256))
        epoch = round(samples_seen / len(self.data), 4)
        position = {"step": state.step, "samples_seen": samples_seen, "epoch": epoch}
        row = {**position, **means, **self.judge.figures(logits_NK)}
        state.history.append(row)
        if not state.best or self._score(state, state.step) > self._score(state, state.best_step):
            state.best, state.best_step = _copy(judged), state.step
        self.classifier.load_state_dict(state.model)
        return row

    def _score(self, state: TrainingState, step: int) -> Score:
        return self.judge.score([row for row in state.history if row["step"] <= step])


def _means(window: list[dict[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for figures in window for key in figures)
    return {key: float(np.mean([figures[key] for figures in window if key in figures])) for key in keys}


def _short(row: dict[str, float]) -> str:
    return f"validation WGA {row['validation_wga']:.3f}  GBA {row['validation_gba']:.3f}"


def _copy(tensors: Tensors) -> Tensors:
    return {key: value.detach().clone() for key, value in tensors.items()}


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    figures = TextColumn("{task.fields[figures]}")
    return Progress(*columns, figures, console=Console(stderr=True), disable=quiet)
