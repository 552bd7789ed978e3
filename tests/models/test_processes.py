"""Two processes train as one does."""

import json
from multiprocessing import get_context
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.models.one_of_several import run, trained

CASES = ("gerne", "independent", "unknown", "erm")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what two processes had at the end of every case."""
    out = tmp_path_factory.mktemp("several")
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.models.warm"])
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = [context.Process(target=run, args=(rank, 2, port, out, (*CASES, "union"))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return out


def record(out: Path, case: str, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / f"{case}-{rank}.json").read_text())
    return content


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_weights_of_one(case: str, pair: Path, tmp_path: Path) -> None:
    initial = trained(case, tmp_path)
    alone, *together = (
        load_file(folder / f"{case}-{rank}.safetensors")
        for folder, rank in ((tmp_path, 0), (pair, 0), (pair, 1))
    )
    assert difference(*together) == 0
    assert difference(alone, together[0]) < 1e-5
    assert difference(alone, initial) > 1e-3
    one, *both = record(tmp_path, case, 0), record(pair, case, 0), record(pair, case, 1)
    assert both[0]["history"] == both[1]["history"]
    for expected, found in zip(one["history"], both[0]["history"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
    # Everyone reads the own samples, and nothing else.
    assert both[0]["processes"] == 2
    assert sum(each["read"] for each in both) == one["read"]
    assert abs(both[0]["read"] - both[1]["read"]) <= len(one["history"]) + 5


@pytest.mark.slow
def test_only_the_first_process_writes_the_state(pair: Path) -> None:
    for case in CASES:
        assert [path.name for path in (pair / f"{case}.state").iterdir()] == ["last.safetensors"]


@pytest.mark.slow
def test_batch_norm_that_nothing_synchronizes_is_refused(pair: Path) -> None:
    for rank in range(2):
        told = (pair / f"union-{rank}.error").read_text()
        assert "batch_norm: union in 2 processes on cpu" in told
        assert "frozen" in told
