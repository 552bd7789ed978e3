"""TIAToolbox's patch predictor on the same slides, patches and network.

This runs under the peers' interpreter. Its engine gets a mask that leaves it the patches that evenpatch
predicts, and no others.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiling.peer_jobs import without_cuda

_CELLS = 4
"""Pixels of a mask per patch."""


def tiatoolbox(
    slides: list[str], places: list[str], network: str, batch: int, work: str
) -> Callable[[], dict[str, Any]]:
    """PatchPredictor over whole slides into zarr, with probabilities, in one process and one thread.

    Args:
        slides: files.
        places: for each an .npz of `benchmarks.tiling.ours.locate`.
        network: of `model.exported`.
        batch: patches at a time.
        work: folder for its outputs.
    """
    without_cuda()
    import torch
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.engine.patch_predictor import PatchPredictor

    torch.set_num_threads(1)
    module, spent = torch.export.load(network).module(), [0.0]
    located = [np.load(place) for place in places]
    side, mpp = int(located[0]["size"]), float(located[0]["mpp"])
    config = IOPatchPredictorConfig(
        input_resolutions=[{"units": "mpp", "resolution": mpp}],
        patch_input_shape=[side, side],
        stride_shape=[side, side],
    )
    masks = [_mask(slide, each) for slide, each in zip(slides, located, strict=True)]
    expected = sum(len(each["locations"]) for each in located)
    predictor = PatchPredictor(_model(module, spent), batch_size=batch, num_workers=0, device="cpu")

    def measure() -> dict[str, Any]:
        shutil.rmtree(work, ignore_errors=True)
        spent[0] = 0.0
        start, cpu = time.perf_counter(), time.process_time()
        predictor.run(
            [Path(slide) for slide in slides],
            masks=masks,
            patch_mode=False,
            ioconfig=config,
            save_dir=Path(work),
            output_type="zarr",
            return_probabilities=True,
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        found = _predicted(Path(work))
        if sum(map(len, found.values())) != expected:
            raise SystemExit(f"TIAToolbox predicted {sum(map(len, found.values()))} patches, not {expected}")
        return {"seconds": seconds, "cpu": cpu, "network_cpu": spent[0], "patches": expected, "found": found}

    return measure


def _model(module: Any, spent: list[float]) -> Any:
    """The network as TIAToolbox wants models; adds up the processor's seconds spent in it."""
    import torch
    from tiatoolbox.models.models_abc import ModelABC

    class Exported(ModelABC):  # type: ignore[misc]
        """Its base is there only under the peers' interpreter."""

        def __init__(self) -> None:
            super().__init__()
            self.network = module  # `module` would be taken for that of a wrapper

        def forward(self, images_BHWC: Any) -> Any:
            return self.network(images_BHWC)

        @staticmethod
        def infer_batch(model: Any, batch_data: Any, *, device: str) -> Any:
            start = time.thread_time()
            with torch.inference_mode():
                probability_BK = model(batch_data.to(device)).cpu().numpy()
            spent[0] += time.thread_time() - start
            return probability_BK

        @staticmethod
        def postproc(image: Any) -> Any:
            return image.argmax(axis=-1)

    return Exported()


def _mask(slide: str, located: Any) -> Any:
    """uint8, 1 in the middle of every patch to predict."""
    from tiatoolbox.wsicore.wsireader import WSIReader

    width, height = WSIReader.open(slide).slide_dimensions(resolution=0, units="level").tolist()
    extent = int(located["size"] * located["downsample"])
    mask_HW = np.zeros((height * _CELLS // extent, width * _CELLS // extent), np.uint8)
    x_N, y_N = (located["locations"] * _CELLS // extent).T
    for down in (1, 2):
        for right in (1, 2):
            mask_HW[y_N + down, x_N + right] = 1
    return mask_HW


def _predicted(work: Path) -> dict[str, list[list[float]]]:
    """x, y and probability of tumor of every patch, by slide."""
    import zarr

    found = {}
    for path in sorted(work.glob("*.zarr")):
        group = zarr.open(path, mode="r")
        coordinates_N4, probability_NK = np.asarray(group["coordinates"]), np.asarray(group["probabilities"])
        found[path.stem] = np.column_stack([coordinates_N4[:, :2], probability_NK[:, 1]]).tolist()
    return found
