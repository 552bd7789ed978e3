"""The panels under "Why?": chains, other thresholds, bins, and the intervention, on the finished cohort."""

import json
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score

from models.metrics.intervals import Interval
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.explain.subject import subject_of
from pipeline.files import write_json
from pipeline.intervention import answers
from pipeline.intervention.models import models_of
from pipeline.look.html import make_environment
from pipeline.report.panels import decomposition, intervention, sensitivity, structure
from pipeline.report.sources import Sources
from pipeline.results.answers import why
from pipeline.results.figures import WITHIN
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.verdict import estimable
from pipeline.stages import intervene
from pipeline.training.layout import TISSUE
from tests.pipeline.reports import sources_of
from tests.pipeline.simulated import run_of, terms_for

SETTINGS = {"patches": 24, "shares": [0, 0.5, 1]}


@pytest.fixture(scope="module")
def context(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Context:
    """The finished cohort with an intervention."""
    root = tmp_path_factory.mktemp("why")
    shutil.copytree(finished_cohort.paths.root, root, dirs_exist_ok=True)
    own = Context(finished_cohort.cohort, Paths(root, finished_cohort.cohort), root / "configs")
    shipped = yaml.safe_load((repository / "configs" / "intervene.yaml").read_text())
    (own.configs / "intervene.yaml").write_text(yaml.safe_dump(shipped | SETTINGS))
    intervene.run(own, Namespace())
    return own


@pytest.fixture(scope="module")
def sources(context: Context) -> Sources:
    return sources_of(context)


def rendered(name: str, sources: Sources, values: dict[str, Any]) -> str:
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": sources, "group_names": TISSUE.names}
    html: str = environment.get_template(f"{name}.html").render(values)
    return html


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# Decomposition


def test_the_chain_goes_from_erm_to_the_candidate_decided_by_tissue(sources: Sources) -> None:
    values = dict(decomposition.values(sources))
    chain = values["chain"]
    names = [link.method.algorithm for link in chain]
    # gerne-low's own network is untrained, so that no rule with a slope over 0 fits it.
    assert names == ["erm", "erm+by_tissue", "gerne"]
    assert values["missing"] == ["gerne+by_tissue"]
    for before, link in pairwise(chain):
        change = link.method.figures["wga"].estimate - before.method.figures["wga"].estimate
        assert link.wga.estimate == pytest.approx(change)
    html = plain(rendered("decomposition", sources, values))
    assert values["sentence"] in html
    assert f"{100 * chain[0].method.figures['wga'].estimate:.1f}" in html
    assert "GERNE, decided by tissue" in html


def test_that_nothing_beyond_a_moved_threshold_is_shown_comes_from_the_figures() -> None:
    """A shortcut that a rule takes back, and a candidate without it: as on `idc`."""
    tested = [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.0, seed=3)]
    terms = terms_for(tested)
    (board,) = scoreboards_of(tested, terms)
    stand_in = SourcesOf(terms)
    chain = decomposition.chain_of(stand_in, board)  # type: ignore[arg-type]
    assert [link.method.algorithm for link in chain] == [
        "erm",
        "erm+by_tissue",
        "gerne",
        "gerne+by_tissue",
    ]
    assert [link.reading for link in chain] == [None, "better", "open", "open"]
    assert "nothing beyond a moved threshold is shown" in why(board, terms)


def test_a_chain_of_few_patients_is_told_and_not_judged() -> None:
    tested = [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.0, seed=3)]
    terms = terms_for(tested, minimum_test_patients=25)
    (board,) = scoreboards_of(tested, terms)
    chain = decomposition.chain_of(SourcesOf(terms), board)  # type: ignore[arg-type]
    assert [link.reading for link in chain] == [None, "few", "few", "few"]
    assert [link.words for link in chain] == list(decomposition.WORDS)
    for before, link in pairwise(chain):
        for name, change in (("wga", link.wga), (WITHIN, link.ranking)):
            assert change is not None
            own, other = (each.method.figures[name].estimate for each in (link, before))
            assert change.estimate == pytest.approx(own - other)
    # A rule by tissue moves the threshold, and hardly the order within a stratum.
    assert abs(chain[1].ranking.estimate) < 0.1 < chain[1].wga.estimate  # type: ignore[union-attr]


class SourcesOf:
    """As much of `Sources` as a chain takes."""

    def __init__(self, terms: Any) -> None:
        self.terms = terms


