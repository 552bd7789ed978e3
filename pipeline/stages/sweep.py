"""Train along a grid of learning rates: outputs/<cohort>/sweep/<algorithm>-<threshold>/.

Large learning rates alone can make networks more robust and more compressible (Barsbey et al., arXiv
2507.17748). Every point is a whole training with the train stage's settings and another learning rate, or
several, from other seeds. Validation patches tell worst-group and group-balanced accuracy, how often the
minority is mispredicted with confidence, how sparse the activations are, and the accuracy that pruning
leaves. Nothing is chosen. The grid ends where a training diverges. Test patches are read only with --test,
and reported under that name. Written are sweep.json, table.md and sweep.png; the same command goes on where
an interrupted one stopped.
"""

import argparse
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from rich.console import Console
from rich.progress import track

from models.data.dataset import PatchData
from models.data.splitting import TEST
from models.metrics.accuracy import group_metrics
from models.metrics.compressibility import (
    activation_sparsity,
    bias_conflicting,
    confident_misprediction_rate,
    pruned,
)
from models.networks.classifier import softmax
from models.training.attempts import FitResult
from patching.errors import AlgorithmError, ArtifactError
from pipeline.artifacts import run_name
from pipeline.config import Context, Settings, load_algorithm, load_stage
from pipeline.experiments.sweep_files import Point, Training, draw, markdown, point_record, printed
from pipeline.files import finite_or, read_json, replacing, write_json
from pipeline.training.bench import Bench, load_bench, read_split

logger = logging.getLogger(__name__)


class SweepSettings(Settings):
    """configs/sweep.yaml."""

    lowest: PositiveFloat = 0.003
    """Learning rate at which the grid begins."""
    highest: PositiveFloat = 3.0
    """And ends, if no training diverges before."""
    points: int = Field(default=7, ge=2, le=100)
    """Evenly by the logarithm."""
    seeds: PositiveInt = 1
    """Trainings at every point, from the train stage's seed on."""
    epochs: PositiveFloat | None = None
    """Budget of every training; none: the train stage's."""
    confidence: float = Field(default=0.9, ge=0, lt=1)
    """A misprediction is confident where the wrong class has a probability above this."""
    near_zero: NonNegativeFloat = 0.001
    """An activation is near zero where its magnitude is not above this."""
    pruning: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)
    """Shares of the weights, the smallest of all layers together, without which accuracy is measured."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError("lowest has to be below highest")
        if not all(0 < share < 1 for share in self.pruning):
            raise ValueError("pruning are shares above 0 and below 1")
        return self

    @property
    def grid(self) -> list[float]:
        """Learning rates in three digits, ascending."""
        return [float(f"{x:.3g}") for x in np.geomspace(self.lowest, self.highest, self.points)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is swept."""
    parser.add_argument("--algorithm", default="erm", help="a file of configs/algorithms (default: erm)")
    parser.add_argument("--threshold", default="low", help="of the attribute stage (default: low)")
    parser.add_argument(
        "--test", action="store_true", help="report the test patches as well, under that name"
    )


def run(context: Context, options: argparse.Namespace) -> None:
    """Train and measure what is missing, then write everything.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        ConfigError: a wrong setting.
        AlgorithmError: the algorithm cannot run on these groups; the lowest learning rate diverges.
    """
    settings = load_stage(context.configs, context.cohort, "sweep", SweepSettings)
    base = load_algorithm(context.configs, context.cohort, options.algorithm)
    bench = load_bench(context, options.threshold, settings.epochs)
    splits = {"validation": bench.validation}
    if options.test:
        splits["test"] = read_split(context, options.threshold, TEST, bench.stage)
    folder = context.paths.trials("sweep", run_name(options.algorithm, options.threshold))
    _Sweep(options.algorithm, settings, base, bench, splits, folder).run()


