"""Documents: guidelines item by item, the flow that adds up, the cards, commands to copy."""

import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import ValidationError

from models.data.splitting import SPLITS
from models.networks.card import DecisionCard
from pipeline.artifacts import Paths
from pipeline.cards.markdown import code, table, text
from pipeline.cli import main
from pipeline.cohort.duplicates import twins_of
from pipeline.cohort.flow import Flow, Steps, flow_of, read_listed
from pipeline.config import Context
from pipeline.look.html import make_environment
from pipeline.report import documents
from pipeline.report.documents import DOCUMENTS, MODEL_CARD
from pipeline.report.guidelines.checklist import (
    ANSWERED,
    GUIDELINES,
    OPEN,
    PARTLY,
    YOURS,
    Item,
    answers,
    read_guideline,
)
from pipeline.report.guidelines.statements import Statements
from pipeline.report.page import render
from pipeline.report.panels import calibration, cohort, flow, guidelines, provenance
from pipeline.report.panels.registry import PANELS
from pipeline.report.sources import Sources
from pipeline.yaml_file import load_yaml
from tests.pipeline.reports import panel, shown, sources_of

TRIPOD = (  # noqa: SIM905
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
).split()
"""Items and sub-items of the published list (BMJ 2024;385:e078378)."""
NUMBERS = {"tripod_ai": TRIPOD, "claim": [str(number) for number in range(1, 45)]}


