"""Two runs in pictures: flips by hand, the order of the patches, and a page that is whole in itself."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from models.groups import GroupLayout
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import Context
from pipeline.report.names import Names
from pipeline.results import tested
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.predictions import find_tested
from pipeline.tables.flips import BROKEN, MENDED, chosen_flips, flips_of, pair_of, paired_patches
from pipeline.yaml_file import load_yaml

LAYOUT = GroupLayout(2, 2)
FEW = BootstrapSettings(minimum_patches=1, minimum_patients=2, draws=50)


def run_of(rows: list[tuple[str, str, int, int, int, float]], **changes: object) -> tested.Tested:
    """Rows: patch, patient, label, attribute, prediction, probability."""
    columns = ["patch_id", "patient_id", "label", "attribute", "prediction", "probability"]
    table = pd.DataFrame(rows, columns=columns)
    table["group"] = 2 * table["label"] + table["attribute"]
    one = tested.Tested("a-low", "split", "a", "low", 0, (), {}, {}, table)
    return replace(one, **changes)  # type: ignore[arg-type]


BEFORE = [
    ("p1", "x", 1, 0, 0, 0.1),
    ("p2", "x", 1, 0, 0, 0.4),
    ("p3", "y", 1, 0, 1, 0.9),
    ("p4", "y", 1, 0, 0, 0.2),
    ("p5", "y", 0, 1, 0, 0.3),
    ("p6", "x", 0, 1, 1, 0.6),
]
AFTER = [
    ("p1", "x", 1, 0, 1, 0.9),
    ("p2", "x", 1, 0, 1, 0.8),
    ("p3", "y", 1, 0, 0, 0.2),
    ("p4", "y", 1, 0, 1, 0.6),
    ("p5", "y", 0, 1, 1, 0.7),
    ("p6", "x", 0, 1, 1, 0.7),
]


def test_flips_by_hand() -> None:
    both = paired_patches(run_of(BEFORE), run_of(AFTER[::-1]))
    assert both["flip"].tolist() == [MENDED, MENDED, BROKEN, MENDED, BROKEN, ""]
    found = flips_of(both, LAYOUT, FEW)
    tumor = found[2]
    assert (tumor.patches, tumor.patients) == (4, 2)
    assert (tumor.mended, tumor.broken, tumor.mended_patients, tumor.broken_patients) == (3, 1, 2, 1)
    assert tumor.difference.estimate == pytest.approx(0.5)
    assert found[1].difference.estimate == pytest.approx(-0.5)
    assert (found[0].patches, found[3].mended) == (0, 0)
    assert np.isnan(found[0].difference.estimate)


def test_patches_are_chosen_by_how_far_they_moved_each_patient_first() -> None:
    both = paired_patches(run_of(BEFORE), run_of(AFTER))
    chosen = chosen_flips(both, 2)
    # p1 and p2 moved by 0.8 and 0.4, p4 of another patient by 0.4: it comes before the second of x.
    assert chosen.loc[chosen["flip"] == MENDED, "patch_id"].tolist() == ["p1", "p4"]
    assert chosen_flips(both, 9).loc[lambda t: t["flip"] == MENDED, "patch_id"].tolist() == ["p1", "p4", "p2"]
    assert chosen.loc[chosen["flip"] == BROKEN, "patch_id"].tolist() == ["p5", "p3"]
    back = chosen_flips(paired_patches(run_of(AFTER), run_of(BEFORE)), 1)
    assert back.loc[(back["flip"] == BROKEN) & (back["group"] == 2), "patch_id"].tolist() == ["p1"]
    gone = both.assign(probability=np.nan)
    assert chosen_flips(gone, 1)["patch_id"].tolist() == ["p5", "p3", "p1"]
    assert chosen_flips(both.drop(columns="probability"), 1)["patch_id"].tolist() == ["p5", "p3", "p1"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 1)] * 4, st.integers(0, 3)), min_size=1, max_size=40))
def test_flips_add_up_to_the_difference_of_the_accuracies(rows: list[tuple[int, int, int, int, int]]) -> None:
    first = [(f"p{n}", str(p), y, a, one, 0.5) for n, (y, a, one, _, p) in enumerate(rows)]
    second = [(f"p{n}", str(p), y, a, other, 0.5) for n, (y, a, _, other, p) in enumerate(rows)]
    both = paired_patches(run_of(first), run_of(second))
    for group, flips in enumerate(flips_of(both, LAYOUT, FEW)):
        own = both[both["group"] == group]
        assert flips.patches == len(own)
        if flips.patients >= FEW.minimum_patients:
            change = accuracy_score(own["label"], own["prediction_to"]) - accuracy_score(
                own["label"], own["prediction"]
            )
            assert flips.difference.estimate == pytest.approx(change)
            assert (flips.mended - flips.broken) / flips.patches == pytest.approx(change)


def test_which_two_runs_are_shown() -> None:
    erm, gerne, other = (
        run_of(BEFORE, name=f"{name}-low", algorithm=name) for name in ("erm", "gerne", "dfr")
    )
    of = ("gerne", "erm", "low")
    assert pair_of([gerne, erm], *of) == (gerne, erm)
    assert pair_of([other, gerne], *of) == (other, gerne)
    assert pair_of([gerne, other, erm], *of) == (erm, gerne)
    high = replace(gerne, threshold="high")
    assert pair_of([erm, high], *of) is None
    assert pair_of([erm, high, other], *of) is None
    assert pair_of([erm], *of) is None
    assert pair_of([replace(erm, source="study"), replace(gerne, source="study")], *of) is None


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")


def compared(context: Context, *runs: str) -> Path:
    arguments = ["compare", *runs, "--cohort", context.cohort, "--root", str(context.paths.root)]
    assert main(arguments) == 0
    return context.paths.results / "pictures.html"


def test_the_page_shows_what_changed_and_is_whole_in_itself(cohort: Context) -> None:
    path = compared(cohort, "erm-low", "gerne-low")
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "<script" not in page
    assert "A toy &lt;script&gt;alert(2)&lt;/script&gt; cohort." in page
    texts = re.findall(r'<img src="data:image/jpeg[^"]*" alt="([^"]*)"', page)
    first, second = find_tested(cohort, ["erm-low", "gerne-low"])
    both = paired_patches(first, second)
    chosen = chosen_flips(both, 4)
    assert len(texts) == len(chosen) > 8
    row = chosen.iloc[0]
    told = f"from {100 * row['probability']:.1f}&nbsp;% to {100 * row['probability_to']:.1f}&nbsp;%"
    assert any(
        row["patch_id"] in text and told.replace("&nbsp;", "\xa0") in text.replace("&nbsp;", "\xa0")
        for text in texts
    )
    counts = both["flip"].value_counts()
    assert (
        f"{counts.get(MENDED, 0):,} go from wrong to right and {counts.get(BROKEN, 0):,} from right" in page
    )
    assert len(page.encode()) < 2e6
    again = compared(cohort, "erm-low", "gerne-low").read_text(encoding="utf-8")
    assert again == page
    shutil.rmtree(cohort.paths.store("s-p03"))
    fewer = compared(cohort, "erm-low", "gerne-low").read_text(encoding="utf-8")
    lost = int((chosen["slide_id"] == "s-p03").sum())
    assert lost
    assert f"{lost} pictures lack" in fewer
    # Runs of two thresholds are no pair, and the page of the call before is not left.
    assert not compared(cohort, "erm-low", "gerne-high").is_file()


def test_ids_are_hashed_where_the_report_hashes_them(
    cohort: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cohort.configs / "cohorts" / f"{cohort.cohort}.yaml"
    content = load_yaml(file)
    content["report"] |= {"hash_ids": True}
    file.write_text(yaml.safe_dump(content))
    monkeypatch.delenv("EVENPATCH_SALT", raising=False)
    arguments = ["compare", "erm-low", "gerne-low", "--cohort", cohort.cohort]
    assert main([*arguments, "--root", str(cohort.paths.root)]) == 2
    assert not (cohort.paths.results / "pictures.html").exists()
    monkeypatch.setenv("EVENPATCH_SALT", "mine")
    page = compared(cohort, "erm-low", "gerne-low").read_text(encoding="utf-8")
    chosen = chosen_flips(paired_patches(*find_tested(cohort, ["erm-low", "gerne-low"])), 4)
    assert all(page.count(Names("mine").patch(name)) >= 2 for name in chosen["patch_id"])
    # A picture is text too, in which any id may stand by chance.
    assert not re.search(r"s-p\d\d", re.sub(r"data:image[^\"]*", "", page))