# Sensitivity


def test_at_the_trained_threshold_the_sweep_is_the_scoreboard(sources: Sources) -> None:
    values = dict(sensitivity.values(sources))
    board = sources.boards["low"]
    place = values["cuts"].index(sources.evidence.threshold_value("low"))
    found = {method.algorithm: method for method in board.methods}
    assert [each.algorithm for each in values["swept"]] == ["gerne", "erm", "erm+by_tissue"]
    for each in values["swept"]:
        told, own = each.wga[place], found[each.algorithm].figures["wga"]
        assert (told.estimate, told.low, told.high) == (own.estimate, own.low, own.high)


def test_the_worst_group_is_that_of_scikit_learn_at_every_threshold(sources: Sources) -> None:
    values = dict(sensitivity.values(sources))
    erm = values["swept"][1]
    rows = next(m for m in sources.boards["low"].methods if m.algorithm == "erm").pool.rows
    judged = 0
    for cut, wga in zip(values["cuts"], erm.wga, strict=True):
        groups = rows.groupby(["label", rows["tissue_fraction"] > cut])
        sizes = groups.size()
        if len(sizes) == 4 and sizes.min() >= 20:
            worst = min(accuracy_score(own["label"], own["prediction"]) for _, own in groups)
            assert wga.estimate == pytest.approx(worst)
            judged += 1
        else:
            assert np.isnan(wga.estimate)
    assert 4 <= judged < len(values["cuts"])
    assert (
        f"At the {judged} of {len(values['cuts'])} tissue thresholds that can be judged" in values["sentence"]
    )


def test_the_sentence_counts_where_the_model_is_better(sources: Sources) -> None:
    values = dict(sensitivity.values(sources))
    erm = values["swept"][1]
    above = sum(each.low > 0 for each in erm.against if estimable(each))
    assert f"the model is better at {above}" in values["sentence"]
    html = rendered("sensitivity", sources, values)
    assert "not estimable" in html
    assert html.count("<tr>") == 1 + len(values["cuts"])


def test_a_patch_at_the_threshold_has_little_tissue() -> None:
    """As where groups are made: much is what lies above."""
    tested = [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.0, seed=3)]
    (board,) = scoreboards_of(tested, terms_for(tested))
    erm = next(method for method in board.methods if method.algorithm == "erm")
    rows = erm.pool.rows
    # Each of these is a tumor patch that ERM misses: whether it has much tissue moves the worst group.
    wrong = rows[(rows["label"] == 1) & (erm.pool.by_run("prediction", -1)[0] == 0)]
    cuts = tuple(wrong.loc[wrong["tissue_fraction"].between(0.4, 0.6), "tissue_fraction"].sort_values())[:4]
    assert len(cuts) == 4
    (found,) = sensitivity.swept([erm], cuts, board.settings)
    for cut, wga in zip(cuts, found.wga, strict=True):
        right = rows["label"] == erm.pool.by_run("prediction", -1)[0]
        assert wga.estimate == pytest.approx(
            right.groupby([rows["label"], rows["tissue_fraction"] > cut]).mean().min()
        )


def test_the_sentence_counts_intervals_that_lie_on_one_side_of_zero() -> None:
    def interval(low: float, high: float) -> Interval:
        return Interval((low + high) / 2, low, high, 0.95, 0.0, np.nan)

    wga = tuple(interval(0.6, 0.8) for _ in range(6))
    ends = ((0.1, 0.3), (-0.1, 0.4), (-0.2, 0.1), (-0.5, -0.1), (-0.4, -0.2), (-0.3, -0.1))
    against = tuple(interval(*each) for each in ends)
    found = (
        sensitivity.Swept("gerne", "GERNE", wga, ()),
        sensitivity.Swept("erm", "ERM", wga, against),
    )
    cuts = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    said = sensitivity.sentence(found, cuts, judged=True)
    assert "the model is better at 1 and worse at 3 of them" in said
    assert said.startswith("At the 6 of 6 tissue thresholds that can be judged (0.1 to 0.6), GERNE has 70 %")
    few = sensitivity.sentence(found, cuts, judged=False)
    assert few.endswith("ERM has 70 % in its worst group. Which is better: too few patients to judge.")


# Structure


