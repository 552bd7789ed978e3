"""Where attributes may be used, and that they are used nowhere else; more groups than four."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.algorithms.registry import ALGORITHMS
from models.data.dataset import MemoryPatches, PatchData
from models.groups import GroupLayout, TrainGroups, TrainLabels
from models.metrics.selection import Regime
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError
from tests.models.conftest import bound
from tests.models.newcomers import NEWCOMERS

pytestmark = pytest.mark.usefixtures("newcomers")

MakeData = Callable[..., PatchData]
METHODS = ALGORITHMS | NEWCOMERS
BLIND = [name for name, kind in METHODS.items() if kind.view is TrainLabels]
KNOWING = [name for name, kind in METHODS.items() if kind.view is TrainGroups]


def test_some_methods_see_attributes_and_some_do_not() -> None:
    assert {"erm", "class_balanced", "cb_loss", "jtt", "cnc", "gerne_unknown"} <= set(BLIND)
    assert {"gerne", "group_resampling", "reweight", "subg", "dfr", "crt", "pde"} <= set(KNOWING)
    assert set(BLIND) | set(KNOWING) == set(METHODS)


def arrays(thing: Any, seen: dict[int, Any]) -> Iterator[NDArray[Any]]:
    """Every array that can be reached from an object; `seen` keeps alive what it names."""
    if id(thing) in seen or isinstance(thing, torch.nn.Module | str | type):
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, torch.Tensor):
        yield thing.numpy()
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from arrays(value, seen)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            yield from arrays(value, seen)
    else:
        slots = [getattr(thing, field.name) for field in fields(thing)] if is_dataclass(thing) else []
        yield from arrays([*slots, *getattr(thing, "__dict__", {}).values()], seen)


def tells(algorithm: Any, groups: TrainGroups) -> bool:
    """Whether the attributes, or the groups, can be read from anything that the method holds."""
    secrets = groups.attribute_N, groups.group_N
    found = [array for array in arrays(algorithm, {}) if array.shape == groups.group_N.shape]
    return any(np.array_equal(array, secret) for array in found for secret in secrets)


@pytest.fixture
def groups() -> TrainGroups:
    rng = np.random.default_rng(0)
    label_N = rng.integers(0, 2, 200)
    return TrainGroups(GroupLayout(2, 2), label_N, np.where(rng.random(200) < 0.8, label_N, 1 - label_N))


@pytest.mark.parametrize("name", BLIND)
def test_a_method_without_attributes_holds_none(name: str, groups: TrainGroups) -> None:
    algorithm = bound(name, {}, groups)
    assert type(algorithm.train) is TrainLabels
    assert {field.name for field in fields(algorithm.train)} == {"n_classes", "label_N"}
    assert not hasattr(algorithm.train, "attribute_N")
    next(algorithm.batches(np.random.default_rng(0)))
    algorithm.expectation()
    assert not tells(algorithm, groups)


def test_attributes_would_be_found_where_they_are(groups: TrainGroups) -> None:
    assert tells(bound("group_resampling", {}, groups), groups)


def fitted(
    make: MakeData,
    settings: TrainSettings,
    regime: Regime,
    algorithm: str = "erm",
    own: Mapping[str, Any] | None = None,
    **changes: Any,
) -> FitResult:
    settings = settings.model_copy(update={"attributes": regime, "epochs": 1.0})
    setup = Setup(make(64, tie=0.8), make(32, tie=0.6, seed=9), settings, seed=0, quiet=True)
    return fit(replace(setup, **changes), algorithm, own or {"batch_size": 8})


@pytest.mark.parametrize("regime", ["validation_only", "nowhere"])
@pytest.mark.parametrize("name", KNOWING)
def test_a_method_with_attributes_needs_them_in_training(
    shortcut_data: MakeData,
    quick: TrainSettings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    regime: Regime,
) -> None:
    monkeypatch.setattr(Setup, "run", None)  # A first model is not trained in vain.
    with pytest.raises(
        AlgorithmError, match=f"algorithm {name}, and training patches without attributes"
    ) as told:
        fitted(shortcut_data, quick, regime, name)
    assert "attributes: known" in told.value.do
    assert "gerne_unknown" in told.value.do


@pytest.mark.parametrize(
    ("regime", "rule", "grouped"),
    [
        ("known", "worst_group", True),
        ("validation_only", "worst_group", True),
        ("nowhere", "worst_class", False),
    ],
)
def test_the_regime_decides_what_is_known_and_how_is_selected(
    shortcut_data: MakeData, quick: TrainSettings, regime: Regime, rule: str, grouped: bool
) -> None:
    data = shortcut_data(24)
    settings = quick.model_copy(update={"attributes": regime})
    made = Setup(data, data, settings, seed=0, quiet=True)
    assert type(made.known) is (TrainGroups if regime == "known" else TrainLabels)
    judge = made.judge(settings)
    assert judge.rule == rule
    assert hasattr(judge.patches, "attribute_N") == grouped
    assert grouped or not any(np.array_equal(a, data.attribute_N) for a in arrays(judge, {}))


@pytest.mark.parametrize("rule", ["worst_group", "group_balanced"])
def test_a_rule_over_groups_needs_attributes_in_validation(
    shortcut_data: MakeData, quick: TrainSettings, rule: str
) -> None:
    with pytest.raises(ConfigError, match=f"selection: {rule}"):
        fitted(shortcut_data, quick.model_copy(update={"selection": rule}), "nowhere")


def test_a_rule_that_cannot_work_is_refused_before_a_first_model_is_trained(
    shortcut_data: MakeData, quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "run", lambda *_: pytest.fail("something was trained"))
    with pytest.raises(ConfigError, match="selection: worst_group"):
        fitted(shortcut_data, quick.model_copy(update={"selection": "worst_group"}), "nowhere", "jtt")


def test_a_rule_over_groups_cannot_choose_a_first_model_by_training_patches(
    shortcut_data: MakeData, quick: TrainSettings
) -> None:
    settings = quick.model_copy(update={"selection": "group_balanced"})
    own = {"batch_size": 8, "first_judged_on": "training"}
    with pytest.raises(ConfigError, match="first_judged_on: training"):
        fitted(shortcut_data, settings, "known", "crt", own)


def test_without_attributes_group_figures_are_undefined(
    shortcut_data: MakeData, quick: TrainSettings
) -> None:
    result = fitted(shortcut_data, quick, "nowhere")
    for row in result.history:
        assert np.isnan(row["validation_wga"])
        assert np.isnan(row["validation_gba"])
        assert not [key for key in row if "accuracy_g" in key]
        assert np.isfinite([row["validation_worst_class"], row["validation_class_balanced"]]).all()
        assert np.isfinite(row["validation_loss"])
    score = result.trials[0].score
    assert score is not None
    assert score.figure == result.trials[0].figures["validation_worst_class"]
    assert score.group_balanced == result.trials[0].figures["validation_class_balanced"]


@pytest.mark.parametrize(
    ("name", "regime"), [("gerne_unknown", "nowhere"), ("jtt", "nowhere"), ("jtt", "validation_only")]
)
def test_attributes_that_may_not_be_used_change_nothing(
    shortcut_data: MakeData, quick: TrainSettings, name: str, regime: Regime
) -> None:
    def scrambled(data: PatchData) -> PatchData:
        order_N = np.random.default_rng(1).permutation(len(data))
        # The attribute is made of the tissue fraction.
        fraction_N = data.tissue_fraction_N[order_N]
        return replace(data, attribute_N=data.attribute_N[order_N], tissue_fraction_N=fraction_N)

    train, validation = shortcut_data(64, tie=0.8), shortcut_data(32, tie=0.6, seed=9)
    own = {"batch_size": 8, "candidates": [{"first_share": 0.4}, {"first_share": 0.6}]}
    first = fitted(shortcut_data, quick, regime, name, own)
    changes = {"train": scrambled(train)}
    if regime == "nowhere":
        changes["validation"] = scrambled(validation)
    other = fitted(shortcut_data, quick, regime, name, own, **changes)
    assert first.chosen == other.chosen
    assert_same_weights(first, other)


def assert_same_weights(one: FitResult, other: FitResult) -> None:
    expected = one.classifier.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in other.classifier.state_dict().items())


@pytest.mark.parametrize("name", ["gerne", "gerne_unknown"])
def test_test_patches_change_nothing_but_figures_of_their_own(
    shortcut_data: MakeData, quick: TrainSettings, name: str
) -> None:
    settings = quick.model_copy(update={"validate_every": 0.5, "weight_average": 0.5})
    test = shortcut_data(40, tie=0.5, seed=33)
    against = replace(test, label_N=1 - test.label_N)
    keys = ("beta", (0.5, 1.0, 1.5)) if name == "gerne" else ("t", (0.1, 0.3, 0.5))
    own = {"batch_size": 8, "candidates": [{keys[0]: value} for value in keys[1]]}
    without, first, other = (
        fitted(shortcut_data, settings, "known", name, own, oracle=oracle) for oracle in (None, test, against)
    )
    assert without.oracle == {}
    assert not [key for row in without.history for key in row if "oracle" in key]
    columns = {"oracle_wga", "oracle_gba", "oracle_average"}
    assert set(first.oracle) == columns
    for result in (first, other):
        assert_same_weights(without, result)
        assert result.chosen == without.chosen
        assert [trial.score for trial in result.trials] == [trial.score for trial in without.trials]
        own_rows = [{k: v for k, v in row.items() if k not in columns} for row in result.history]
        assert own_rows == list(without.history)
    averages = [row["oracle_average"] for trial in first.trials for row in trial.history]
    assert first.oracle["oracle_average"] == max(averages)
    # The labels the other way round: what was right is wrong.
    swapped = [row["oracle_average"] for trial in other.trials for row in trial.history]
    np.testing.assert_allclose(swapped, 1 - np.array(averages))


def nine_groups(n: int, seed: int) -> PatchData:
    """Three stripe patterns as labels, three brightnesses as attributes, equal in 70 % of the patches."""
    rng = np.random.default_rng(seed)
    label_N = np.arange(n) % 3
    attribute_N = np.where(rng.random(n) < 0.7, label_N, (label_N + 1 + rng.integers(0, 2, n)) % 3)
    attribute_N[:9] = np.repeat([0, 1, 2], 3)
    images_NHWC = rng.normal(300, 60, (n, 32, 32, 1))
    stripes_N = 90.0 * (label_N - 1)[:, None, None, None]
    images_NHWC[:, ::2] += stripes_N
    images_NHWC[:, 1::2] -= stripes_N
    images_NHWC += 200.0 * attribute_N[:, None, None, None]
    return PatchData(
        MemoryPatches(images_NHWC.clip(0).astype(np.uint16)), label_N, attribute_N, 0.2 + 0.3 * attribute_N
    )


@pytest.mark.parametrize("name", ["erm", "group_resampling", "gerne", "gerne_unknown"])
def test_three_classes_of_three_attribute_values(quick: TrainSettings, name: str) -> None:
    train, validation = nine_groups(90, 0), nine_groups(45, 1)
    own = {"batch_size": 8} | ({"c": 0.5, "beta": 0.25} if "gerne" in name else {})
    setup = Setup(train, validation, quick, seed=0, layout=GroupLayout(3, 3), quiet=True)
    result = fit(setup, name, own)
    assert result.composition.groups.counts_KA.shape == (3, 3)
    assert result.composition.share_KA.sum() == pytest.approx(1)
    if name == "group_resampling":
        np.testing.assert_allclose(result.composition.share_KA, 1 / 9)
    best = result.trials[0].figures
    logits_NK = result.classifier.predict_logits(validation.images.chunks())
    assert logits_NK.shape == (45, 3)
    right_N = logits_NK.argmax(axis=1) == validation.label_N
    group_N = 3 * validation.label_N + validation.attribute_N
    for g in range(9):
        assert best[f"validation_accuracy_g{g}"] == pytest.approx(right_N[group_N == g].mean())
    assert best["validation_wga"] == min(best[f"validation_accuracy_g{g}"] for g in range(9))
