"""The gallery and the slides of the report: what they show, what lies beside, hostile names, hashed ids."""

import csv
import json
import re
import shutil
from argparse import Namespace
from dataclasses import replace
from html import escape
from io import StringIO

import cv2
import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from numpy.typing import NDArray

from patching.geometry import Location, Size
from patching.store.reading import PatchStore
from pipeline.config import Context
from pipeline.explain.handover import Explanation
from pipeline.look.html import make_environment
from pipeline.look.places import Place, places_geojson
from pipeline.report.names import Names
from pipeline.report.panels import gallery, slides
from pipeline.report.slide_layers import slide_layers
from pipeline.report.sources import Sources
from pipeline.stages import report
from pipeline.training.layout import TISSUE
from tests.pipeline.reports import sources_of, undrawn

BOUNDS = {"s-p03": [37, 11]}


@pytest.fixture(scope="module")
def sources(explained_cohort: Context) -> Sources:
    found = sources_of(explained_cohort)
    return replace(found, evidence=replace(found.evidence, ingested={"bounds": BOUNDS}))


def rendered(name: str, panel: object, sources: Sources) -> str:
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.globals |= {"sources": sources, "group_names": TISSUE.names}
    return environment.get_template(f"{name}.html").render(panel.values(sources))  # type: ignore[attr-defined]


def with_settings(sources: Sources, **changed: object) -> Sources:
    return replace(sources, settings=sources.settings.model_copy(update=changed))


