"""The network of a run: raw patches in, its own probabilities out, on processors or a GPU."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.card import DecisionCard
from models.networks.classifier import averaged, batch_on, softmax, to_tensor
from models.networks.decision import verdicts
from patching.errors import ConfigError, MemoryShortageError

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From raw pixels [B, C, H, W], float32, to logits [B, K]."""
_SAMPLED = 16
"""Of so many batches one is computed exactly too, where the network is not exact."""


@dataclass(frozen=True)
class Compared:
    """How far probabilities are from those in float32, as far as both were computed."""

    what: str
    """The network, in words."""
    patches: int = 0
    """Those that were compared."""
    flips: int = 0
    """Those of them whose class is another."""
    largest: float = 0.0
    """Difference of two probabilities of tumor, as the decision tells them."""

    def __add__(self, other: "Compared") -> "Compared":
        """Of both."""
        largest = max(self.largest, other.largest)
        return Compared(self.what, self.patches + other.patches, self.flips + other.flips, largest)


class Difference:
    """Compares a network with the exact one now and then; threads may tell it at the same time.

    Args:
        what: the network, in words.
        decision: of the model's card.
        allowed: more is an error.
    """

    def __init__(self, what: str, decision: DecisionCard, allowed: float = 1.0) -> None:
        self.found = Compared(what)
        self._decision, self._allowed = decision, allowed
        self._lock = threading.Lock()
        self._batches = 0

    def due(self) -> bool:
        """Whether the next batch is to be compared."""
        with self._lock:
            self._batches += 1
            return self._batches % _SAMPLED == 1

    def add(
        self,
        exact_BK: NDArray[np.float32],
        found_BK: NDArray[np.float32],
        tissue_fraction_B: NDArray[np.float64],
    ) -> None:
        """Compare what the decision makes of the probabilities of a batch.

        Raises:
            ConfigError: they differ by more than is allowed.
        """
        exact_B, exact_class_B = verdicts(self._decision, exact_BK, tissue_fraction_B)
        found_B, found_class_B = verdicts(self._decision, found_BK, tissue_fraction_B)
        flips = int((exact_class_B != found_class_B).sum())
        # NaN would be smaller than nothing: what is no number is as far off as can be.
        apart_B = np.nan_to_num(np.abs(exact_B - found_B), nan=1.0)
        with self._lock:
            self.found += Compared(self.found.what, len(exact_B), flips, float(apart_B.max()))
        if self.found.largest > self._allowed:
            raise ConfigError(
                has=f"probabilities of {self.found.what} that are {self.found.largest:.2g} off torch's",
                needs=f"{self._allowed:g} at most",
                do="predict with torch in float32, the default",
            )


class Network:
    """Runs a network on whole batches; threads may call it at the same time.

    Args:
        exact: the network in float32.
        device: where it runs.
        side: of patches in pixels.
        symmetries: whether probabilities are averaged over the symmetries of the square.
        inexact: another that is run instead of it, for its speed, and compared with it now and then.
        difference: what is told of that.
    """

    def __init__(
        self,
        exact: Forward,
        device: torch.device,
        side: int,
        *,
        symmetries: bool = False,
        inexact: Forward | None = None,
        difference: Difference | None = None,
    ) -> None:
        self.device, self.difference = device, difference
        self.batch_size = batch_on(device, side)
        self._exact, self._inexact, self._symmetries = exact, inexact, symmetries
        self._streams = threading.local()

    def buffers(
        self, count: int, patch_shape: tuple[int, int, int], dtype: np.dtype[Any]
    ) -> list[NDArray[Any]]:
        """Memory for batches [B, H, W, C]; page-locked where a GPU fetches them."""
        nbytes = self.batch_size * int(np.prod(patch_shape)) * dtype.itemsize
        pinned = self.device.type != "cpu"
        return [
            torch.zeros(nbytes, dtype=torch.uint8, pin_memory=pinned)
            .numpy()
            .view(dtype)
            .reshape(self.batch_size, *patch_shape)
            for _ in range(count)
        ]

    def __call__(
        self, images_BHWC: NDArray[Any], tissue_fraction_B: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Probabilities of every patch [B, 2], which the model's decision is still to be made of.

        Args:
            images_BHWC: as many as `batch_size`.
            tissue_fraction_B: of those that count; the last images of a run may be anything.

        Raises:
            ConfigError: the faster network differs too much.
            MemoryShortageError: the GPU has no room.
        """
        try:
            return self._found(images_BHWC, tissue_fraction_B)
        except torch.OutOfMemoryError as error:
            raise MemoryShortageError(
                has=f"{self.device}: {str(error).splitlines()[0]}",
                needs=f"room for {self.batch_size} patches and the network",
                do="end what else works on this GPU, or predict with `--device cpu`; what is whole is kept",
            ) from error

    def _found(
        self, images_BHWC: NDArray[Any], tissue_fraction_B: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        if self._inexact is None or self.difference is None:
            return self._probability(self._exact, images_BHWC)
        found_BK = self._probability(self._inexact, images_BHWC)
        if self.difference.due():
            exact_BK, rows = self._probability(self._exact, images_BHWC), len(tissue_fraction_B)
            self.difference.add(exact_BK[:rows], found_BK[:rows], tissue_fraction_B)
        return found_BK

    def _probability(self, forward: Forward, images_BHWC: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode(), self._own_stream():
            images_BCHW = to_tensor(images_BHWC, self.device)
            logits_BK = averaged(forward, images_BCHW) if self._symmetries else forward(images_BCHW)
            return softmax(logits_BK.float().cpu().numpy())

    def _own_stream(self) -> AbstractContextManager[Any]:
        """Each thread's own queue on a GPU, so that one copies while another computes."""
        if self.device.type != "cuda":
            return nullcontext()
        if not hasattr(self._streams, "own"):
            self._streams.own = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._streams.own)


def in_bfloat16(forward: Forward, device: torch.device) -> Forward:
    """The same network with convolutions and products in bfloat16, whose mantissa has 8 bits."""

    def rounded(images_BCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return forward(images_BCHW)

    return rounded
