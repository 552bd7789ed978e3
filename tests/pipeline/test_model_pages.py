"""What is said of a tracked model: evidence, pages, tags, requirements."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import mlflow
import pandas as pd
import pytest

from models.networks.card import ModelCard
from models.networks.decision import needs_tissue
from models.networks.evidence import Evidence
from models.networks.reliability import weak_groups
from pipeline.cards.evidence import gathered_evidence
from pipeline.config import Context, load_cohort
from pipeline.files import read_json
from pipeline.patch_tables import read_predictions
from pipeline.tracking.connection import connect
from pipeline.tracking.models import ModelStore
from pipeline.tracking.pages import group_figures, pages_of
from pipeline.tracking.requirements import REQUIREMENTS, pinned_requirements
from pipeline.tracking.served import SIGNATURE, columns_of
from pipeline.verbs import VERBS
from tests.pipeline.finished import card
from tests.pipeline.rules import RULES

PACKAGES = ("patching", "models", "pipeline")
UNSEEN = {"openslide-bin", "pyarrow"}
"""openslide-python's library, and what pandas writes parquet with: no import of ours names them."""


@pytest.fixture(scope="module")
def evidence(tracked_cohort: Context) -> Evidence:
    cohort = load_cohort(tracked_cohort.configs, tracked_cohort.cohort)
    told = cohort.model_copy(update={"limits": ("Of toys only.",)})
    return gathered_evidence(tracked_cohort.paths, "erm-low", card("erm", "low"), told)


def test_evidence_repeats_the_figures_of_the_test_patients(
    tracked_cohort: Context, evidence: Evidence
) -> None:
    tested = read_json(tracked_cohort.paths.evaluation("erm-low") / "metrics.json", "evaluate")["test"]
    assert (evidence.patches, evidence.patients) == (tested["patches"], tested["patients"])
    assert evidence.figures["wga"].value == tested["wga"]
    assert evidence.figures["wga"].low == tested["intervals"]["wga"]["low"]
    assert evidence.figures["worst_class"].low is None
    assert [(g.label, g.attribute) for g in evidence.groups] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [g.accuracy.value for g in evidence.groups] == [
        None if isinstance(group["accuracy"], str) else group["accuracy"]
        for group in tested["groups"].values()
    ]
    assert evidence.groups[2].patches == tested["groups"]["group_2"]["patches"]
    brier = evidence.figures["brier"].value
    assert brier is not None
    assert 0 < brier < 1


def test_limits_name_weak_groups_few_patients_and_what_the_cohort_says(evidence: Evidence) -> None:
    told = " ".join(evidence.limits)
    assert weak_groups(evidence)
    assert "Not known to do better than a coin in: " in told
    assert f"stand on {evidence.patients} test patients" in told
    assert evidence.limits[-1] == "Of toys only."
    assert "Trained on 20 patches of the cohort toy" in told


def test_pages_say_what_it_is_and_hold_no_markup_of_others(evidence: Evidence) -> None:
    pages = pages_of(card("erm", "low"), evidence, model="evenpatch-toy", version="7", seconds=12.3)
    for text in (pages.model, pages.version, pages.run):
        assert "<script>" not in text
    assert "&lt;script&gt;" in pages.version
    assert "CARS, TPEF, SHG (in this order; intensities)" in pages.version
    assert "models:/evenpatch-toy/7" in pages.version
    assert "models:/evenpatch-toy@champion" in pages.model
    assert "trained in 12 s" in pages.run
    rows = [line for line in pages.version.splitlines() if line.startswith("| tumor and little tissue |")]
    assert len(rows) == 1
    assert pages.tags["evenpatch.channels"] == "CARS;TPEF;SHG"
    assert pages.tags["evenpatch.mpp"] == "0.5"
    assert pages.tags["evenpatch.patch_size"] == "16"
    assert "evenpatch.test_wga" not in pages.shared_tags


