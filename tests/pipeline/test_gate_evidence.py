"""What the gate measures: both models on the present test patients, and what they may have seen of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from models.networks.card_file import CARD, load_card
from models.networks.checkpoint import load_classifier
from models.networks.decision import told, verdicts
from patching.errors import RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.deployment.challenger import evidence as gate_evidence
from pipeline.deployment.challenger.evidence import Evidence, answers, gather_evidence
from pipeline.files import read_json
from pipeline.tracking.probing import Probe
from pipeline.tracking.registry import Registry, Version
from tests.pipeline import challenged
from tests.pipeline.rules import BY_TISSUE

CANDIDATE, CHAMPION = (
    Version("2", "r2", {"evenpatch.run": "gerne-low"}),
    Version("1", "r1", {"evenpatch.run": "erm-low"}),
)


class FolderRegistry:
    """A registry whose versions are the trainings' own folders."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.logged: dict[str, Path] = {}

    def download(self, version: Version, folder: Path) -> Path:
        shutil.copytree(self.paths.training(version.name), folder / "artifacts")
        return folder

    def run_file(self, version: Version, path: str, folder: Path) -> Path | None:
        return self.logged.get(version.name) if path == "data/splits.csv" else None


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    """A copy that a test may change."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")


@pytest.fixture(autouse=True)
def probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate as served, in this process: a process of its own takes ten seconds."""

    def here(model: Path, patches_NHWC: Any, tissue_fraction_N: Any) -> Probe:
        classifier, card = load_classifier(model / "artifacts")
        told_N, _ = verdicts(card.decision, classifier.predict_proba(patches_NHWC), tissue_fraction_N)
        return Probe("", 1, 1, tuple(told_N.tolist()), 0.003, 700.0)

    monkeypatch.setattr(gate_evidence, "probe", here)


def gathered(context: Context, registry: FolderRegistry, champion: Version | None = CHAMPION) -> Evidence:
    return gather_evidence(context, cast(Registry, registry), "low", CANDIDATE, champion)


def changed_card(context: Context, run: str, **changes: Any) -> None:
    folder = context.paths.training(run)
    card = load_card(folder).model_copy(update=changes)
    (folder / "model.json").write_text(card.model_dump_json())


def test_the_candidates_figures_are_those_of_its_evaluation(cohort: Context) -> None:
    found = gathered(cohort, FolderRegistry(cohort.paths))
    evaluated = read_json(cohort.paths.evaluation("gerne-low") / "metrics.json", "evaluate")["test"]
    assert found.duel.candidate["average"].estimate == pytest.approx(evaluated["average"])
    assert found.duel.candidate["group_3"].estimate == pytest.approx(
        evaluated["groups"]["group_3"]["accuracy"]
    )
    assert (found.unscored, found.seen) == ("", {"candidate": "", "champion": ""})
    assert (found.duel.patients_K, found.validation_patients_K) == ((4, 4), (4, 4))
    assert found.served_apart < 1e-5


def test_every_model_is_judged_by_its_own_decision(cohort: Context) -> None:
    before = gathered(cohort, FolderRegistry(cohort.paths)).duel
    decision = load_card(cohort.paths.training("erm-low")).decision
    changed_card(cohort, "erm-low", decision=decision.model_copy(update={"threshold": 0.9999}))
    after = gathered(cohort, FolderRegistry(cohort.paths)).duel
    assert before.champion is not None
    assert after.champion is not None
    # A champion that calls nothing a tumor, as it does where it is served.
    assert [after.champion[f"group_{g}"].estimate for g in range(4)] == [1, 1, 0, 0]
    assert after.champion["brier"] == before.champion["brier"]
    assert after.candidate == before.candidate


