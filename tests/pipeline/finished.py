"""A small cohort as the stages up to evaluate leave it, for the tests of report, track and register."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from models.data.attributes import ThresholdRule, attribute_table, tissue_histogram
from models.data.normalization import Normalization
from models.networks.backbones.registry import make_backbone
from models.networks.card import (
    AttributeCard,
    DecisionCard,
    ModelCard,
    NormalizationCard,
    Range,
    TissueCard,
    TrainingRanges,
)
from models.networks.checkpoint import save_classifier
from models.networks.classifier import Classifier
from models.networks.decision import network_logit, verdicts
from patching.store.reading import PatchStore, PatchTable, StoreAttributes
from patching.store.writing import write_store
from pipeline.artifacts import EXCLUDED, INDEX, PREDICTIONS, Paths
from pipeline.config import Context
from pipeline.stages.evaluate import EvaluateSettings, split_metrics
from pipeline.training.patches import table_fingerprints

COHORT = "toy"
CHANNELS = ("CARS", "TPEF", "SHG")
SIDE = 16
ALGORITHMS = {"erm": 0.1, "class_balanced": 0.2, "group_resampling": 0.8, "gerne": 0.9}
"""Accuracy in the groups that break the tie between tissue and label; 0.95 elsewhere."""


def write_cohort(root: Path, repository: Path, description: str = "A toy cohort.") -> Context:
    """Everything the report needs, for eight runs."""
    configs = root / "configs"
    (configs / "cohorts").mkdir(parents=True)
    stages = "ingest tile split attribute train algorithms evaluate report register"
    sections: dict[str, Any] = {name: {} for name in stages.split()}
    sections["report"] = {"minimum_test_patients": 4}
    sections["register"] = {"test": {"minimum_patients": 4}}
    manifest = f"data/{COHORT}/raw/slides.csv"
    cohort = {"manifest": manifest, "description": description, "phantom": {}, **sections}
    (configs / "cohorts" / f"{COHORT}.yaml").write_text(yaml.safe_dump(cohort))
    for name in ("ingest", "evaluate", "report", "register", "params"):
        (configs / f"{name}.yaml").write_text((repository / "configs" / f"{name}.yaml").read_text())
    paths = Paths(root, COHORT)
    maker = _Maker(paths, np.random.default_rng(0))
    maker.data()
    maker.runs()
    return Context(COHORT, paths, configs)


@dataclass
class _Maker:
    paths: Paths
    rng: np.random.Generator

    def data(self) -> None:
        """Sixteen patients with one slide of 48 patches each, overlays, one excluded slide."""
        self.paths.ingested.mkdir(parents=True)
        self.paths.overlays.mkdir()
        split_of = {f"p{n:02d}": ("train", "train", "validation", "test")[n % 4] for n in range(16)}
        self.index = pd.concat([self._slide(patient) for patient in split_of], ignore_index=True)
        self.index[list(INDEX)].to_parquet(self.paths.index, index=False)
        splits = pd.DataFrame({"patient_id": list(split_of), "split": list(split_of.values())})
        splits.to_csv(self.paths.splits, index=False)
        slides = {"slide_id": [f"s-{name}" for name in split_of], "patient_id": list(split_of)}
        slides |= {
            "image": "x.tif",
            "channels": ";".join(CHANNELS),
            "annotation": "",
            "label": "",
            "mpp": 0.5,
        }
        slides |= {"annotation_fingerprint": ""}
        slides |= {"split": "", "width": 300, "height": 200, "dtype": "uint16"}
        slides |= {"fingerprint": [f"{number:064x}" for number in range(len(split_of))]}
        slides |= {"kind": "intensity"}
        pd.DataFrame(slides).to_csv(self.paths.slides, index=False)
        excluded = ("s-<script>alert(1)</script>", "ingest", "UnreadableSlideError", "has: <b>noise</b>")
        pd.DataFrame([excluded], columns=list(EXCLUDED)).to_csv(self.paths.ingest_excluded, index=False)
        warnings = {"s-p03": ["everything is tissue: <b>0.97</b> of the slide"]}
        (self.paths.patches / "summary.json").write_text(json.dumps({"warnings": warnings}))
        self._attributes(self.index.merge(splits, on="patient_id"))

    def _slide(self, patient: str) -> pd.DataFrame:
        """Tumor patches with much tissue and normal ones with little, mostly."""
        n, slide_id = 48, f"s-{patient}"
        label_N = np.arange(n) % 2
        tissue_N = np.clip(np.where(label_N, 0.57, 0.43) + self.rng.normal(0, 0.2, n), 0.02, 1).round(4)
        locations_N2 = np.stack([np.arange(n) % 12 * SIDE, np.arange(n) // 12 * SIDE], axis=1).astype(
            np.int64
        )
        tumor_N = tissue_N * label_N
        images_NHWC = self.rng.poisson(200, (n, SIDE, SIDE, len(CHANNELS))).astype(np.uint16)
        images_NHWC[label_N == 1, ::3] += 300
        write_store(
            self.paths.store(slide_id),
            store_attributes(slide_id),
            PatchTable(locations_N2, tissue_N, tumor_N, label_N.astype(np.int8), np.ones(n)),
            self.rng.random((200 // 4, 300 // 4)) < 0.5,
            iter(images_NHWC),
        )
        (self.paths.overlays / f"{slide_id}.jpg").write_bytes(picture(self.rng))
        x_N, y_N = locations_N2.T
        columns = {"patch_id": [f"{slide_id}@{x}_{y}" for x, y in locations_N2], "slide_id": slide_id}
        columns |= {"patient_id": patient, "store_row": np.arange(n), "x": x_N, "y": y_N, "extent": SIDE}
        columns |= {
            "tissue_fraction": tissue_N,
            "tissue_area_um2": tissue_N * 64,
            "tumor_fraction": tumor_N,
            "covered_fraction": 1.0,
        }
        return pd.DataFrame(columns | {"label": label_N})

    def _attributes(self, patches: pd.DataFrame) -> None:
        self.paths.attribute_table("any").parent.mkdir(parents=True)
        rules = {"low": ThresholdRule(quantile=0.4), "high": ThresholdRule(quantile=0.6)}
        self.table, figures = attribute_table(patches, rules)
        for name, rows in self.table.groupby("threshold"):
            rows.to_parquet(self.paths.attribute_table(str(name)), index=False)
        self.paths.groups.write_text(json.dumps({"thresholds": figures}))
        tissue_histogram(patches[patches["split"] == "train"], 20).to_csv(self.paths.histogram, index=False)
        self.patches = patches

    def runs(self) -> None:
        """Every algorithm at both thresholds; `gerne-low`'s probabilities are its own network's."""
        for algorithm in ALGORITHMS:
            for threshold in ("low", "high"):
                self._run(algorithm, threshold)

    def _run(self, algorithm: str, threshold: str) -> None:
        name = f"{algorithm}-{threshold}"
        folder = self.paths.training(name)
        classifier = tiny_classifier(len(name))
        save_classifier(folder, classifier, card(algorithm, threshold, self.paths))
        (folder / "history.csv").write_text(history().to_csv(index=False))
        (folder / "composition.json").write_text(json.dumps([{"group": 0, "biased": 0.8}]))
        (folder / "run.json").write_text(
            json.dumps(record(algorithm, threshold, table_fingerprints(self.paths, threshold)))
        )
        table = self.patches.merge(self.table[self.table["threshold"] == threshold], on="patch_id")
        table = table[table["split"] != "train"].reset_index(drop=True)
        if name == "gerne-low":
            probability_N2 = self._predicted(classifier, table)
        else:
            probability_N2 = self._invented(table, ALGORITHMS[algorithm])
        table["logit"] = network_logit(probability_N2)
        table["probability"], table["prediction"] = verdicts(DecisionCard(), probability_N2)
        self.paths.evaluation(name).mkdir(parents=True)
        table[list(PREDICTIONS)].to_parquet(self.paths.evaluation(name) / "predictions.parquet", index=False)
        figures = {
            split: split_metrics(table[table["split"] == split], EvaluateSettings(draws=200))
            for split in ("validation", "test")
        }
        (self.paths.evaluation(name) / "metrics.json").write_text(json.dumps(figures))

    def _invented(self, table: pd.DataFrame, accuracy: float) -> NDArray[np.float64]:
        chance_N = np.where(table["label"] == table["attribute"], 0.95, accuracy)
        right_N = self.rng.random(len(table)) < chance_N
        sure_N = self.rng.uniform(0.55, 0.99, len(table))
        tumor_N = np.where(right_N == (table["label"] == 1), sure_N, 1 - sure_N)
        return np.stack([1 - tumor_N, tumor_N], axis=1)

    def _predicted(self, classifier: Classifier, table: pd.DataFrame) -> NDArray[np.float32]:
        images = [
            PatchStore.open(self.paths.store(row.slide_id)).read([row.store_row])[0]
            for row in table.itertuples()
        ]
        return classifier.predict_proba(np.stack(images))


def store_attributes(slide_id: str) -> StoreAttributes:
    """Of a 300 x 200 slide with patches of 16 px at full resolution."""
    return StoreAttributes(
        slide_id=slide_id,
        fingerprint="0" * 64,
        spec={"size": SIDE, "downsample": 1},
        extent=SIDE,
        stride=SIDE,
        downsample=1.0,
        mpp=0.5,
        slide_mpp=(0.5, 0.5),
        slide_size=(300, 200),
        channels=CHANNELS,
        dtype="uint16",
        brightfield=False,
        tissue_downsample=4.0,
        tissue={"method": "otsu"},
        dropped={},
    )


def picture(rng: np.random.Generator) -> bytes:
    """A picture of 60 x 40 pixels."""
    return bytes(cv2.imencode(".jpg", rng.integers(0, 255, (40, 60, 3)).astype(np.uint8))[1])


def tiny_classifier(seed: int) -> Classifier:
    """An untrained network; it need not be good, only the same everywhere."""
    torch.manual_seed(seed)
    normalization = Normalization("sqrt", (14.0,) * 3, (2.0,) * 3, (15.0,) * 3)
    return Classifier(make_backbone("resnet10_slim", 3, 2), normalization).eval()


def card(algorithm: str, threshold: str, paths: Paths | None = None) -> ModelCard:
    """What model.json says of `tiny_classifier`."""
    return ModelCard(
        backbone="resnet10_slim",
        backbone_settings={},
        channels=CHANNELS,
        classes=("normal", "tumor"),
        normalization=NormalizationCard(
            transform="sqrt", mean=(14.0,) * 3, std=(2.0,) * 3, raw_std=(15.0,) * 3
        ),
        test_time_symmetries=False,
        patch={"size": SIDE, "downsample": 1},
        dtype="uint16",
        brightfield=False,
        tissue=TissueCard(settings={"method": "otsu"}, mask_pixels_per_patch=16, minimum_fraction=0.01),
        attribute=AttributeCard(names=("little tissue", "much tissue"), above=0.5),
        ranges=TrainingRanges(
            tissue_fraction=Range(low=0.02, high=1), mpp=Range(low=0.5, high=0.5), quality={}
        ),
        threshold=threshold,
        counts=((9, 1), (1, 9)),
        alpha=((0.9, 0.1), (0.1, 0.9)),
        algorithm=algorithm,
        algorithm_settings={"batch_size": 8},
        train_settings={"epochs": 3.0},
        seed=3,
        versions={},
        fingerprints={} if paths is None else table_fingerprints(paths, threshold),
    )


def history() -> pd.DataFrame:
    """Three validations; the second is the best."""
    return pd.DataFrame(
        {
            "step": [10, 20, 30],
            "epoch": [1.0, 2.0, 3.0],
            "train_loss": [0.7, 0.4, 0.5],
            "validation_wga": [0.1, 0.6, 0.5],
            "validation_gba": [0.5, 0.7, 0.6],
            "validation_accuracy_g0": [0.9, 0.9, np.nan],
        }
    )


def record(algorithm: str, threshold: str, fingerprints: dict[str, str]) -> dict[str, Any]:
    """run.json."""
    return {
        "algorithm": algorithm,
        "threshold": threshold,
        "seed": 3,
        "best_epoch": 2.0,
        "best_step": 20,
        "n_trials": 2,
        "chosen": 1,
        "algorithm_settings": {"batch_size": 8, "beta": 1.5},
        "train_settings": {"epochs": 3.0, "selection": "worst_group"},
        "validation": {"wga": 0.6, "gba": 0.7},
        "trials": [
            {"override": {"beta": beta}, "validation": {"wga": 0.6}, "failure": ""} for beta in (1.0, 1.5)
        ],
        "fingerprints": fingerprints,
        "seconds": 1.0,
    }
