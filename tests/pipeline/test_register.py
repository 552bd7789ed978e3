"""Registering: chosen on validation, held back by test, idempotent."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from patching.errors import RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.stages import register
from pipeline.tracking.gate import GateRule, ValidationRule, check_gate, choose
from pipeline.tracking.models import ModelStore

RULE = ValidationRule(figure="wga", minimum=0.5, every_group=True)


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
    return Namespace(**{"threshold": "high", "alias": None, "named": None, "dry_run": False} | changes)


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
    assert "only where the settings give it a `minimum_low`" in told


def test_no_run_reaches_the_minimum() -> None:
    with pytest.raises(RegistryError, match=r"a: validation wga 0\.400 is below 0\.5"):
        choose({"a": figures(0.4)}, RULE)
    with pytest.raises(RegistryError, match="not estimable"):
        choose({"a": {}}, RULE)


def test_the_gate_holds_by_the_lower_end() -> None:
    gate = GateRule(figure="wga", minimum_low=0.45)
    check_gate("a", figures(0.9, test=0.56), gate)
    with pytest.raises(RegistryError, match="lower end of at least"):
        check_gate("a", figures(0.9, test=0.54), gate)
    with pytest.raises(RegistryError, match="not estimable"):
        check_gate("a", {}, gate)
    check_gate("a", {}, gate.model_copy(update={"minimum_low": None}))


def test_the_gate_holds_where_a_test_group_is_not_estimable() -> None:
    gate = GateRule(figure="wga", minimum_low=0.45)
    with pytest.raises(RegistryError, match="not estimable: tumor, much tissue"):
        check_gate("a", figures(0.9, test=0.9, groups=3), gate)
    average = {"test/average": 0.9, "test/average/low": 0.8}
    check_gate("a", average, GateRule(figure="average", minimum_low=0.45))


def test_the_alias_moves_once(tracked_cohort: Context, capsys: pytest.CaptureFixture[str]) -> None:
    store = ModelStore(tracked_cohort.paths.root, tracked_cohort.cohort)
    register.run(tracked_cohort, options(alias="trial", dry_run=True))
    assert store.aliased("trial") is None
    for _ in range(2):
        register.run(tracked_cohort, options(alias="trial"))
    assert "models:/evenpatch-toy@trial" in capsys.readouterr().out
    chosen = store.aliased("trial")
    assert chosen is not None
    register.run(tracked_cohort, options(alias="trial", named="erm-low"))
    assert store.aliased("trial") not in (None, chosen)


def test_unknown_names_are_errors(tracked_cohort: Context) -> None:
    with pytest.raises(RegistryError, match="threshold mid"):
        register.run(tracked_cohort, options(threshold="mid"))
    with pytest.raises(RegistryError, match="the run sgd-low"):
        register.run(tracked_cohort, options(named="sgd-low"))


def test_nothing_tracked_is_an_error(small_cohort: Paths, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="run `evenpatch track` first"):
        register.run(Context("small", small_cohort, tmp_path / "configs"), options())
