"""The intervention: a network that reads the area is found out, one that reads the texture is not."""

import json
import logging
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from models.data.dataset import AbstractPatches
from models.networks.card import DecisionCard
from patching.store.reading import PatchTable
from patching.store.writing import write_store
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.files import NOT_ESTIMABLE, read_json
from pipeline.intervention import answers
from pipeline.intervention.answers import CURVE, answered
from pipeline.intervention.feeding import Shelf
from pipeline.intervention.figures import NET, figures_of, with_numbers
from pipeline.intervention.models import Asked
from pipeline.intervention.sample import Stock, chosen, stock_of
from pipeline.intervention.settings import ARMS, InterveneSettings
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.stages import intervene
from tests.pipeline.finished import SIDE, store_attributes
from tests.pipeline.simulated import run_of, terms_for

FEW = InterveneSettings(patches=12)
TUMOR_CHANNEL = 2


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Stock]:
    """Six slides whose tissue is bright in channel 0, and in tumor in channel 2 as well."""
    paths = Paths(tmp_path_factory.mktemp("drawn"), "drawn")
    rng = np.random.default_rng(5)
    rows = [_slide(paths, f"s-{slide}", slide, rng) for slide in range(6)]
    return paths, stock_of(pd.concat(rows, ignore_index=True), FEW)


