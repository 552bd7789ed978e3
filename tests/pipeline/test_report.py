"""The report: what it says, that it is whole in itself, and that nothing in it can run."""

import math
import re
from argparse import Namespace
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from models.metrics.intervals import Interval
from pipeline.artifacts import Paths
from pipeline.config import Context, load_stage
from pipeline.look.curves import panels_of
from pipeline.look.patches import composite, intensity_range, picture_pair
from pipeline.report.evidence import load_evidence
from pipeline.report.panels import sheets
from pipeline.report.panels.examples import choose
from pipeline.report.panels.structure import binned_accuracy
from pipeline.report.panels.verdict import answer
from pipeline.report.sources import ReportSettings, Sources
from pipeline.results.verdict import Difference, bootstrap_settings, compare, estimable
from pipeline.stages import report

VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Tags in order, and a check that every one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def sources(finished_cohort: Context) -> Sources:
    settings = load_stage(finished_cohort.configs, finished_cohort.cohort, "report", ReportSettings)
    evidence = load_evidence(finished_cohort, tuple(settings.names))
    intervals = bootstrap_settings(finished_cohort)
    comparison = compare(
        evidence, intervals, settings.candidate, settings.references, settings.minimum_test_patients
    )
    return Sources(evidence, comparison, settings, intervals)


@pytest.fixture(scope="module")
def page(finished_cohort: Context) -> str:
    report.run(finished_cohort, Namespace())
    return finished_cohort.paths.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert not parser.open
    return parser


def test_the_file_is_complete_in_itself(page: str) -> None:
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "://" not in page
    assert len(page.encode()) < 4e6


def test_nothing_in_it_runs(page: str, outline: Outline) -> None:
    assert "script" not in {tag for tag, _ in outline.seen}
    assert not any(name.startswith("on") for _, attributes in outline.seen for name in attributes)
    assert "A toy &lt;script&gt;alert(2)&lt;/script&gt; cohort." in page
    assert "s-&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "has: &lt;b&gt;noise&lt;/b&gt;" in page


def test_every_table_has_a_caption_and_every_picture_a_text(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("table") == tags.count("caption") > 5
    assert all(attributes.get("alt") for tag, attributes in outline.seen if tag == "img")
    ids = [attributes["id"] for _, attributes in outline.seen if "id" in attributes]
    links = [str(attributes["href"])[1:] for tag, attributes in outline.seen if tag == "a"]
    assert sorted(ids) == sorted(links)


def test_the_same_files_give_the_same_report(sources: Sources, page: str) -> None:
    assert report.render(sources) == page


def test_a_phantom_says_that_it_is_one(page: str) -> None:
    assert "it shows the mechanism, not clinical performance" in page


def test_differences_to_resampling_and_class_balanced_always_stand(sources: Sources) -> None:
    pairs = {(item.threshold, item.reference) for item in sources.comparison.differences}
    assert pairs == {(t, r) for t in ("low", "high") for r in ("erm", "class_balanced", "group_resampling")}
    found = {(i.threshold, i.reference): i for i in sources.comparison.differences}
    assert found["high", "erm"].reading == "better"
    assert found["high", "group_resampling"].reading == "open"
    assert found["low", "group_resampling"].reading == "worse"


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 0.0, np.nan)


def difference(reference: str, low: float, high: float) -> Difference:
    found = interval((low + high) / 2, low, high)
    return Difference("low", reference, True, found, found, found)


def test_better_stands_only_where_the_interval_excludes_zero(sources: Sources) -> None:
    items = [difference("erm", 0.1, 0.3), difference("group_resampling", -0.1, 0.2)]
    text = answer(sources, items)
    assert "better than ERM" in text
    assert "not shown to differ from group resampling" in text
    assert "worse than ERM" in answer(sources, [difference("erm", -0.3, -0.1)])
    unknown = answer(sources, [difference("erm", np.nan, np.nan)])
    assert "better" not in unknown
    assert "not estimable" in unknown
    assert "nothing is compared" in answer(sources, [])