def decoded(uri: Markup) -> NDArray[np.uint8]:
    import base64

    data = base64.b64decode(uri.partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(picture[..., [2, 1, 0, *range(3, picture.shape[-1])]])


def test_errors_stand_beside_their_controls_with_words_for_every_picture(sources: Sources) -> None:
    page = rendered("gallery", gallery, sources)
    found = sources.explained
    assert isinstance(found, Explanation)
    assert page.count('<figure class="case">') == len(found.table)
    assert page.count("correct patch to compare with") == (found.table["role"] == "control").sum()
    for pair in re.findall(r'<div class="pair[^"]*">(.*?)\n</div>\n', page, re.DOTALL):
        marks = re.findall(r'<span class="mark">([✓✗])', pair)
        assert marks in (["✗"], ["✗", "✓"], ["✓"])
    alts = re.findall(r'<img[^>]*alt="([^"]*)"', page)
    assert len(alts) == page.count("<img") > 80
    assert all(re.search(r"\d", alt) for alt in alts if not alt.startswith("Grad-CAM"))
    assert "Maps mislead" in page
    assert page.index("<b>Occlusion</b>") < page.index("Maps mislead")
    assert "Grad-CAM</b> of layer4, which has 1 × 1 places" in page
    # Slides are nowhere: told once for all, and for every patch.
    assert "4 are gone or were moved" in page
    assert page.count("no finer picture: the slide is gone or was moved") in (0, len(found.table))


def test_pictures_that_do_not_fit_are_left_out_of_every_group_alike(sources: Sources) -> None:
    found = sources.explained
    assert isinstance(found, Explanation)
    few = with_settings(sources, gallery_mb=0.06)
    told = gallery.values(few)
    assert 0 < told["left_out"] < len(found.table)
    shown = [
        sum(p["shown"] for part in group["parts"] for pair in part["pairs"] for p in pair)
        for group in told["groups"]
    ]
    assert max(shown) - min(shown) <= 1
    page = rendered("gallery", gallery, few)
    assert f"{told['left_out']} patches are listed without pictures" in page
    assert page.count('<figure class="case">') == len(found.table)
    assert "<img" not in rendered("gallery", gallery, with_settings(sources, gallery_mb=0))


def test_without_the_stage_the_reason_stands_there(finished_cohort: Context) -> None:
    found = sources_of(finished_cohort)
    assert "No gallery: evenpatch explain has not run." in rendered("gallery", gallery, found)
    assert list(gallery.files(found)) == []


def test_places_open_in_qupath_where_they_are() -> None:
    place = Place("missed <b>", Location(290, 40), 16, "evenpatch missed", (1, 2, 3), {"patch": "s@290_40"})
    content = json.loads(places_geojson([place], Location(30, 10), Size(300, 200)))
    (feature,) = content["features"]
    # Cut at the slide's border, and counted from where QuPath's frame begins.
    assert feature["geometry"]["coordinates"] == [[[260, 30], [270, 30], [270, 46], [260, 46], [260, 30]]]
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["name"] == "missed <b>"


def test_every_patch_of_the_gallery_is_in_its_slides_file(sources: Sources) -> None:
    found = sources.explained
    assert isinstance(found, Explanation)
    written = dict(gallery.files(sources))
    assert set(written) == {f"{name}.geojson" for name in found.table["slide_id"]}
    names = [
        feature["properties"]["metadata"]["patch"]
        for content in written.values()
        for feature in json.loads(content)["features"]
    ]
    assert sorted(names) == sorted(found.table["patch_id"])
    page = rendered("gallery", gallery, sources)
    # On paper a link goes with the dot before it.
    assert page.count(' · <a href="') == page.count('<span class="link"> · <a href="') == len(found.table)
    linked = set(re.findall(r'href="([^"#]*)"', page))
    assert linked == {f"gallery/{name}" for name in written}


def test_places_are_counted_from_the_frame_that_ingest_found(sources: Sources) -> None:
    """The slides are gone, and tell nothing any more."""
    found = sources.explained
    assert isinstance(found, Explanation)
    written = dict(gallery.files(sources))
    for row in found.table.drop_duplicates("slide_id").itertuples():
        features = json.loads(written[f"{row.slide_id}.geojson"])["features"]
        (feature,) = [each for each in features if each["properties"]["metadata"]["patch"] == row.patch_id]
        x, y = BOUNDS.get(str(row.slide_id), (0, 0))
        assert feature["geometry"]["coordinates"][0][0] == [row.x - x, row.y - y]
    assert "s-p03.geojson" in written


def test_without_a_known_frame_there_is_no_file(sources: Sources) -> None:
    old = replace(sources, evidence=replace(sources.evidence, ingested={}))
    assert list(gallery.files(old)) == []
    page = rendered("gallery", gallery, old)
    assert "There are no files for QuPath. Where QuPath’s frame begins on these slides is not known" in page
    assert ".geojson" not in page


def test_only_checked_slides_count_as_found_again(sources: Sources) -> None:
    found = sources.explained
    assert isinstance(found, Explanation)
    states = dict.fromkeys(found.slides, "gone") | {"s-p03": "not_checked", "s-p07": "too_large"}
    table = found.table.assign(slide_state=found.table["slide_id"].map(states))
    changed = replace(found, table=table, slides={name: {"state": told} for name, told in states.items()})
    other = replace(sources)
    # A cached property is what stands under its name.
    other.__dict__["explained"] = changed
    page = rendered("gallery", gallery, other)
    assert "Of 3 slides that were looked for again, " in page
    assert "1 have no level on which so large a patch is read" in page
    assert "Whether 1 of the slides have changed since they were tiled was not checked" in page
    told = {"gone": "is gone or was moved", "too_large": "has no level on which so large a patch is read"}
    for state, words in told.items():
        assert page.count(f"the slide {words}") == (table["slide_state"] == state).sum()


def test_hashed_ids_are_all_that_is_told(sources: Sources, explained_cohort: Context) -> None:
    hidden = replace(sources, ids=Names("salt"))
    pages = [rendered("gallery", gallery, hidden), rendered("slides", slides, hidden)]
    for panel in (gallery, slides):
        for name, content in panel.files(hidden):
            pages += [name, content.decode()]
    raw = [f"s-p{n:02d}" for n in range(16)]
    assert not [name for name in raw for page in pages if name in page or f">{name[2:]}<" in page]
    assert hidden.ids.slide("s-p03") in pages[1]


def test_slides_are_counted_as_the_predictions_say(sources: Sources) -> None:
    subject = sources.subject
    assert subject is not None
    rows = subject.run.patches
    wrong = rows["label"] != rows["prediction"]
    content = dict(slides.files(sources))["slides.csv"].decode()
    table = list(csv.DictReader(StringIO(content)))
    assert [row["slide"] for row in table] == sorted(
        {*rows["slide_id"]}, key=lambda name: (-int(wrong[rows["slide_id"] == name].sum()), name)
    )
    first = rows[rows["slide_id"] == table[0]["slide"]]
    missed = (first["label"] == 1) & (first["prediction"] == 0)
    assert int(table[0]["missed"]) == missed.sum()
    assert int(table[0]["errors_tumor_little_tissue"]) == (missed & (first["group"] == 2)).sum()
    assert int(table[0]["patches_tumor_little_tissue"]) == (first["group"] == 2).sum()
    page = rendered("slides", slides, sources)
    assert re.search(rf"Half of the {wrong.sum()} errors lie in \d of 4 patients, with", page)
    assert re.search(rf"Half of the {wrong.sum()} errors lie in \d of 4 slides, with", page)
    assert page.count('class="layer probability"') == 4
    # A count and its whole stay on one line, however narrow the screen is.
    assert re.search(r"<td[^>]*>\d+&nbsp;of&nbsp;\d+</td>", page)
    assert not re.search(r">[\d,]+ of [\d,]+ ?(wrong|</td>)", page)


def test_more_slides_than_fit_lie_on_pages_beside(sources: Sources) -> None:
    few = with_settings(
        sources, slides=sources.settings.slides.model_copy(update={"inside": 1, "per_page": 2, "rows": 3})
    )
    page = rendered("slides", slides, few)
    assert page.count('class="layer errors"') == 1
    assert 'href="slides/page-2.html"' in page
    written = dict(slides.files(few))
    assert sorted(written) == ["page-2.html", "page-3.html", "slides.csv"]
    assert [written[f"page-{n}.html"].decode().count('class="layer errors"') for n in (2, 3)] == [2, 1]
    assert "Test slides of toy, page 3 of 3" in written["page-3.html"].decode()
    assert "default-src 'none'" in written["page-2.html"].decode()
    capped = with_settings(few, slides=few.settings.slides.model_copy(update={"pages": 1}))
    assert sorted(dict(slides.files(capped))) == ["page-2.html", "slides.csv"]


def test_no_map_is_drawn_over_montages(sources: Sources) -> None:
    montages = replace(sources, evidence=replace(sources.evidence, montages=True))
    page = rendered("slides", slides, montages)
    assert 'class="layer' not in page
    assert "montages of loose patches" in page
    told = rendered("gallery", gallery, montages)
    assert "place on the slide" not in told
    assert "montages of loose patches" in told


def test_layers_lie_where_the_patches_are(sources: Sources) -> None:
    store = PatchStore.open(sources.evidence.paths.store("s-p03"))
    rows = pd.DataFrame(
        {
            "store_row": [0, 1, 13, 14],
            "probability": [0.02, np.nan, 0.97, 0.5],
            "label": [1, 0, 0, 1],
            "prediction": [0, 0, 1, 1],
        }
    )
    ring = [[100.0, 100.0], [140.0, 100.0], [140.0, 150.0]]
    layers = slide_layers(store, rows, 0.5, [ring], side=300)
    probability_HW4 = decoded(layers.probability or Markup(""))
    scale = probability_HW4.shape[1] / 300

    def at(layer: NDArray[np.uint8], x: float, y: float) -> list[int]:
        return [int(value) for value in layer[int(y * scale), int(x * scale)]]

    low, nothing, high, middle = (at(probability_HW4, x, y) for x, y in ((8, 8), (24, 8), (24, 24), (40, 24)))
    assert nothing == [0, 0, 0, 0]
    assert low[2] > low[0], "the dark end of the scale is blue"
    assert high[0] > high[2] + 60, "the bright end is yellow"
    assert sum(low[:3]) < sum(middle[:3]) < sum(high[:3])
    errors_HW4 = decoded(layers.errors or Markup(""))
    assert at(errors_HW4, 8, 8)[3] == 255, "a cross in the middle of the missed patch"
    assert at(errors_HW4, 24, 24)[3] == 0, "a ring around the middle of the false alarm"
    assert errors_HW4[int(16 * scale) : int(32 * scale), int(16 * scale) : int(32 * scale), 3].any()
    assert not errors_HW4[:, int(50 * scale) :, 3].any()
    annotation_HW4 = decoded(layers.annotation or Markup(""))
    assert at(annotation_HW4, 120, 100)[3] == 255
    assert not annotation_HW4[: int(80 * scale), :, 3].any()
    assert slide_layers(store, rows, 0.5, None, side=300).annotation is None


def test_hostile_names_are_escaped(sources: Sources) -> None:
    subject = sources.subject
    assert subject is not None
    evil = '"><script>alert(1)</script>'
    rows = subject.run.patches.assign(patient_id=evil)
    changed = replace(sources)
    changed.__dict__["subject"] = replace(subject, run=replace(subject.run, patches=rows))
    page = rendered("slides", slides, changed)
    assert "<script>alert" not in page
    assert escape(evil).replace("&quot;", "&#34;") in page


@pytest.mark.parametrize("change", ["one class", "one patient", "nothing wrong"])
def test_poor_predictions_are_told_in_words(change: str, sources: Sources) -> None:
    subject = sources.subject
    assert subject is not None
    rows = subject.run.patches
    if change == "one class":
        rows = rows[rows["label"] == 1]
    elif change == "one patient":
        rows = rows[rows["patient_id"] == "p03"]
    else:
        rows = rows.assign(prediction=rows["label"])
    changed = replace(sources)
    changed.__dict__["subject"] = replace(subject, run=replace(subject.run, patches=rows))
    page = rendered("slides", slides, changed)
    told = {
        "one class": "–</td>",
        "one patient": "lie in 1 of 1 patient, with 100\u00a0% of the patches",
        "nothing wrong": "No test patch is classified wrongly.",
    }
    assert told[change] in page
    assert "nan" not in page


def test_the_report_is_written_with_both_panels(explained_cohort: Context) -> None:
    with undrawn():
        report.run(explained_cohort, Namespace())
    page = explained_cohort.paths.report.read_text(encoding="utf-8")
    folder = explained_cohort.paths.report.parent
    for link in set(re.findall(r'href="((?:gallery|slides)/[^"]*)"', page)):
        assert (folder / link).is_file(), link
    shutil.rmtree(folder)
