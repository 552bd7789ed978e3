"""The network of a run: raw patches in, probability of tumor out, on processors or a GPU."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.card import DecisionCard
from models.networks.classifier import Classifier, batch_on, softmax, to_tensor
from models.networks.decision import decide

Precision = Literal["fp32", "bf16"]
_SAMPLED = 16
"""Of so many batches one is computed exactly too, where the network is not exact."""


class Difference:
    """How far probabilities are from those in float32, as far as both were computed.

    Args:
        decision: of the model's card.
    """

    def __init__(self, decision: DecisionCard) -> None:
        self._decision, self._lock = decision, threading.Lock()
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
        """Compare the probabilities of a batch."""
        flips = int((decide(self._decision, exact_B) != decide(self._decision, found_B)).sum())
        with self._lock:
            self.patches += len(exact_B)
            self.flips += flips
            self.largest = max(self.largest, float(np.abs(exact_B - found_B).max()))


class Network:
    """Runs a classifier on whole batches; threads may call it at the same time.

    Args:
        classifier: in eval mode; moves to the device.
        device: where it runs.
        side: of patches in pixels.
        difference: where it is given, convolutions and products are computed in bfloat16, whose mantissa has
            8 bits, and what that changes is told there.
    """

    def __init__(
        self, classifier: Classifier, device: torch.device, side: int, difference: Difference | None = None
    ) -> None:
        self.device, self.difference = device, difference
        self.batch_size = batch_on(device, side)
        self._classifier = classifier.to(device)
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

    def __call__(self, images_BHWC: NDArray[Any]) -> NDArray[np.float32]:
        """Probability of tumor of every patch [B]."""
        if self.difference is None:
            return self._probability(images_BHWC, "fp32")
        found_B = self._probability(images_BHWC, "bf16")
        if self.difference.due():
            self.difference.add(self._probability(images_BHWC, "fp32"), found_B)
        return found_B

    def _probability(self, images_BHWC: NDArray[Any], precision: Precision) -> NDArray[np.float32]:
        kind = self.device.type
        with (
            torch.inference_mode(),
            self._own_stream(),
            torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"),
        ):
            logits_BK = self._classifier.averaged(to_tensor(images_BHWC, self.device)).float().cpu().numpy()
        probability_B: NDArray[np.float32] = softmax(logits_BK)[:, 1]
        return probability_B

    def _own_stream(self) -> AbstractContextManager[Any]:
        """Each thread's own queue on a GPU, so that one copies while another computes."""
        if self.device.type != "cuda":
            return nullcontext()
        if not hasattr(self._streams, "own"):
            self._streams.own = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._streams.own)
