"""The sweep over learning rates: figures by hand, an honest end of the grid, finished points kept."""

import json
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from models.data.normalization import Normalization
from models.networks.classifier import Classifier
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError, DivergenceError
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import Context, validated
from pipeline.stages import sweep
from pipeline.training import bench as attempts
from pipeline.yaml_file import load_yaml

QUICK = {"epochs": 0.3, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
SMALL = {"lowest": 0.01, "highest": 10.0, "points": 4, "pruning": [0.5, 0.9]}


@pytest.fixture
def context(trainable_cohort: Context) -> Context:
    overlay(trainable_cohort, train=QUICK, sweep=SMALL)
    return trainable_cohort


def overlay(context: Context, **sections: dict[str, Any]) -> None:
    file = context.configs / "cohorts" / "small.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | sections))


class Bright(nn.Module):
    """Says tumor where a patch is brighter than 500, with confidence; ReLU(x - 500) is 0 where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)
        for parameter, value in zip(self.parameters(), (1.0, -500.0, 5.0, 0.0), strict=True):
            nn.init.constant_(parameter, value)
        self.last.weight.data[0] = -5.0
        self.last.bias.data[:] = torch.tensor([5.0, -5.0])

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        mean_B1 = images_BCHW.mean(dim=(1, 2, 3))[:, None]
        logits_BK: torch.Tensor = self.last(self.relu(self.first(mean_B1)))
        return logits_BK


class StubFit:
    """In place of a training: the same network, which says tumor of every patch from other seeds than 0."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.seeds: list[int] = []
        self.error: Callable[[float], BaseException | None] = lambda _: None

    def __call__(self, setup: Setup, algorithm: str, own: dict[str, Any]) -> Namespace:
        self.rates.append(setup.settings.learning_rate)
        self.seeds.append(setup.seed)
        if (error := self.error(self.rates[-1])) is not None:
            raise error
        network = Bright()
        if setup.seed:
            network.last.bias.data[:] = torch.tensor([-1e6, 1e6])
        classifier = Classifier(network, Normalization("none", (0.0, 0.0), (1.0, 1.0), (1.0, 1.0)))
        history = ({"clip_rate": 0.5}, {"clip_rate": 1.0})
        return Namespace(classifier=classifier, history=history, trials=(Namespace(figures={"epoch": 2.0}),))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, unpainted: None) -> StubFit:
    found = StubFit()
    monkeypatch.setattr(attempts, "fit", found)
    return found


def run(context: Context, *, test: bool = False, algorithm: str = "erm") -> None:
    sweep.run(context, Namespace(algorithm=algorithm, threshold="low", test=test))


def result_of(context: Context, name: str = "erm-low") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((context.paths.trials("sweep", name) / "sweep.json").read_text())
    return content


def diverges_from(rate: float) -> Callable[[float], BaseException | None]:
    error = DivergenceError(has="loss nan", needs="finite numbers", do="lower it")
    return lambda tried: error if tried >= rate else None


def test_the_grid_is_even_by_the_logarithm() -> None:
    assert sweep.SweepSettings(lowest=0.01, highest=10, points=4).grid == [0.01, 0.1, 1.0, 10.0]
    assert sweep.SweepSettings(lowest=0.03, highest=0.3, points=3).grid == [0.03, 0.0949, 0.3]


