"""Models that were trained on all patients: no test figures, a study's in their place, or none at all."""

import json
import logging
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import yaml

from models.networks.card import DecisionCard
from models.networks.card_file import load_card
from models.networks.checkpoint import load_classifier
from models.networks.decision import verdicts
from models.networks.evidence import Evidence
from models.networks.reliability import weak_groups
from patching.errors import ArtifactError, RegistryError
from pipeline.artifacts import Paths
from pipeline.cards.study_evidence import evidence_of, study_figures, wga_told
from pipeline.config import Context, load_stage
from pipeline.deployment.challenger import evidence as gate
from pipeline.deployment.challenger.findings import Finding, weak
from pipeline.deployment.challenger.record import Judgement, gate_json, gate_tags, now
from pipeline.deployment.challenger.rules import Claim, judge
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.deployment.model import Model
from pipeline.deployment.page import facts_of
from pipeline.experiments import study_cells
from pipeline.files import read_json, write_json
from pipeline.results.claims import study_claim
from pipeline.stages import attribute, compare, evaluate, report, split, study, train
from pipeline.stages.track import training_fingerprint
from pipeline.tracking.pages import group_figures, pages_of
from pipeline.tracking.probing import Probe
from pipeline.tracking.registry import Registry, Version
from tests.pipeline.reports import undrawn

RUN = "erm-low"
QUICK = {"epochs": 1, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
STUDY = {"repeats": 1, "folds": 2, "algorithms": ["erm"], "thresholds": ["low"], "draws": 50, "workers": 1}
CANDIDATE = Version("2", "r2", {"evenpatch.run": RUN})
CHAMPION = Version("1", "r1", {"evenpatch.run": RUN})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, trainable_template: Path) -> Context:
    """ERM at `low`, trained on all patients, evaluated, and a study of it; to be copied."""
    root = tmp_path_factory.mktemp("untested")
    shutil.copytree(trainable_template, root, dirs_exist_ok=True)
    context = Context("small", Paths(root, "small"), root / "configs")
    slides = pd.read_csv(context.paths.slides, dtype={"patient_id": str})
    slides.assign(split=None).to_csv(context.paths.slides, index=False)
    change(context, split={"test": 0, "validation": 0.3}, train=QUICK, study=STUDY)
    (context.paths.patches / "summary.json").write_text(json.dumps({"warnings": {}}))
    params = yaml.safe_load((context.configs / "params.yaml").read_text())
    (context.configs / "params.yaml").write_text(yaml.safe_dump(params | {"algorithms": ["erm"]}))
    options = Namespace(algorithm="erm", threshold="low", seed=None, fold=None)
    for stage in (split, attribute, train, evaluate):
        stage.run(context, options)
    # In this process: another one takes longer to start than to train.
    settings = load_stage(context.configs, context.cohort, "study", study.StudySettings)
    for cells in study_cells.trainings(list(study_cells.planned(context, settings))):
        study_cells.train_cells(context.paths, context.paths.study / "cells", cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *_: None)
        study.run(context, study_options())
    return context


def study_options() -> Namespace:
    given = dict.fromkeys(study.OPTIONS)
    return Namespace(**given, archive=None, minutes=None)


