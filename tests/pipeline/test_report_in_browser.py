"""What the report does in a browser, by keyboard: the threshold, layers, sorting, copying, the glossary.

Every check is shown to fail on a page whose script or rule is broken.
"""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Context
from pipeline.look.html import script
from pipeline.look.words import WORDS
from pipeline.report.page import render
from pipeline.report.panels import provenance
from pipeline.report.sources import Sources
from tests.browsing import opened, violations
from tests.pipeline.reports import undrawn
from tests.pipeline.test_operating_point import expected_cells
from tests.pipeline.test_operating_point import sources as sources

pytestmark = pytest.mark.browser
Check = Callable[[Any, Sources], None]


@pytest.fixture(scope="module")
def report(sources: Sources, finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole report, but for its plots, of a model whose probabilities differ."""
    path = tmp_path_factory.mktemp("rendered") / "report.html"
    with undrawn():
        path.write_text(render(sources), encoding="utf-8")
    return path


def shown_cells(page: Any) -> list[list[str]]:
    rows = page.locator(".threshold tbody tr")
    return [row.locator("td").all_text_contents() for row in rows.all()]


def moves_the_threshold(page: Any, sources: Sources) -> None:
    """End, Home and arrows count as Python does, and the button leads back."""
    assert sources.subject is not None
    rows, steps = sources.subject.run.patches, 1000
    slider, told = page.locator(".threshold input[type=range]"), page.locator(".threshold output")
    field = page.get_by_label("in figures")
    own = expected_cells(rows, rows["prediction"].to_numpy())
    assert shown_cells(page) == own
    assert field.input_value() == "0.5"

    def expect(step: int) -> None:
        told_N = (rows["probability"] > step / steps).to_numpy().astype(int)
        assert shown_cells(page) == expected_cells(rows, told_N)
        right_G = (told_N == rows["label"]).groupby(rows["group"]).mean()
        text = told.text_content()
        assert text.startswith(f"Decision threshold {step / steps:.3f}. Worst group: ")
        assert text.endswith(f"{100 * right_G.min():.1f} %.")
        assert slider.get_attribute("aria-valuetext") == f"{step / steps:.3f}"
        assert slider.input_value() == str(step)
        assert float(field.input_value()) == step / steps

    slider.focus()
    for key, step in (("End", 1000), ("ArrowLeft", 999), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        expect(step)
    # Between two patches, so that one step more or less counts otherwise.
    middle = np.sort(rows["probability"])[len(rows) // 2]
    slider.evaluate("(range, at) => { range.value = at; }", int(1000 * middle) - 1)
    for step in (int(1000 * middle), int(1000 * middle) + 1):
        page.keyboard.press("ArrowUp")
        expect(step)
    page.keyboard.press("Tab")
    assert field.evaluate("field => field === document.activeElement")
    page.keyboard.press("ArrowUp")
    expect(int(1000 * middle) + 2)
    for typed, step in (("0.25", 250), ("0.007", 7)):
        field.fill(typed)
        expect(step)
    # What is no threshold of the grid changes nothing, and is not left standing.
    for typed in ("", "1.5", "-0.1", "0.12345"):
        field.fill(typed)
        assert slider.input_value() == "7"
        page.keyboard.press("Enter")
        field.blur()
        expect(7)
        field.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Back to the model")
    page.keyboard.press("Enter")
    assert shown_cells(page) == own
    assert told.text_content().startswith("Decision threshold 0.5, the model’s own.")


def switches_layers(page: Any, sources: Sources) -> None:
    """Every box shows and hides its layer, of all pictures and no other."""
    layers = ("probability", "errors", "tissue")

    def visible() -> dict[str, set[bool]]:
        # Not is_visible: pictures far down are not loaded yet, and have no size.
        style = "all => all.map(each => getComputedStyle(each).visibility === 'visible')"
        return {each: set(page.locator(f".slidecards .layer.{each}").evaluate_all(style)) for each in layers}

    assert visible() == {"probability": {True}, "errors": {True}, "tissue": {False}}
    page.locator("#layer-probability").focus()
    for each in layers:
        assert page.evaluate("document.activeElement.id") == f"layer-{each}"
        before = visible()
        page.keyboard.press("Space")
        assert visible() == before | {each: {not next(iter(before[each]))}}
        page.keyboard.press("Space")
        assert visible() == before
        page.keyboard.press("Tab")


def sorts_the_slides(page: Any, sources: Sources) -> None:
    """Numbers and names sort both ways by keyboard, and whoever hears the page is told which."""
    table = page.locator("#slides table.sortable")

    def column(name: str) -> tuple[Any, list[str]]:
        button = table.locator("thead button", has_text=name).first
        place = button.evaluate("button => button.closest('th').cellIndex")
        cells = table.locator(f"tbody tr > :nth-child({place + 1})")
        return button, cells.evaluate_all(
            "all => all.map(each => each.dataset.v === undefined ? each.textContent : each.dataset.v)"
        )

    for name, key in (("Slide", str), ("Missed tumor", float), ("Error rate", float)):
        button, before = column(name)
        assert len(set(before)) > 1
        button.focus()
        for press, reverse, told in (("Enter", False, "ascending"), ("Space", True, "descending")):
            page.keyboard.press(press)
            assert list(map(key, column(name)[1])) == sorted(map(key, before), reverse=reverse)
            assert button.evaluate("button => button.closest('th').ariaSort") == told
        assert table.locator("[aria-sort]").count() == 1


def copies_commands(page: Any, sources: Sources) -> None:
    """A button beside every command; what it copied can be pasted."""
    lines = [command.line for command in provenance.commands(sources)]
    buttons = page.locator("#provenance button.copy")
    assert buttons.count() == len(lines) > 3
    for place in (0, len(lines) - 1):
        button = buttons.nth(place)
        assert button.get_attribute("aria-label") == f"copy: {lines[place]}"
        line, own = page.locator("#provenance pre.command").nth(place).bounding_box(), button.bounding_box()
        assert own["x"] >= line["x"] + line["width"]
        assert line["y"] <= own["y"] < own["y"] + own["height"] <= line["y"] + line["height"]
        button.focus()
        page.keyboard.press("Enter")
        status = button.locator("xpath=following-sibling::span[@role='status']")
        page.wait_for_function("span => span.textContent !== ''", arg=status.element_handle(), timeout=3000)
        assert status.text_content() in ("copied", "selected: copy it by the keyboard")
        if status.text_content() == "copied":
            pasted = page.evaluate_handle("document.body.appendChild(document.createElement('textarea'))")
            pasted.evaluate("area => area.focus()")
            page.keyboard.press("Control+V")
            assert pasted.evaluate("area => area.value") == lines[place]
            pasted.evaluate("area => area.remove()")
        else:
            assert page.evaluate("getSelection().toString()").strip() == lines[place]


def explains_words(page: Any, sources: Sources) -> None:
    """A word's tip is its entry in the glossary, and Enter on the word leads there."""
    words = page.locator("main a.term")
    names = {str(each.get_attribute("href")).removeprefix("#word-") for each in words.all()}
    assert names <= set(WORDS)
    assert page.locator("#glossary dd[id]").count() == len(WORDS)
    for name in sorted(names):
        word = page.locator(f'main a.term[href="#word-{name}"]').first
        entry = page.locator(f"#word-{name}")
        assert entry.text_content() == word.locator(".tip").text_content() == WORDS[name].meaning
    word.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == f"#word-{name}"
    assert -1 < entry.bounding_box()["y"] < 900


CHECKS: tuple[Check, ...] = (
    moves_the_threshold,
    switches_layers,
    sorts_the_slides,
    copies_commands,
    explains_words,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_report_works_by_keyboard(browser: Any, report: Path, sources: Sources, check: Check) -> None:
    with opened(browser, report) as page:
        check(page, sources)


def digest_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def with_fault(page: str, old: str, new: str) -> str:
    """A page with a fault; a script that is changed may still run."""
    assert old in page
    for name, room in (
        ("threshold.js", "pipeline.report"),
        ("copy.js", "pipeline.report"),
        ("sort.js", "pipeline.look"),
    ):
        text = script(name, room)
        if old in text.text:
            faulty = str(text.text).replace(old, new)
            return page.replace(str(text.text), faulty).replace(text.digest, digest_of(faulty))
    return page.replace(old, new)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        (moves_the_threshold, "return told.slice(1);", "return told;"),
        (moves_the_threshold, "show(null);\n  });", "});"),
        (moves_the_threshold, "Math.floor((2000 * part + whole) / (2 * whole))", "1000 * part / whole + 1"),
        (moves_the_threshold, " || !number.validity.valid", ""),
        (moves_the_threshold, "if (!typed) { number.value = text; }", ""),
        (switches_layers, ".layer.errors { visibility: hidden; }", ".layer.tissue { visibility: hidden; }"),
        (sorts_the_slides, "key: number ? Number(text) : text", "key: text.length"),
        (sorts_the_slides, '=== "ascending" ? -1 : 1', '=== "descending" ? -1 : 1'),
        (copies_commands, "writeText(block.textContent)", "writeText(block.textContent.trim().slice(1))"),
        (copies_commands, "button.type =", "return; button.type ="),
        (explains_words, '<dd id="word-wga">', '<dd id="word-wga">Not '),
    ],
)
def test_a_broken_page_is_noticed(
    browser: Any, report: Path, sources: Sources, tmp_path: Path, check: Check, old: str, new: str
) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(with_fault(report.read_text(encoding="utf-8"), old, new), encoding="utf-8")
    with opened(browser, broken) as page, pytest.raises(AssertionError):
        check(page, sources)


PLAIN = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title></head>
<body><main><h1>A page</h1>{}</main></body></html>"""
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def planted(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(PLAIN.format(body), encoding="utf-8")
    return path


def test_axe_finds_a_picture_without_words(browser: Any, tmp_path: Path) -> None:
    with opened(browser, planted(tmp_path, f'<img src="{PIXEL}" alt="one pixel">')) as page:
        assert violations(page) == []
    with opened(browser, planted(tmp_path, f'<img src="{PIXEL}">')) as page:
        (found,) = violations(page)
    assert found.startswith("image-alt: ")


@pytest.mark.parametrize(
    "body",
    [
        '<img src="https://example.invalid/picture.png" alt="elsewhere">',
        '<img src="../elsewhere.png" alt="not beside the page">',
        "<script>console.error('a complaint')</script>",
        "<script>undefinedName()</script>",
    ],
)
def test_a_page_that_loads_or_complains_is_noticed(browser: Any, tmp_path: Path, body: str) -> None:
    page = planted(tmp_path, body)
    with pytest.raises(AssertionError), opened(browser, page):
        pass