def test_the_figures_are_those_of_the_patches(context: Context, stub: StubFit) -> None:
    run(context)
    bench = attempts.load_bench(context, "low")
    data, groups = bench.validation, bench.groups
    bright_N = np.stack([data.images.read(np.array([n])).mean() for n in range(len(data))]) > 500
    right_N = bright_N == data.label_N
    accuracy = [right_N[(data.label_N == y) & (data.attribute_N == a)].mean() for y in (0, 1) for a in (0, 1)]
    minority_N = (groups.alpha_KA < 0.5)[data.label_N, data.attribute_N]
    found = result_of(context)["points"][0]["figures"]["validation"]
    assert found["wga"] == pytest.approx(min(accuracy))
    assert found["gba"] == pytest.approx(np.mean(accuracy))
    # Nearly every patch is further than 1 from 500, where the logits are at least 5 apart.
    assert found["minority_confident_mispredictions"] == pytest.approx(
        1 - right_N[minority_N].mean(), abs=0.02
    )
    assert found["minority_patches"] == minority_N.sum()
    assert found["activation_sparsity"] == pytest.approx(1 - bright_N.mean(), abs=0.01)
    # Of the weights 1, -5 and 5 the smallest two fall: nothing is left of the input.
    assert found["gba_pruned_0.5"] == 0.5
    assert found["wga_pruned_0.5"] == 0.0


def test_a_decision_leaves_finished_trials_valid(context: Context) -> None:
    before = attempts.load_bench(context, "low").identity()
    file = context.configs / "train.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | {"decision": {"rule": "by_tissue"}}))
    assert attempts.load_bench(context, "low").identity() == before
    file.write_text(yaml.safe_dump(load_yaml(file) | {"momentum": 0.5}))
    assert attempts.load_bench(context, "low").identity() != before