class _Sweep:
    """The points of one algorithm at one threshold."""

    def __init__(
        self,
        algorithm: str,
        settings: SweepSettings,
        base: Mapping[str, Any],
        bench: Bench,
        splits: Mapping[str, PatchData],
        folder: Path,
    ) -> None:
        self.algorithm, self.settings, self.base, self.bench = algorithm, settings, base, bench
        self.splits, self.folder = splits, folder
        self.title = f"{bench.context.cohort}, {algorithm} at threshold {bench.threshold}"
        self.working = bench.context.paths.outputs / "interrupted" / f"sweep-{folder.name}"

    def run(self) -> None:
        """Every point up to the first that diverges, then table and picture."""
        points: list[Point] = []
        for rate in track(self.settings.grid, f"sweeping {self.folder.name}", console=Console(stderr=True)):
            points.append(self._point(rate))
            logger.info("learning rate %g: %s", rate, points[-1].in_words)
            if points[-1].failure:
                break
        if len(points) == 1 and points[0].failure:
            raise AlgorithmError(
                has=f"learning rate {points[0].learning_rate:g}, the lowest: {points[0].failure}",
                needs="a training that stays finite at the lowest learning rate",
                do="set a smaller `lowest` in configs/sweep.yaml",
            )
        self._write(points)
        shutil.rmtree(self.working, ignore_errors=True)
        console = Console()
        console.print(printed(self.title, points, console.width))

    def _point(self, rate: float) -> Point:
        """All seeds, or those up to the first that diverges."""
        trainings: list[Training] = []
        for seed in range(self.bench.stage.seed, self.bench.stage.seed + self.settings.seeds):
            trainings.append(self._training(rate, seed))
            if trainings[-1].failure:
                break
        return Point(rate, tuple(trainings))

    def _training(self, rate: float, seed: int) -> Training:
        """Kept from before, or trained and measured."""
        measured = self.settings.model_dump(include={"confidence", "near_zero", "pruning"}, mode="json")
        identity = self.bench.identity(
            algorithm=self.algorithm,
            settings=dict(self.base),
            learning_rate=rate,
            seed=seed,
            measured=measured,
            splits=list(self.splits),
        )
        path = self.folder / "points" / f"{rate:g}-seed-{seed}.json"
        if (kept := _kept(path)) and kept.pop("identity") == identity:
            return Training(**kept)
        training = self._train(rate, seed)
        write_json(path, {"identity": identity, **training._asdict()})
        return training

    def _train(self, rate: float, seed: int) -> Training:
        attempt = self.bench.attempt(self.algorithm, self.base, self.working, seed=seed, learning_rate=rate)
        if attempt.result is None:
            if not attempt.diverged:
                raise AlgorithmError(
                    has=f"{self.algorithm}: {attempt.failure}",
                    needs="settings that work at any learning rate",
                    do=f"mend configs/algorithms/{self.algorithm}.yaml, or sweep another algorithm",
                )
            return Training(seed, {}, attempt.failure, None, None, attempt.seconds)
        figures = {name: self._measured(attempt.result, data) for name, data in self.splits.items()}
        clipped = float(np.mean([row["clip_rate"] for row in attempt.result.history]))
        best = attempt.result.trials[0].figures["epoch"]
        return Training(seed, figures, "", clipped, best, attempt.seconds)

    def _measured(self, result: FitResult, data: PatchData) -> dict[str, float | None]:
        classifier, own = result.classifier, self.settings
        group_N = self.bench.layout.groups.group(data.label_N, data.attribute_N)
        minority_N = bias_conflicting(self.bench.groups).ravel()[group_N]
        probability_NK = softmax(classifier.predict_logits(data.images.chunks(256)))
        rate = confident_misprediction_rate(data.label_N, probability_NK, minority_N, own.confidence)
        figures = {
            **self._accuracies(probability_NK.argmax(axis=1), data, ""),
            "minority_confident_mispredictions": rate,
            "minority_patches": float(minority_N.sum()),
            "activation_sparsity": activation_sparsity(classifier, data.images, own.near_zero),
        }
        for share in own.pruning:
            logits_NK = pruned(classifier, share).predict_logits(data.images.chunks(256))
            figures |= self._accuracies(logits_NK.argmax(axis=1), data, f"_pruned_{share:g}")
        return {key: finite_or(value, None) for key, value in figures.items()}

    def _accuracies(self, prediction_N: NDArray[np.int64], data: PatchData, name: str) -> dict[str, float]:
        layout = self.bench.layout.groups
        found = group_metrics(
            data.label_N,
            prediction_N,
            layout.group(data.label_N, data.attribute_N),
            layout.n_groups,
            minimum_patches=self.bench.settings.minimum_validation_patches,
        )
        return {f"wga{name}": found.wga, f"gba{name}": found.gba}

    def _write(self, points: list[Point]) -> None:
        content = {
            "algorithm": self.algorithm,
            "threshold": self.bench.threshold,
            "settings": self.settings.model_dump(mode="json"),
            "diverged_at": next((point.learning_rate for point in points if point.failure), None),
            "points": [point_record(point) for point in points],
        }
        write_json(self.folder / "sweep.json", content)
        with replacing(self.folder / "table.md") as part:
            part.write_text(markdown(self.title, points), encoding="utf-8")
        with replacing(self.folder / "sweep.png") as part:
            draw(self.title, points, part)


def _kept(path: Path) -> dict[str, Any]:
    """A training of an earlier call; empty where there is none, or its record is damaged."""
    if not path.is_file():
        return {}
    try:
        return read_json(path, "sweep")
    except ArtifactError as error:
        logger.warning("trained anew: %s", error.has)
        return {}