def _slide(paths: Paths, slide_id: str, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """24 patches; each is tissue from its left side to a border of its own."""
    n, attributes = 24, replace(store_attributes(slide_id), tissue_downsample=1.0)
    mask_HW = np.zeros((200, 300), np.bool_)
    locations_N2 = np.array([(i % 12 * SIDE, i // 12 * SIDE) for i in range(n)], np.int64)
    label_N = np.arange(n) % 2
    images_NHWC = rng.poisson(10, (n, SIDE, SIDE, 3)).astype(np.uint16)
    border_N = rng.integers(2, SIDE, n)
    for i, (x, y) in enumerate(locations_N2):
        mask_HW[y : y + SIDE, x : x + border_N[i]] = True
        images_NHWC[i, :, : border_N[i], 0] += 200
        images_NHWC[i, :, : border_N[i], TUMOR_CHANNEL] += np.uint16(300 * label_N[i])
    tissue_N = border_N / SIDE
    table = PatchTable(locations_N2, tissue_N, tissue_N * label_N, label_N.astype(np.int8), np.ones(n))
    write_store(paths.store(slide_id), attributes, table, mask_HW, iter(images_NHWC))
    return pd.DataFrame(
        {
            "patch_id": [f"{slide_id}@{x}_{y}" for x, y in locations_N2],
            "slide_id": slide_id,
            "patient_id": f"p{number // 2}",
            "store_row": np.arange(n),
            "tissue_fraction": tissue_N,
            "tumor_fraction": tissue_N * label_N,
            "label": label_N,
        }
    )


class Reader:
    """A network that tells tumor by the share of bright pixels of channel 0, or by channel 2 where bright."""

    def __init__(self, reads: str) -> None:
        self.reads = reads

    def to(self, device: object) -> "Reader":
        return self

    def predict_patches(self, images: AbstractPatches) -> Any:
        pixels_NHWC = images.read(np.arange(len(images))).astype(np.float64)
        bright_NHW = pixels_NHWC[..., 0] > 100
        share_N = bright_NHW.mean(axis=(1, 2))
        tumor_N = (pixels_NHWC[..., TUMOR_CHANNEL] > 150).sum(axis=(1, 2)) / np.maximum(
            bright_NHW.sum(axis=(1, 2)), 1
        )
        odds_N = 4 * share_N - 2 if self.reads == "area" else 4 * tumor_N - 2
        probability_N = 1 / (1 + np.exp(-odds_N))
        return np.stack([1 - probability_N, probability_N], axis=1)


@pytest.fixture(scope="module")
def found(drawn: tuple[Paths, Stock]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """ERM reads the area, GERNE the texture; both plain, ERM also with a rule that takes the area back."""
    paths, stock = drawn
    back = DecisionCard(rule="by_tissue", slope=1.0, offsets=(2.0, -2.0), knots=(0.0, 1.0))
    asked = [
        Asked("area", Path("area"), {"erm": DecisionCard(), "erm+by_tissue": back}),
        Asked("texture", Path("texture"), {"gerne": DecisionCard()}),
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answers, "load_classifier", lambda folder: (Reader(folder.name), None))
        shelf = Shelf(paths)
        parts = [answered(arm, stock, shelf, asked, FEW, iter).curve for arm in ARMS]
    curve = pd.concat(parts, ignore_index=True)
    tested = [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.2)]
    terms = terms_for(tested, references=("erm",), minimum_test_patients=3)
    intervals = BootstrapSettings(minimum_patches=5, draws=200)
    return curve, figures_of(curve, terms, FEW, intervals)


def slope(figures: dict[str, Any], method: str, kind: str, arm: str, measure: str = "log_odds") -> Any:
    return figures["methods"][method]["slopes"][kind][measure][arm]


def test_a_network_that_reads_the_area_has_its_slope(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    _, figures = found
    for arm in ARMS:
        # The log-odds are 4 times the bright share: that is the slope.
        assert slope(figures, "erm", "net", arm.name)["estimate"] == pytest.approx(4, abs=0.05)
        assert slope(figures, "erm", "net", arm.name)["reading"] == "better"
        assert slope(figures, "erm", "control", arm.name)["estimate"] == pytest.approx(0, abs=0.05)


def test_one_that_reads_the_texture_has_none(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    _, figures = found
    for arm in ("normal_added", "normal_removed"):
        assert slope(figures, "gerne", "net", arm)["estimate"] == pytest.approx(0, abs=1e-9)


def test_a_rule_that_knows_the_tissue_takes_the_area_back(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    _, figures = found
    for arm in ARMS:
        assert slope(figures, "erm+by_tissue", "net", arm.name)["estimate"] == pytest.approx(0, abs=0.05)


def test_the_candidate_is_set_against_reference_and_control(
    found: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    _, figures = found
    told = {(each["candidate"], each["reference"]): each["net"] for each in figures["contrasts"]}
    assert list(told) == [("gerne", "erm"), ("gerne", "erm+by_tissue")]
    difference = told["gerne", "erm"]["log_odds"]["normal_added"]
    assert difference["estimate"] == pytest.approx(-4, abs=0.05)
    assert difference["high"] < 0
    assert told["gerne", "erm+by_tissue"]["log_odds"]["normal_added"]["estimate"] == pytest.approx(
        0, abs=0.05
    )


def test_no_change_is_told_of_too_few_patients(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    """Of two patients an interval would reach from −100 to 100 points."""
    curve, told = found
    tested = [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.2)]
    n_patients = curve.groupby("arm")["patient_id"].nunique()
    terms = terms_for(tested, references=("erm",), minimum_test_patients=int(n_patients.max()) + 1)
    few = figures_of(curve, terms, FEW, BootstrapSettings(minimum_patches=5, draws=200))
    for arm in ARMS:
        for each in (slope(few, "erm", NET, arm.name), few["contrasts"][0]["net"]["log_odds"][arm.name]):
            assert {each[end] for end in ("estimate", "low", "high")} == {NOT_ESTIMABLE}
    assert slope(few, "erm", NET, "normal_added")["reading"] == "few"
    assert slope(told, "erm", NET, "normal_added")["estimate"] != NOT_ESTIMABLE


def test_steps_change_the_area_and_the_control_does_not(
    found: tuple[pd.DataFrame, dict[str, Any]], drawn: tuple[Paths, Stock]
) -> None:
    curve, figures = found
    assert list(curve) == list(CURVE)
    one = curve[curve["method"] == "gerne"]
    spread = one.groupby(["arm", "kind", "patch_id"])["tissue_fraction"].agg(np.ptp).groupby(["arm", "kind"])
    assert (spread.max()[:, "control"] < 0.01).all()
    assert (spread.min()[:, "area"] > 0.05).all()
    removed = one[(one["arm"] == "normal_removed") & (one["kind"] == "area") & (one["share"] == 1)]
    assert (removed["tissue_fraction"] == 0).all()
    first = one[(one["share"] == 0) & (one["kind"] == "area")].set_index("patch_id")["tissue_fraction"]
    table = drawn[1].table.set_index("patch_id")["tissue_fraction"]
    assert np.allclose(first, table[first.index])
    steps = figures["methods"]["erm"]["steps"]["normal_added"]["area"]
    shown = one[(one["arm"] == "normal_added") & (one["kind"] == "area")]
    assert [step["tissue_fraction"] for step in steps] == pytest.approx(
        shown.groupby("step")["tissue_fraction"].mean().tolist()
    )


def test_a_network_that_gives_no_numbers_is_left_out(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    curve = found[0].copy()
    curve.loc[curve.index[curve["method"] == "gerne"][:3], "log_odds"] = np.nan
    kept, lost = with_numbers(curve)
    assert lost == {"gerne": 3}
    assert set(kept["method"]) == {"erm", "erm+by_tissue"}


def test_patients_take_turns_and_tumor_patches_are_all_tumor(drawn: tuple[Paths, Stock]) -> None:
    table = drawn[1].table.copy()
    few = table.index[(table["label"] == 1) & (table["patient_id"] == "p0")]
    table.loc[few, "tumor_fraction"] *= 0.5
    stock = stock_of(table, FEW)
    tumor = chosen(ARMS[2], stock, FEW)
    assert "p0" not in set(tumor["patient_id"])
    assert len(tumor) == 12
    normal = chosen(ARMS[0], stock, replace_patches(3))
    assert sorted(normal["patient_id"]) == ["p0", "p1", "p2"]
    own = stock.table.loc[stock.table["label"] == 0, "tissue_fraction"]
    assert normal["tissue_fraction"].max() <= own.median()


def replace_patches(patches: int) -> InterveneSettings:
    return FEW.model_copy(update={"patches": patches})


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")
    settings = {**FEW.model_dump(), "patches": 4, "shares": [0, 0.5, 1]}
    (context.configs / "intervene.yaml").write_text(yaml.safe_dump(settings))
    return context


def test_the_stage_writes_the_same_bytes_and_the_unchanged_patches_logits(cohort: Context) -> None:
    intervene.run(cohort, Namespace())
    files = sorted(cohort.paths.intervene.iterdir())
    before = [path.read_bytes() for path in files]
    assert [path.name for path in files] == [
        "curve.parquet",
        "intervene.json",
        "normal_added.png",
        "normal_removed.png",
        "tumor_removed.png",
    ]
    curve = pd.read_parquet(cohort.paths.intervene / "curve.parquet")
    predicted = pd.read_parquet(cohort.paths.evaluation("gerne-low") / "predictions.parquet")
    first = curve[(curve["method"] == "gerne") & (curve["step"] == 0)].merge(predicted, on="patch_id")
    assert len(first) == 24
    assert np.allclose(first["logit_x"], first["logit_y"], atol=1e-4)
    content = json.loads(files[1].read_text())
    assert content["arms"]["normal_added"]["patches"] == 4
    assert content["methods"]["erm"]["slopes"]["net"]["probability"]["normal_added"]["estimate"] == (
        "not estimable"
    )
    intervene.run(cohort, Namespace())
    assert [path.read_bytes() for path in files] == before


def test_without_test_patients_nothing_is_changed_and_it_is_said(
    cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    for path in cohort.paths.outputs.glob("evaluate/*/predictions.parquet"):
        table = pd.read_parquet(path)
        table[table["split"] == "validation"].to_parquet(path, index=False)
    with caplog.at_level(logging.WARNING):
        intervene.run(cohort, Namespace())
    assert "no test patients" in caplog.text
    content = read_json(cohort.paths.intervene / "intervene.json", "intervene")
    assert content == {"missing": "There are no test patients."}


def test_a_label_without_patches_is_not_estimable(cohort: Context) -> None:
    index = pd.read_parquet(cohort.paths.index)
    tested = pd.read_csv(cohort.paths.splits).query("split == 'test'")["patient_id"]
    lost = index.loc[index["patient_id"].isin(tested) & (index["label"] == 1), "patch_id"]
    for path in cohort.paths.outputs.glob("evaluate/*/predictions.parquet"):
        table = pd.read_parquet(path)
        table[~table["patch_id"].isin(lost)].to_parquet(path, index=False)
    intervene.run(cohort, Namespace())
    content = json.loads((cohort.paths.intervene / "intervene.json").read_text())
    assert content["arms"]["tumor_removed"] == {
        "title": "tumor patches, tissue removed",
        "patches": 0,
        "slides": 0,
        "patients": 0,
        "moved": 0.0,
        "example": None,
        "sources": {},
    }
    assert content["methods"]["erm"]["steps"]["tumor_removed"] == {"area": [], "control": []}
