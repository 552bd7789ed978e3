"""Colored MNIST's table: of the settings as they are, and honest about trainings that fail."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cmnist import cells as cells_module
from benchmarks.cmnist.__main__ import cells, is_current
from benchmarks.cmnist.cells import LAYOUT, Cell, is_done, train_cell
from benchmarks.cmnist.published import PUBLISHED
from benchmarks.cmnist.settings import Settings, load
from benchmarks.cmnist.table import markdown, read_records
from models.data.dataset import MemoryPatches, PatchData
from models.data.splitting import TEST, TRAIN, VALIDATION
from models.training.making import candidates, checked_settings
from models.training.settings import TrainSettings


@pytest.fixture
def settings() -> Settings:
    return load()


def one_cell(settings: Settings, method: str = "gerne", seed: int = 0, **changes: Any) -> Cell:
    changed = settings.model_copy(update={"train": settings.train | changes})
    (cell,) = cells(changed, [method], [0.005], [seed])
    return cell


def write(folder: Path, cell: Cell, **found: Any) -> Mapping[str, Any]:
    record = {name: getattr(cell, name) for name in ("fingerprint", "method", "ratio", "seed")} | found
    (folder / f"{cell.name}.json").write_text(json.dumps(record))
    return record


def test_every_method_can_be_made_and_stands_beside_its_own_figure(settings: Settings) -> None:
    assert set(PUBLISHED) <= set(settings.methods)
    for name, method in settings.methods.items():
        if name in PUBLISHED:
            assert set(method.ratios or settings.published_ratios) <= set(PUBLISHED[name])
        for override in candidates(method.settings):
            checked_settings(method.algorithm or name, {**method.settings, **override})
        for changes in method.train:
            TrainSettings.model_validate(settings.train | {"attributes": method.attributes} | changes)


def test_records_of_other_settings_are_not_in_the_table(settings: Settings, tmp_path: Path) -> None:
    kept = write(tmp_path, one_cell(settings, seed=0), gba=0.5, oracle_gba=0.6, trials=2)
    write(tmp_path, one_cell(settings, seed=1, epochs=77), gba=0.9, oracle_gba=0.9, trials=2)
    further = write(tmp_path, one_cell(settings, seed=14), gba=0.6, oracle_gba=0.6, trials=2)
    records = read_records(tmp_path, partial(is_current, settings))
    assert records == {("gerne", 0.005): [kept, further]}
    assert "| GERNE | **55.00** ± 7.07 (2)<br>paper 77.79 ± 0.90 |" in markdown(settings, records)
    assert "| GERNE, independent batches | not run" in markdown(settings, records)
    assert "oracle" not in markdown(settings, records)
    assert "| oracle GERNE | **60.00** ± 0.00 (2)<br>paper" in markdown(settings, records, oracle=True)
    assert is_done(tmp_path, one_cell(settings))
    assert not is_done(tmp_path, one_cell(settings, seed=1))


def test_seeds_that_failed_are_counted_and_not_averaged(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path, one_cell(settings, seed=0), gba=0.5, oracle_gba=0.6, trials=2)
    write(tmp_path, one_cell(settings, seed=1), failure="diverged")
    write(tmp_path, one_cell(settings, "gerne_unknown"), failure="diverged")
    told = markdown(settings, read_records(tmp_path, partial(is_current, settings)))
    assert "| GERNE | **50.00** ± nan (2), 1 of 2 failed<br>" in told
    assert "| GERNE | 1 of 1 failed<br>" in told


@pytest.mark.parametrize(("rate", "failure"), [(1e30, "candidates failed"), (0.1, "")])
def test_a_cell_is_trained_and_tested_or_its_failure_recorded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, failure: str
) -> None:
    def part(seed: int) -> PatchData:
        rng = np.random.default_rng(seed)
        group_N = np.repeat(np.arange(LAYOUT.n_groups), 2)
        images = rng.integers(0, 255, (len(group_N), 28, 28, 3)).astype(np.uint8)
        return PatchData(MemoryPatches(images), group_N // 10, group_N % 10, np.ones(len(group_N)))

    parts = {split: part(i) for i, split in enumerate((TRAIN, VALIDATION, TEST))}
    monkeypatch.setattr(cells_module, "load_data", lambda *_: parts)
    cell = one_cell(settings, "group_resampling", epochs=25, learning_rate=rate)
    if not failure:
        # A further try that diverges counts as one.
        cell = replace(cell, trains=({}, {"learning_rate": 1e30}))
    assert train_cell(tmp_path, tmp_path, cell) == cell.name
    record = json.loads((tmp_path / f"{cell.name}.json").read_text())
    assert failure in record.get("failure", "")
    assert ("failure" in record) == bool(failure)
    assert is_done(tmp_path, cell)
    if not failure:
        assert record["chosen"] == {}
        assert record["trials"] == 2
        assert 0 <= record["wga"] <= record["gba"] <= record["oracle_gba"] <= 1
