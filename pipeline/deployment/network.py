"""The network of a run: raw patches in, probability of tumor out, on processors or a GPU."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.card import DecisionCard
from models.networks.classifier import averaged, batch_on, softmax, to_tensor
from models.networks.decision import decide
from patching.errors import ConfigError

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From raw pixels [B, C, H, W], float32, to logits [B, K]."""
_SAMPLED = 16
"""Of so many batches one is computed exactly too, where the network is not exact."""


class Difference:
    """How far probabilities are from those in float32, as far as both were computed.

    Args:
        what: the network, in words.
        decision: of the model's card.
        allowed: more is an error.
    """

    def __init__(self, what: str, decision: DecisionCard, allowed: float = 1.0) -> None:
        self.what, self._decision, self._allowed = what, decision, allowed
        self._lock = threading.Lock()
        self._batches = 0
        self.patches = self.flips = 0
        """Those that were compared, and those of them whose class is another."""
        self.largest = 0.0

    def due(self) -> bool:
        """Whether the next batch is to be compared."""
        with self._lock:
            self._batches += 1
            return self._batches % _SAMPLED == 1

    def add(self, exact_B: NDArray[np.float32], found_B: NDArray[np.float32]) -> None:
        """Compare the probabilities of a batch.

        Raises:
            ConfigError: they differ by more than is allowed.
        """
        # NaN is smaller than nothing; what is no number is as far off as can be.
        apart_B = np.nan_to_num(np.abs(exact_B - found_B), nan=1.0)
        flips = int((decide(self._decision, exact_B) != decide(self._decision, found_B)).sum())
        with self._lock:
            self.patches += len(exact_B)
            self.flips += flips
            self.largest = max(self.largest, float(apart_B.max()))
        if self.largest > self._allowed:
            raise ConfigError(
                has=f"probabilities of {self.what} that differ by {self.largest:.2g} from torch's",
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

    def __call__(self, images_BHWC: NDArray[Any], rows: int) -> NDArray[np.float32]:
        """Probability of tumor of every patch [B].

        Args:
            images_BHWC: as many as `batch_size`.
            rows: how many of them count; the last ones of a run may be anything.

        Raises:
            ConfigError: the faster network differs too much.
        """
        if self._inexact is None or self.difference is None:
            return self._probability(self._exact, images_BHWC)
        found_B = self._probability(self._inexact, images_BHWC)
        if self.difference.due():
            self.difference.add(self._probability(self._exact, images_BHWC)[:rows], found_B[:rows])
        return found_B

    def _probability(self, forward: Forward, images_BHWC: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode(), self._own_stream():
            images_BCHW = to_tensor(images_BHWC, self.device)
            logits_BK = averaged(forward, images_BCHW) if self._symmetries else forward(images_BCHW)
            probability_B: NDArray[np.float32] = softmax(logits_BK.float().cpu().numpy())[:, 1]
        return probability_B

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
