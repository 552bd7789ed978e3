"""The benchmark of the report: its made-up cohort, its arithmetic, and what its tables say."""

import json
import math
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.report import __main__ as benchmark
from benchmarks.report import cohort
from benchmarks.report.measure import Measured, megabytes, timed
from benchmarks.report.table import LIMIT_MB, growth, markdown, within
from patching.store.reading import PatchStore
from pipeline.artifacts import Paths


def measured(slides: int, report_mb: float = 8.0, report_s: float = 10.0) -> Measured:
    return Measured(
        slides=slides,
        patches=100 * slides,
        report_mb=report_mb,
        beside_mb=0.5,
        beside_files=7,
        gather_s=2.5,
        report_s=report_s,
        report_clock_s=report_s,
        cohort_mb=0.75,
        cohort_s=1.25,
        peak_mib=700.0,
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-1, 3), st.floats(0.1, 100), st.integers(2, 500), st.integers(2, 50))
def test_growth_is_the_power(power: float, scale: float, first: int, times: int) -> None:
    second = first * times
    before, after = (scale * size**power for size in (first, second))
    assert growth(before, after, (first, second)) == pytest.approx(power, abs=1e-9)


def test_growth_of_nothing_is_unknown() -> None:
    assert math.isnan(growth(0, 1, (5, 50)))
    assert math.isnan(growth(1, 2, (5, 5)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([measured(5), measured(50), measured(500)], (True, True)),
        ([measured(5), measured(50, LIMIT_MB), measured(500)], (False, True)),
        ([measured(50), measured(500), measured(10_000, 15.2)], (True, False)),
        ([measured(5)], (True, None)),
        ([measured(51)], (None, True)),
    ],
)
def test_the_limit_is_asked_of_few_and_of_more(rows: list[Measured], expected: tuple[object, object]) -> None:
    assert within(rows) == expected


def test_the_table_says_what_was_measured() -> None:
    text = markdown([measured(500, 16.0, 1000.0), measured(5, 8.0, 10.0)])
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    assert {len(row) for row in cells} == {11}
    assert cells[2] == ["5", "500", "8.0", "1,600.0", "0.5 (7)", "2.5", "10.0", "2,000", "0.75", "1.2", "700"]
    assert cells[3][:4] == ["500", "50,000", "16.0", "32.0"]
    assert (
        "From 5 to 500 slides the report's size grows with the power 0.15 of them, its time with 1.00."
        in text
    )
    assert "Under 15 MB at 50 slides: yes; beyond: **no**." in text


def test_seconds_and_megabytes(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for path, size in zip(files, (1_500_000, 250_000), strict=True):
        path.write_bytes(bytes(size))
    assert megabytes(files) == 1.75
    asked: list[int] = []
    processor, clock = timed(lambda: asked.append(sum(range(200_000))))
    assert asked
    assert processor > 0
    assert clock > 0


def test_slides_are_links_under_names_of_their_own(tmp_path: Path, repository: Path) -> None:
    """Without the hand-over of explain, which takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort.explain, "run", lambda *_: None)
        patch.setattr(cohort, "_add_fine", lambda *_: None)
        patch.setattr(cohort, "ALGORITHMS", {"gerne": 0.9})
        context = cohort.write_cohort(tmp_path / "root", repository, 9)
    paths: Paths = context.paths
    index, splits = pd.read_parquet(paths.index), pd.read_csv(paths.splits)
    assert (splits["split"] == "test").sum() == 9
    assert len(index) == 100 * (9 + cohort.TRAINING + cohort.VALIDATION)
    first, same, other = (PatchStore.open(paths.store(f"s{number:05}")) for number in (0, 8, 1))
    assert [store.attributes.slide_id for store in (first, same, other)] == ["s00000", "s00008", "s00001"]
    assert (first.read([7]) == same.read([7])).all()
    assert (first.read([7]) != other.read([7])).any()
    shards = [next((store.path / "images").glob("c.*")).stat() for store in (first, same)]
    assert shards[0].st_ino == shards[1].st_ino
    assert first.thumbnail.std() > 20
    told = pd.read_parquet(paths.evaluation("gerne-low") / "predictions.parquet")
    wrong = (told["label"] != told["prediction"]).groupby(told["patch_id"].str[:6]).sum()
    assert wrong.nunique() > 3


def test_every_size_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        """In this process."""

        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, work: object, size: int) -> "Here":
            self.row = measured(size)
            return self

        def result(self) -> Measured:
            return self.row

    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(
        sys, "argv", ["benchmarks.report", "--slides", "50", "5", "5", "--outputs", str(tmp_path)]
    )
    benchmark.main()
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["slides"] for row in rows] == [5, 50]
    assert (tmp_path / "report.md").read_text() == markdown(rows)
    monkeypatch.setattr(sys, "argv", ["benchmarks.report", "--slides", "0"])
    with pytest.raises(SystemExit):
        benchmark.main()
