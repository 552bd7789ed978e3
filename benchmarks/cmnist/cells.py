"""One cell of the table: a method, a ratio and a seed, trained, chosen by validation, tested once."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.data.dataset import MemoryPatches, PatchData
from models.data.splitting import TEST, TRAIN, VALIDATION
from models.groups import GroupLayout
from models.metrics.accuracy import group_metrics
from models.metrics.selection import Score
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.making import candidates
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, DivergenceError, EmptyGroupError
from pipeline.files import replacing
from pipeline.published.colored_mnist import colored_mnist

LAYOUT = GroupLayout(10, 10)


@dataclass(frozen=True)
class Cell:
    """Everything that decides a cell's result."""

    method: str
    ratio: float
    seed: int
    settings: dict[str, Any]
    trains: tuple[dict[str, Any], ...]
    torch: str = version("torch")

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.method}-{self.ratio:g}-s{self.seed}"

    @property
    def fingerprint(self) -> str:
        """Equal for equal content: a finished cell with the same one is not trained again."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def load_data(folder: Path, ratio: float) -> dict[str, PatchData]:
    """The splits of one ratio; the same images for every seed and method."""
    return {
        split: PatchData(
            MemoryPatches(found.images), found.label_N, found.attribute_N, np.ones(len(found.label_N))
        )
        for split, found in colored_mnist(folder, ratio).items()
    }


def train_cell(data_folder: Path, folder: Path, cell: Cell) -> str:
    """Train and test one cell on one thread, and write its record; returns its name."""
    torch.set_num_threads(1)
    started = time.monotonic()
    found = _tested(load_data(data_folder, cell.ratio), cell)
    own = {name: getattr(cell, name) for name in ("fingerprint", "method", "ratio", "seed")}
    record = own | found | {"seconds": round(time.monotonic() - started, 1)}
    with replacing(folder / f"{cell.name}.json") as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return cell.name


def _tested(data: dict[str, PatchData], cell: Cell) -> dict[str, Any]:
    """What the record tells of the trainings; where all failed, why the last one did."""
    made = [(_fit(data, cell, changes), changes) for changes in cell.trains]
    fits = [(result, changes) for result, changes in made if isinstance(result, FitResult)]
    if not fits:
        return {"failure": made[-1][0]}
    result, changes = max(fits, key=lambda each: _score(each[0]))
    test = data[TEST]
    prediction_N = result.classifier.predict_patches(test.images).argmax(axis=1)
    group_N = LAYOUT.group(test.label_N, test.attribute_N)
    tested = group_metrics(test.label_N, prediction_N, group_N, LAYOUT.n_groups)
    return {
        "trials": len(candidates(cell.settings["algorithm"])) * len(cell.trains),
        "chosen": {**result.trials[result.chosen].override, **changes},
        "validation_gba": result.trials[result.chosen].figures["validation_gba"],
        "gba": tested.gba,
        "wga": tested.wga,
        "average": tested.average,
        "oracle_gba": max(each.oracle["oracle_gba"] for each, _ in fits),
    }


def _fit(data: dict[str, PatchData], cell: Cell, changes: dict[str, Any]) -> FitResult | str:
    try:
        settings = TrainSettings.model_validate(cell.settings["train"] | changes)
        setup = Setup(data[TRAIN], data[VALIDATION], settings, cell.seed, LAYOUT, data[TEST], quiet=True)
        return fit(setup, cell.settings.get("name", cell.method), cell.settings["algorithm"])
    except (DivergenceError, AlgorithmError, EmptyGroupError) as error:
        # Too high a learning rate for one method is a finding, not the end of the table.
        return error.in_one_line


def _score(result: FitResult) -> Score:
    score = result.trials[result.chosen].score
    return Score(-np.inf, -np.inf, -np.inf) if score is None else score


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether its record is there, of the same content."""
    path = folder / f"{cell.name}.json"
    if not path.is_file():
        return False
    known: bool = json.loads(path.read_text(encoding="utf-8"))["fingerprint"] == cell.fingerprint
    return known
