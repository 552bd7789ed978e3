"""A classifier run by ONNX Runtime, which takes less of a processor's time than torch; an extra (`onnx`)."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from models.networks.classifier import Classifier
from patching.errors import ConfigError

_INPUT, _OUTPUT = "images_BCHW", "logits_BK"


class OnnxForward:
    """Logits [B, K] of raw pixels [B, C, H, W] on the CPU; what a `Classifier` gives, but for the rounding.

    Threads may call it at the same time; each works alone.

    Args:
        classifier: in eval mode, on the CPU; exported here, batches of any size.
        side: of patches in pixels.

    Raises:
        ConfigError: ONNX Runtime is not installed.
    """

    def __init__(self, classifier: Classifier, side: int) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        channels = classifier.mean_1C11.shape[1]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            _export(classifier, torch.zeros(2, channels, side, side), path)
            self._session = runtime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )

    def __call__(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K]."""
        (logits_BK,) = self._session.run([_OUTPUT], {_INPUT: images_BCHW.numpy()})
        return torch.from_numpy(logits_BK)


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            has="no ONNX Runtime",
            needs="the package onnxruntime",
            do="install `evenpatch[onnx]`, or leave out `--runtime onnx`",
        ) from error
    return onnxruntime


def _export(classifier: Classifier, example_BCHW: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        # The exporter that is to replace this one needs two more packages.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            classifier,
            (example_BCHW,),
            str(path),
            dynamo=False,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_axes={_INPUT: {0: "B"}, _OUTPUT: {0: "B"}},
        )
