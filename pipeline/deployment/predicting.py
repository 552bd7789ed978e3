"""Slides predicted in this process: the network of a model, what is done for each slide, and what is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.determinism import deterministic
from models.networks.checkpoint import load_classifier
from models.networks.classifier import Device, choose_device
from models.networks.lean import lean_monai
from models.networks.onnx_runtime import OnnxForward
from patching.errors import EvenpatchError
from patching.manifest import SlideRow
from patching.survey.quality import quality_names
from pipeline.config import Settings
from pipeline.deployment.meter import Meter
from pipeline.deployment.model import Model
from pipeline.deployment.network import Difference, Forward, Network, in_bfloat16
from pipeline.deployment.outputs import Heatmap, OutputOptions, write_slide
from pipeline.deployment.planning import PatchReader, ScoringSettings, SlidePlan, plan_slide
from pipeline.deployment.prediction import predicted_slide
from pipeline.deployment.receipts import write_receipt
from pipeline.deployment.stream import Work, stream

Precision = Literal["fp32", "bf16"]
Runtime = Literal["torch", "onnx"]
_GPU_THREADS = 2
"""That run the network: one copies a batch while the other's is computed."""
_SPARE = 2
"""Batches that are filled while each of the network's threads has one."""


class PredictSettings(Settings):
    """What the outputs of a slide depend on, beside the slide and the model."""

    device: Device = "auto"
    """`auto`: the GPU where there is one."""
    precision: Precision = "fp32"
    """bf16 is faster on GPUs, and changes probabilities a little."""
    runtime: Runtime = "torch"
    """`onnx` runs on the CPU, slim networks in less time than torch; it needs the extra `onnx`."""
    symmetries: bool | None = None
    """Whether probabilities are averaged over the square's 8 symmetries; None is as trained."""
    overlap: float | None = Field(default=None, ge=0, lt=1)
    """Share of its side that a patch has in common with the next; None is the step of the training."""
    heatmap: Heatmap = "ome-tiff"
    """In which format heatmaps are written."""
    scoring: ScoringSettings = ScoringSettings()
    """What annotations mean."""

    @model_validator(mode="after")
    def _one_shortcut(self) -> Self:
        if self.runtime == "onnx" and self.precision == "bf16":
            raise ValueError("ONNX Runtime computes in fp32: give one of runtime and precision")
        return self


@dataclass(frozen=True)
class Task:
    """One slide to predict."""

    row: SlideRow
    key: str
    """Of all that its files depend on."""


@dataclass(frozen=True)
class Outcome:
    """What became of a slide."""

    slide_id: str
    kept: bool = False
    """An earlier run's files were whole and up to date."""
    error: EvenpatchError | None = None


@dataclass(frozen=True)
class Run:
    """Slides to predict, with what, and where to."""

    model: Model
    settings: PredictSettings
    out: Path
    """Folder of the run; a slide's files go into one of its name."""


def predict_slides(
    run: Run, tasks: Sequence[Task], threads: int, meter: Meter, told: Callable[[Outcome], None]
) -> None:
    """Predict slides in this process; expected failures of one slide are outcomes.

    Args:
        run: with what, and where to.
        tasks: the slides.
        threads: how many work, beside those of a GPU.
        meter: is told what was done.
        told: gets every slide's outcome, by one thread at a time.

    Raises:
        CheckpointError: the model's files are damaged.
        DiskSpaceError: the disk is full.
    """
    network, card = load_network(run.model, run.settings), run.model.card

    def plan(number: int) -> tuple[SlidePlan, PatchReader]:
        return plan_slide(tasks[number].row, card, overlap=run.settings.overlap, scoring=run.settings.scoring)

    def write(
        number: int, plan: SlidePlan, probability_NK: NDArray[np.float32], quality_NQ: NDArray[np.float32]
    ) -> None:
        task = tasks[number]
        prediction = predicted_slide(plan, card, run.model.evidence, probability_NK, quality_NQ)
        options = OutputOptions(run.settings.heatmap, run.model.layout.attributes)
        write_slide(prediction, run.out, options)
        write_receipt(run.out, task.row.slide_id, task.key)
        meter.finished()
        told(Outcome(task.row.slide_id))

    def failed(number: int, error: EvenpatchError) -> None:
        meter.finished()
        told(Outcome(tasks[number].row.slide_id, error=error))

    side = int(card.patch["size"])
    work = Work(
        slides=len(tasks),
        plan=plan,
        write=write,
        failed=failed,
        patch_shape=(side, side, len(card.channels)),
        dtype=np.dtype(card.dtype),
        quality=len(quality_names(card.channels)) if card.ranges.quality else 0,
    )
    apart = 0 if network.device.type == "cpu" else _GPU_THREADS
    buffers = network.buffers((apart or threads) + _SPARE, work.patch_shape, work.dtype)
    with deterministic(network.device):
        stream(work, network, buffers, threads=threads, apart=apart, meter=meter)
    meter.compared(None if network.difference is None else network.difference.found)


def load_network(model: Model, settings: PredictSettings) -> Network:
    """The network of a model.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: ONNX Runtime is not installed, or a GPU is to run it.
    """
    with lean_monai():
        classifier, card = load_classifier(model.folder)
    side, device = int(card.patch["size"]), choose_device(settings.device)
    inexact: Forward | None = None
    difference: Difference | None = None
    if settings.runtime == "onnx":
        device = torch.device("cpu")
        inexact, difference = OnnxForward(classifier, side), Difference("ONNX Runtime", card.decision, 1e-4)
    elif settings.precision == "bf16":
        inexact, difference = in_bfloat16(classifier, device), Difference("bfloat16", card.decision)
    trained = card.test_time_symmetries
    return Network(
        classifier.to(device),
        device,
        side,
        symmetries=trained if settings.symmetries is None else settings.symmetries,
        inexact=inexact,
        difference=difference,
    )
