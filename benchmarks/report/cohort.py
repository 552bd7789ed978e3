"""A made-up cohort as the stages before the report leave it, with as many test slides as are wanted.

A few slides have textures of their own; the others are hard links to them under other names, so that a cohort
takes little disk. Patches are as the phantom's: 64 pixels, three channels, 100 a slide.
"""

import json
import os
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from models.data.attributes import ThresholdRule, attribute_table, tissue_histogram
from models.networks.card import DecisionCard
from models.networks.checkpoint import save_classifier
from models.networks.decision import network_logit, verdicts
from patching.store.reading import PatchTable
from patching.store.writing import StoreWriter
from pipeline.artifacts import EXCLUDED, INDEX, PREDICTIONS, Paths
from pipeline.config import Context, load_stage
from pipeline.explain.handover import PICTURES, TABLE
from pipeline.explain.settings import ExplainSettings
from pipeline.stages import explain
from pipeline.stages.evaluate import EvaluateSettings, split_metrics
from pipeline.training.patches import table_fingerprints
from tests.pipeline.finished import (
    ALGORITHMS,
    CHANNELS,
    card,
    history,
    record,
    store_attributes,
    tiny_classifier,
)

COHORT = "bench"
TRAINING, VALIDATION = 16, 8
"""Slides beside the test slides; each slide is of a patient of its own."""
TEXTURES = 8
PATCHES, SIDE, EXTENT, COLUMNS = 100, 64, 128, 11
SIZE = (1408, 1280)
_MASK = 4
_OVERLAY = 900
_QUALITY = ("focus", "mean_cars", "mean_tpef", "mean_shg", "spread_cars", "spread_tpef", "spread_shg")


def write_cohort(root: Path, repository: Path, test_slides: int) -> Context:
    """Everything that the report reads, the explain stage's hand-over with it."""
    context = Context(COHORT, Paths(root, COHORT), root / "configs")
    _write_configs(context.configs, repository)
    paths, rng = context.paths, np.random.default_rng(0)
    for folder in (paths.ingested, paths.overlays, paths.patches):
        folder.mkdir(parents=True)
    textures = [_Texture(root / "textures" / str(number), number) for number in range(TEXTURES)]
    names = [f"s{number:05}" for number in range(TRAINING + VALIDATION + test_slides)]
    split_of = dict(
        zip(
            names,
            ["train"] * TRAINING + ["validation"] * VALIDATION + ["test"] * test_slides,
            strict=True,
        )
    )
    parts = [textures[number % TEXTURES].put(paths, name, number, rng) for number, name in enumerate(names)]
    _write_tables(paths, pd.concat(parts, ignore_index=True), split_of, rng)
    explain.run(context, Namespace())
    _add_fine(context)
    return context


def _write_configs(configs: Path, repository: Path) -> None:
    shutil.copytree(repository / "configs", configs, ignore=shutil.ignore_patterns("cohorts"))
    (configs / "cohorts").mkdir()
    stages = ["ingest", "tile", "split", "attribute", "train", "algorithms", "evaluate", "report", "register"]
    cohort = {"manifest": f"data/{COHORT}/raw/slides.csv", "description": "A made-up cohort.", "phantom": {}}
    text = yaml.safe_dump(cohort | {name: {} for name in stages})
    (configs / "cohorts" / f"{COHORT}.yaml").write_text(text, encoding="utf-8")


