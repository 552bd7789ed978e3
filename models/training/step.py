"""One step of a training: minimize what was loaded for it, in one part or several; diagnose it if asked."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.determinism import seed_of_part
from models.networks.batchnorm import kept_statistics
from models.training.loading import LoadedPart, LoadedStep
from models.training.optimization import learning_rate
from models.training.processes import summed, total
from models.training.settings import TrainSettings
from patching.errors import DivergenceError


@dataclass(frozen=True)
class Stepper:
    """Does one step after the other; all random numbers come from the seed and the step's number."""

    networks: Networks
    algorithm: AbstractAlgorithm[Any, Any]
    accelerator: Accelerator
    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    steps: int

    def __call__(self, loaded: LoadedStep) -> dict[str, float]:
        """Take step 0..steps-1.

        Returns:
            train_loss, learning_rate, gradient_norm, clip_rate, and the diagnosis where asked for; of the
            whole step, and the same in every process.

        Raises:
            DivergenceError: names the step and its patches.
        """
        step = loaded.number
        figures = {"learning_rate": self._set_learning_rate(step)}
        if self.settings.log_gradients and step % self.settings.log_gradients_every == 0:
            added = partial(summed, self.accelerator)
            figures |= gradient_figures(self.networks, self.algorithm, self._seeded(loaded), added)
        self.networks.train_mode()
        parameters = self.networks.parameters()
        figures["train_loss"] = self._descend(loaded, parameters)
        figures |= self._clip(parameters)
        self._check_finite(figures, loaded)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return figures

    def _descend(self, loaded: LoadedStep, parameters: list[torch.nn.Parameter]) -> float:
        """Add up the gradients of the step's parts, here and in the other processes; the whole loss."""
        loss = 0.0
        for number, part in enumerate(loaded.parts):
            batch, seed = self._batch(loaded, part), self._seed(loaded, number)
            last = number == len(loaded.parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.networks.main):
                loss += self.algorithm.descend(self._objective(batch, seed), parameters, self._backward)
        return total(self.accelerator, loss)

    def _objective(self, batch: Batch, seed: int) -> Callable[[], torch.Tensor]:
        def objective() -> torch.Tensor:
            torch.manual_seed(seed)
            return self.algorithm.objective(self.networks, self.algorithm.prepared(batch))

        return objective

    def _backward(self, loss: torch.Tensor) -> None:
        # The processes' gradients are averaged, and their losses are to be added.
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def _seeded(self, loaded: LoadedStep) -> Iterator[Batch]:
        for number, part in enumerate(loaded.parts):
            torch.manual_seed(self._seed(loaded, number))
            yield self._batch(loaded, part)

    def _seed(self, loaded: LoadedStep, part: int) -> int:
        return seed_of_part(loaded.seed, part, self.accelerator.process_index)

    def _batch(self, loaded: LoadedStep, part: LoadedPart) -> Batch:
        device = self.accelerator.device
        return Batch(
            images_BCHW=part.images_NHWC.to(device, non_blocking=True).permute(0, 3, 1, 2),
            label_B=torch.from_numpy(part.label_N).to(device),
            plan=part.plan,
            label_smoothing=self.settings.label_smoothing,
            mixing_seed=loaded.seed,
            progress=loaded.number / self.steps,
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

    def _check_finite(self, figures: dict[str, float], loaded: LoadedStep) -> None:
        loss, norm = figures["train_loss"], figures["gradient_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergenceError(
                has=f"loss {loss} and gradient norm {norm} at step {loaded.number + 1} of {self.steps}, "
                f"on the training patches {_named(loaded.plan.indices_N)}",
                needs="finite numbers",
                do="lower learning_rate, set clip_norm, or lower beta (the last saved state is kept)",
            )


def mean_figures(window: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every figure over the steps that have it."""
    keys = dict.fromkeys(key for figures in window for key in figures)
    return {key: float(np.mean([figures[key] for figures in window if key in figures])) for key in keys}


def _named(indices_N: NDArray[np.int64], most: int = 64) -> str:
    further = f" and {len(indices_N) - most} more" if len(indices_N) > most else ""
    return f"{indices_N[:most].tolist()}{further}"


def gradient_figures(
    networks: Networks,
    algorithm: AbstractAlgorithm[Any, Any],
    batches: Iterable[Batch],
    total: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, float]:
    """Norm of every role's gradient, and the cosine between the first and the last role's.

    For GERNE these are |g_b|, |g_lb| and cos(g_b, g_lb) of one batch. Costs a forward pass, and one
    backward pass per role; leaves no trace in BatchNorm.

    Args:
        networks: of the training.
        algorithm: whose roles are meant.
        batches: the parts of the step that this process has.
        total: sums over processes.
    """
    networks.train_mode()
    # Not the one wrapped for several processes: these gradients are no step's.
    alone = replace(networks, main=networks.classifier)
    gradients_RP = total(
        torch.stack([_role_gradients(alone, algorithm, batch) for batch in batches]).sum(dim=0)
    )
    figures = {
        f"gradient_norm_{role}": float(gradient_P.norm())
        for role, gradient_P in zip(algorithm.roles, gradients_RP, strict=True)
    }
    if len(gradients_RP) > 1:
        cosine = torch.nn.functional.cosine_similarity(gradients_RP[0], gradients_RP[-1], dim=0)
        figures["gradient_cosine"] = float(cosine)
    return figures


def _role_gradients(networks: Networks, algorithm: AbstractAlgorithm[Any, Any], batch: Batch) -> torch.Tensor:
    """Gradient of every role's loss in one part of the step, [R, P]."""
    parameters = [p for p in networks.classifier.parameters() if p.requires_grad]
    with kept_statistics(networks.main):
        forwarded = networks.forward(algorithm.prepared(batch))
    losses = [(algorithm.sample_losses(logits_BK, part), part) for logits_BK, part in forwarded]
    return torch.stack([_gradient(losses, role, parameters) for role in range(len(algorithm.roles))])


def _gradient(
    losses: list[tuple[torch.Tensor, Batch]], role: int, parameters: list[torch.nn.Parameter]
) -> torch.Tensor:
    gradient_P = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    for losses_N, part in losses:
        weights_N = torch.as_tensor(part.plan.weights_RN[role], dtype=torch.float32, device=losses_N.device)
        if weights_N.any():
            loss = (weights_N * losses_N.float()).sum()
            own = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
            gradient_P += torch.cat([g.flatten() for g in own])
    return gradient_P
