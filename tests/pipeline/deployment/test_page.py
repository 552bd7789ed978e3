"""The page of a run: what it tells, that nothing of strangers runs in it, and the same bytes each time."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from patching.geometry import Size
from pipeline.deployment.outputs import OutputOptions, write_slide
from pipeline.deployment.page import PAGE, SCORE, Failure, ModelFacts, write_page
from pipeline.deployment.summary import SlideSummary
from pipeline.files import NOT_ESTIMABLE
from pipeline.training.layout import TISSUE, NamedLayout
from tests.pipeline.deployment.planted import planted

MODEL = ModelFacts(
    name="models:/evenpatch-<idc>",
    version="7",
    cohort="idc",
    trained_on="31 patients, 198 slides",
    threshold=0.4375,
    decision=(("decision rule", "by_tissue: <shifted>"), ("verdict", "tumor above a probability of 0.4375")),
    layout=TISSUE,
    weak_groups=("tumor, little tissue",),
    others=(("Intended use", "research"),),
)
FAILURES = (
    Failure("z-9", "MissingMppError", "a slide without pixel size; needs µm per pixel; fill mpp"),
    Failure("a-<script>", "UnreadableSlideError", "a.svs: <b>bad</b> tile"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def summaries(run: Path) -> list[SlideSummary]:
    """Three slides: one annotated, one not, one of unknown µm and with a warning."""
    options = OutputOptions(attributes=TISSUE.attributes)
    slides = [
        planted(name="s-2", annotated=False, mpp=None, size=Size(700, 900)),
        planted(name="s-1"),
        planted(name="s-3 #1", stride=48),
    ]
    object.__setattr__(slides[0], "warnings", ("µm per pixel <i>unknown</i>",))
    return [write_slide(slide, run, options) for slide in slides]


@pytest.fixture(scope="module")
def page(run: Path, summaries: list[SlideSummary]) -> str:
    return written(run, summaries)


def written(
    run: Path,
    summaries: Sequence[SlideSummary],
    failures: Sequence[Failure] = FAILURES,
    model: ModelFacts = MODEL,
) -> str:
    write_page(summaries, failures, run, model)
    return (run / PAGE).read_text(encoding="utf-8")


class Table(HTMLParser):
    """Rows of the sortable tables: text and sorting key of every cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, str | None]]]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "table":
            self._inside = "sortable" in (told.get("class") or "")
            if self._inside:
                self.tables.append([])
        elif self._inside and tag == "tr":
            self.tables[-1].append([])
        elif self._inside and tag in ("td", "th"):
            self.tables[-1][-1].append(("", told.get("data-v")))

    def handle_data(self, data: str) -> None:
        if self._inside and self.tables[-1] and self.tables[-1][-1]:
            text, key = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + " " + data.strip(), key)


def slides_of(page: str) -> Any:
    """Rows of the table of slides, the heading first."""
    return next(table for table in Table(page).tables if table[0][0][0].strip() == "Picture")


def scores_of(page: str) -> Any:
    """Rows of the table of scores, the heading first."""
    return next(table for table in Table(page).tables if "Accuracy" in [cell[0].strip() for cell in table[0]])


