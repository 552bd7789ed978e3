"""Optimizer, schedules and precision of a training."""

import math
from collections.abc import Sequence

import torch

from models.networks.classifier import Classifier, choose_device
from models.training.settings import TrainSettings


def precision(settings: TrainSettings) -> str:
    """accelerate's mixed_precision: `auto` means bf16 on a GPU that has it, else none."""
    if settings.mixed_precision != "auto":
        return settings.mixed_precision.replace("fp32", "no")
    on_gpu = choose_device(settings.device).type == "cuda" and torch.cuda.is_bf16_supported()
    return "bf16" if on_gpu else "no"


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Learning rate of step 0..steps-1: linear warm-up, then constant or a half cosine towards 0."""
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def make_optimizer(classifiers: Sequence[Classifier], settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer named by the settings, over all trainable parameters of all classifiers."""
    parameters = [p for each in classifiers for p in each.parameters() if p.requires_grad]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def move_average(
    average: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], step: int, decay: float
) -> None:
    """Move an average of weights towards those after `step` steps."""
    # Ramped up, or the random initial weights would weigh in for long.
    ramped = min(decay, (1 + step) / (10 + step))
    for key, value in weights.items():
        own = average[key]
        if value.is_floating_point():
            own.lerp_(value.to(own.device), 1 - ramped)
        else:
            own.copy_(value)


def evenly_spaced(steps: int, validations: int) -> frozenset[int]:
    """Steps after which to validate: `validations` of them as far as there are steps, the last included."""
    return frozenset(math.ceil(steps * i / validations) for i in range(1, validations + 1))
