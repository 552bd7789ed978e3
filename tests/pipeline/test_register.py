"""Registering and rolling back: chosen on validation, judged beside the champion, never without one."""

import os
import shutil
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

from models.networks.checkpoint import load_classifier
from patching.errors import RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.deployment.challenger.choice import choose
from pipeline.deployment.challenger.evidence import Evidence
from pipeline.deployment.challenger.promotion import one_at_a_time
from pipeline.deployment.challenger.settings import ValidationRule
from pipeline.files import read_json
from pipeline.stages import register, rollback
from pipeline.tracking.probing import probe
from pipeline.tracking.refusals import reporting, without_secrets
from pipeline.tracking.registry import Registry, Version
from tests.pipeline.challenged import FAIR, GOOD, LOPSIDED, evidence, set_register

RULE = ValidationRule(figure="wga", minimum=0.5, every_group=True, minimum_patients=1)


def figures(wga: float, *, gba: float = 0.8, test: float = 0.5, groups: int = 4) -> dict[str, float]:
    accuracy = {f"{split}/group_{g}/accuracy": wga for split in ("validation", "test") for g in range(groups)}
    return accuracy | {
        "validation/wga": wga,
        "validation/gba": gba,
        "test/wga": test,
        "test/wga/low": test - 0.1,
        "test/wga/high": test + 0.1,
    }


def options(**changes: object) -> Namespace:
    defaults = {
        "threshold": None,
        "alias": None,
        "named": None,
        "dry_run": False,
        "approve": "",
        "force": False,
    }
    return Namespace(**defaults | changes)


def test_validation_alone_chooses() -> None:
    runs = {"a": figures(0.6, test=0.99), "b": figures(0.7, test=0.01), "c": figures(0.65, test=0.99)}
    assert choose(runs, RULE) == "b"


def test_ties_go_to_the_group_balanced_accuracy_then_to_the_name() -> None:
    assert choose({"a": figures(0.6, gba=0.7), "b": figures(0.6, gba=0.8)}, RULE) == "b"
    assert choose({"b": figures(0.6), "a": figures(0.6)}, RULE) == "a"
    average = RULE.model_copy(update={"figure": "average", "every_group": False})
    assert choose({"a": {"validation/average": 0.6}, "b": {"validation/average": 0.7}}, average) == "b"


def test_a_run_with_a_group_that_is_not_estimable_is_no_candidate() -> None:
    runs = {"a": figures(0.9, groups=3), "b": figures(0.6)}
    assert choose(runs, RULE) == "b"
    assert choose(runs, RULE.model_copy(update={"every_group": False})) == "a"
    with pytest.raises(RegistryError, match="tumor, much tissue"):
        choose({"a": runs["a"]}, RULE)


def test_a_figure_over_classes_asks_for_no_groups() -> None:
    rule = RULE.model_copy(update={"figure": "worst_class"})
    runs = {"a": {"validation/worst_class": 0.6}, "b": {"validation/worst_class": 0.7}}
    assert choose(runs, rule) == "b"


def test_a_refusal_names_the_setting_that_caused_it() -> None:
    with pytest.raises(RegistryError) as caught:
        choose({"a": figures(0.9, groups=3), "b": figures(0.4)}, RULE)
    assert "`register: {validation: {every_group: false}}` in the cohort's file" in caught.value.do
    with pytest.raises(RegistryError) as caught:
        choose({"b": figures(0.4, groups=3)}, RULE)
    assert "every_group" not in caught.value.do
    assert "minimum" in caught.value.do


def test_the_help_tells_what_naming_a_run_skips() -> None:
    parser = ArgumentParser()
    register.add_arguments(parser)
    told = " ".join(parser.format_help().split())
    assert "skips the choice by validation" in told
    assert "needs `--force`" in told


