"""The four pages with one look: report, cohort page, predicted slides, table of methods.

Readable in every color, in order for who hears them, operable by keyboard, printable; they load nothing.
"""

import itertools
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.deployment.page import PAGE
from pipeline.look.html import make_environment
from pipeline.look.words import WORDS
from pipeline.report.sources import Sources
from pipeline.tables.page import page_of
from pipeline.tables.writers import html
from tests.browsing import opened, violations
from tests.pipeline.deployment.test_page import run as run
from tests.pipeline.deployment.test_page import summaries as summaries
from tests.pipeline.deployment.test_page import written as written_predictions
from tests.pipeline.test_cohort_page import tiled as tiled
from tests.pipeline.test_cohort_page import written as written_cohort

NAMES = ("report", "cohort", "predictions", "compare")
TEXT = ("ink", "ink-soft", "muted", "accent", "warn")
GROUNDS = ("paper", "soft", "accent-soft")
MARKS = ("tumor", "normal", "accent", "muted")
CSS = files("pipeline.look").joinpath("templates/page.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(
    finished_cohort: Context,
    page: str,
    sources: Sources,
    tiled: Paths,
    run: Path,
    summaries: list[Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Where each of NAMES lies."""
    written_cohort(tiled)
    written_predictions(run, summaries)
    compared = tmp_path_factory.mktemp("compare") / "table.html"
    table = page_of(finished_cohort, "methods", list(sources.boards.values()), sources.terms)
    compared.write_text(html(table), encoding="utf-8")
    return {
        "report": finished_cohort.paths.report,
        "cohort": tiled.overlays / "cohort.html",
        "predictions": run / PAGE,
        "compare": compared,
    }


class Reading(HTMLParser):
    """What a reader gets: text without scripts and styles, headings, heads of tables, ids and links."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.headings, self.heads = "", list[int](), list[dict[str, str | None]]()
        self.ids, self.links = list[str](), list[str]()
        self.scrolled, self.tables = 0, 0
        self._silent = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self._silent = tag in ("style", "script")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th":
            self.heads.append(told)
        if tag == "div" and told.get("class") == "scroll":
            self.scrolled += told.get("role") == "region" and told.get("tabindex") == "0"
            assert told.get("aria-label")
        self.tables += tag == "table"
        self.ids += [str(told["id"])] if "id" in told else []
        self.links += [str(told["href"])] if str(told.get("href", "")).startswith("#") else []

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else f" {data}"


@pytest.fixture(scope="module")
def readings(pages: dict[str, Path]) -> dict[str, Reading]:
    return {name: Reading(path) for name, path in pages.items()}


def luminance(color: str) -> float:
    """WCAG's relative luminance of a color `#rgb` or `#rrggbb`."""
    digits = color.lstrip("#")
    parts = [
        int(part * (2 if len(digits) == 3 else 1), 16) / 255
        for part in re.findall("." * (len(digits) // 3), digits)
    ]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_is_that_of_wcag() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


def test_every_text_is_readable_on_every_ground() -> None:
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", CSS))
    pairs = [*itertools.product(TEXT, GROUNDS), ("paper", "ink")]
    low = {pair: contrast(colors[pair[0]], colors[pair[1]]) for pair in pairs}
    assert {pair: round(found, 2) for pair, found in low.items() if found < 4.5} == {}
    marks = {pair: contrast(colors[pair[0]], colors[pair[1]]) for pair in itertools.product(MARKS, GROUNDS)}
    assert {pair: round(found, 2) for pair, found in marks.items() if found < 3} == {}
    # No color beside those, but the scale of probabilities, which is a picture.
    rest = CSS[CSS.index("* {") :]
    assert [
        line for line in rest.splitlines() if re.search(r"#[0-9a-f]{3,6}\b", line) and ".ramp" not in line
    ] == []
    used = set(re.findall(r"(?<![-\w])(?:color|fill): var\(--([\w-]+)\)", rest))
    assert used <= {*TEXT, *MARKS, "paper"}
    assert set(re.findall(r"background(?:-color)?: var\(--([\w-]+)\)", rest)) <= {
        *GROUNDS,
        "ink",
        "muted",
        "rule",
    }


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_written_for_people(readings: dict[str, Reading], name: str) -> None:
    assert re.findall(r"(?<![\w.])\d+(?:\.\d+)?[eE][-+]?\d+(?![\w.])", readings[name].text) == []
    assert re.findall(r"\b(?:nan|inf)\b", readings[name].text) == []


def test_small_figures_and_settings_are_written_without_exponents() -> None:
    environment = make_environment("pipeline.report")
    rows = [{"name": "focus", "large": False, "means": [2.906e-06, 0.5], "difference": -0.1}]
    table = environment.get_template("quality_rows.html").render(quality=rows, labels=["tumor", "non-tumor"])
    assert "2.91 millionths" in table
    assert environment.from_string("{{ 1e-05|exact }} {{ 'a'|exact }} {{ 1234567.8|plain }}").render() == (
        "0.00001 a 1,234,568"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_in_order_for_who_hears_it(readings: dict[str, Reading], name: str) -> None:
    found = readings[name]
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(found.headings))
    assert all(head.get("scope") in ("col", "row", "rowgroup", "colgroup") for head in found.heads)
    assert found.scrolled == found.tables - html_count(name, found)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links} <= set(found.ids)


def html_count(name: str, found: Reading) -> int:
    """Tables that need no frame (the verdict's, one a threshold), less frames of no table (the flow's)."""
    return 2 - 1 if name == "report" else 0


def test_every_word_has_a_meaning_and_an_address(readings: dict[str, Reading]) -> None:
    assert {f"word-{name}" for name in WORDS} <= set(readings["report"].ids)
    assert all(word.meaning.endswith(".") for word in WORDS.values())


@pytest.mark.browser
@pytest.mark.parametrize("width", [1100, 600])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious_and_nothing_is_loaded(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(browser, pages[name], width) as page:
        assert violations(page) == []
        # Tables scroll in their frames; the page itself does not.
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_table_sorts_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["predictions"]) as page:
        table = page.locator("table.slides")
        button = table.locator("thead button", has_text="Patches").first
        column = button.evaluate("button => button.closest('th').cellIndex")

        def keys() -> list[float]:
            cells = table.locator(f"tbody tr > :nth-child({column + 1})")
            return [
                float(str(key)) for key in cells.evaluate_all("cells => cells.map(cell => cell.dataset.v)")
            ]

        first = keys()
        assert first != sorted(first)
        button.focus()
        page.keyboard.press("Enter")
        assert keys() == sorted(first)
        assert button.evaluate("button => button.closest('th').ariaSort") == "ascending"
        page.keyboard.press("Space")
        assert keys() == sorted(first, reverse=True)


@pytest.mark.browser
def test_heatmaps_are_switched_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["predictions"]) as page:
        heat = page.locator("img.heat").first
        assert heat.is_visible()
        for switch in ("#heat", "#heat-1"):
            page.locator(switch).focus()
            page.keyboard.press("Space")
            assert not heat.is_visible()
            page.keyboard.press("Space")
            assert heat.is_visible()


@pytest.mark.browser
def test_a_word_tells_its_meaning_under_the_mouse_and_the_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["report"], 600) as page:
        word = page.locator("a.term").first
        tip = word.locator(".tip")
        assert not tip.is_visible()
        word.hover()
        assert tip.is_visible()
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 600
        page.mouse.move(0, 0)
        assert not tip.is_visible()
        # Focus by Tab, as a keyboard gives it: the skip link is first, and leads past the header.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('term')"):
                break
        assert page.locator(".term:focus .tip").is_visible()


def printed(page: Any) -> int:
    """Pages of A4 that it prints on."""
    content = page.pdf(prefer_css_page_size=True)
    counts = [int(count) for count in re.findall(rb"/Type\s*/Pages\b.*?/Count\s+(\d+)", content, re.DOTALL)]
    return max(counts)


@pytest.mark.browser
def test_the_printed_report_fits_eight_pages_without_its_appendix(
    browser: Any, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["report"]) as page:
        page.emulate_media(media="print")
        assert not page.locator(".appendix").first.is_visible()
        short = printed(page)
        assert short <= 8
        page.emulate_media(media="screen")
        page.locator("#print-appendix").focus()
        page.keyboard.press("Space")
        page.emulate_media(media="print")
        assert page.locator(".appendix").first.is_visible()
        assert printed(page) > short


@pytest.mark.browser
def test_layers_of_a_slide_lie_on_its_picture(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["report"]) as page:
        page.locator(".slidecards").scroll_into_view_if_needed()
        boxes = page.locator(".slidecards figure").first.evaluate(
            "figure => [...figure.querySelectorAll('img')].map("
            "image => {const at = image.getBoundingClientRect(); return [at.x, at.y, at.width, at.height];})"
        )
        assert len(boxes) > 1
        assert all(box == pytest.approx(boxes[0], abs=0.5) for box in boxes)