def test_few_methods_are_drawn_and_the_other_threshold_is_in_the_appendix(sources: Sources) -> None:
    (shown,) = structure.values(sources)["pictures"]
    assert shown.board.threshold == "low"
    names = [method.algorithm for method in structure.few_methods(sources, shown.board)]
    assert names == ["gerne", "erm", "erm+by_tissue"]
    more = dict(structure.more_values(sources))
    assert [each.board.threshold for each in more["pictures"]] == ["high"]
    _, rows = more["numbers"][0].tables[-1]
    assert sum(row["patches"] for row in rows) == 4 * 24
    html = rendered("structure_more", sources, more)
    assert html.count("<caption>") == 6
    assert "Non-tumor patches by tissue fraction" in html
    assert "no bin can be judged" in shown.text


def test_the_tumor_fraction_is_told_for_what_it_is(sources: Sources) -> None:
    """It is the share inside the outline, gaps included: more of a patch may be tumor than tissue."""
    own = dict(structure.values(sources))
    of_outlines = rendered("structure", sources, own | {"tumor_fractions": True})
    assert "it may well be larger than the tissue fraction" in of_outlines
    of_slides = rendered("structure", sources, own | {"tumor_fractions": False})
    assert "labels are given per slide" in of_slides
    assert all("can never hold more tumor than tissue" not in each for each in (of_outlines, of_slides))


def test_the_numbers_of_the_bins_are_in_the_text_of_the_picture(sources: Sources) -> None:
    low = sources.boards["low"]
    board = replace(low, settings=low.settings.model_copy(update={"minimum_patches": 5}))
    (shown,) = structure.values(replace(sources, boards={"low": board}))["pictures"]
    rows = sources.subject.run.patches if sources.subject else None
    assert rows is not None
    own = rows[(rows["label"] == 0) & (rows["tissue_fraction"] >= 0.3) & (rows["tissue_fraction"] < 0.4)]
    share = 100 * accuracy_score(own["label"], own["prediction"])
    assert f"30 to 40 %: {share:.0f} %" in shown.text.split("non-tumor patches by tissue fraction")[1]


# Intervention


def test_the_intervention_is_shown_with_what_was_fed(sources: Sources) -> None:
    values = dict(intervention.values(sources))
    assert values["missing"] == ""
    html = rendered("intervention", sources, values)
    assert html.count("data:image/png;base64,") == 3
    assert html.count("data:image/svg+xml;base64,") == 1
    text = plain(html)
    for name in ("ERM", "GERNE", "group resampling"):
        assert f"{name}, in patches without tumor: adding tissue" in text
    slope = values["content"]["methods"]["erm"]["slopes"]["net"]["probability"]["normal_added"]["estimate"]
    assert f"{100 * 0.1 * slope:+.1f}".replace("-", "−") in text
    assert "Few test patients: non-tumor patches, tissue added: 4" in text
    assert "Too few test patients" not in text
    settings = sources.settings.model_copy(update={"minimum_test_patients": 5})
    fewer = replace(sources, settings=settings)
    text = plain(rendered("intervention", fewer, dict(intervention.values(fewer))))
    assert "Too few test patients to judge, for it takes 5: non-tumor patches, tissue added: 4" in text
    assert "Few test patients" not in text
    assert "alert(1)" not in html


@pytest.mark.parametrize(
    ("reading", "estimate", "words"),
    [
        ("better", 0.5, "adding tissue raises its probability of tumor by 5.0 points"),
        ("worse", -0.2, "adding tissue lowers its probability of tumor by 2.0 points"),
        ("open", 0.5, "adding tissue is not shown to change its probability of tumor"),
        ("few", 0.5, "adding tissue: too few patients to judge"),
        ("unknown", "not estimable", "adding tissue: not estimable"),
    ],
)
def test_words_say_no_more_than_the_interval(
    sources: Sources, reading: str, estimate: float | str, words: str
) -> None:
    content = json.loads((sources.evidence.paths.intervene / "intervene.json").read_text())
    slopes = content["methods"]["erm"]["slopes"]["net"]["probability"]
    slopes["normal_added"] |= {"reading": reading, "estimate": estimate}
    assert words in intervention.sentences(content, sources)[0]
    slopes["normal_removed"] |= {"reading": "better", "estimate": 0.3}
    assert (
        "removing tissue lowers its probability of tumor by 3.0"
        in intervention.sentences(content, sources)[0]
    )