def test_a_model_that_decides_by_tissue_is_judged_and_served_with_the_patches_tissue(cohort: Context) -> None:
    plain = gathered(cohort, FolderRegistry(cohort.paths)).duel
    changed_card(cohort, "gerne-low", decision=BY_TISSUE)
    found = gathered(cohort, FolderRegistry(cohort.paths))
    assert found.served_apart < 1e-5
    logits = pd.read_parquet(cohort.paths.evaluation("gerne-low") / "predictions.parquet")
    table = challenged.tested_patches(cohort, "low").merge(logits[["patch_id", "logit"]], on="patch_id")
    told_N, class_N = told(BY_TISSUE, table["logit"], table["tissue_fraction"])
    assert found.duel.candidate["average"].estimate == pytest.approx((class_N == table["label"]).mean())
    assert found.duel.candidate["brier"].estimate == pytest.approx(((told_N - table["label"]) ** 2).mean())
    assert found.duel.candidate["average"] != plain.candidate["average"]
    itself = Version("1", "r1", {"evenpatch.run": "gerne-low"})
    again = gathered(cohort, FolderRegistry(cohort.paths), itself).duel
    assert again.champion == again.candidate == found.duel.candidate


@pytest.mark.parametrize("run", ["gerne-low", "erm-low"])
def test_other_tissue_fractions_are_asked_for_of_a_model_that_decides_by_them(
    cohort: Context, run: str
) -> None:
    tissue = load_card(cohort.paths.training(run)).tissue
    assert tissue is not None
    other = tissue.model_copy(update={"settings": {"method": "signal", "channel": "SHG"}})
    changed_card(cohort, run, tissue=other)
    registry = FolderRegistry(cohort.paths)
    assert gathered(cohort, registry).unscored == "", "a plain one judges the pixels alone"
    changed_card(cohort, run, decision=BY_TISSUE)
    words = "tissue fractions by channel SHG, method signal and not method otsu"
    if run == "erm-low":
        assert gathered(cohort, registry).unscored.endswith(words)
    else:
        with pytest.raises(RegistryError, match=words):
            gathered(cohort, registry)


def test_a_champion_with_a_card_of_an_earlier_version_is_not_scored(cohort: Context) -> None:
    path = cohort.paths.training("erm-low") / CARD
    path.write_text(path.read_text().replace('"schema_version": 4', '"schema_version": 3'))
    found = gathered(cohort, FolderRegistry(cohort.paths))
    assert found.unscored.startswith("the champion, version 1 (erm-low), does not load: ")
    assert "of schema 3" in found.unscored
    assert found.duel.champion is None


def test_a_difference_is_candidate_minus_champion(cohort: Context) -> None:
    found = gathered(cohort, FolderRegistry(cohort.paths))
    duel = found.duel
    assert duel.champion is not None
    assert duel.difference is not None
    for key in ("average", "brier", "group_0"):
        expected = duel.candidate[key].estimate - duel.champion[key].estimate
        assert duel.difference[key].estimate == pytest.approx(expected)
    assert duel.candidate["brier"].estimate != duel.champion["brier"].estimate


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": ("CARS", "SHG", "TPEF")}, "channels CARS, SHG, TPEF and not CARS, TPEF, SHG"),
        (
            {"patch": {"size": 32, "downsample": 1}},
            "patches downsample 1, size 32 and not downsample 1, size 16",
        ),
        ({"patch": {"size": 16, "mpp": 1.0}}, r"patches mpp 1.0, size 16 and not"),
        ({"dtype": "uint8"}, "dtype uint8 and not uint16"),
    ],
)
def test_a_champion_of_other_patches_is_not_scored(
    cohort: Context, changes: dict[str, Any], words: str
) -> None:
    changed_card(cohort, "erm-low", **changes)
    found = gathered(cohort, FolderRegistry(cohort.paths))
    assert words in found.unscored
    assert found.unscored.startswith("the champion, version 1 (erm-low), is for ")
    assert found.duel.champion is found.duel.difference is None
    assert "champion" not in found.seen


def test_a_candidate_of_other_patches_is_refused(cohort: Context) -> None:
    changed_card(cohort, "gerne-low", dtype="uint8")
    with pytest.raises(RegistryError, match="dtype uint8 and not uint16"):
        gathered(cohort, FolderRegistry(cohort.paths))