class Links(HTMLParser):
    """Where links lead, and which ids there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.to: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        self.ids |= {own["id"] or ""} if "id" in own else set()
        self.to += [own["href"] or ""] if tag == "a" else []


@pytest.mark.parametrize("name", GUIDELINES)
def test_no_item_of_a_guideline_lacks(name: str) -> None:
    assert [item.item for item in read_guideline(name).items] == NUMBERS[name]


@pytest.mark.parametrize("name", GUIDELINES)
def test_an_item_leads_to_panels_and_files_that_there_are(name: str) -> None:
    known = {each.name for each in PANELS} | set(DOCUMENTS)
    assert {place for item in read_guideline(name).items for place in item.where} <= known


def test_every_statement_is_asked_for_and_has_a_default(repository: Path) -> None:
    used = {item.says for name in GUIDELINES for item in read_guideline(name).items} - {""}
    assert used | {"license"} == set(Statements.model_fields)
    assert load_yaml(repository / "configs" / "report.yaml")["statements"] == dict.fromkeys(
        Statements.model_fields, ""
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "give where or says"),
        ({"where": ["flow"], "gap": "no"}, "give where or says"),
        ({"where": ["flow"], "if": "tested"}, "give if and otherwise together"),
        ({"says": "nobody"}, "no statement is called nobody"),
    ],
)
def test_an_item_that_says_nothing_or_too_much_is_refused(content: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Item.model_validate({"item": "7", "topic": "Data", "asks": "What", **content})


def test_every_link_leads_somewhere(page: str, finished_cohort: Context) -> None:
    links = Links(page)
    followed = Links(panel(page, "guidelines")).to
    assert len(followed) > 80
    for link in followed:
        if link.startswith("#"):
            assert link[1:] in links.ids, link
        else:
            assert finished_cohort.paths.report.with_name(link).is_file(), link


def test_without_a_test_nothing_is_linked_that_is_not_there(sources: Sources) -> None:
    page = render(replace(sources, boards={}))
    links = Links(page)
    followed = [link for link in Links(panel(page, "guidelines")).to if link.startswith("#")]
    assert followed
    assert {link[1:] for link in followed} <= links.ids
    rows = {
        row.item.item: row for row in guidelines.values(replace(sources, boards={}))["checklists"][0]["rows"]
    }
    assert rows["23a"].state == OPEN
    assert "No patient was kept apart" in rows["23a"].words


def test_what_people_say_fills_an_item_and_what_they_do_not_is_told(sources: Sources) -> None:
    listed = read_guideline("tripod_ai")
    conditions, words = guidelines.facts(sources)
    said = Statements(funding="Nobody <b>paid</b>.", source="Two archives.")
    before = {row.item.item: row for row in answers(listed, conditions, words, Statements())}
    after = {row.item.item: row for row in answers(listed, conditions, words, said)}
    assert (before["18a"].state, before["18a"].missing) == (YOURS, "funding")
    assert (before["5a"].state, after["5a"].state) == (PARTLY, ANSWERED)
    assert (after["18a"].state, after["18a"].statement) == (ANSWERED, "Nobody <b>paid</b>.")
    settings = sources.settings.model_copy(update={"statements": said})
    assert "Nobody &lt;b&gt;paid&lt;/b&gt;." in shown(replace(sources, settings=settings), "guidelines")


def test_an_external_test_is_one_only_where_no_place_is_in_both(sources: Sources) -> None:
    evidence = sources.evidence
    split = evidence.slides["patient_id"].map(
        evidence.index.drop_duplicates("patient_id").set_index("patient_id")["split"]
    )
    apart = evidence.slides.assign(hospital=split.map({"train": "A", "validation": "B", "test": "C"}))
    assert guidelines.external_by(evidence) == ""
    assert guidelines.external_by(replace(evidence, slides=apart)) == "hospital"
    mixed = apart.assign(
        hospital=apart["hospital"].where(apart.index != apart.index[split == "train"][0], "C")
    )
    assert guidelines.external_by(replace(evidence, slides=mixed)) == ""
    unknown = apart.assign(hospital=apart["hospital"].where(split != "train"))
    assert guidelines.external_by(replace(evidence, slides=unknown)) == ""
    other = apart.rename(columns={"hospital": "accession"})
    assert guidelines.external_by(replace(evidence, slides=other)) == ""
    rows = guidelines.values(replace(sources, evidence=replace(evidence, slides=apart)))["checklists"][1][
        "rows"
    ]
    (external,) = [row for row in rows if row.item.item == "33"]
    assert external.state == ANSWERED
    assert "`hospital`" in external.words


# The flow.


def steps(
    patients: dict[str, tuple[str, int, int]],
    *,
    dropped: dict[str, int],
    excluded: list[tuple[str, str, str]],
) -> Steps:
    """Slides of patients: split, slides, patches of each slide; every third patch is tumor.

    `excluded`: slide, stage and error; of the tile stage slides of the cohort without patches.
    """
    slides = [(f"{p}-{n}", p) for p, (_, count, _) in patients.items() for n in range(count)]
    out = {name for name, stage, _ in excluded if stage == "tile"}
    rows = [
        (f"{slide}@{n}_0", slide, patient, int(n % 3 == 0), patients[patient][0])
        for slide, patient in slides
        if slide not in out
        for n in range(patients[patient][2])
    ]
    index = pd.DataFrame(rows, columns=["patch_id", "slide_id", "patient_id", "label", "split"])
    gone = [(name, name) for name, stage, _ in excluded if stage == "ingest"]
    table = pd.DataFrame(slides, columns=["slide_id", "patient_id"])
    empty = sorted(set(table["slide_id"]) - out - set(index["slide_id"]))
    return Steps(
        manifest=pd.DataFrame([*slides, *gone], columns=["slide_id", "patient_id"]),
        left_out=(),
        slides=table,
        excluded=pd.DataFrame(
            [(name, stage, error, "has: ...") for name, stage, error in excluded],
            columns=["slide_id", "stage", "error", "reason"],
        ),
        tiled={"dropped": dropped, "patches": len(index), "without_patches": empty},
        index=index,
    )


def counted(one: Steps) -> Flow:
    group = one.index.set_index("patch_id")["label"] * 2
    return flow_of(one, group, 4, None)


ASYMMETRIC = {"a": ("train", 3, 7), "b": ("train", 1, 5), "c": ("validation", 2, 4), "d": ("test", 1, 11)}


def test_the_flow_by_hand() -> None:
    lost = [
        ("x", "ingest", "UnreadableSlideError"),
        ("y", "ingest", "UnreadableSlideError"),
        ("c-1", "tile", "AnnotationError"),
    ]
    one = counted(steps(ASYMMETRIC, dropped={"no_tissue": 30, "uncovered": 0, "ignored": 2}, excluded=lost))
    assert one.listed == (6, 9, None)
    assert [tuple(loss) for loss in one.unusable] == [("unreadable slide", 2)]
    assert one.usable == (4, 7, None)
    assert [tuple(loss) for loss in one.untiled] == [("annotation", 1)]
    assert one.kept == (4, 6, 41)
    assert (one.places, dict(one.dropped)) == (73, {"no tissue": 30, "under an ignored region": 2})
    assert [part.count for part in one.parts] == [(2, 4, 26), (1, 1, 4), (1, 1, 11)]
    # Every third patch, from the first.
    assert [part.labels for part in one.parts] == [(15, 11), (2, 2), (7, 4)]
    assert one.parts[2].groups == (7, 0, 4, 0)


def test_what_the_settings_leave_out_is_counted_where_the_list_is_there() -> None:
    whole = steps(ASYMMETRIC, dropped={}, excluded=[("x", "ingest", "SlideError")])
    listed = whole.manifest
    assert listed is not None
    more = pd.concat([listed, pd.DataFrame({"slide_id": ["o1", "o2"], "patient_id": ["o", "o"]})])
    one = counted(replace(whole, manifest=more, left_out=("o",)))
    assert (one.listed, one.left_out) == ((6, 10, None), (1, 2, None))
    gone = counted(replace(whole, manifest=None, left_out=("o",)))
    assert (gone.listed, gone.left_out) == (None, (1, 0, None))
    # A slide more than was ingested: the list is of another day.
    assert counted(replace(whole, manifest=more)).listed is None
    assert counted(replace(whole, manifest=listed.replace({"slide_id": {"b-0": "new"}}))).listed is None


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.tuples(st.sampled_from(SPLITS), st.integers(1, 3), st.integers(0, 9)),
        min_size=1,
    ),
    st.dictionaries(st.sampled_from(["no_tissue", "ignored", "uncovered"]), st.integers(0, 99)),
    st.integers(0, 3),
)
def test_every_step_is_the_step_before_without_what_was_lost(
    patients: dict[str, tuple[str, int, int]], dropped: dict[str, int], unusable: int
) -> None:
    lost = [(f"0{n}", "ingest", f"E{n % 2}Error") for n in range(unusable)]
    one = counted(steps(patients, dropped=dropped, excluded=lost))
    assert one.listed is not None
    assert one.listed.slides - sum(loss.number for loss in one.unusable) == one.usable.slides
    assert one.usable.slides - sum(loss.number for loss in one.untiled) - one.empty == one.kept.slides
    assert one.places is not None
    assert one.places - sum(loss.number for loss in one.dropped) == one.kept.patches
    for number in range(3):
        assert sum(part.count[number] or 0 for part in one.parts) == one.kept[number]
    for part in one.parts:
        assert sum(part.labels) == sum(part.groups) == part.count.patches


def test_an_unreadable_card_is_told_everywhere_and_the_report_goes_on(
    sources: Sources, finished_cohort: Context, tmp_path: Path
) -> None:
    paths = Paths(tmp_path, finished_cohort.cohort)
    paths.training("gerne-low").mkdir(parents=True)
    (paths.training("gerne-low") / "model.json").write_text('{"schema_version": 99}')
    why = replace(sources, evidence=replace(sources.evidence, paths=paths)).card
    assert isinstance(why, str)
    assert why.startswith("outputs/toy/train/gerne-low/model.json")
    assert "`evenpatch train --cohort toy --algorithm gerne --threshold low` writes it anew" in why
    unread = replace(sources)
    # A cached property is what stands under its name.
    unread.__dict__["card"] = why
    cards = documents.documents_of(finished_cohort, unread)
    for card in cards.values():
        assert "gerne-low/model.json" in MarkdownIt().render(card)
    assert "SHA-256 of the weights" in cards[documents.MODEL_CARD]
    found = guidelines.values(unread)
    states = {row.state for list_ in found["checklists"] for row in list_["rows"] if MODEL_CARD in row.where}
    assert ANSWERED not in states
    assert PARTLY in states
    environment = make_environment("pipeline.report")
    environment.globals |= {"titles": {each.name: each.title for each in PANELS}}
    page = environment.get_template("guidelines.html").render(found)
    assert "A convolutional network (not known, for model.json cannot be read)" in page
    told = calibration.values(unread)
    assert (told["facts"], told["unread"], told["own"]) == ({}, why, "0.5")
    assert unread.decision == DecisionCard()
    # What the predictions were made with is known without the card's other parts.
    shown = replace(unread.shown, decision=DecisionCard(threshold=0.4))
    other = replace(sources, evidence=replace(sources.evidence, runs=(shown,)), boards={})
    other.__dict__["card"] = why
    assert other.decision.threshold == 0.4


def test_untested_and_unsplit_patches_are_told(sources: Sources) -> None:
    evidence, subject = sources.evidence, sources.subject
    assert subject is not None
    fewer = replace(
        evidence, index=evidence.index[evidence.index["patient_id"] != "p00"], tiled={"patches": 768}
    )
    one = flow_of(
        Steps(None, (), fewer.slides, fewer.excluded, fewer.tiled, fewer.index),
        None,
        4,
        subject.run.patches[5:],
    )
    assert (one.unsplit, one.untested, one.places) == (48, 5, None)
    assert one.tested is not None
    assert one.tested.count.patches == 187


def test_the_diagram_and_its_words_hold_the_numbers(page: str, sources: Sources) -> None:
    found, _ = flow.flow_shown(sources)
    told = panel(page, "flow")
    (label,) = re.findall(r'<svg[^>]* aria-label="([^"]*)"', told)
    for part in found.parts:
        assert flow.told_count(part.count) in label
    assert "unreadable slide: 1 slide" in label
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", told)
    assert {f"{count:,}" for part in found.parts for count in part.groups} <= {
        line.rpartition(": ")[2] for line in drawn
    }


def test_nothing_in_the_diagram_overlaps_or_sticks_out(sources: Sources) -> None:
    found = flow.values(sources)
    width, height = found["size"]
    boxes = found["boxes"]
    for box in boxes:
        assert box.x >= 0
        assert box.x + box.width <= width
        assert box.bottom <= height
        assert all(len(line) * 6.5 < box.width for line in box.lines)
    for one in boxes:
        for other in boxes:
            if one is not other:
                beside = one.x + one.width <= other.x or other.x + other.width <= one.x
                assert beside or one.bottom <= other.y or other.bottom <= one.y


@pytest.mark.parametrize("content", [None, "", "slide_id,patient\na,b\n"])
def test_a_list_that_cannot_be_read_is_no_error(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "slides.csv"
    if content is not None:
        file.write_text(content)
    assert read_listed(file) is None
    file.write_text("slide_id,patient_id,image\n007,NA,x.tif\n")
    listed = read_listed(file)
    assert listed is not None
    assert listed.to_numpy().tolist() == [["007", "NA"]]


def test_slides_of_the_same_content_are_found_across_splits_first() -> None:
    slides = pd.DataFrame(
        {
            "slide_id": ["a", "b", "c", "d", "e", "f"],
            "patient_id": ["1", "1", "2", "3", "4", "5"],
            "fingerprint": ["x", "x", "y", "y", "z", "z"],
        }
    )
    split_of = {"1": "train", "2": "train", "3": "test", "4": "test", "5": "test"}
    # One patch each; what was not tiled has none.
    patches = slides.assign(split=slides["patient_id"].map(split_of), label=[0, 0, 0, 1, 0, 0])
    found = twins_of(slides, patches)
    assert [(each.slides, each.across, each.conflicting) for each in found] == [
        (("c", "d"), True, True),
        (("a", "b"), False, False),
        (("e", "f"), False, False),
    ]
    # Two images of one file are two.
    assert len(twins_of(slides.assign(series=["0", "1", "", "", "", ""]), patches)) == 2


def test_a_thousand_left_out_slides_are_fifty_rows_and_a_file(sources: Sources) -> None:
    names = [f"x{number}" for number in range(1000)]
    excluded = pd.DataFrame({"slide_id": names, "stage": "ingest", "error": "E", "reason": "damaged"})
    evidence = replace(sources.evidence, excluded=excluded, warnings={name: ["dark"] for name in names[:53]})
    many = replace(sources, evidence=evidence)
    environment = make_environment("pipeline.report", "pipeline.tables")
    page = environment.get_template("cohort.html").render(cohort.values(many))
    assert (page.count("<td>damaged</td>"), page.count("<td>dark</td>")) == (50, 50)
    assert "And 950 more: <code>data/toy/cohort/excluded.csv</code>" in page
    assert "And 3 more: <code>data/toy/overlays/cohort.html</code>" in page
    assert "<b>53 slides.</b>" in page
    assert "1,000 of 1,016 listed" in page


# The cards.


def test_the_cards_hold_no_markup_of_others(page: str, finished_cohort: Context) -> None:
    for name in DOCUMENTS:
        written = finished_cohort.paths.report.with_name(name).read_text(encoding="utf-8")
        assert "A toy &lt;script&gt;alert(2)&lt;/script&gt; cohort." in written
        assert "<script" not in written
        assert str(finished_cohort.paths.root) not in written


def test_the_model_card_tells_the_subjects_own_figures(
    page: str, finished_cohort: Context, sources: Sources
) -> None:
    subject = sources.subject
    assert subject is not None
    written = finished_cohort.paths.report.with_name("model_card.md").read_text(encoding="utf-8")
    assert "# Model card: gerne-low, cohort toy" in written
    assert f"| worst group (WGA) | {subject.method.figures['wga'].estimate:.3f}" in written
    for size, group in zip(subject.board.sizes, subject.method.groups, strict=True):
        assert re.search(
            rf"\| {group.estimate:.3f} \([^|]*\| {size.patches:.0f} \| {size.patients} \|", written
        )


def test_the_data_card_tells_the_splits_and_what_people_say(
    page: str, finished_cohort: Context, tmp_path: Path
) -> None:
    written = finished_cohort.paths.report.with_name("data_card.md").read_text(encoding="utf-8")
    assert "| train | 8 | 8 | 384 | 192 | 192 |" in written
    assert "| license | not stated |" in written
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")
    file = context.configs / "cohorts" / f"{context.cohort}.yaml"
    own = load_yaml(file)
    own["report"] = {**own["report"], "statements": {"license": "CC0 | free"}}
    file.write_text(yaml.safe_dump(own))
    again = documents.documents_of(context, sources_of(context))["data_card.md"]
    assert r"| license | CC0 \| free |" in again
    assert "statements" not in again


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "P", "S", "Z"])))
def test_words_of_others_stay_in_their_cell(words: str) -> None:
    (row,) = table(("a",), [(text(words),)]).splitlines()[2:] or [""]
    assert len(re.findall(r"(?<!\\)\|", row)) == 2
    assert "<" not in row


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "P", "S"]), min_size=1))
@example("a`|``b_c*")
@example("``")
def test_code_is_read_as_it_is(words: str) -> None:
    """By another reader of Markdown."""
    parsed = MarkdownIt("commonmark").enable("table").parse(table(("a", "b"), [(code(words), "c")]))
    cells = [each for each in parsed if each.type == "inline"][2:]
    assert [cell.content for cell in cells[1:]] == ["c"]
    (inside,) = cells[0].children or []
    assert (inside.type, inside.content) == ("code_inline", words)


def test_names_in_the_data_card_are_escaped_once(
    finished_cohort: Context, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "data_fingerprints", lambda _: {"data/oral_oscc/slides.csv": "ab"})
    file = sources.evidence.file.model_copy(update={"manifest": "my_`slides`|.csv"})
    changed = replace(sources, evidence=replace(sources.evidence, file=file))
    written = documents.documents_of(finished_cohort, changed)["data_card.md"]
    assert "| `data/oral_oscc/slides.csv` | `ab` |" in written
    assert r"| slides.csv | ``my_`slides`\|.csv`` |" in written


# Provenance.


def test_every_command_can_be_run_as_it_is(sources: Sources) -> None:
    lines = [command.line for command in provenance.commands(sources)]
    trained = [line for line in lines if line.startswith("evenpatch train")]
    options = "--cohort toy --algorithm erm --threshold high"
    assert trained[0] == f"evenpatch train {options} && evenpatch evaluate {options}"
    assert len(trained) == len(sources.evidence.runs) == 8
    parts = [shlex.split(part) for line in lines for part in line.split(" && ")]
    for verb in {words[1] for words in parts if words[0] == "evenpatch"}:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0


def test_another_seed_is_a_command_of_its_own(sources: Sources) -> None:
    board = sources.boards["low"]
    erm = next(method for method in board.methods if method.algorithm == "erm")
    run = replace(erm.pool.runs[0], name="erm-low-s7", seed=7)
    pooled = replace(erm, pool=replace(erm.pool, runs=(*erm.pool.runs, run)))
    boards = {"low": replace(board, methods=(pooled,))}
    lines = [command.line for command in provenance.commands(replace(sources, boards=boards))]
    assert any(
        line.endswith("evaluate --cohort toy --algorithm erm --threshold low --seed 7") for line in lines
    )


def test_each_command_stands_alone_to_be_copied(page: str, sources: Sources) -> None:
    blocks = re.findall(r'<pre class="command">([^<]*)</pre>', panel(page, "provenance"))
    assert [block.replace("&amp;", "&").replace("&#39;", "'") for block in blocks] == [
        command.line for command in provenance.commands(sources)
    ]