def test_every_column_of_the_signature_is_told_in_words(evidence: Evidence) -> None:
    names = [*SIGNATURE.inputs.input_names(), *SIGNATURE.outputs.input_names()]
    for decision in RULES.values():
        columns = columns_of(decision)
        assert list(columns) == names
        told = card("erm", "low").model_copy(update={"decision": decision})
        page = pages_of(told, evidence, model="m", version="1", seconds=1).version
        assert all(f"| {name} | {words} |" in page for name, words in columns.items())
        assert ("needed of every patch" in page) == needs_tissue(decision)


SAID = {
    "plain": (
        "plain: the network's log-odds",
        "log-odds divided by 1.7 (fitted on 3,400",
        "probability of 0.5 |",
    ),
    "threshold": (
        "0.8 times the network's log-odds, plus -0.3 for every patch",
        "none: not asked",
        "0.47 (fit",
    ),
    "by_attribute": ("1.1 times the network's log-odds, plus -0.3 in little tissue, 0.1 in much tissue",),
    "by_tissue": (
        ": the network's log-odds, plus -0.4 at a tissue fraction of 0.2, 0.05 at a tissue fraction of 0.6",
        "12 patients; as",
    ),
}


@pytest.mark.parametrize(("rule", "words"), SAID.items())
def test_a_page_says_how_it_decides(rule: str, words: tuple[str, ...], evidence: Evidence) -> None:
    told = card("erm", "low").model_copy(update={"decision": RULES[rule]})
    pages = pages_of(told, evidence, model="m", version="1", seconds=1)
    section = pages.version.partition("### How it decides")[2].partition("###")[0].replace("\\_", "_")
    assert all(each in section for each in words)
    assert pages.tags["evenpatch.decision"].startswith("tumor above a probability of 0.")


def decided_evidence(context: Context, rule: str) -> Evidence:
    cohort = load_cohort(context.configs, context.cohort)
    decided = card("erm", "low").model_copy(update={"decision": RULES[rule]})
    return gathered_evidence(context.paths, "erm-low", decided, cohort)


@pytest.mark.parametrize("rule", RULES)
def test_limits_say_what_a_decision_needs_and_how_far_its_probabilities_hold(
    tracked_cohort: Context, rule: str
) -> None:
    told = " ".join(decided_evidence(tracked_cohort, rule).limits)
    assert ("not calibrated: not asked for" in told) == (rule == "threshold")
    assert ("calibrated on the validation patients" in told) == (rule == "plain")
    assert ("calibrated as if all groups were equally frequent" in told) == (rule.startswith("by_"))
    assert ("A patch alone gets no verdict" in told) == (rule in ("by_attribute", "by_tissue"))
    assert ("Its verdicts are decided by" in told) == (rule != "plain")


