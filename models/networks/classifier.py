"""The classifier: raw patches in, logits or probabilities out."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.data.dataset import AbstractPatches
from models.data.normalization import TRANSFORMS, Normalization

Device = Literal["auto", "cpu"]
_CPU_PIXELS = 2**19
"""In a batch, for CPUs."""


class Classifier(nn.Module):
    """A backbone behind its normalization, so that whoever holds the weights can feed raw pixels.

    Args:
        backbone: maps [B, C, H, W] to logits [B, K].
        normalization: of the training split; its mean and std become buffers.
        test_time_symmetries: average probabilities over the 8 symmetries of the square (8 times the work).
    """

    mean_1C11: torch.Tensor
    std_1C11: torch.Tensor

    def __init__(
        self, backbone: nn.Module, normalization: Normalization, *, test_time_symmetries: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalization = normalization
        self.test_time_symmetries = test_time_symmetries
        self.register_buffer("mean_1C11", torch.tensor(normalization.mean_C).reshape(1, -1, 1, 1))
        self.register_buffer("std_1C11", torch.tensor(normalization.std_C).reshape(1, -1, 1, 1))
        # Faster on CPUs and on tensor cores alike; the values stay.
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of raw pixels, any float dtype."""
        logits_BK: torch.Tensor = self.backbone(self.normalized(images_BCHW))
        return logits_BK

    def normalized(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """What the backbone sees of raw pixels, float32."""
        intensity_BCHW = TRANSFORMS[self.normalization.transform](images_BCHW.float())
        return (intensity_BCHW - self.mean_1C11) / self.std_1C11

    def predict_proba(self, patches_NHWC: NDArray[Any], batch_size: int = 256) -> NDArray[np.float32]:
        """Probabilities [N, K] of raw patches [N, H, W, C] of any dtype; in eval mode, without gradients."""
        return softmax(self.predict_logits(_batches(patches_NHWC, batch_size)))

    def predict_patches(self, patches: AbstractPatches, batch_size: int | None = None) -> NDArray[np.float32]:
        """Probabilities [N, K] of patches that need not fit in memory in batches of `batch_on`."""
        return softmax(self.patch_logits(patches, batch_size))

    def patch_logits(self, patches: AbstractPatches, batch_size: int | None = None) -> NDArray[np.float32]:
        """Logits [N, K] of patches that need not fit in memory in batches of `batch_on`."""
        size = batch_size or batch_on(self.mean_1C11.device, patches.shape_NHWC[1])
        batches = (_filled_up(batch_NHWC, size) for batch_NHWC in patches.chunks(size))
        return self.predict_logits(batches)[: len(patches)]

    def predict_logits(self, batches: Iterator[NDArray[Any]]) -> NDArray[np.float32]:
        """Logits [N, K]; with test-time symmetries the logarithm of the mean probability."""
        device = self.mean_1C11.device
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            logits = [self.averaged(to_tensor(batch, device)).float().cpu().numpy() for batch in batches]
        self.train(was_training)
        return np.concatenate(logits)

    def averaged(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of raw pixels; with test-time symmetries the logarithm of the mean probability."""
        return (
            averaged(self, images_BCHW) if self.test_time_symmetries else torch.as_tensor(self(images_BCHW))
        )


def averaged(forward: Callable[[torch.Tensor], torch.Tensor], images_BCHW: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean probability [B, K] over the 8 symmetries of the square."""
    views = [
        torch.rot90(image_BCHW, quarter, dims=(2, 3))
        for image_BCHW in (images_BCHW, images_BCHW.flip(3))
        for quarter in range(4)
    ]
    return torch.stack([forward(view).softmax(dim=1) for view in views]).mean(dim=0).log()


def choose_device(name: Device) -> torch.device:
    """`auto` is the GPU where there is one."""
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu")


def batch_on(device: torch.device, side: int) -> int:
    """Patches that a device gets at a time, always as many, where the same patch must give the same figure.

    A convolution of few patches is summed up in another order: on CPUs, with one thread, the last bits of a
    patch's logits depend on how many patches stand beside it, and on nothing else of them. Few are also the
    fastest there, since their intermediate images stay in the cache; a GPU wants many.

    Args:
        device: where the network runs.
        side: of a patch in pixels.
    """
    return max(8, min(32, _CPU_PIXELS // side**2)) if device.type == "cpu" else 256


def to_tensor(images_NHWC: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Float32 tensor [N, C, H, W] in channels-last memory, which NHWC arrays already have.

    Pixels travel as they are: 8 bits are a quarter of a float32.
    """
    return torch.from_numpy(images_NHWC).to(device, non_blocking=True).permute(0, 3, 1, 2).float()


def softmax(logits_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [N, K]."""
    probability_NK: NDArray[np.float32] = torch.from_numpy(logits_NK).softmax(dim=1).numpy()
    return probability_NK


def log_odds(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithm of P(class 1) / P(class 0) of a classifier of two classes, [N]."""
    odds_N: NDArray[np.float64] = logits_NK[:, 1].astype(np.float64) - logits_NK[:, 0].astype(np.float64)
    return odds_N


def _filled_up(batch_NHWC: NDArray[Any], size: int) -> NDArray[Any]:
    """The batch with its last patch repeated until there are `size`."""
    if len(batch_NHWC) == size:
        return batch_NHWC
    return batch_NHWC[np.minimum(np.arange(size), len(batch_NHWC) - 1)]


def _batches(patches_NHWC: NDArray[Any], batch_size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, max(len(patches_NHWC), 1), batch_size):
        yield patches_NHWC[start : start + batch_size]
