"""One step of a training: read, augment, minimize."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from models.algorithms.base import AbstractAlgorithm
from models.augment import Augmenter
from models.classifier import to_tensor
from models.dataset import LabelledPatches
from models.determinism import seed_of_step
from models.gradients import gradient_figures
from models.networks import Networks
from models.optimization import learning_rate
from models.plans import Batch, BatchPlan
from models.train_settings import TrainSettings
from patching.errors import DivergenceError


@dataclass(frozen=True)
class Stepper:
    """Does one step after the other; all random numbers come from the seed and the step's number."""

    networks: Networks
    algorithm: AbstractAlgorithm[Any, Any]
    data: LabelledPatches
    augmenter: Augmenter
    accelerator: Accelerator
    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    seed: int
    steps: int

    def __call__(self, plan: BatchPlan, step: int) -> dict[str, float]:
        """Take step 0..steps-1.

        Returns:
            train_loss, learning_rate, gradient_norm, clip_rate, and the diagnosis where asked for.

        Raises:
            DivergenceError: names the step and its patches.
        """
        step_seed = seed_of_step(self.seed, step)
        batch = self._batch(plan, step_seed)
        figures = {"learning_rate": self._set_learning_rate(step)}
        if self.settings.log_gradients and step % self.settings.log_gradients_every == 0:
            torch.manual_seed(step_seed)
            figures |= gradient_figures(self.networks, self.algorithm, batch)
        self.networks.train_mode()
        parameters = self.networks.parameters()

        def objective() -> torch.Tensor:
            torch.manual_seed(step_seed)
            return self.algorithm.objective(self.networks, self.algorithm.prepared(batch))

        figures["train_loss"] = self.algorithm.descend(objective, parameters, self.accelerator.backward)
        figures |= self._clip(parameters)
        self._check_finite(figures, plan, step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return figures

    def _batch(self, plan: BatchPlan, step_seed: int) -> Batch:
        device = self.accelerator.device
        images_NHWC = self.augmenter(self.data.images.read(plan.indices_N), step_seed)
        return Batch(
            images_BCHW=to_tensor(images_NHWC, device),
            label_B=torch.from_numpy(self.data.label_N[plan.indices_N]).to(device),
            plan=plan,
            label_smoothing=self.settings.label_smoothing,
            mixing_seed=step_seed,
        )

    def _set_learning_rate(self, step: int) -> float:
        rate = learning_rate(step, self.steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

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


def mean_figures(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every figure over the steps that have it."""
    keys = dict.fromkeys(key for figures in window for key in figures)
    return {key: float(np.mean([figures[key] for figures in window if key in figures])) for key in keys}