def verdict_section(page: str) -> str:
    found = re.search(r'<section id="verdict".*?</section>', page, re.DOTALL)
    assert found
    return found[0]


def test_too_few_test_patients_of_a_label_are_no_ground_for_a_verdict(sources: Sources, page: str) -> None:
    # The cohort has four test patients, and asks for four.
    assert re.search(r"\bbetter than\b", verdict_section(page))
    comparison = compare(sources.evidence, sources.intervals, "gerne", ("erm",), 5)
    assert {item.reading for item in comparison.differences} == {"few"}
    settings = sources.settings.model_copy(update={"minimum_test_patients": 5})
    told = verdict_section(report.render(replace(sources, comparison=comparison, settings=settings)))
    assert told.count("Too few test patients to judge.") == 2
    assert "at least 5 test patients with tumor" in told
    assert not re.search(r"\b(better|worse)\b", told, re.IGNORECASE)
    estimate = f"{100 * comparison.differences[0].wga.estimate:+.1f}".replace("-", "−")
    assert estimate in told


def test_a_small_group_is_not_estimable_rather_than_zero(finished_cohort: Context, sources: Sources) -> None:
    strict = sources.intervals.model_copy(update={"minimum_patches": 10_000})
    comparison = compare(sources.evidence, strict, "gerne", ("erm",), 4)
    assert not any(estimable(group.accuracy) for item in comparison.figures for group in item.groups)
    page = report.render(Sources(sources.evidence, comparison, sources.settings, strict))
    assert page.count("not estimable") > 32


def test_the_choice_names_the_groups_that_had_no_say(sources: Sources) -> None:
    run = sources.evidence.runs[0]
    validation = run.record["validation"] | {"accuracy_g0": 0.9, "accuracy_g2": "not estimable"}
    changed = replace(run, record=run.record | {"validation": validation})
    evidence = replace(sources.evidence, runs=(changed, *sources.evidence.runs[1:]))
    page = report.render(replace(sources, evidence=evidence))
    assert page.count("without tumor, little tissue") == 1


def test_examples_are_fixed_and_of_different_patients() -> None:
    part = pd.DataFrame(
        {
            "patch_id": [f"s@{n}_0" for n in range(40)],
            "patient_id": ["a"] * 30 + ["b"] * 10,
            "group": [0, 3] * 20,
            "label": [0, 1] * 20,
            "prediction": [0, 1] * 10 + [1, 0] * 10,
        }
    )
    chosen = choose(part, right=2, wrong=3)
    assert chosen["patch_id"].tolist() == choose(part[::-1], right=2, wrong=3)["patch_id"].tolist()
    assert chosen.groupby(["group", "correct"]).size().to_dict() == {
        (g, correct): 2 if correct else 3 for g in (0, 3) for correct in (True, False)
    }
    wrong = chosen[(chosen["group"] == 0) & ~chosen["correct"]]
    assert wrong["patient_id"].nunique() == 2
    assert chosen[chosen["group"] == 0]["correct"].tolist() == [True, True, False, False, False]


def test_accuracy_in_bins() -> None:
    value_N = np.repeat([0.1, 0.2, 0.9], [20, 20, 5])
    means, accuracy = binned_accuracy(value_N, value_N < 0.15, bins=2, fewest=10)
    assert means == pytest.approx([0.1, (20 * 0.2 + 5 * 0.9) / 25])
    assert accuracy == [1.0, 0.0]
    assert binned_accuracy(np.ones(30), np.ones(30, bool)) == ([1.0], [1.0])
    assert binned_accuracy(np.empty(0), np.empty(0, bool)) == ([], [])


