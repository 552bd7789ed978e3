"""A training in one of several processes, and what each has at its end."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.data.dataset import MemoryPatches, PatchData
from models.data.normalization import measure_normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.loop import Trainer
from models.training.settings import TrainSettings
from models.training.setup import new_classifier
from patching.errors import ConfigError
from tests.models.conftest import bound

CASES = {
    "gerne": ("gerne", {"batch_size": 6, "beta": 1.0}, {}),
    "independent": ("gerne", {"batch_size": 6, "draws": "independent"}, {"micro_batch": 3}),
    "unknown": ("gerne_unknown", {"batch_size": 6}, {"optimizer": "adamw", "learning_rate": 1e-3}),
    "erm": ("erm", {"batch_size": 7}, {"weight_average": 0.9, "log_gradients": True}),
    "union": ("erm", {"batch_size": 7}, {"batch_norm": "union"}),
}


class Watched(MemoryPatches):
    """Counts what is read."""

    rows_read = 0

    def read(self, rows_M):  # type: ignore[no-untyped-def]
        self.rows_read += len(rows_M)
        return super().read(rows_M)


def data(n: int, seed: int) -> PatchData:
    """Patches with stripes as labels and brightness as attributes, tied to each other."""
    rng = np.random.default_rng(seed)
    label_N, other_N = np.arange(n) % 2, rng.random(n) < 0.2
    attribute_N = np.where(other_N, 1 - label_N, label_N)
    images_NHWC = rng.normal(300, 60, (n, 32, 32, 2)) + 300 * attribute_N[:, None, None, None]
    images_NHWC[:, ::2] += 80 * label_N[:, None, None, None]
    return PatchData(
        Watched(images_NHWC.clip(0).astype(np.uint16)),
        label_N.astype(np.int64),
        attribute_N.astype(np.int64),
        np.full(n, 0.5),
    )


def trained(case: str, out: Path) -> dict[str, torch.Tensor]:
    """Write weights, history and rows read of this process; returns the weights it began with."""
    name, own, changes = CASES[case]
    settings = TrainSettings.model_validate(
        {
            "backbone": "densenet_slim", "epochs": 1.0, "learning_rate": 0.05, "batch_norm": "frozen",
            "device": "cpu", "minimum_validation_patches": 1, "validate_every": 0.5,
        } | changes
    )  # fmt: skip
    train, validation, layout = data(60, 1), data(31, 2), GroupLayout(2, 2)
    normalization = measure_normalization(train.images, train.tissue_fraction_N, "none")
    algorithm = bound(name, own, TrainGroups(layout, train.label_N, train.attribute_N))
    classifier = new_classifier(normalization, settings, 2, 2, seed=3)
    initial = {key: value.clone() for key, value in classifier.state_dict().items()}
    judge = Judge(validation, layout, "auto", 1, 1)
    trainer = Trainer(classifier, algorithm, train.labelled, judge, settings, 5)
    before = train.images.rows_read
    result = trainer.run(state_path=out / f"{case}.state" / "last.safetensors", quiet=True)
    rank = trainer.accelerator.process_index
    tensors = {key: value.contiguous() for key, value in trainer.classifier.state_dict().items()}
    save_file(tensors, out / f"{case}-{rank}.safetensors")
    record = {
        "history": result.history,
        "processes": trainer.accelerator.num_processes,
        "read": train.images.rows_read - before,
    }
    (out / f"{case}-{rank}.json").write_text(json.dumps(record))
    return initial


def run(rank: int, count: int, port: int, out: Path, cases: Sequence[str]) -> None:
    """One of `count` processes, as torchrun begins it."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "RANK": rank}
    local = {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "OMP_NUM_THREADS": 1}
    os.environ.update({name: str(value) for name, value in {**address, **local}.items()})
    for case in cases:
        try:
            trained(case, out)
        except ConfigError as error:
            (out / f"{case}-{rank}.error").write_text(str(error))
