"""A training in a process of its own, to be told to end or killed."""

import json
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.data.normalization import measure_normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.interruption import StopRequested
from models.training.loading import LoadedStep
from models.training.loop import Trainer
from models.training.settings import TrainSettings
from models.training.setup import new_classifier
from models.training.step import Stepper
from tests.models.conftest import bound
from tests.models.one_of_several import data


def run(folder: Path, changes: dict[str, str], told: Connection) -> None:
    """Train, and tell every step that is done; at the end, weights and history lie in the folder."""
    try:
        _train(folder, changes, told)
    except StopRequested as stopped:
        sys.exit(stopped.exit_code)


def _train(folder: Path, changes: dict[str, str], told: Connection) -> None:
    torch.set_num_threads(1)
    settings = TrainSettings.model_validate(
        {
            "backbone": "densenet_slim", "backbone_settings": {"dropout_prob": 0.1}, "epochs": 11,
            "learning_rate": 0.02, "weight_average": 0.9, "device": "cpu", "prefetch": 2,
            "validate_every": 9, "minimum_validation_patches": 1,
        } | changes
    )  # fmt: skip
    train, validation, layout = data(40, 1), data(20, 2), GroupLayout(2, 2)
    algorithm = bound("gerne", {"batch_size": 4}, TrainGroups(layout, train.label_N, train.attribute_N))
    normalization = measure_normalization(train.images, train.tissue_fraction_N, "none")
    classifier = new_classifier(normalization, settings, 2, 2, seed=3)
    trainer = Trainer(
        classifier, algorithm, train.labelled, Judge(validation, layout, "auto", 1, 1), settings, 5
    )
    step = trainer.step

    def telling(loaded: LoadedStep) -> dict[str, float]:
        figures = Stepper.__call__(step, loaded)
        told.send(loaded.number + 1)
        return figures

    trainer.step = telling  # type: ignore[assignment]
    result = trainer.run(state_path=folder / "last.safetensors", fingerprint="a", quiet=True)
    tensors = {key: value.contiguous() for key, value in classifier.state_dict().items()}
    save_file(tensors, folder / "weights.safetensors")
    (folder / "history.json").write_text(json.dumps(result.history))
