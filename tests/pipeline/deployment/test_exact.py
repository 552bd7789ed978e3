"""What `predict` says of a slide is what `evaluate` says of its stored patches, to the bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow.pyfunc import PythonModelContext

from models.data.dataset import MemoryPatches
from models.networks.card import DecisionCard, NormalizationCard, Range, TissueCard, TrainingRanges
from models.networks.card_file import CARD, WEIGHTS, load_card
from models.networks.checkpoint import load_classifier
from models.networks.decision import verdicts
from patching.grid import PatchSpec
from patching.store.reading import PatchStore
from patching.tiling.settings import TileSettings
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.tracking.cells import encode_patch
from pipeline.tracking.served import PatchModel
from tests.pipeline.deployment.specimens import model_card, stored, write_model
from tests.pipeline.rules import RULES

COHORT = {
    "manifest": "data/tiny/raw/slides.csv",
    "description": "Nine small slides of the phantom, resampled from an odd resolution.",
    "phantom": {"patients": 9, "slides_per_patient": [1], "size": [448, 384], "mpp": 0.9, "tie": 0.5},
    "ingest": {},
    "tile": {"patch": {"size": 32, "mpp": 2.0, "edge": "shift"}, "mask_pixels_per_patch": 32},
    "split": {},
    "attribute": {},
    "train": {"epochs": 0.5, "device": "cpu"},
    "algorithms": {"erm": {}},
    "evaluate": {"draws": 20},
    "report": {},
    "register": {},
}
CORES = ("core01_Normal", "core15_Normal", "core41_MMM")
CHANNELS = ("SHG_log_intensity", "R_ratio", "DCP")


def evenpatch(verb: str, *arguments: object) -> None:
    assert main([verb, *map(str, arguments)]) == 0


def tables(out: Path) -> pd.DataFrame:
    return pd.concat(map(pd.read_parquet, sorted(out.glob("*/patches.parquet"))), ignore_index=True)


@pytest.mark.slow
def test_every_patch_that_evaluate_has_is_predicted_alike(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "tiny")
    (tmp_path / "configs" / "cohorts").mkdir(parents=True)
    (tmp_path / "configs" / "cohorts" / "tiny.yaml").write_text(yaml.safe_dump(COHORT))
    project = ("--cohort", "tiny", "--root", tmp_path)
    for verb in ("phantom", "ingest", "tile", "split", "attribute"):
        evenpatch(verb, *project)
    for verb in ("train", "evaluate"):
        evenpatch(verb, *project, "--algorithm", "erm", "--threshold", "low")
    evaluated = pd.read_parquet(paths.evaluation("erm-low") / "predictions.parquet")
    assert len(evaluated) > 50
    assert evaluated["probability"].nunique() > 50
    slides = tmp_path / "data" / "tiny" / "raw" / "slides.csv"
    for workers in (1, 3):
        out = tmp_path / f"with-{workers}"
        evenpatch("predict", slides, "--model", paths.training("erm-low"), "--out", out, "--workers", workers)
        require_alike(evaluated, tables(out))
    for rule, decision in RULES.items():
        require_alike_everywhere(paths, rule, fitted_to(evaluated, decision))


def fitted_to(evaluated: pd.DataFrame, decision: DecisionCard) -> DecisionCard:
    """The decision with offsets around the log-odds that there are, so that both classes occur."""
    middle = evaluated["logit"].median()
    return decision.model_copy(update={"offsets": tuple(each - middle for each in decision.offsets)})


def require_alike(evaluated: pd.DataFrame, found: pd.DataFrame) -> None:
    both = evaluated.merge(found, on="patch_id", how="left", suffixes=("", "_found"))
    for column in ("probability", "prediction"):
        np.testing.assert_array_equal(both[f"{column}_found"], both[column])


def require_alike_everywhere(paths: Paths, rule: str, decision: DecisionCard) -> None:
    """Of the same model under another decision: `evaluate`, `predict` and the served model."""
    training, out = paths.training("erm-low"), paths.root / rule
    card = load_card(training).model_copy(update={"decision": decision})
    (training / CARD).write_text(card.model_dump_json())
    evenpatch(
        "evaluate", "--cohort", "tiny", "--root", paths.root, "--algorithm", "erm", "--threshold", "low"
    )
    evaluated = pd.read_parquet(paths.evaluation("erm-low") / "predictions.parquet")
    assert rule == "plain" or (evaluated["prediction"] != (evaluated["logit"] > 0)).any()
    evenpatch("predict", paths.root / "data/tiny/raw/slides.csv", "--model", training, "--out", out)
    require_alike(evaluated, tables(out))
    asked = evaluated.merge(pd.read_parquet(paths.index), on="patch_id").head(20)
    cells = [
        encode_patch(PatchStore.open(paths.store(row.slide_id)).read([row.store_row])[0])
        for row in asked.itertuples()
    ]
    model, place = PatchModel(), PythonModelContext({"weights": str(training / WEIGHTS)}, {})
    model.load_context(place)
    table = pd.DataFrame({"patch": cells, "tissue_fraction": asked["tissue_fraction"]})
    served = model.predict(place, table)
    np.testing.assert_allclose(served["probability"], asked["probability"], atol=1e-6)
    sure_N = (asked["probability"] - decision.threshold).abs() > 1e-6
    np.testing.assert_array_equal(served["prediction"][sure_N], asked["prediction"][sure_N])


@pytest.mark.real_data
def test_real_cores_are_predicted_as_their_stored_patches_are(real_data: Path, tmp_path: Path) -> None:
    """Polarization SHG in three channels of 8 bits, read at an eighth of the resolution."""
    tissue = {"method": "signal", "channel": CHANNELS[0]}
    patch = PatchSpec(size=32, downsample=8)
    mean, std = (90.0, 60.0, 30.0), (40.0, 30.0, 20.0)
    card = model_card(
        channels=CHANNELS,
        dtype="uint8",
        patch=patch.model_dump(),
        normalization=NormalizationCard(transform="none", mean=mean, std=std, raw_std=std),
        tissue=TissueCard(settings=tissue, mask_pixels_per_patch=256, minimum_fraction=0.005),
        ranges=TrainingRanges(tissue_fraction=Range(low=0, high=1), mpp=None, quality={}),
    )
    model = write_model(tmp_path / "model", card)
    slides = [real_data / "breast-pshg-tma" / f"{core}.ome.tif" for core in CORES]
    evenpatch("predict", *slides, "--model", model, "--out", tmp_path / "out")
    settings = TileSettings(
        patch=patch, tissue=tissue, classes={}, mask_pixels_per_patch=256, minimum_tissue_fraction=0.005
    )
    classifier, _ = load_classifier(model)
    torch.set_num_threads(1)
    for slide, core in zip(slides, CORES, strict=True):
        places, images_NHWC = stored(slide, tmp_path, settings)
        found = pd.read_parquet(tmp_path / "out" / core / "patches.parquet")
        assert len(found) > 10
        pd.testing.assert_frame_equal(found[["x", "y", "tissue_fraction"]], places)
        expected_N, _ = verdicts(DecisionCard(), classifier.predict_patches(MemoryPatches(images_NHWC)))
        np.testing.assert_array_equal(found["probability"], expected_N)