def test_beside_a_decision_stands_what_the_network_alone_reaches(
    tracked_cohort: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decided_otherwise(*arguments: Any) -> pd.DataFrame:
        return read_predictions(*arguments).assign(prediction=lambda table: 1 - table["prediction"])

    monkeypatch.setattr("pipeline.cards.evidence.read_predictions", decided_otherwise)
    paths = tracked_cohort.paths
    predictions = pd.read_parquet(paths.evaluation("erm-low") / "predictions.parquet")
    of_test = predictions[predictions["split"] == "test"]
    right_N = (of_test["logit"] > 0) == (of_test["label"] == 1)
    by_group = right_N.groupby(of_test["group"]).mean()
    figures = decided_evidence(tracked_cohort, "by_tissue").figures
    tested = read_json(paths.evaluation("erm-low") / "metrics.json", "evaluate")["test"]
    judged = [g for g in range(4) if not isinstance(tested["groups"][f"group_{g}"]["accuracy"], str)]
    assert judged
    assert figures["plain_wga"].value == pytest.approx(by_group[judged].min())
    assert figures["plain_gba"].value == pytest.approx(by_group[judged].mean())
    assert figures["plain_average"].value == pytest.approx(right_N.mean())
    page = pages_of(
        card("erm", "low"), decided_evidence(tracked_cohort, "by_tissue"), model="m", version="1", seconds=1
    )
    assert f"by the network alone at 0.5 | {by_group[judged].min():.3f} |" in page.version
    assert "plain_wga" not in decided_evidence(tracked_cohort, "plain").figures


def test_a_table_of_a_page_keeps_its_columns(evidence: Evidence) -> None:
    hostile = card("erm", "low").model_copy(update={"classes": ("a|b", "*c*\n")})
    page = pages_of(hostile, evidence, model="m", version="1", seconds=1).version
    row = next(line for line in page.splitlines() if line.startswith("| a\\|b and little tissue"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5


@pytest.mark.parametrize("names", [("normal", "tumor"), ("grade=1, [low]", "./../x")])
def test_groups_are_metrics_by_names_that_mlflow_takes(names: tuple[str, str], evidence: Evidence) -> None:
    named: ModelCard = card("erm", "low").model_copy(update={"classes": names})
    found = group_figures(named, evidence)
    estimable = [group for group in evidence.groups if group.accuracy.value is not None]
    assert len(found) == 3 * len(estimable)
    for name, value in found.items():
        mlflow.utils.validation._validate_metric(name, value, 0, 0)
    if names[1] == "tumor":
        assert "test/tumor and much tissue/accuracy/low" in found


def test_the_store_shows_them(tracked_cohort: Context) -> None:
    client = connect(tracked_cohort.paths.root)
    receipt = next(
        each for each in read_json(tracked_cohort.paths.tracked, "track")["runs"] if each["run"] == "erm-low"
    )
    model, version = (
        client.get_registered_model(receipt["model"]),
        client.get_model_version(receipt["model"], receipt["version"]),
    )
    run = client.get_run(receipt["mlflow_run_id"])
    assert "How to call it" in model.description
    assert "How well it does" in version.description
    assert "How well it does" in run.data.tags["mlflow.note.content"]
    for tags in (model.tags, version.tags, run.data.tags):
        assert (tags["evenpatch.cohort"], tags["evenpatch.patch_size"]) == ("toy", "16")
        assert tags["evenpatch.limits"]
    assert run.data.metrics["wga"] == run.data.metrics["test/wga"]
    assert (
        run.data.metrics["test/tumor and much tissue/accuracy"] == run.data.metrics["test/group_3/accuracy"]
    )
    # As run.json tells, though it was logged in much less or more.
    assert run.info.end_time - run.info.start_time == 1000


def test_pages_are_written_again_only_where_they_changed(tracked_cohort: Context, evidence: Evidence) -> None:
    store = ModelStore(tracked_cohort.paths.root, tracked_cohort.cohort)
    digest = read_json(tracked_cohort.paths.tracked, "track")["runs"][0]["fingerprint"]
    logged = store.find(digest)
    assert logged is not None
    pages = pages_of(card("erm", "low"), evidence, model=logged.model, version=logged.version, seconds=2.0)
    assert store.describe(logged, pages)
    assert not store.describe(logged, pages)


def test_the_model_requires_what_serving_and_prediction_import(repository: Path) -> None:
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True)
    roots = {"pipeline.cli", "pipeline.tracking.served_entry", *graph.find_descendants("patching")}
    roots.add(VERBS["predict"].module)
    used = roots.union(*(graph.find_upstream_modules(root) for root in roots))
    known = packages_distributions()
    imported = {name.lower() for module in used for name in known.get(module, ())} - set(PACKAGES)
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {re.split(r"[<>=!~\[ ]", line)[0].lower() for line in project["dependencies"]}
    needed = (imported & direct) | UNSEEN
    assert needed == set(REQUIREMENTS)


def test_requirements_are_pinned_without_local_versions() -> None:
    pinned = pinned_requirements()
    assert [line.split("==")[0] for line in pinned] == sorted(REQUIREMENTS)
    assert not [line for line in pinned if "+" in line or not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