def test_no_run_reaches_the_minimum() -> None:
    with pytest.raises(RegistryError, match=r"a: validation wga 0\.400 is below 0\.5"):
        choose({"a": figures(0.4)}, RULE)
    with pytest.raises(RegistryError, match="not estimable"):
        choose({"a": {}}, RULE)


@pytest.fixture
def cohort(tracked_cohort: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The tracked cohort with a copy of its store, so that aliases are each test's own."""
    return with_own_store(tracked_cohort, tmp_path, monkeypatch)


def with_own_store(context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A copy of the database and of the settings; artifacts and data are those of the original."""
    root = context.paths.root
    shutil.copy(root / "mlflow.db", folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    shutil.copytree(context.configs, folder / "configs", dirs_exist_ok=True)
    return Context(context.cohort, Paths(root, context.cohort), folder / "configs")


def registry_of(context: Context) -> Registry:
    return Registry(context.paths.root, context.cohort)


def number(context: Context, run: str) -> str:
    receipts = read_json(context.paths.tracked, "track")["runs"]
    return next(str(each["version"]) for each in receipts if each["run"] == run)


def where(context: Context, alias: str = "champion") -> str | None:
    found = registry_of(context).aliased(alias)
    return None if found is None else found.name


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the gate find models of these accuracies, by the run's name, without scoring a patch."""

    def set_up(during: Callable[[], object] = lambda: None, **accuracies: Any) -> None:
        by_run = {name.replace("_", "-"): each for name, each in accuracies.items()}

        def invented(
            context: Context, _: Registry, __: str, candidate: Version, champion: Version | None
        ) -> Evidence:
            during()
            named = {"candidate": candidate, "champion": champion}
            known = {key: by_run[each.name] for key, each in named.items() if each is not None}
            return evidence(context, candidate, champion, known)

        monkeypatch.setattr(register, "gather_evidence", invented)

    return set_up


def promoted(context: Context, run: str, **changes: object) -> None:
    register.run(context, options(named=run, force=True, **changes))


def test_the_first_promotion_and_a_better_one(
    cohort: Context, contest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    contest(erm_low=FAIR, gerne_low=GOOD)
    promoted(cohort, "erm-low", dry_run=True)
    assert where(cohort) is None
    promoted(cohort, "erm-low")
    assert (where(cohort), where(cohort, "previous")) == ("erm-low", None)
    promoted(cohort, "gerne-low", approve="A. Reader")
    assert (where(cohort), where(cohort, "previous")) == ("gerne-low", "erm-low")
    assert "models:/evenpatch-toy@champion is version" in capsys.readouterr().out
    found = registry_of(cohort).aliased("champion")
    assert found is not None
    assert found.tags["evenpatch.gate"] == "passed"
    assert found.tags["evenpatch.forced"].startswith("named by --run")
    assert found.tags["evenpatch.approved_by"] == "A. Reader"
    assert found.tags["evenpatch.replaces"] == number(cohort, "erm-low")
    client = mlflow.MlflowClient()
    assert client.get_run(found.run_id).data.tags["evenpatch.gate"] == "passed"
    assert [each.path for each in client.list_artifacts(found.run_id, "gate")] == ["gate/gate.json"]
    written = read_json(cohort.paths.outputs / "register" / "gate.json", "register")
    assert (written["decision"], written["candidate"]["run"]) == ("promote", "gerne-low")
    assert written["champion"]["run"] == "erm-low"


def test_what_validation_chose_passes_without_force(cohort: Context, contest: Callable[..., None]) -> None:
    lenient = {"minimum": 0.0, "every_group": False}
    set_register(cohort, {"test": {"minimum_patients": 4}, "validation": lenient})
    contest(erm_low=FAIR, gerne_low=FAIR)
    register.run(cohort, options())
    champion = registry_of(cohort).aliased("champion")
    assert champion is not None
    assert champion.tags["evenpatch.gate"] == "passed"
    assert "evenpatch.forced" not in champion.tags
    written = read_json(cohort.paths.outputs / "register" / "gate.json", "register")
    assert {each["rule"]: each["verdict"] for each in written["rules"]}["choice"] == "holds"


def test_what_is_champion_already_stays_and_is_not_judged_again(
    cohort: Context, contest: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    contest(erm_low=FAIR)
    promoted(cohort, "erm-low")
    contest()
    register.run(cohort, options(named="erm-low"))
    assert where(cohort) == "erm-low"
    assert capsys.readouterr().out.rstrip().endswith("(erm-low)")


def test_a_refused_candidate_leaves_the_champion_and_is_tagged(
    cohort: Context, contest: Callable[..., None]
) -> None:
    contest(erm_low=FAIR, gerne_low=LOPSIDED)
    promoted(cohort, "erm-low")
    with pytest.raises(RegistryError, match=r"WGA 0\.600.* against the champion's 0\.800") as caught:
        promoted(cohort, "gerne-low")
    assert "would spend the test patients" in caught.value.do
    assert (where(cohort), where(cohort, "previous")) == ("erm-low", None)
    tags = registry_of(cohort).version(number(cohort, "gerne-low")).tags
    assert tags["evenpatch.gate"].startswith("refused: WGA 0.6")
    assert "evenpatch.forced" not in tags
    assert read_json(cohort.paths.outputs / "register" / "gate.json", "register")["decision"] == "refuse"


def test_weak_evidence_says_how_to_accept_it(cohort: Context, contest: Callable[..., None]) -> None:
    contest(erm_low=FAIR)
    with pytest.raises(RegistryError, match="named by --run") as caught:
        register.run(cohort, options(named="erm-low"))
    assert "--force" in caught.value.do
    assert where(cohort) is None


def test_tags_of_an_earlier_judgement_go(cohort: Context, contest: Callable[..., None]) -> None:
    set_register(cohort, {"validation": {"minimum": 0.0}, "test": {"minimum_patients": 4}})
    contest(erm_low=FAIR, gerne_low=FAIR)
    promoted(cohort, "gerne-low", approve="A. Reader")
    promoted(cohort, "erm-low")
    set_register(cohort, {"approval": "required", "test": {"minimum_patients": 4}})
    with pytest.raises(RegistryError, match="no --approve NAME") as caught:
        promoted(cohort, "gerne-low")
    assert caught.value.do == "have somebody answer for it, and add --approve NAME"
    tags = registry_of(cohort).version(number(cohort, "gerne-low")).tags
    assert not {"evenpatch.approved_by", "evenpatch.forced"} & set(tags)


def test_an_alias_of_its_own_keeps_its_own_previous_version(
    cohort: Context, contest: Callable[..., None]
) -> None:
    contest(erm_low=FAIR, gerne_low=GOOD)
    for run in ("erm-low", "gerne-low"):
        promoted(cohort, run, alias="trial")
    assert (where(cohort, "trial"), where(cohort, "trial-previous")) == ("gerne-low", "erm-low")
    assert (where(cohort), where(cohort, "previous")) == (None, None)


def test_a_champion_that_moved_while_it_was_judged_beside_stays(
    cohort: Context, contest: Callable[..., None]
) -> None:
    contest(erm_low=FAIR)
    promoted(cohort, "erm-low")
    other = number(cohort, "gerne-high")
    contest(lambda: registry_of(cohort).point("champion", other), erm_low=FAIR, gerne_low=GOOD)
    with pytest.raises(RegistryError, match=r"champion at version \d+ \(gerne-high\), and at"):
        promoted(cohort, "gerne-low")
    assert where(cohort) == "gerne-high"


def test_a_rollback_goes_one_step_back_and_is_recorded(
    cohort: Context,
    contest: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollback, "answers", lambda *_: "")
    contest(erm_low=FAIR, gerne_low=GOOD)
    with pytest.raises(RegistryError, match="champion at no version"):
        rollback.run(cohort, options())
    for run in ("erm-low", "gerne-low"):
        promoted(cohort, run)
    rollback.run(cohort, options(dry_run=True))
    assert where(cohort) == "gerne-low"
    rollback.run(cohort, options(approve="A. Reader"))
    assert "@champion is version" in capsys.readouterr().out
    assert (where(cohort), where(cohort, "previous")) == ("erm-low", None)
    words = registry_of(cohort).version(number(cohort, "gerne-low")).tags["evenpatch.rolled_back"]
    assert words.endswith(f"by A. Reader, to version {number(cohort, 'erm-low')}")
    with pytest.raises(RegistryError, match="previous at no version"):
        rollback.run(cohort, options())
    with pytest.raises(RegistryError, match="was rolled back: "):
        register.run(cohort, options(named="gerne-low"))


def test_a_rollback_checks_that_the_version_serves(
    cohort: Context, contest: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    contest(erm_low=FAIR, gerne_low=GOOD)
    for run in ("erm-low", "gerne-low"):
        promoted(cohort, run)
    monkeypatch.setattr(rollback, "answers", lambda *_: "exit code 1: no weights")
    with pytest.raises(RegistryError, match="does not serve: exit code 1: no weights"):
        rollback.run(cohort, options())
    assert where(cohort) == "gerne-low"
    set_register(cohort, {"approval": "required"})
    with pytest.raises(RegistryError, match="nobody approved"):
        rollback.run(cohort, options(approve=" "))


def test_tags_that_one_of_two_lacks_are_no_obstacle(cohort: Context) -> None:
    registry, client = registry_of(cohort), mlflow.MlflowClient()
    version = registry.version(number(cohort, "gerne-low"))
    # As a process leaves them that is stopped between version and run.
    client.set_model_version_tag(registry.model, version.number, "evenpatch.forced", "few patients")
    client.set_tag(version.run_id, "evenpatch.approved_by", "A. Reader")
    registry.untag(registry.version(version.number), ("evenpatch.forced", "evenpatch.approved_by"))
    assert not {"evenpatch.forced"} & set(registry.version(version.number).tags)
    assert not {"evenpatch.approved_by"} & set(client.get_run(version.run_id).data.tags)


@pytest.mark.parametrize("gone", ["deleted", "of another server"])
def test_a_champion_whose_run_is_gone_can_be_rolled_back(
    cohort: Context, contest: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gone: str
) -> None:
    monkeypatch.setattr(rollback, "answers", lambda *_: "")
    contest(erm_low=FAIR, gerne_low=GOOD)
    for run in ("erm-low", "gerne-low"):
        promoted(cohort, run)
    registry, client = registry_of(cohort), mlflow.MlflowClient()
    champion = registry.aliased("champion")
    assert champion is not None
    if gone == "deleted":
        client.delete_run(champion.run_id)
    else:
        made = client.create_model_version(registry.model, str(tmp_path))
        champion = registry.version(str(made.version))
        registry.point("champion", champion.number)
        assert registry.run_file(champion, "data/splits.csv", tmp_path) is None
    rollback.run(cohort, options())
    assert where(cohort) == "erm-low"
    assert "evenpatch.rolled_back" in registry.version(champion.number).tags


def test_a_second_process_is_told_who_is_at_it(tmp_path: Path) -> None:
    words = rf"process {os.getpid()}, since 20.*, is at work"
    with one_at_a_time(tmp_path), pytest.raises(RegistryError, match=words), one_at_a_time(tmp_path):
        pass
    with one_at_a_time(tmp_path):
        assert (tmp_path / "mlflow.db.aliases.lock").is_file()


def test_with_a_server_the_lock_is_the_working_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:word@server")
    with (
        one_at_a_time(tmp_path),
        pytest.raises(RegistryError, match="http://server"),
        one_at_a_time(tmp_path),
    ):
        pass


def test_a_password_is_not_told() -> None:
    uri = "http://me:word@server:5000"
    refused = MlflowException(f"API request to {uri}/api/2.0/mlflow failed")
    with pytest.raises(RegistryError) as caught, reporting(uri):
        raise refused
    assert "word" not in str(caught.value)
    assert "MLflow at http://server:5000: API request to http://server:5000/api" in caught.value.has
    assert without_secrets("sqlite:////home/a@b/mlflow.db") == "sqlite:////home/a@b/mlflow.db"


def test_a_store_that_fails_is_not_a_missing_champion(
    cohort: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(cohort)
    assert registry.aliased("nobody") is None

    def failing(*_: object) -> None:
        raise MlflowException("the database is gone", error_code=INTERNAL_ERROR)

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", failing)
    with pytest.raises(RegistryError, match="the database is gone"):
        registry.aliased("champion")


def test_two_at_once_promote_once(cohort: Context, contest: Callable[..., None], tmp_path: Path) -> None:
    contest(erm_low=FAIR, gerne_low=GOOD)
    promoted(cohort, "erm-low")
    judged = tmp_path / "judged.txt"

    def slowly() -> None:
        with judged.open("a") as file:
            file.write("once\n")
        time.sleep(1)

    contest(slowly, erm_low=FAIR, gerne_low=GOOD)
    codes = in_processes([partial(promoted, cohort, "gerne-low")] * 2)
    # The second is refused, or comes so late that there is nothing left to do.
    assert sorted(codes) in ([0, 0], [0, 2])
    assert judged.read_text() == "once\n"
    assert (where(cohort), where(cohort, "previous")) == ("gerne-low", "erm-low")


def in_processes(calls: list[Callable[[], None]]) -> list[int]:
    """Exit codes of calls in processes of their own, all at once; 2 for a RegistryError."""
    processes = [get_context("fork").Process(target=_exit_code, args=(call,)) for call in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [int(process.exitcode or 0) for process in processes]


def _exit_code(call: Callable[[], None]) -> None:
    try:
        call()
    except RegistryError:
        os._exit(2)
    os._exit(0)


KILLED = 9


def killed_at(place: int, call: Callable[[], None]) -> None:
    """Run a call and end the process, without a word, before it changes its store for the `place`-th time.

    What it reads in between leaves the store as it is.
    """
    left = iter(range(place))
    for store in (RegistryStore, TrackingStore):
        for name in [
            each
            for each in dir(store)
            if not each.startswith(("_", "get_", "search_")) and callable(getattr(store, each))
        ]:
            setattr(store, name, _counted(getattr(store, name), left))
    call()


def once_for_each_pair(gather: Callable[..., Evidence]) -> Callable[..., Evidence]:
    """Measures a candidate beside a champion a single time."""
    found: dict[tuple[str, str], Evidence] = {}

    def gathered(
        context: Context, registry: Registry, threshold: str, candidate: Version, champion: Version | None
    ) -> Evidence:
        pair = (candidate.name, champion.name if champion else "")
        if pair not in found:
            found[pair] = gather(context, registry, threshold, candidate, champion)
        return replace(found[pair], candidate=candidate, champion=champion)

    return gathered


def _counted(method: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            os._exit(KILLED)
        return method(*args, **kwargs)

    return counted


@pytest.mark.slow
def test_killed_at_every_step_there_is_one_champion_which_loads_and_a_second_call_completes(
    tracked_cohort: Context, contest: Callable[..., None], tmp_path: Path
) -> None:
    contest(erm_low=FAIR, gerne_low=GOOD, gerne_high=FAIR)
    steps = {"register": partial(promoted, run="gerne-low"), "rollback": lambda c: rollback.run(c, options())}
    kills = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollback, "answers", lambda *_: "")
        patch.setattr(register, "gather_evidence", once_for_each_pair(register.gather_evidence))

        def prepared(name: str) -> Context:
            (tmp_path / name).mkdir()
            context = with_own_store(tracked_cohort, tmp_path / name, patch)
            for alias, run in (("champion", "gerne-high"), ("previous", "erm-low")):
                registry_of(context).point(alias, number(context, run))
            return context

        for verb, step in steps.items():
            after = {"register": ("gerne-low", "gerne-high"), "rollback": ("erm-low", None)}[verb]
            # What this measures, the processes that are forked below need not measure again.
            step(prepared(verb))
            for place in range(1, 200):
                context = prepared(f"{verb}-{place}")
                (code,) = in_processes([partial(killed_at, place, partial(step, context))])
                assert code in (0, KILLED)
                assert where(context) in ("gerne-high", after[0])
                assert_loads(context)
                if code == 0:
                    break
                kills += 1
                if (where(context), where(context, "previous")) != after:
                    in_processes([partial(step, context)])
                assert (where(context), where(context, "previous")) == after
    assert kills >= 20


def assert_loads(context: Context) -> None:
    """The champion's network can be built from what the registry has."""
    champion = registry_of(context).aliased("champion")
    assert champion is not None
    place = mlflow.artifacts.download_artifacts(f"models:/evenpatch-toy/{champion.number}/artifacts")
    assert load_classifier(Path(place))[1].algorithm == champion.tags["evenpatch.algorithm"]


@pytest.mark.slow
def test_models_of_the_registry_are_scored_and_served_as_the_evaluation_says(
    cohort: Context, contest: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = {"group": None, "average": None, "brier": None, "margin": 1.0}
    set_register(cohort, {"test": {"minimum_patients": 4}, "champion": loose})
    measuring = register.gather_evidence
    contest(erm_low=FAIR)
    promoted(cohort, "erm-low")
    monkeypatch.setattr(register, "gather_evidence", measuring)
    promoted(cohort, "gerne-low")
    written = read_json(cohort.paths.outputs / "register" / "gate.json", "register")
    evaluated = read_json(cohort.paths.evaluation("gerne-low") / "metrics.json", "evaluate")["test"]
    assert written["figures"]["candidate"]["average"]["estimate"] == pytest.approx(evaluated["average"])
    rules = {each["rule"]: each for each in written["rules"]}
    assert rules["loads"]["verdict"] == rules["served"]["verdict"] == "holds"
    assert 50 < rules["memory"]["figure"] < 4096
    assert 0 < rules["latency"]["figure"] < 1000
    assert (where(cohort), where(cohort, "previous")) == ("gerne-low", "erm-low")
    rollback.run(cohort, options())
    assert where(cohort) == "erm-low"
    empty = cohort.configs / "no model"
    empty.mkdir()
    assert probe(empty, np.zeros((1, 2, 2, 1), np.uint8), np.ones(1)).trouble.startswith("exit code 1: ")


def test_unknown_names_are_errors(tracked_cohort: Context) -> None:
    with pytest.raises(RegistryError, match="threshold mid"):
        register.run(tracked_cohort, options(threshold="mid"))
    with pytest.raises(RegistryError, match="the run sgd-low"):
        register.run(tracked_cohort, options(named="sgd-low"))


def test_nothing_tracked_is_an_error(small_cohort: Paths, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="run `evenpatch track` first"):
        register.run(Context("small", small_cohort, tmp_path / "configs"), options())


def test_files_of_a_run_are_found_or_not(cohort: Context, tmp_path: Path) -> None:
    registry = registry_of(cohort)
    version = registry.version(number(cohort, "erm-low"))
    found = registry.run_file(version, "data/splits.csv", tmp_path)
    assert found is not None
    assert found.read_bytes() == cohort.paths.splits.read_bytes()
    assert registry.run_file(version, "data/none.csv", tmp_path) is None
    assert registry.run_file(version, "nowhere/none.csv", tmp_path) is None
    with pytest.raises(RegistryError):
        registry.version("99")
    with pytest.raises(RegistryError, match="99"):
        registry.download(Version("99", "none", {}), tmp_path)