def test_less_reliance_is_said_only_of_a_difference_that_is_told(sources: Sources) -> None:
    content = json.loads((sources.evidence.paths.intervene / "intervene.json").read_text())
    (pair,) = [c for c in content["contrasts"] if (c["candidate"], c["reference"]) == ("gerne", "erm")]
    for method, estimate in (("gerne", -0.1), ("erm", 0.6)):
        content["methods"][method]["slopes"]["net"]["probability"]["normal_added"] |= {
            "estimate": estimate,
            "reading": "open",
        }
    for arm in ("normal_added", "normal_removed"):
        pair["net"]["probability"][arm]["reading"] = "few"
    assert intervention.sentences(content, sources)[-1] == (
        "Reliance on the amount, GERNE beside ERM: too few patients to judge where tissue is added; "
        "too few patients to judge where tissue is removed."
    )
    pair["net"]["probability"]["normal_added"]["reading"] = "open"
    assert "not shown to differ where tissue is added" in intervention.sentences(content, sources)[-1]
    pair["net"]["probability"]["normal_added"]["reading"] = "worse"
    assert "less where tissue is added" in intervention.sentences(content, sources)[-1]
    # A slope of its own below 0 is no less reliance than one above, but another.
    own = content["methods"]["gerne"]["slopes"]["net"]["probability"]["normal_added"]
    own["reading"] = "worse"
    assert "the other way where tissue is added" in intervention.sentences(content, sources)[-1]
    own |= {"estimate": 0.9, "reading": "better"}
    assert "more where tissue is added" in intervention.sentences(content, sources)[-1]


def _removed(paths: Paths) -> None:
    shutil.rmtree(paths.intervene)


def _other_model(paths: Paths) -> None:
    shutil.copy(
        paths.training("erm-high") / "model.safetensors", paths.training("erm-low") / "model.safetensors"
    )


def _other_threshold(paths: Paths) -> None:
    """The report's model is another now, as it would be where gerne-low is gone."""
    path = paths.root / "configs" / "cohorts" / f"{paths.cohort}.yaml"
    content = yaml.safe_load(path.read_text())
    primary = {"candidate": "gerne", "reference": "erm", "metric": "wga", "threshold": "high"}
    path.write_text(yaml.safe_dump(content | {"report": content["report"] | {"primary": primary}}))


def _no_test(paths: Paths) -> None:
    (paths.intervene / "intervene.json").write_text('{"missing": "There are no test patients."}')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_removed, "has not been run"),
        (_other_model, "erm-low changed since"),
        (_other_threshold, "is of models at another threshold, “low”"),
        (_no_test, "There are no test patients."),
    ],
)
def test_what_is_not_there_or_of_another_state_is_said(
    context: Context, tmp_path: Path, change: Callable[[Paths], None], words: str
) -> None:
    shutil.copytree(context.paths.root, tmp_path, dirs_exist_ok=True)
    own = Context(context.cohort, Paths(tmp_path, context.cohort), tmp_path / "configs")
    change(own.paths)
    sources = sources_of(own)
    values = dict(intervention.values(sources))
    assert words in values["missing"]
    assert words in plain(rendered("intervention", sources, values))


def test_a_narrow_intervention_has_no_slope(sources: Sources, context: Context, tmp_path: Path) -> None:
    shutil.copytree(context.paths.root, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path, context.cohort)
    content = json.loads((paths.intervene / "intervene.json").read_text())
    content["arms"]["tumor_removed"]["moved"] = 0.04
    content["arms"]["normal_removed"]["moved"] = 0.03
    told = {"estimate": 0.5, "low": 0.4, "high": 0.6, "reading": "better"}
    (pair,) = [c for c in content["contrasts"] if (c["candidate"], c["reference"]) == ("gerne", "erm")]
    for slopes in (pair, *(content["methods"][name]["slopes"] for name in ("erm", "gerne"))):
        for arm in ("normal_added", "normal_removed"):
            slopes["net"]["probability"][arm] |= told
    content["arms"]["normal_added"]["example"] = "<i>s</i>@1_2"
    write_json(paths.intervene / "intervene.json", content)
    own = replace(sources, evidence=replace(sources.evidence, paths=paths))
    values = dict(intervention.values(own))
    assert np.isnan(values["methods"]["erm"]["net"]["tumor_removed"]["estimate"])
    assert not np.isnan(values["methods"]["erm"]["net"]["normal_added"]["estimate"])
    # Sentences tell no slope either, wherever they stand.
    words = "adding tissue raises its probability of tumor by 5.0 points for every 10 points of tissue"
    assert f"{words}; removing tissue: not estimable." in values["sentences"][0]
    assert "where tissue is added; not estimable where tissue is removed" in values["sentences"][-1]
    assert intervention.told_of(own, "erm").endswith(f"{words}; removing tissue: not estimable.")
    html = rendered("intervention", own, values)
    assert "tumor patches, tissue removed, by 4 points" in plain(html)
    assert "&lt;i&gt;s&lt;/i&gt;@1_2" in html
    assert "<i>" not in html


