"""The network of a run: raw patches in, probability of tumor out, on the processor or a GPU."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.classifier import Classifier, batch_on, softmax, to_tensor

Precision = Literal["fp32", "bf16"]


class Network:
    """Runs a classifier on whole batches; threads may call it at the same time.

    Args:
        classifier: in eval mode; moves to the device.
        device: where it runs.
        precision: bf16 computes the network, not its input's normalization, with 8 bits of mantissa.
    """

    def __init__(self, classifier: Classifier, device: torch.device, precision: Precision = "fp32") -> None:
        self.device, self.precision = device, precision
        self.batch_size = batch_on(device)
        self._classifier = classifier.to(device)

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
        return self._probability(images_BHWC, self.precision)

    def exact(self, images_BHWC: NDArray[Any]) -> NDArray[np.float32]:
        """The same in float32, to compare with."""
        return self._probability(images_BHWC, "fp32")

    def _probability(self, images_BHWC: NDArray[Any], precision: Precision) -> NDArray[np.float32]:
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"),
        ):
            logits_BK = self._classifier.averaged(to_tensor(images_BHWC, self.device)).float().cpu().numpy()
        probability_B: NDArray[np.float32] = softmax(logits_BK)[:, 1]
        return probability_B
