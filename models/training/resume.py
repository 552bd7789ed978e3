"""The state of a training that was interrupted: one safetensors file, written whole or not at all."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from patching.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


@dataclass
class TrainingState:
    """All that a training needs to go on as if nothing had happened.

    Random numbers need no place here: batches are replayed from the seed, and augmentation and dropout
    are seeded by the step's number.
    """

    fingerprint: str
    """Of settings, algorithm, data and seed: a state of another training is not taken up."""
    step: int
    """Steps done."""
    samples_seen: int
    """In these steps."""
    window: list[dict[str, float]]
    """Figures of the steps since the last validation."""
    history: list[dict[str, float]]
    best_step: int
    model: Tensors
    average: Tensors
    """Moving average of the weights; empty where there is none."""
    best: Tensors
    companions: Tensors
    """Weights of the networks trained beside it, keys prefixed by their names."""
    method: Tensors
    """What the method itself remembers from step to step (Group DRO's q)."""
    optimizer: dict[str, Any]
    """The optimizer's state_dict."""

    def capture(
        self,
        model: nn.Module,
        companions: Mapping[str, nn.Module],
        method: Tensors,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Copy what a step changes outside the state."""
        self.model, self.method = copied(model.state_dict()), copied(method)
        self.companions = {
            f"{name}/{key}": value
            for name, companion in companions.items()
            for key, value in copied(companion.state_dict()).items()
        }
        self.optimizer = optimizer.state_dict()


NOTES = ("fingerprint", "step", "samples_seen", "window", "history", "best_step")
PARTS = ("model", "average", "best", "companions", "method")


class StateFile:
    """Where a training's state is kept.

    Args:
        path: of the file.
        minutes: after which it is due to be saved again.
        writes: whether this process is the one that writes; all read.
    """

    def __init__(self, path: Path, minutes: float, *, writes: bool) -> None:
        self._path, self._seconds, self._writes = path, 60 * minutes, writes
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether too much would be lost by now."""
        return self._writes and time.monotonic() - self._saved_at > self._seconds

    def save(self, state: TrainingState) -> None:
        """Write the state beside the file, then rename; if this process is the one."""
        if not self._writes:
            return
        tensors = {f"{part}/{key}": value for part in PARTS for key, value in getattr(state, part).items()}
        for index, entries in state.optimizer["state"].items():
            tensors |= {
                f"optimizer/{index}/{k}": v for k, v in entries.items() if isinstance(v, torch.Tensor)
            }
        notes = {name: getattr(state, name) for name in NOTES}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part_path = self._path.with_name(f".{self._path.name}.part")
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
            part_path,
            metadata={"notes": json.dumps(notes)},
        )
        part_path.replace(self._path)
        self._saved_at = time.monotonic()

    def load(self, fingerprint: str, optimizer: torch.optim.Optimizer) -> TrainingState | None:
        """Read a state; none if there is no file, or it is of another training.

        Args:
            fingerprint: of the training that wants to go on.
            optimizer: freshly made; gives what the file does not hold, its parameter groups.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                notes = json.loads(file.metadata()["notes"])
                tensors: Tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                has=f"{self._path}: {error}",
                needs="the state of a training",
                do="delete the file and start over",
            ) from error
        if notes["fingerprint"] != fingerprint:
            return None
        state: dict[int, Tensors] = {}
        for key, value in without_prefix(tensors, "optimizer").items():
            index, name = key.split("/", 1)
            state.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        parts: dict[str, Any] = {part: without_prefix(tensors, part) for part in PARTS}
        return TrainingState(**notes, **parts, optimizer={"state": state, "param_groups": groups})


def copied(tensors: Tensors) -> Tensors:
    """The same values in memory of their own."""
    return {key: value.detach().clone() for key, value in tensors.items()}


def without_prefix(tensors: Tensors, name: str) -> Tensors:
    """The tensors under `name/`, by the rest of their keys."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
