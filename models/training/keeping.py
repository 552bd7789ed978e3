"""The best state of a training by the rule of a judge: what is kept, and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from models.metrics.selection import Judge, Score
from models.training.resume import Tensors, copied
from patching.errors import ConfigError


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


class Keeps(Protocol):
    """Holds validations and the best state so far."""

    history: list[dict[str, float]]
    best_step: int
    best: Tensors


@dataclass
class Kept:
    """The same for a judge beside the one that the training is saved with."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best: Tensors = field(default_factory=dict)


def keep(kept: Keeps, judge: Judge, row: Mapping[str, float], weights: Tensors) -> None:
    """Note a validation, and copy its weights if the judge prefers it to the best so far."""
    kept.history.append(dict(row))
    if not kept.best or judge.prefers(kept.history, kept.best_step):
        kept.best, kept.best_step = copied(weights), int(row["step"])


def outcome(kept: Keeps, judge: Judge) -> TrainResult:
    """The result of a finished training."""
    until = [row for row in kept.history if row["step"] <= kept.best_step]
    return TrainResult(tuple(kept.history), kept.best_step, judge.score(until))


def check_in_memory(state_path: Path | None, beside: Mapping[str, Judge]) -> None:
    """Check that no best state would be lost with an interruption.

    Raises:
        ConfigError: a state to save, and judges beside the one that it is saved with.
    """
    if state_path is not None and beside:
        raise ConfigError(
            has=f"a training with {len(beside) + 1} judges, and {state_path} to save its state in",
            needs="one judge, for the best states of the others are in memory alone",
            do="leave the working folder out, or train for one set of attributes at a time",
        )
