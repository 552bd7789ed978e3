"""The benchmark of the training step measures what it says; nothing here is timed."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.train_step import jobs, table
from benchmarks.train_step.__main__ import METHODS

COMMON: dict[str, Any] = {
    "backbone": "resnet10_slim", "side": 32, "samples": 12, "steps": 2, "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_use_all_cores", lambda: None)


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_compared_at_equal_samples(method: str) -> None:
    algorithm, settings = METHODS[method]
    data = jobs._patches(8, 256)
    assert jobs.equal_samples(algorithm, settings, data, 64).samples_per_step == pytest.approx(64, abs=1.5)


def test_a_turn_tells_what_was_done() -> None:
    measure = jobs.training(**COMMON, algorithm="gerne", settings={}, prefetch=1)
    for _ in range(2):
        found = measure()
        assert found["steps"] == 2
        assert found["patches"] == pytest.approx(24, abs=6)
        assert 0 <= found["waited"] < found["seconds"]
    alone = jobs.network_alone(**COMMON)()
    assert (alone["patches"], alone["steps"], alone["waited"]) == (24, 2, 0)


def test_the_table_has_medians_and_ratios_of_the_same_round(tmp_path: Path) -> None:
    def runs(*seconds: float, waited: float = 0.0) -> dict[str, Any]:
        shared = {"patches": 20, "steps": 2, "waited": waited, "cpu_seconds": 0.2}
        peak = {"peak_mib": 99.0, "device_mib": float("nan")}
        return {"runs": [shared | peak | {"seconds": each} for each in seconds]}

    contest = {
        table.ALONE: runs(1.0, 4.0, 1.0),
        "ERM": runs(2.0, 8.0, 1.0, waited=0.5),
        "broken": {"runs": [], "error": "first\nno memory"},
    }
    text = table.write(tmp_path, {"net, 8 px": {"machine": "a machine", "contest": contest}})
    assert "| net, 8 px | ERM | 10.0 | 1000 | 100 | 10 | 50% | 25% | 99 |" in text
    assert "| network alone | 10.0 | 500 | 100 | 20 | 100% | – | 99 |" in text
    assert "failed: no memory" in text
    assert (tmp_path / "report.md").read_text() == text
    assert json.loads((tmp_path / "results.json").read_text())["net, 8 px"]["machine"] == "a machine"