@pytest.fixture
def own(finished_cohort: Context, context: Context, tmp_path: Path) -> Context:
    """The finished cohort with the intervention's settings, to be changed."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    shutil.copy(context.configs / "intervene.yaml", tmp_path / "configs")
    return Context(context.cohort, Paths(tmp_path, context.cohort), tmp_path / "configs")


def listing(context: Context, algorithms: list[str]) -> None:
    path = context.configs / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"algorithms": algorithms}))


def shown_of(context: Context) -> tuple[dict[str, Any], str]:
    sources = sources_of(context)
    values = dict(intervention.values(sources))
    return values, plain(rendered("intervention", sources, values))


def test_the_only_run_is_shown_whatever_its_algorithm(own: Context) -> None:
    for folder in (own.paths.training, own.paths.evaluation):
        folder("erm-low").rename(folder("jtt-low"))
    path = own.paths.training("jtt-low") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"algorithm": "jtt"}))
    listing(own, ["jtt"])
    intervene.run(own, Namespace())
    values, text = shown_of(own)
    assert values["picture"]
    assert "JTT from" in values["text"]
    assert "JTT, in patches without tumor: adding tissue" in text


def _nothing_fed(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(answers, "fed", lambda *_: None)


def _no_numbers(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(answers, "network_logit", lambda found: np.full(len(found), np.nan))


@pytest.mark.parametrize(
    ("change", "words", "strips"),
    [
        (_nothing_fed, "no slopes and no picture: no test patch could be changed.", 0),
        (_no_numbers, "no slopes and no picture: no model answered with numbers.", 3),
    ],
)
def test_without_answers_there_is_no_picture_and_it_is_said(
    own: Context, change: Callable[[pytest.MonkeyPatch], None], words: str, strips: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        change(patched)
        intervene.run(own, Namespace())
    values, text = shown_of(own)
    assert values["picture"] is None
    assert values["sentences"] == []
    assert words in text
    assert len(values["strips"]) == strips


def test_methods_that_the_picture_does_not_show_have_their_slopes(own: Context, context: Context) -> None:
    shutil.copytree(context.paths.intervene, own.paths.intervene)
    path = own.paths.intervene / "intervene.json"
    content = json.loads(path.read_text())
    content |= {"contrasts": [], "methods": {"class_balanced": content["methods"]["class_balanced"]}}
    write_json(path, content)
    values, text = shown_of(own)
    assert values["picture"] is None
    assert "of the methods that it shows, none answered with numbers." in text
    assert "class-balanced ERM" in text


def test_an_intervention_without_patches_leaves_the_names_of_the_others(sources: Sources) -> None:
    content = json.loads((sources.evidence.paths.intervene / "intervene.json").read_text())
    for method in content["methods"].values():
        method["steps"]["normal_added"] = {"area": [], "control": []}
    drawn = intervention._picture(content, ["erm", "gerne"]).decode()
    assert [drawn.count(f">{name}<") for name in ("ERM", "GERNE")] == [1, 1]


def test_every_stage_is_about_the_same_model(own: Context) -> None:
    """Without the candidate by the order of the report, not by the alphabet."""
    listing(own, ["class_balanced", "erm"])
    shutil.rmtree(own.paths.training("erm-high"))
    shutil.rmtree(own.paths.evaluation("erm-high"))
    subject, models = sources_of(own).subject, models_of(own)
    assert subject is not None
    assert models is not None
    assert (subject.run.algorithm, subject.board.threshold) == ("erm", "low")
    assert models.threshold == "low"
    assert [each.run for each in models.asked] == ["erm-low", "class_balanced-low"]
    assert subject_of(own).name == "erm-low"
    runs = [("jtt", "low"), ("erm", "low"), ("zoo", "high"), ("erm", "high")]
    judging = sources_of(own).settings
    assert {judging.subject(each) for each in permutations(runs)} == {("erm", "high")}