class _Texture:
    """A slide that others are links to."""

    def __init__(self, folder: Path, number: int) -> None:
        rng = np.random.default_rng(number)
        folder.mkdir(parents=True)
        place_N = np.arange(PATCHES)
        self.label_N = (place_N + number) % 2
        self.tissue_N = np.clip(
            np.where(self.label_N, 0.6, 0.4) + rng.normal(0, 0.2, PATCHES), 0.02, 1
        ).round(4)
        self.locations_N2 = (
            np.stack([place_N % COLUMNS, place_N // COLUMNS], axis=1).astype(np.int64) * EXTENT
        )
        self.tumor_N = np.where(self.label_N, rng.uniform(0.6, 1, PATCHES), 0.0)
        width, height = SIZE[0] // _MASK, SIZE[1] // _MASK
        picture_HW3 = np.stack([_fibers(rng, height, width) for _ in CHANNELS], axis=2)
        self.store, self.overlay = folder / "store.zarr", folder / "overlay.jpg"
        attributes = replace(
            store_attributes("texture"),
            spec={"size": SIDE, "downsample": 2},
            extent=EXTENT,
            stride=EXTENT,
            downsample=2.0,
            mpp=1.0,
            slide_size=SIZE,
            tissue_downsample=float(_MASK),
        )
        ones_N = np.ones(PATCHES)
        table = PatchTable(
            self.locations_N2, self.tissue_N, self.tumor_N, self.label_N.astype(np.int8), ones_N
        )
        writer = StoreWriter.create(self.store, attributes, table)
        writer.write_pictures(picture_HW3[..., 0] > 0.4, (255 * picture_HW3).astype(np.uint8))
        encoder, buffer = writer.encoder("blosc-lz4"), writer.buffer(1)
        file = writer.shard_file(0)
        for tissue in self.tissue_N:
            image_HWC = np.stack([_fibers(rng, SIDE, SIDE) for _ in CHANNELS], axis=2)
            counts_HWC = rng.poisson(20 + 900 * tissue * image_HWC).astype(np.uint16)
            buffer.seal(0, encoder.encode(counts_HWC, buffer.slot(0)))
            file.append(buffer.chunks(1))
        file.close()
        writer.publish()
        large = cv2.resize((255 * picture_HW3).astype(np.uint8), (_OVERLAY, _OVERLAY * SIZE[1] // SIZE[0]))
        self.overlay.write_bytes(imagecodecs.jpeg8_encode(large, level=85))

    def put(self, paths: Paths, name: str, number: int, rng: np.random.Generator) -> pd.DataFrame:
        """Put it into a cohort under a name; its rows of the patch index."""
        store = paths.store(name)
        shutil.copytree(self.store, store, copy_function=os.link)
        group = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
        group["attributes"] |= {"slide_id": name, "fingerprint": f"{number:064x}"}
        (store / "zarr.json").unlink()
        (store / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
        os.link(self.overlay, paths.overlays / f"{name}.jpg")
        x_N, y_N = self.locations_N2.T
        told = {"patch_id": [f"{name}@{x}_{y}" for x, y in self.locations_N2], "slide_id": name}
        told |= {"patient_id": f"p{number:05}", "store_row": np.arange(PATCHES), "x": x_N, "y": y_N}
        told |= {"extent": EXTENT, "tissue_fraction": self.tissue_N, "tissue_area_um2": self.tissue_N * 4096}
        told |= {"covered_fraction": 1.0, "tumor_fraction": self.tumor_N, "label": self.label_N}
        light_N = np.exp(rng.normal(0, 0.2)) * (0.1 + self.tissue_N)
        told |= {f"quality_{each}": light_N * np.exp(rng.normal(0, 0.1, PATCHES)) for each in _QUALITY}
        return pd.DataFrame(told)


def _fibers(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A texture in 0 to 1 that compresses about as a microscope's picture does."""
    noise_HW = rng.random((height, width))
    blurred_HW = cv2.GaussianBlur(noise_HW, (0, 0), 1.5) + cv2.GaussianBlur(noise_HW, (0, 0), 8) * 4
    low, high = np.percentile(blurred_HW, (1, 99))
    return np.clip((blurred_HW - low) / (high - low), 0, 1)


def _write_tables(
    paths: Paths, index: pd.DataFrame, split_of: dict[str, str], rng: np.random.Generator
) -> None:
    extra = [name for name in index.columns if name.startswith("quality_")]
    index[[*INDEX, *extra]].to_parquet(paths.index, index=False)
    slides = index.drop_duplicates("slide_id")[["slide_id", "patient_id"]].reset_index(drop=True)
    slides = slides.assign(image="x.tif", channels=";".join(CHANNELS), annotation="", label="", mpp=0.5)
    slides = slides.assign(annotation_fingerprint="", split="", kind="intensity", dtype="uint16")
    slides = slides.assign(width=SIZE[0], height=SIZE[1])
    slides.assign(fingerprint=[f"{n:064x}" for n in range(len(slides))]).to_csv(paths.slides, index=False)
    splits = slides[["patient_id"]].assign(split=slides["slide_id"].map(split_of))
    splits.to_csv(paths.splits, index=False)
    pd.DataFrame(columns=list(EXCLUDED)).to_csv(paths.ingest_excluded, index=False)
    bounds = {"bounds": dict.fromkeys(split_of, (0, 0))}
    (paths.ingested / "summary.json").write_text(json.dumps(bounds), encoding="utf-8")
    (paths.patches / "summary.json").write_text(json.dumps({"warnings": {}}), encoding="utf-8")
    patches = index.merge(splits, on="patient_id")
    paths.attribute_table("any").parent.mkdir(parents=True)
    rules = {"low": ThresholdRule(quantile=0.4), "high": ThresholdRule(quantile=0.6)}
    table, figures = attribute_table(patches, rules)
    for name, rows in table.groupby("threshold"):
        rows.to_parquet(paths.attribute_table(str(name)), index=False)
    paths.groups.write_text(json.dumps({"thresholds": figures}), encoding="utf-8")
    tissue_histogram(patches[patches["split"] == "train"], 20).to_csv(paths.histogram, index=False)
    for algorithm, accuracy in ALGORITHMS.items():
        for threshold, rows in table.groupby("threshold"):
            tested = patches[patches["split"] != "train"].merge(rows, on="patch_id")
            _write_run(paths, algorithm, str(threshold), _decided(tested, accuracy, rng))


def _decided(table: pd.DataFrame, accuracy: float, rng: np.random.Generator) -> pd.DataFrame:
    chance_N = np.where(table["label"] == table["attribute"], 0.95, accuracy)
    right_N, sure_N = rng.random(len(table)) < chance_N, rng.uniform(0.55, 0.99, len(table))
    tumor_N = np.where(right_N == (table["label"] == 1), sure_N, 1 - sure_N)
    probability_N2 = np.stack([1 - tumor_N, tumor_N], axis=1)
    probability_N, prediction_N = verdicts(DecisionCard(), probability_N2)
    return table.assign(
        logit=network_logit(probability_N2), probability=probability_N, prediction=prediction_N
    )


def _write_run(paths: Paths, algorithm: str, threshold: str, table: pd.DataFrame) -> None:
    """A training and its test: a network that nobody trained, and predictions that nobody made."""
    name = f"{algorithm}-{threshold}"
    training, evaluation = paths.training(name), paths.evaluation(name)
    about = card(algorithm, threshold, paths).model_copy(update={"patch": {"size": SIDE, "downsample": 2}})
    save_classifier(training, tiny_classifier(len(name)), about)
    history().to_csv(training / "history.csv", index=False)
    (training / "composition.json").write_text(json.dumps([{"group": 0, "biased": 0.8}]), encoding="utf-8")
    told = record(algorithm, threshold, table_fingerprints(paths, threshold))
    (training / "run.json").write_text(json.dumps(told), encoding="utf-8")
    evaluation.mkdir(parents=True)
    table[list(PREDICTIONS)].to_parquet(evaluation / "predictions.parquet", index=False)
    figures = {
        split: split_metrics(table[table["split"] == split], EvaluateSettings(draws=200))
        for split in ("validation", "test")
    }
    (evaluation / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")


def _add_fine(context: Context) -> None:
    """Pictures at the slides' finest resolution, which explain cannot take from slides that are not there."""
    folder = context.paths.explained
    side = load_stage(context.configs, context.cohort, "explain", ExplainSettings).fine_side
    table, rng = pd.read_parquet(folder / TABLE), np.random.default_rng(0)
    table["fine"] = [f"{number:04d}-fine.jpg" for number in range(len(table))]
    for name in table["fine"]:
        picture_HW3 = np.stack([_fibers(rng, side, side) for _ in CHANNELS], axis=2)
        encoded = imagecodecs.jpeg8_encode((255 * picture_HW3).astype(np.uint8), level=82)
        (folder / PICTURES / name).write_bytes(encoded)
    table.to_parquet(folder / TABLE, index=False)
