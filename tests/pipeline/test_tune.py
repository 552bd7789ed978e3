"""The search: legal proposals, a cap, resuming without repeating, and files that can be used."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Score
from models.training.keeping import TrainResult
from models.training.loop import Trainer
from models.training.making import candidates, checked_settings, make_algorithm
from models.training.setup import Setup
from models.training.step import Stepper
from patching.errors import AlgorithmError, ConfigError, DivergenceError
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import Context, load_algorithm, validated
from pipeline.experiments.search import Search, proposal
from pipeline.experiments.search_space import Range, TuneSettings
from pipeline.stages import tune
from pipeline.tracking.connection import connect
from pipeline.tracking.trials import TrialStore
from pipeline.training import bench as attempts
from pipeline.yaml_file import load_yaml

QUICK = {"epochs": 0.3, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
SMALL = {"trials": 4, "startup": 2}


@pytest.fixture(scope="module")
def template(trainable_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort ready for training, with settings of seconds and an MLflow store that is set up already."""
    root = tmp_path_factory.mktemp("tunable")
    shutil.copytree(trainable_template, root, dirs_exist_ok=True)
    overlay(root, train=QUICK, tune=SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(root)
    return root


@pytest.fixture
def context(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Context("small", Paths(tmp_path, "small"), tmp_path / "configs")


def overlay(root: Path, **sections: dict[str, Any]) -> None:
    file = root / "configs" / "cohorts" / "small.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | sections))


class StubFit:
    """In place of a training: validation accuracy falls with the distance of c (beta + 1) from 1.2."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.error: Callable[[int], BaseException | None] = lambda _: None

    def __call__(self, setup: Setup, algorithm: str, own: dict[str, Any]) -> Namespace:
        self.calls.append({"algorithm": algorithm, "algorithm_settings": own, "oracle": setup.oracle})
        if (error := self.error(len(self.searched))) is not None:
            raise error
        at = own["c"] * (own["beta"] + 1) if "beta" in own else 0.0
        wga = 0.9 - 0.2 * abs(at - 1.2)
        figures = {"step": 3.0, "epoch": 1.0, "validation_wga": wga, "validation_gba": wga + 0.05}
        return Namespace(trials=(Namespace(score=Score(wga, wga + 0.05, -0.5), figures=figures),))

    @property
    def searched(self) -> list[dict[str, Any]]:
        """Settings of the trainings that are no references."""
        return [call["algorithm_settings"] for call in self.calls if call["algorithm"] == "gerne"]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, unpainted: None) -> StubFit:
    """Trains nothing, and logs nothing to MLflow, which takes a second to connect."""
    found = StubFit()
    monkeypatch.setattr(attempts, "fit", found)
    monkeypatch.setattr(tune, "TrialStore", lambda *_: Namespace(log=lambda *_: None, finish=lambda *_: None))
    return found


def search(context: Context, trials: int | None = None, algorithm: str = "gerne") -> None:
    tune.run(context, Namespace(algorithm=algorithm, threshold="low", trials=trials))


def result_of(context: Context) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (context.paths.trials("tune", "gerne-low") / "tune.json").read_text()
    )
    return content


def diverged() -> DivergenceError:
    return DivergenceError(has="loss nan", needs="finite numbers", do="lower beta")


def test_the_cap_counts_and_is_told_before_and_after(
    context: Context, stub: StubFit, capsys: pytest.CaptureFixture[str]
) -> None:
    search(context)
    assert len(stub.searched) == 4
    assert [call["algorithm"] for call in stub.calls[:2]] == ["erm", "group_resampling"]
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("gerne-low: at most 4 trials by validation_wga, 0 of them finished before")
    assert "best of 4 trials; expect optimism" in told


def test_the_best_is_the_best(context: Context, stub: StubFit) -> None:
    search(context)
    result = result_of(context)
    wga = [trial["figures"]["validation_wga"] for trial in result["trials"]]
    assert result["best"]["trial"] == int(np.argmax(wga))
    assert len(set(wga)) == 4
    best = result["best"]["settings"]
    assert result["best"]["position"] == pytest.approx(best["c"] * (best["beta"] + 1))


def test_equal_figures_are_decided_as_training_decides(tmp_path: Path) -> None:
    told = [(0.5, 0.6, -0.3), (0.5, 0.7, -0.9), (0.5, 0.7, -0.4), (0.4, 0.9, -0.1)]

    def train(override: dict[str, Any]) -> dict[str, Any]:
        return {"score": list(told[override["n"]]), "failure": ""}

    found = Search(tmp_path / "journal.log", "ties", TuneSettings(trials=4))
    numbers = iter(range(4))
    assert len(list(found.run(lambda _: {"n": next(numbers)}, train))) == 4
    assert found.best is not None
    assert found.best.number == 2


def test_finished_trials_are_not_repeated_and_more_can_follow(
    context: Context, stub: StubFit, capsys: pytest.CaptureFixture[str]
) -> None:
    search(context)
    before, calls = result_of(context), len(stub.calls)
    search(context)
    assert len(stub.calls) == calls
    assert result_of(context) == before
    search(context, trials=6)
    assert len(stub.calls) == calls + 2
    assert result_of(context)["trials"][:4] == before["trials"]
    assert "4 of them finished before" in capsys.readouterr().out


def test_an_interrupted_search_ends_as_an_uninterrupted_one(
    context: Context, stub: StubFit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = Paths(tmp_path_factory.mktemp("whole"), "small")
    shutil.copytree(context.paths.root, whole.root, dirs_exist_ok=True)
    search(Context("small", whole, whole.root / "configs"))
    expected, stub.calls[:] = stub.searched, []
    stub.error = lambda n: KeyboardInterrupt() if n == 3 else None
    with pytest.raises(KeyboardInterrupt):
        search(context)
    stub.error = lambda _: None
    search(context)
    # The third is proposed again, the same, and the fourth as if nothing had happened.
    assert stub.searched == [*expected[:3], *expected[2:]]
    assert len(result_of(context)["trials"]) == 4
    assert len([call for call in stub.calls if call["algorithm"] == "erm"]) == 1


def test_other_settings_are_another_search(context: Context, stub: StubFit) -> None:
    search(context)
    overlay(context.paths.root, train=QUICK | {"learning_rate": 0.01})
    search(context)
    assert len(stub.searched) == 8
    assert result_of(context)["n_trials"] == 4
    assert result_of(context)["n_earlier"] == 4
    assert "after 4 trials of other settings or data" in result_of(context)["caution"]


def test_interrupted_trials_are_no_earlier_trials(context: Context, stub: StubFit) -> None:
    stub.error = lambda n: KeyboardInterrupt() if n == 3 else None
    with pytest.raises(KeyboardInterrupt):
        search(context)
    stub.error = lambda _: None
    overlay(context.paths.root, train=QUICK | {"learning_rate": 0.01})
    search(context)
    # Two were finished; the third never was.
    assert result_of(context)["n_earlier"] == 2


def test_a_journal_that_was_cut_short_goes_on(context: Context, stub: StubFit) -> None:
    search(context, trials=3)
    journal = context.paths.trials("tune", "gerne-low") / "journal.log"
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"op_code": 4, "work')
    search(context)
    assert len(stub.searched) == 4
    search(context, trials=5)
    assert len(stub.searched) == 5


def test_a_diverged_trial_is_recorded_and_told(context: Context, stub: StubFit) -> None:
    stub.error = lambda n: diverged() if n == 2 else None
    search(context)
    result = result_of(context)
    assert (result["n_trials"], result["n_failed"]) == (4, 1)
    assert "4 trials (1 failed)" in result["caution"]
    assert "loss nan" in result["trials"][1]["failure"]
    table = pd.read_csv(context.paths.trials("tune", "gerne-low") / "trials.csv")
    assert table["trial"].tolist() == ["erm", "group_resampling", "0", "1", "2", "3"]
    assert table["state"].tolist() == ["finished"] * 3 + ["failed"] + ["finished"] * 2


def test_only_failures_are_an_error(context: Context, stub: StubFit) -> None:
    stub.error = lambda n: diverged() if n else None
    with pytest.raises(AlgorithmError, match=r"4 of 4 trials failed; the last: .*loss nan"):
        search(context)


def test_what_cannot_be_estimated_is_a_failure() -> None:
    score = Score(-np.inf, -np.inf, -0.7)
    found = Namespace(trials=(Namespace(score=score, figures={"step": 1.0, "validation_wga": np.nan}),))
    record = tune.record_of({}, {}, attempts.Attempt(found, "", False, 1.0))  # type: ignore[arg-type]
    assert record["score"] is None
    assert "minimum_validation_patches" in record["failure"]
    json.dumps(record, allow_nan=False)


def test_the_test_split_is_never_read(
    context: Context, stub: StubFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[str]] = []
    gathered = attempts.gathered

    def listening(paths: Paths, table: pd.DataFrame, limit: int) -> Any:
        read.append(set(table["split"]))
        return gathered(paths, table, limit)

    monkeypatch.setattr(attempts, "gathered", listening)
    search(context)
    assert read == [{"train"}, {"validation"}]
    assert all(call["oracle"] is None for call in stub.calls)


def test_the_best_settings_can_be_pasted(context: Context, stub: StubFit) -> None:
    search(context)
    text = (context.paths.trials("tune", "gerne-low") / "best.yaml").read_text()
    assert "expect optimism" in text
    overlay(context.paths.root, **yaml.safe_load(text))
    settings = load_algorithm(context.configs, "small", "gerne")
    best = result_of(context)["best"]["settings"]
    assert candidates(settings) == ({},)
    assert {key: settings[key] for key in best} == best
    checked_settings("gerne", settings)


def test_every_training_is_a_child_run_once(
    context: Context, stub: StubFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "TrialStore", TrialStore)
    stub.error = lambda n: diverged() if n == 1 else None
    search(context)
    search(context, trials=5)
    client = connect(context.paths.root)
    experiment = client.get_experiment_by_name("evenpatch-small")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_name for run in parents] == ["tune gerne-low"]
    children = {run.info.run_name: run for run in runs if run not in parents}
    assert set(children) == {"erm", "group_resampling", *(f"trial {n}" for n in range(5))}
    assert len(runs) == 8
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parents[0].info.run_id}
    assert children["trial 0"].info.status == "FAILED"
    assert "loss nan" in children["trial 0"].data.tags["evenpatch.failure"]
    kept = result_of(context)["trials"][3]
    assert children["trial 3"].data.metrics["validation_wga"] == kept["figures"]["validation_wga"]
    assert children["trial 3"].data.params["beta"] == str(kept["settings"]["beta"])
    assert parents[0].info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(parents[0].info.run_id, "tune")}
    assert files == {"tune/trials.csv", "tune/best.yaml", "tune/tune.png"}


SPACE = {"c": Range(low=0.05, high=1.0), "beta": Range(share_of_bounds=(0.0, 1.0))}


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(1, 300), min_size=2, max_size=2), min_size=2, max_size=2),
    seed=st.integers(0, 1000),
)
def test_every_proposal_is_inside_the_bounds(counts: list[list[int]], seed: int) -> None:
    layout = GroupLayout(2, 2)
    cells = np.arange(4).repeat(np.ravel(counts))
    groups = TrainGroups(layout, cells // 2, cells % 2)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found = proposal(study.ask(), SPACE, "gerne", {}, groups)
    assert 0.05 <= found["c"] <= 1
    # GERNE itself refuses a beta outside its bounds.
    make_algorithm("gerne", found, groups)
    assert found["c"] * (found["beta"] + 1) <= 3.0 + 1e-9


@hypothesis_settings(max_examples=40, deadline=None)
@given(low=st.integers(1, 50), width=st.integers(0, 50), log=st.booleans(), seed=st.integers(0, 99))
def test_plain_ranges_keep_their_ends(low: int, width: int, log: bool, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    ranges = {
        "batch_size": Range(low=low, high=low + width, whole=True, log=log),
        "overlap": Range(low=low / 51, high=(low + width) / 51, log=log),
        "kind": Range(choices=("a", "b")),
    }
    found = proposal(
        study.ask(), ranges, "cb_loss", {}, TrainGroups(GroupLayout(1, 1), *np.zeros((2, 3), int))
    )
    assert isinstance(found["batch_size"], int)
    assert low <= found["batch_size"] <= low + width
    assert low / 51 <= found["overlap"] <= (low + width) / 51
    assert found["kind"] in ("a", "b")


def test_the_shipped_space_is_valid_for_every_algorithm_in_it(repository: Path) -> None:
    settings = validated(TuneSettings, load_yaml(repository / "configs" / "tune.yaml"), "tune.yaml")
    assert set(settings.space) == {"gerne", "gerne_unknown"}
    for algorithm in settings.space:
        base = load_yaml(repository / "configs" / "algorithms" / f"{algorithm}.yaml")
        assert tune.checked_space(settings, algorithm, base)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"trails": 3}, "did you mean trials"),
        ({"trials": 0}, "trials = 0"),
        ({"space": {"gerne": {"c": {"low": 0.5, "high": 0.2}}}}, "low first"),
        ({"space": {"gerne": {"c": {"choices": [0.5, 1.0]}}}}, "null takes back"),
        ({"space": {"gerne": {"c": {"low": 0.5, "high": 1.5}}}}, "c = 1.5"),
        ({"space": {"gerne": {"gamma": {"low": 0.5, "high": 1}}}}, "gamma"),
        (
            {"space": {"gerne": {"c": {"share_of_bounds": [0, 1], "low": None, "high": None}}}},
            "share_of_bounds is for beta",
        ),
        ({"space": {"gerne": {"beta": {"share_of_bounds": [0.5, 1.2]}}}}, "from 0 to 1"),
        ({"space": {"gerne": {"batch_size": {"choices": [8, 16], "whole": True}}}}, "log and whole are for"),
    ],
)
def test_wrong_settings_end_with_code_2(
    context: Context, section: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay(context.paths.root, tune=section)
    assert main(["tune", "--cohort", "small", "--root", str(context.paths.root)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trials", "0"], "trials = 0"),
        (["--algorithm", "erm"], "no search space for erm"),
        (["--threshold", "middle"], "the threshold 'middle'"),
    ],
)
def test_wrong_options_end_with_code_2(
    context: Context, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--cohort", "small", "--root", str(context.paths.root), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_rule_over_groups_needs_groups(context: Context) -> None:
    overlay(context.paths.root, train=QUICK | {"attributes": "nowhere", "selection": "worst_group"})
    with pytest.raises(ConfigError, match="attributes: nowhere"):
        search(context, algorithm="gerne_unknown")


def test_a_search_for_real(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    search(context, trials=2)
    folder, result = context.paths.trials("tune", "gerne-low"), result_of(context)
    assert {trial["failure"] for trial in result["trials"]} == {""}
    assert result["references"]["erm"]["position"] is None
    assert 0 <= result["best"]["figures"]["validation_wga"] <= 1
    assert (folder / "tune.png").read_bytes()[:4] == b"\x89PNG"
    assert not (context.paths.outputs / "interrupted" / "tune-gerne-low").exists()
    assert "group_resampling" in capsys.readouterr().out


def test_the_first_model_is_trained_once_for_all_trials(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay(context.paths.root, tune=SMALL | {"references": []}, train=QUICK | {"attributes": "nowhere"})
    done: list[tuple[str, int]] = []
    steps: list[int] = []
    run, step = Trainer.run, Stepper.__call__

    def listening(self: Trainer, **given: Any) -> TrainResult:
        before = len(steps)
        result = run(self, **given)
        done.append((given["title"], len(steps) - before))
        return result

    def counting(self: Stepper, *given: Any) -> dict[str, float]:
        steps.append(1)
        return step(self, *given)

    monkeypatch.setattr(Trainer, "run", listening)
    monkeypatch.setattr(Stepper, "__call__", counting)
    search(context, trials=2, algorithm="gerne_unknown")
    first = [taken for title, taken in done if "first model" in title]
    assert len(first) == 2
    assert first[0] > 0 == first[1]
    result = json.loads((context.paths.trials("tune", "gerne_unknown-low") / "tune.json").read_text())
    assert result["rule"] == "validation_worst_class"