def test_it_says_what_model_and_what_for(page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    for word in (
        "models:/evenpatch-&lt;idc&gt;, 7",
        "idc",
        "31 patients, 198 slides",
        "with 0.438 in the middle: what is brighter is predicted as tumor",
        "by_tissue: &lt;shifted&gt;",
        "tumor above a probability of 0.4375",
        "Intended use",
    ):
        assert word in text
    assert "weak in: tumor, little tissue" in text
    assert text.count("Research use only") == 2


def test_failed_slides_are_told_with_their_reason(
    page: str, run: Path, summaries: list[SlideSummary]
) -> None:
    assert page.index("a-&lt;script&gt;") < page.index("z-9")
    assert "a.svs: &lt;b&gt;bad&lt;/b&gt; tile" in page
    assert "Failed slides" not in written(run, summaries, ())


def test_nothing_of_strangers_runs(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert page.count("<script") == 1
    assert "<i>unknown" not in page
    assert not re.findall(r"\son\w+=", page)
    assert not re.findall(r"(?:src|href)=\"(?!data:)[^\"]*:", page), "no address but beside the page"


def test_links_lead_to_files_beside_it(page: str, run: Path) -> None:
    links = {unquote(link) for link in re.findall(r'href="([^"#]*)"', page)}
    assert len(links) == 3 * 5
    assert all((run / link).is_file() for link in links)
    assert "s-3 #1/s-3 #1.geojson.gz" in links


def test_every_slide_has_a_row_that_sorts_by_numbers(page: str, summaries: list[SlideSummary]) -> None:
    _, *rows = slides_of(page)
    by_name = {summary.slide_id: summary for summary in summaries}
    assert [row[1][1] for row in rows] == sorted(by_name)
    for row in rows:
        summary = by_name[str(row[1][1])]
        keys = [key for _, key in row]
        assert keys[5:7] == [str(summary.patches), str(summary.tumor_patches)]
        assert keys[8] == str(summary.not_reliable)
        assert keys[2] == ("" if summary.tumor_mm2 is None else str(summary.tumor_mm2))
    unknown = next(row for row in rows if row[1][1] == "s-2")
    assert (unknown[2][0].strip(), unknown[4][0].strip()) == ("–", "–")
    assert "µm unknown" in unknown[1][0]
    assert "⚠" in unknown[1][0]
    assert "weak group" in unknown[8][0]


def test_without_evidence_no_patch_passes_for_reliable(run: Path, summaries: list[SlideSummary]) -> None:
    untold = [each.model_copy(update={"not_reliable": None}) for each in summaries[:1]]
    page = written(run, [*untold, *summaries[1:]], model=replace(MODEL, weak_groups=None))
    assert "No evidence travels with this model: weak groups are not marked" in page
    assert "<dt>not to be relied on</dt><dd>–</dd>" in page
    _, *rows = slides_of(page)
    found = {str(row[1][1]): row[8] for row in rows}
    text, key = found.pop(untold[0].slide_id)
    assert (text.split()[0], key) == ("–", "")
    assert "outside training" in text, "what the card alone tells is told"
    assert all(key and int(key) > 0 for _, key in found.values())
    known = written(run, summaries, model=replace(MODEL, weak_groups=()))
    assert "No evidence travels" not in known
    assert "weak in:" not in known
    counted = sum(each.not_reliable or 0 for each in summaries)
    assert f"<dt>not to be relied on</dt><dd>{counted:,}</dd>" in known
    # Of slides without a single note.
    bare = [each.model_copy(update={"not_reliable": None, "notes": {}}) for each in summaries]
    assert "notes on weak groups take evidence" in written(run, bare, model=replace(MODEL, weak_groups=None))


def test_every_picture_has_its_heatmap_and_its_switch(page: str) -> None:
    assert page.count('type="checkbox"') == 3 + 1
    assert page.count("data:image/jpeg") == 2 * 3
    for name in re.findall(r'<label for="([^"]+)"', page):
        assert f'id="{name}"' in page


def test_pictures_of_many_slides_stay_beside_the_page(
    run: Path, summaries: list[SlideSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.deployment.page._INSIDE", 2)
    page = written(run, summaries)
    assert page.count("data:image/jpeg") == 2 * 2
    sources = [unquote(each) for each in re.findall(r'src="([^"]*)"', page) if not each.startswith("data:")]
    assert sources == ["s-3 #1/thumbnail.jpg", "s-3 #1/heatmap.jpg"]
    assert all((run / source).is_file() for source in sources)


def test_patches_of_groups_are_summed(page: str, summaries: list[SlideSummary]) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for number, name in enumerate(TISSUE.names):
        k, a = divmod(number, 2)
        total = sum(summary.groups[k][a] for summary in summaries)
        assert f"{name} {total:,}" in text


def test_the_score_is_told_and_written(page: str, run: Path, summaries: list[SlideSummary]) -> None:
    written(run, summaries)
    found = json.loads((run / SCORE).read_text(encoding="utf-8"))
    assert set(found["slides"]) == {"s-1", "s-3 #1"}
    run_patches = found["run"]["patches"]
    assert run_patches == sum(each["patches"] for each in found["slides"].values())
    head, *rows, total = scores_of(page)
    assert [cell[0].strip() for cell in head][:3] == ["Slide", "Patches", "Accuracy"]
    assert [row[0][0].strip() for row in rows] == ["s-1", "s-3 #1"]
    assert float(str(rows[0][2][1])) == found["slides"]["s-1"]["accuracy"]
    assert total[1][1] == str(run_patches)


def test_without_annotations_there_is_no_score(
    run: Path, summaries: list[SlideSummary], tmp_path: Path
) -> None:
    alone = [write_slide(planted(annotated=False), tmp_path, OutputOptions())]
    (tmp_path / SCORE).touch()
    model = ModelFacts("m", "1", "c", "t", 0.5, (), NamedLayout(("non-tumor", "tumor"), ()))
    page = written(tmp_path, alone, (), model)
    assert "Score against" not in page
    assert not (tmp_path / SCORE).exists(), "an earlier run's score is not this one's"
    assert "Patches of every group" not in page


def test_a_score_that_is_undefined_says_so(run: Path, tmp_path: Path) -> None:
    prediction = planted()
    prediction.patches["label"] = 1
    page = written(tmp_path, [write_slide(prediction, tmp_path, OutputOptions(attributes=TISSUE.attributes))])
    _, row, _ = scores_of(page)
    assert row[4] == (f" {NOT_ESTIMABLE}", ""), "sorted last"


def test_the_same_run_gives_the_same_page(run: Path, summaries: list[SlideSummary], page: str) -> None:
    assert written(run, summaries[::-1], FAILURES[::-1]) == page
    assert str(run) not in page
    assert sorted(path.name for path in run.iterdir() if path.name.startswith(".")) == []


def test_a_run_in_which_every_slide_failed_has_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, [])
    assert "2 failed" in page
    assert "0 slides" in page