def test_a_champion_that_does_not_load_is_told_and_a_candidate_refused(cohort: Context) -> None:
    (cohort.paths.training("erm-low") / "model.safetensors").write_bytes(b"damaged")
    found = gathered(cohort, FolderRegistry(cohort.paths))
    assert "does not load" in found.unscored
    (cohort.paths.training("gerne-low") / "model.json").unlink()
    with pytest.raises(RegistryError, match="does not load"):
        gathered(cohort, FolderRegistry(cohort.paths))


def test_without_a_champion_the_candidate_stands_alone(cohort: Context) -> None:
    found = gathered(cohort, FolderRegistry(cohort.paths), None)
    assert found.unscored == "there is no champion yet"
    assert found.duel.champion is None


def seen(context: Context, registry: FolderRegistry) -> tuple[str, str]:
    found = gathered(context, registry).seen
    return found["candidate"], found["champion"]


def other_split(
    context: Context, folder: Path, run: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> Path:
    """The split of patients that a run's card says it was trained with, as its run has it."""
    path = folder / "then.csv"
    change(pd.read_csv(context.paths.splits, dtype=str)).to_csv(path, index=False)
    own = load_card(context.paths.training(run)).fingerprints
    changed_card(context, run, fingerprints=own | {"splits.csv": gate_evidence.file_fingerprint([path])})
    return path


def test_test_patients_that_a_champion_was_trained_on_are_counted(cohort: Context, tmp_path: Path) -> None:
    registry = FolderRegistry(cohort.paths)
    splits = pd.read_csv(cohort.paths.splits, dtype=str)
    tested = splits["patient_id"][splits["split"] == "test"].tolist()
    assert len(tested) == 4

    def trained(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["patient_id"] == tested[0], "split"] = "train"
        table.loc[table["patient_id"] == tested[2], "split"] = "validation"
        return table

    registry.logged["erm-low"] = other_split(cohort, tmp_path, "erm-low", trained)
    assert seen(cohort, registry) == ("", "2 of 4 test patients were in its training or validation")


def test_test_patients_that_were_tested_then_or_are_new_count_as_unseen(
    cohort: Context, tmp_path: Path
) -> None:
    registry = FolderRegistry(cohort.paths)
    registry.logged["erm-low"] = other_split(
        cohort, tmp_path, "erm-low", lambda t: t[t["patient_id"] != "p03"]
    )
    assert seen(cohort, registry) == ("", "")


def test_a_split_that_is_not_at_hand_is_told(cohort: Context, tmp_path: Path) -> None:
    registry = FolderRegistry(cohort.paths)
    path = other_split(cohort, tmp_path, "erm-low", lambda table: table.head(9))
    assert "is not at hand" in seen(cohort, registry)[1]
    # Nor does a file that is not the one of the card tell anything.
    path.write_text("patient_id,split\n")
    registry.logged["erm-low"] = path
    assert "is not at hand" in seen(cohort, registry)[1]
    changed_card(cohort, "gerne-low", fingerprints={})
    assert "does not say which patients" in seen(cohort, registry)[0]


def test_a_version_that_answers_is_without_trouble(
    cohort: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = cast(Registry, FolderRegistry(cohort.paths))
    folders = iter([tmp_path / name for name in "abc"])
    for folder in "abc":
        (tmp_path / folder).mkdir()
    assert answers(registry, CHAMPION, next(folders)) == ""
    monkeypatch.setattr(gate_evidence, "probe", lambda *_: Probe("exit code 1: boom"))
    assert answers(registry, CHAMPION, next(folders)) == "exit code 1: boom"
    (cohort.paths.training("erm-low") / "model.safetensors").unlink()
    assert "which does not load" in answers(registry, CHAMPION, next(folders))


def test_a_served_model_that_answers_otherwise_is_measured(
    cohort: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_evidence, "probe", lambda _, patches, __: Probe("", 1, 1, (0.5,) * len(patches)))
    found = gathered(cohort, FolderRegistry(cohort.paths))
    assert 0 < found.served_apart <= 0.5
    monkeypatch.setattr(gate_evidence, "probe", lambda *_: Probe("exit code 1: boom"))
    assert np.isnan(gathered(cohort, FolderRegistry(cohort.paths)).served_apart)