@pytest.fixture
def cohort(trained: Context, tmp_path: Path) -> Context:
    """A copy that a test may change."""
    shutil.copytree(trained.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(trained.cohort, Paths(tmp_path, trained.cohort), tmp_path / "configs")


def change(context: Context, **sections: Any) -> None:
    path = context.configs / "cohorts" / f"{context.cohort}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))


def claimed(context: Context) -> Evidence:
    return evidence_of(context, RUN, load_card(context.paths.training(RUN)))


def test_every_patient_trains_or_validates_and_validation_figures_are_all(trained: Context) -> None:
    splits = pd.read_csv(trained.paths.splits)
    assert set(splits["split"]) == {"train", "validation"}
    assert len(splits) == 24
    metrics = read_json(trained.paths.evaluation(RUN) / "metrics.json", "evaluate")
    assert set(metrics) == {"validation"}
    predictions = pd.read_parquet(trained.paths.evaluation(RUN) / "predictions.parquet")
    assert set(predictions["split"]) == {"validation"}


def test_evaluate_says_that_nobody_is_tested(cohort: Context, caplog: pytest.LogCaptureFixture) -> None:
    evaluate.run(cohort, Namespace(algorithm="erm", threshold="low", seed=None))
    assert f"{RUN}: no test patients" in caplog.text


def test_the_study_is_the_evidence_and_says_whose_figures_they_are(trained: Context) -> None:
    found = claimed(trained)
    content = read_json(trained.paths.study / "study.json", "study")
    own = content["thresholds"]["low"]["algorithms"]["erm"]
    assert found.split == "study"
    assert found.patients == content["patients"] == 24
    assert found.figures["average"].value == pytest.approx(own["average"]["estimate"])
    assert found.figures["average"].low == pytest.approx(own["average"]["low"])
    for number, group in enumerate(found.groups):
        assert group.accuracy.value == pytest.approx(own[f"group_{number}"]["estimate"])
        assert group.patches == round(content["thresholds"]["low"]["patches_per_group"][number])
    assert "Cross-validation by patient, 2 folds, 1 repeat" in found.chosen
    assert "not of these weights" in found.chosen
    assert any("not of these weights" in limit for limit in found.limits)
    assert not any("one split" in limit for limit in found.limits)


def test_pages_and_metrics_keep_the_studys_figures_apart(trained: Context) -> None:
    found, card = claimed(trained), load_card(trained.paths.training(RUN))
    pages = pages_of(card, found, model="m", version="3", seconds=1)
    assert "of models trained alike, in the study: WGA" in pages.version
    assert "the figures are not of these weights" in pages.run
    assert "in the study" in pages.tags["evenpatch.test_wga"]
    figures = study_figures(found) | group_figures(card, found)
    assert figures["study/average"] == found.figures["average"].value
    assert all(name.startswith("study/") for name in figures)
    assert wga_told(found).startswith("study's WGA")


def test_what_chose_a_model_without_test_patients_is_told(cohort: Context) -> None:
    path = cohort.paths.training(RUN) / "run.json"
    content = json.loads(path.read_text()) | {"choice": {"by": "last", "why": "3 of 4 patients"}}
    write_json(path, content)
    assert "Nothing chose the step" in claimed(cohort).chosen
    assert "3 of 4 patients" in claimed(cohort).chosen
    shutil.rmtree(cohort.paths.study)
    assert claimed(cohort).split == "none"
    assert "Nothing chose the step" in claimed(cohort).chosen


def change_study(context: Context, **fingerprints: str | None) -> None:
    path = context.paths.study / "study.json"
    content = read_json(path, "study")
    used = content["fingerprints"] | fingerprints
    content["fingerprints"] = {name: digest for name, digest in used.items() if digest is not None}
    write_json(path, content)


def spoil(context: Context, how: str) -> None:
    record = context.paths.training(RUN) / "run.json"
    match how:
        case "no study":
            shutil.rmtree(context.paths.study)
        case "a study of other settings":
            change(context, train=QUICK | {"learning_rate": 0.01})
        case "a training of other settings":
            content = read_json(record, "train")
            content["settings"]["train"] = "0" * 64
            write_json(record, content)
        case "a training of other settings of its method":
            content = read_json(record, "train")
            content["settings"]["algorithms.erm"] = "0" * 64
            write_json(record, content)
        case "a study of another recipe":
            change_study(context, recipe="0" * 64)
        case "a study of unknown settings":
            change_study(context, train=None)
        case "predictions without their settings":
            content = read_json(context.paths.study / "study.json", "study")
            (context.paths.study / "study.json").write_text(json.dumps({"cells": content["cells"]}))
        case "a training of an earlier version":
            content = read_json(record, "train")
            del content["settings"]
            write_json(record, content)
        case "a training of other patients":
            splits = pd.read_csv(context.paths.splits, dtype=str)
            splits["split"] = splits["split"].to_numpy()[::-1]
            splits.to_csv(context.paths.splits, index=False)
        case "a study of another threshold":
            table = pd.read_parquet(context.paths.study / "predictions.parquet")
            table.assign(threshold="high").to_parquet(context.paths.study / "predictions.parquet")
        case "a rule of its own":
            path = context.paths.training(RUN)
            decision = DecisionCard(threshold=0.4)
            changed = load_card(path).model_copy(update={"decision": decision})
            (path / "model.json").write_text(changed.model_dump_json())


SPOILED = {
    "no study": "there is no finished study",
    "a study of other settings": "train changed since",
    "a training of other settings": "train of the training are other settings",
    "a training of other settings of its method": r"algorithms\.erm of the training are other settings",
    "a study of another recipe": "recipe changed since",
    "a study of unknown settings": "does not say with which train its models were trained",
    "predictions without their settings": "does not say with which recipe, train its models were trained",
    "a training of an earlier version": "does not say which settings",
    "a training of other patients": r"splits\.csv changed since the model was trained",
    "a study of another threshold": "no figures of erm at threshold low",
    "a rule of its own": "decides by the rule plain at 0.4",
}


@pytest.mark.parametrize(("how", "words"), SPOILED.items())
def test_nothing_is_claimed_where_the_study_is_not_of_models_trained_alike(
    cohort: Context, how: str, words: str
) -> None:
    before = claimed(cohort)
    spoil(cohort, how)
    found, card = claimed(cohort), load_card(cohort.paths.training(RUN))
    with pytest.raises(ArtifactError, match=words):
        study_claim(cohort, card, read_json(cohort.paths.training(RUN) / "run.json", "train"))
    assert (found.split, found.patches, found.patients) == ("none", 0, 0)
    assert all(figure.value is None for figure in found.figures.values())
    assert len(weak_groups(found)) == 4
    assert any("tested on nobody" in limit for limit in found.limits)
    assert any("No figure is claimed" in limit for limit in found.limits)
    page = pages_of(card, found, model="m", version="3", seconds=1)
    assert "tested on nobody" in page.version
    assert not study_figures(found)
    # Logged again with the figures, once there are some.
    assert training_fingerprint(cohort.paths, RUN, found) != training_fingerprint(cohort.paths, RUN, before)


def test_settings_from_a_search_are_told_as_too_good(cohort: Context) -> None:
    folder = cohort.paths.trials("tune", RUN)
    folder.mkdir(parents=True)
    (folder / "tune.json").write_text(json.dumps({"best": {"settings": {}}, "n_trials": 7, "n_earlier": 0}))
    assert any("best of 7 trials" in limit for limit in claimed(cohort).limits)
    (found,) = [each for each in findings(cohort) if each.rule == "test_evidence"]
    assert found.verdict == "weak"
    assert "best of 7 trials" in found.reason


def test_the_report_shows_the_study_in_the_place_of_test_figures(cohort: Context) -> None:
    report.run(cohort, Namespace())
    page = cohort.paths.report.read_text()
    assert '<section id="untested">' in page
    for panel in ("verdict", "group_table", "side_by_side", "structure", "gallery", "slides"):
        assert f'<section id="{panel}">' not in page
    assert "They are not of these weights" in page
    assert "Repeated cross-validation" in page
    assert "No patient was kept apart from the models of this report" in page
    shutil.rmtree(cohort.paths.study)
    with undrawn():
        report.run(cohort, Namespace())
    assert "Nothing is known of how well they do" in cohort.paths.report.read_text()


def test_compare_says_why_a_run_is_left_out(
    cohort: Context, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Namespace(runs=[], candidate=None, output=None, oracle=False)
    with caplog.at_level(logging.WARNING):
        compare.run(cohort, options)
    assert f"{RUN}: left out, for their split has no test patients" in caplog.text
    assert "study" in capsys.readouterr().out
    with pytest.raises(ArtifactError, match=f"{RUN}, trained with a split that has no test patients"):
        compare.run(cohort, replace_options(options, runs=[RUN]))


def replace_options(options: Namespace, **changes: Any) -> Namespace:
    return Namespace(**(vars(options) | changes))


class FolderRegistry:
    """A registry whose versions are the training's own folder."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def download(self, version: Version, folder: Path) -> Path:
        shutil.copytree(self.paths.training(version.name), folder / "artifacts")
        return folder

    def run_file(self, version: Version, path: str, folder: Path) -> Path | None:
        assert path == "training/run.json"
        return self.paths.training(version.name) / "run.json"


@pytest.fixture(autouse=True)
def probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate as served, in this process."""

    def here(model: Path, patches_NHWC: Any, tissue_fraction_N: Any) -> Probe:
        classifier, card = load_classifier(model / "artifacts")
        told_N, _ = verdicts(card.decision, classifier.predict_proba(patches_NHWC), tissue_fraction_N)
        return Probe("", 1, 1, tuple(told_N.tolist()), 0.003, 700.0)

    monkeypatch.setattr(gate, "probe", here)


def gathered(context: Context, champion: Version | None = None, threshold: str = "low") -> gate.Evidence:
    registry = cast(Registry, FolderRegistry(context.paths))
    return gate.gather_evidence(context, registry, threshold, CANDIDATE, champion)


def findings(context: Context, champion: Version | None = None, **test: Any) -> tuple[Finding, ...]:
    settings = load_stage(context.configs, context.cohort, "register", RegisterSettings)
    settings = settings.model_copy(update={"test": settings.test.model_copy(update=test)})
    return judge(gathered(context, champion), settings, Claim("wga 0.6", named=False, approved=""))


def test_the_gate_takes_the_study_and_says_so(trained: Context) -> None:
    found = gathered(trained)
    own = read_json(trained.paths.study / "study.json", "study")["thresholds"]["low"]["algorithms"]["erm"]
    assert found.duel.candidate["wga"].estimate == pytest.approx(own["wga"]["estimate"])
    assert found.duel.candidate["group_2"].low == pytest.approx(own["group_2"]["low"])
    assert (found.duel.patients, found.duel.champion, found.duel.difference) == (24, None, None)
    assert found.served_apart < 1e-5
    by_rule = {each.rule: each for each in findings(trained)}
    assert by_rule["test_evidence"].verdict == "holds"
    assert by_rule["test_evidence"].shown.startswith("study: cross-validation by patient, 2 folds")
    assert by_rule["test_patients"].figure == "24 with tumor, 24 without"
    assert "unseen_by_candidate" not in by_rule
    assert by_rule["champion"].verdict == "does not apply"
    assert by_rule["chance"].figure == found.duel.candidate["wga"]


def test_a_cohort_may_take_a_study_for_weak_evidence(trained: Context) -> None:
    (found,) = [each for each in findings(trained, study="weak") if each.rule == "test_evidence"]
    assert found.verdict == "weak"
    assert "not of these weights" in found.reason


def test_replacing_a_champion_without_a_comparison_is_weak_evidence(trained: Context) -> None:
    found = findings(trained, CHAMPION)
    reasons = {each.rule: each.reason for each in weak(found)}
    assert "nobody to compare it on" in reasons["champion"]
    by_rule = {each.rule: each.verdict for each in found}
    assert by_rule["wga_difference"] == by_rule["group_0_difference"] == "does not apply"


def test_the_record_of_a_promotion_says_what_it_rests_on(trained: Context) -> None:
    settings = load_stage(trained.configs, trained.cohort, "register", RegisterSettings)
    claim, measured = Claim("wga 0.6", named=False, approved=""), gathered(trained)
    found = judge(measured, settings, claim)
    judgement = Judgement("champion", "low", measured, found, settings, claim, forced=True, at=now())
    assert "not of these weights" in gate_json(judgement, "m")["test_evidence"]
    assert "not of these weights" in gate_tags(judgement)["evenpatch.gate.test_evidence"]
    plain = replace(judgement, evidence=replace(measured, claim=None))
    assert gate_json(plain, "m")["test_evidence"] == "its own test patients"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no study", "no finished study"),
        ("a training of other settings", "train of the training are other settings"),
    ],
)
def test_without_a_study_of_models_trained_alike_there_is_no_candidate(
    cohort: Context, how: str, words: str
) -> None:
    spoil(cohort, how)
    with pytest.raises(RegistryError, match=rf"from which no patient was kept apart: .*{words}"):
        gathered(cohort)


def test_a_study_is_of_the_models_own_threshold(trained: Context) -> None:
    with pytest.raises(RegistryError, match="tests it at its threshold, low"):
        gathered(trained, threshold="high")


@pytest.mark.parametrize(
    ("split", "words"), [("study", "not from these weights"), ("none", "tested on nobody")]
)
def test_the_page_of_predictions_says_how_well_such_a_model_is_known(
    cohort: Context, split: str, words: str
) -> None:
    if split == "none":
        shutil.rmtree(cohort.paths.study)
    evidence, card = claimed(cohort), load_card(cohort.paths.training(RUN))
    assert evidence.split == split
    facts = facts_of(Model(cohort.paths.training(RUN), card, evidence, "m", "1", "0"))
    assert words in dict(facts.others)["how well it does"]
    tested = facts_of(
        Model(cohort.paths.training(RUN), card, evidence.model_copy(update={"split": "test"}), "m", "1", "0")
    )
    assert not tested.others