def test_what_chooses_the_state_is_part_of_finished_trials(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    file = context.configs / "train.yaml"
    content = load_yaml(file)
    before = attempts.load_bench(context, "low").identity()
    assert "keeps its last step" not in caplog.text
    file.write_text(yaml.safe_dump(content | {"choose_by": "auto", "inner_folds": 5}))
    assert attempts.load_bench(context, "low").identity() == before
    file.write_text(yaml.safe_dump(content | {"minimum_validation_patients": 1000}))
    few = attempts.load_bench(context, "low")
    assert few.choice.by == "last"
    assert f"every training keeps its last step ({few.choice.why})" in caplog.text
    assert few.identity() != before
    file.write_text(yaml.safe_dump(content | {"choose_by": "cross_validation"}))
    with pytest.raises(ConfigError, match="compared by the same validation patients"):
        attempts.load_bench(context, "low")


def test_the_grid_ends_where_a_training_diverges(
    context: Context, stub: StubFit, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.error = diverges_from(1.0)
    run(context)
    assert stub.rates == [0.01, 0.1, 1.0]
    result = result_of(context)
    assert result["diverged_at"] == 1.0
    assert [bool(point["failure"]) for point in result["points"]] == [False, False, True]
    table = (context.paths.trials("sweep", "erm-low") / "table.md").read_text()
    assert "| 1 | diverged |" in table
    assert "diverged at a learning rate of 1; larger ones were not tried" in table
    assert "larger ones were not tried" in " ".join(capsys.readouterr().out.split())
    run(context)
    assert stub.rates == [0.01, 0.1, 1.0]


def test_seeds_are_told_by_mean_and_range(context: Context, stub: StubFit) -> None:
    run(context)
    alone = result_of(context)["points"][0]["figures"]["validation"]
    overlay(context, sweep=SMALL | {"seeds": 2, "points": 2})
    run(context)
    assert stub.rates[4:] == [0.01, 10.0], "of seed 0 nothing is trained again"
    assert stub.seeds[4:] == [1, 1]
    point = result_of(context)["points"][0]
    assert [training["seed"] for training in point["trainings"]] == [0, 1]
    both = [training["figures"]["validation"] for training in point["trainings"]]
    assert both[0] == alone
    assert (both[1]["wga"], both[1]["gba"]) == (0.0, 0.5)
    mean = (alone["gba"] + 0.5) / 2
    assert point["figures"]["validation"]["gba"] == pytest.approx(mean)
    table = (context.paths.trials("sweep", "erm-low") / "table.md").read_text()
    assert f"| {mean:.3f} (0.500–{alone['gba']:.3f}) |" in table


def test_one_diverging_seed_ends_the_grid(context: Context, stub: StubFit) -> None:
    error = DivergenceError(has="loss nan", needs="finite numbers", do="lower it")
    stub.error = lambda rate: error if rate >= 1.0 and stub.seeds[-1] == 1 else None
    overlay(context, sweep=SMALL | {"seeds": 3})
    run(context)
    assert stub.seeds == [0, 1, 2, 0, 1, 2, 0, 1]
    assert result_of(context)["diverged_at"] == 1.0
    assert (context.paths.trials("sweep", "erm-low") / "sweep.png").is_file()


def test_a_grid_without_divergence_says_so(context: Context, stub: StubFit) -> None:
    run(context)
    assert result_of(context)["diverged_at"] is None
    assert (
        "No training diverged up to 10" in (context.paths.trials("sweep", "erm-low") / "table.md").read_text()
    )


def test_the_lowest_learning_rate_must_work(context: Context, stub: StubFit) -> None:
    stub.error = diverges_from(0.0)
    with pytest.raises(AlgorithmError, match="smaller `lowest`"):
        run(context)


def test_what_cannot_run_at_any_rate_is_no_divergence(context: Context, stub: StubFit) -> None:
    stub.error = lambda _: AlgorithmError(has="groups", needs="others", do="change them")
    with pytest.raises(AlgorithmError, match="at any learning rate"):
        run(context)
    assert stub.rates == [0.01]


def test_finished_points_are_kept_until_something_changes(context: Context, stub: StubFit) -> None:
    stub.error = lambda rate: KeyboardInterrupt() if rate == 1.0 else None
    with pytest.raises(KeyboardInterrupt):
        run(context)
    stub.error = lambda _: None
    run(context)
    assert stub.rates == [0.01, 0.1, 1.0, 1.0, 10.0]
    run(context)
    assert len(stub.rates) == 5
    overlay(context, train=QUICK | {"momentum": 0.5})
    run(context)
    assert len(stub.rates) == 9


def test_the_test_split_is_read_only_where_asked_for(
    context: Context, stub: StubFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[str]] = []
    gathered = attempts.__dict__["gathered"]

    def listening(paths: Paths, table: pd.DataFrame, limit: int) -> Any:
        read.append(set(table["split"]))
        return gathered(paths, table, limit)

    monkeypatch.setattr(attempts, "gathered", listening)
    run(context)
    assert read == [{"train"}, {"validation"}]
    assert set(result_of(context)["points"][0]["figures"]) == {"validation"}
    run(context, test=True)
    assert read[2:] == [{"train"}, {"validation"}, {"test"}]
    assert set(result_of(context)["points"][0]["figures"]) == {"validation", "test"}
    table = (context.paths.trials("sweep", "erm-low") / "table.md").read_text()
    assert table.count("| learning rate |") == 2
    assert "## test" in table


def test_a_sweep_for_real(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    overlay(context, sweep=SMALL | {"points": 2, "highest": 0.1})
    run(context, algorithm="gerne")
    folder = context.paths.trials("sweep", "gerne-low")
    for point in result_of(context, "gerne-low")["points"]:
        figures = point["figures"]["validation"]
        assert all(0 <= value <= 1 for key, value in figures.items() if key != "minority_patches")
        assert figures["activation_sparsity"] > 0
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert not (context.paths.outputs / "interrupted" / "sweep-gerne-low").exists()
    assert "WGA" in capsys.readouterr().out


def test_the_shipped_settings_are_valid(context: Context) -> None:
    settings = validated(sweep.SweepSettings, load_yaml(context.configs / "sweep.yaml"), "sweep.yaml")
    assert settings == sweep.SweepSettings()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"lowest": 1.0, "highest": 0.1}, "lowest has to be below highest"),
        ({"pruning": [0.5, 1.0]}, "below 1"),
        ({"point": 3}, "did you mean points"),
    ],
)
def test_wrong_settings_end_with_code_2(
    context: Context, section: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay(context, sweep=section)
    assert main(["sweep", "--cohort", "small", "--root", str(context.paths.root)]) == 2
    assert told in capsys.readouterr().err