def test_channels_become_colors() -> None:
    image_HWC = np.zeros((4, 6, 3), np.uint16)
    image_HWC[0, :, 0], image_HWC[:, 5, 1] = 1000, 1000
    range_C2 = np.array([[0, 1000]] * 3, float)
    rgb_HWC = composite(image_HWC, range_C2, brightfield=False)
    assert rgb_HWC[0, 0].tolist() == [255, 0, 0]
    assert rgb_HWC[3, 5].tolist() == [0, 255, 0]
    assert rgb_HWC[0, 5].tolist() == [255, 255, 0]
    one = composite(image_HWC[..., :1], range_C2[:1], brightfield=False)
    assert one[0, 0].tolist() == [255, 255, 255]
    assert composite(
        image_HWC[..., [0, 1, 2, 0]], np.vstack([range_C2, range_C2[:1]]), brightfield=False
    ).shape == (4, 6, 3)
    assert intensity_range(image_HWC[None]).shape == (3, 2)


def test_the_tissue_is_beside_the_patch() -> None:
    rgb_HWC = np.full((32, 32, 3), 200, np.uint8)
    mask_HW = np.zeros((8, 8), bool)
    mask_HW[:, 4:] = True
    pair_HWC = picture_pair(rgb_HWC, mask_HW, 64)
    assert pair_HWC.shape == (64, 132, 3)
    assert pair_HWC[32, 10].tolist() == [200, 200, 200]
    assert pair_HWC[32, 68 + 10].tolist() == [100, 100, 100]
    assert pair_HWC[32, 68 + 50].tolist() == [200, 200, 200]


def test_groups_are_shown_by_sheet_and_slide(sources: Sources) -> None:
    shown = sheets.values(sources)["thresholds"]
    assert [item["name"] for item in shown] == list(sources.evidence.thresholds)
    assert all(item["sheet"].startswith("data:image/jpeg") for item in shown)
    assert all(len(item["slides"]) == 3 for item in shown)
    assert len({item["sheet"] for item in shown}) == 2, "the thresholds make different groups"
    assert all(item["quality"] == () for item in shown)


def test_quality_by_group_names_other_shortcuts(sources: Sources) -> None:
    index = sources.evidence.index.copy()
    index["quality_focus"] = index["label"] + np.arange(len(index)) % 5 / 5
    index["quality_brightness"] = np.arange(len(index)) // 2 % 5 / 5
    changed = replace(sources, evidence=replace(sources.evidence, index=index))
    for item in sheets.values(changed)["thresholds"]:
        focus, brightness = item["quality"]
        assert (focus.name, brightness.name) == ("focus", "brightness")
        assert focus.large
        assert not brightness.large
        assert focus.means[2] > focus.means[0] + 0.5
        assert len(focus.means) == 4
    page = report.render(changed)
    assert page.count('<tr class="candidate"><th scope="row">focus') == 2
    assert page.count('<th scope="row">brightness') == 2


def test_no_training_is_an_error(small_cohort: Paths) -> None:
    from patching.errors import ArtifactError

    with pytest.raises(ArtifactError):
        report.run(Context("small", small_cohort, small_cohort.root / "configs"), Namespace())


def test_estimable_needs_all_three_numbers() -> None:
    assert estimable(interval(0.5, 0.4, 0.6))
    assert not estimable(interval(0.5, math.nan, math.nan))


def test_curves_show_what_validation_knew() -> None:
    columns = ("validation_worst_class", "validation_class_balanced")
    always = {"train_loss": [0.7, 0.6], "validation_wga": [np.nan, np.nan]}
    blind = pd.DataFrame(always | {column: [0.5, 0.6] for column in columns})
    known = blind.assign(validation_wga=[0.1, 0.2])
    assert [column for column, _ in panels_of([blind, blind])][1:] == list(columns)
    for histories in ([blind, known], [known], [blind.drop(columns=columns[0])]):
        assert [column for column, _ in panels_of(histories)][1:] == ["validation_wga", "validation_gba"]
