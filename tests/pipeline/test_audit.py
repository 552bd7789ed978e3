"""The audit: a planted second shortcut stands first, and without one nothing but tissue is told."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.look.html import make_environment
from pipeline.report.panels import audit as panel
from pipeline.results.audit.attributes import Attribute, Kind, LeftOut, of_category, of_number
from pipeline.results.audit.export import audit_table
from pipeline.results.audit.findings import audited
from pipeline.results.audit.gathering import attributes_of, tissue_strata
from pipeline.results.audit.record import Audit, Verdict
from pipeline.results.audit.words import (
    conflict_in_words,
    gap_in_words,
    slice_in_words,
    summary,
    tie_in_words,
)
from pipeline.results.bootstrap import BootstrapSettings
from tests.pipeline.audited_cohorts import predicted, simulated

SETTINGS = BootstrapSettings()


def audit_of(index: pd.DataFrame, slides: pd.DataFrame, predictions: pd.DataFrame | None) -> Audit:
    return audited(index, slides, predictions, None, SETTINGS)


@pytest.fixture(scope="module")
def tinted() -> Audit:
    index, slides = simulated(0, scanners=True)
    return audit_of(index, slides, predicted(index))


@pytest.fixture(scope="module")
def clean() -> Audit:
    index, slides = simulated(0, scanners=False)
    return audit_of(index, slides, predicted(index))


def test_a_planted_scanner_is_the_first_candidate(tinted: Audit) -> None:
    first = tinted.findings[0]
    assert first.attribute.name == "slides.scanner"
    assert first.verdict is Verdict.CANDIDATE
    # What else is told of slides is the tint itself, and is said to go with the scanner.
    assert {each.goes_with for each in tinted.of(Verdict.CANDIDATE)[1:]} <= {first.attribute.title}
    assert "column “scanner” may be a shortcut" in summary(tinted)


def test_without_the_column_the_tint_of_the_slide_is_the_candidate() -> None:
    index, slides = simulated(0, scanners=True)
    found = audit_of(index, slides.drop(columns="scanner"), predicted(index))
    first = found.findings[0]
    assert first.verdict is Verdict.CANDIDATE
    assert first.attribute.name in ("slide.tint_tpef", "slide.mean_tpef", "slide.spread_tpef")


def test_on_a_clean_cohort_nothing_but_tissue_is_a_shortcut(clean: Audit) -> None:
    assert clean.tissue is not None
    assert clean.tissue.verdict is Verdict.KNOWN
    assert clean.of(Verdict.CANDIDATE) == ()
    assert "Nothing else of a slide’s making is shown to be a shortcut." in summary(clean)
    plain = replace(clean, findings=tuple(each for each in clean.findings if not each.conflict_told))
    assert "Nothing else is shown to be a shortcut." in summary(plain)


def test_nothing_is_said_of_tissue_that_is_not_told(clean: Audit, tinted: Audit) -> None:
    assert clean.tissue is not None
    untold = replace(clean.tissue, conflict_told=False)
    for tissue in (untold, replace(untold, conflict=None), None):
        said = summary(replace(clean, tissue=tissue))
        assert "No attribute of a slide’s making is shown to be a shortcut." in said
        assert "else" not in said
        assert "but tissue" not in said
        planted = summary(replace(tinted, tissue=tissue))
        assert "Column “scanner” may be a shortcut" in planted
        assert "Beside tissue" not in planted
    assert "Beside tissue, column “scanner” may be a shortcut" in summary(tinted)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.LOOK, "Shade: tumor’s own look, or a shortcut; only who looks at patches can tell."),
        (Kind.PLACE, "Shade: errors follow the place, which a patch does not show."),
    ],
)
def test_the_summary_says_what_the_rows_say(clean: Audit, tinted: Audit, kind: Kind, told: str) -> None:
    first, *others = clean.findings
    attribute = replace(first.attribute, kind=kind, title="shade")
    row = replace(first, attribute=attribute, tie_told=True, conflict_told=True, goes_with="")
    said = summary(replace(clean, findings=(row, *others)))
    assert told in said
    assert "Nothing else of a slide’s making is shown to be a shortcut." in said
    assert "Nothing else is" not in said
    same = summary(replace(clean, findings=(replace(row, goes_with="focus"), *others)))
    assert told not in same
    own = tuple(each for each in tinted.findings if each.verdict is Verdict.CANDIDATE)
    planted = summary(replace(tinted, findings=(*own, row)))
    assert told in planted
    assert "column “scanner” may be a shortcut" in planted


def test_tumors_own_look_is_no_candidate(clean: Audit) -> None:
    """Contrast differs within slides, as tumor does; it goes with the label, and is said to be its look."""
    told = {each.attribute.name: each for each in clean.findings if each.tie_told}
    assert {"patch.spread_cars", "patch.spread_shg"} & set(told)
    assert all(each.attribute.kind is Kind.LOOK for each in told.values())


def test_errors_that_go_with_an_attribute_by_chance_are_no_shortcut() -> None:
    """The site says nothing of the label; errors in one of three sites alone are told as such."""
    index, slides = simulated(1, scanners=False)
    answers = index[index["split"] == "test"].merge(slides[["slide_id", "site"]], on="slide_id")
    rng = np.random.default_rng(0)
    wrong = rng.random(len(answers)) < np.where(answers["site"] == "west", 0.5, 0.05)
    predictions = answers.assign(prediction=np.where(wrong, 1 - answers["label"], answers["label"]))
    found = audit_of(index, slides, predictions)
    site = next(each for each in found.findings if each.attribute.name == "slides.site")
    assert (site.tie_told, site.gap_told, site.verdict) == (False, True, Verdict.GAP)
    assert site.gap is not None
    assert site.attribute.bins[site.gap.gap.low_bin] == "“west”"
    west = answers["site"].eq("west") & answers["label"].eq(site.gap.label)
    assert site.gap.worse == pytest.approx(1 - wrong[west].mean())


def test_the_label_never_is_an_attribute() -> None:
    index, slides = simulated(0, scanners=False)
    slides["tumor_fraction"], slides["prediction"] = 0.5, np.arange(len(slides)) % 2
    found = attributes_of(index.assign(probability=0.5, group=1), slides, None)
    names = {each.name for each in found if isinstance(each, Attribute)}
    assert not any(word in name for name in names for word in ("label", "tumor", "predict", "proba", "group"))
    reasons = {each.title: each.reason for each in found if isinstance(each, LeftOut)}
    assert "tells the label" in reasons["column “prediction”"]
    assert "names" in reasons["column “accession”"]
    assert reasons["column “dtype”"] == "one value"


def test_a_column_of_many_numbers_is_cut_into_quarters_and_one_of_names_is_left_out() -> None:
    value = np.array([str(n) for n in range(40)])
    patient, known = np.arange(40), np.ones(40, bool)
    age = of_category("age", "age", value, patient, known)
    assert isinstance(age, Attribute)
    assert np.bincount(age.bin_N).tolist() == [10, 10, 10, 10]
    assert age.bins[0] == "lowest quarter (up to 9.75)"
    assert isinstance(of_category("id", "id", np.char.add("A", value), patient, known), LeftOut)
    few = of_category("who", "who", value[:5], patient[:5], known[:5])
    assert isinstance(few, LeftOut)


def test_bins_are_named_as_people_write_numbers() -> None:
    small = of_number("v", "v", Kind.LOOK, np.array([-2e-5, -1e-5, 2e-5, 4e-5]), np.ones(4, bool))
    assert isinstance(small, Attribute)
    assert small.bins[0].startswith("lowest quarter (up to −")
    assert "millionths" in small.bins[-1]


def test_quarters_are_of_training_patches_alone() -> None:
    value = np.arange(100.0)
    found = of_number("v", "v", Kind.LOOK, value, value < 40)
    assert isinstance(found, Attribute)
    assert np.bincount(found.bin_N).tolist() == [10, 10, 10, 70]


def test_bins_and_strata_of_training_patches_depend_on_no_others() -> None:
    index, slides = simulated(0, scanners=True, patients=30)
    training = index["split"] == "train"
    turned = index.assign(label=index["label"].where(training, 1 - index["label"]))
    for one, other in zip(
        attributes_of(index, slides, None), attributes_of(turned, slides, None), strict=True
    ):
        assert type(one) is type(other)
        if isinstance(one, Attribute) and isinstance(other, Attribute):
            assert np.array_equal(one.bin_N[training], other.bin_N[training]), one.name
    less = index.assign(tissue_fraction=index["tissue_fraction"].where(training, 0.01))
    assert np.bincount(tissue_strata(less)[training]).tolist() == [training.sum() // 20] * 20


def test_errors_along_an_attribute_are_no_sign_of_its_use() -> None:
    """The scanner goes with the label; errors lie where it speaks for the patch's own label."""
    index, slides = simulated(0, scanners=True)
    tested = index[index["split"] == "test"].merge(slides[["slide_id", "scanner"]], on="slide_id")
    along = (tested["scanner"] == "second") == (tested["label"] == 1)
    wrong = along & (np.random.default_rng(0).random(len(tested)) < 0.5)
    predictions = tested.assign(prediction=tested["label"].where(~wrong, 1 - tested["label"]))
    found = audit_of(index, slides, predictions)
    scanner = next(each for each in found.findings if each.attribute.name == "slides.scanner")
    assert scanner.conflict is not None
    assert scanner.conflict.gap.high < 0
    assert (scanner.conflict.against, scanner.conflict.along) == pytest.approx((1, 1 - wrong[along].mean()))
    assert (scanner.tie_told, scanner.conflict_told, scanner.verdict) == (True, False, Verdict.TIED)
    assert found.of(Verdict.CANDIDATE) == ()


def test_attributes_are_the_same_where_training_patches_say_so() -> None:
    """A second column that is the scanner on training slides, and anything on the others."""
    index, slides = simulated(0, scanners=True)
    split = slides["slide_id"].map(index.groupby("slide_id")["split"].first())
    alternating = pd.Series(np.where(np.arange(len(slides)) // 2 % 2, "first", "second"), slides.index)
    doubled = slides.assign(twin=slides["scanner"].where(split == "train", alternating))
    found = audit_of(index, doubled, predicted(index))
    told = {each.attribute.name: each for each in found.findings}
    assert told["slides.twin"].tie_told
    assert told["slides.twin"].goes_with == "column “scanner”"


def test_statistics_are_folded_to_a_few(clean: Audit) -> None:
    index, slides = simulated(0, scanners=False)
    rng = np.random.default_rng(0)
    names = [
        f"{c}.{s}" for c in ("CARS", "SHG") for s in ("mean", "q50", "gradient_1", "gradient_2", "energy_1")
    ]
    names += ["CARS+SHG.correlation", "saturation.mean", "saturation.std"]
    table = pd.DataFrame(rng.random((500, len(names))), columns=names).assign(
        patch_id=index["patch_id"][:500]
    )
    found = attributes_of(index, slides, table)
    own = {each.name for each in found if isinstance(each, Attribute) and "." in each.name.partition(".")[2]}
    kept = ("saturation.mean", "CARS.gradient_1", "SHG.gradient_1", "CARS+SHG.correlation")
    assert own == {f"{kind}.{name}" for kind in ("patch", "slide") for name in kept}
    of_patch = next(
        each for each in found if isinstance(each, Attribute) and each.name == "patch.saturation.mean"
    )
    assert (of_patch.bin_N[500:] == -1).all()


def test_without_test_patients_ties_alone_are_told() -> None:
    index, slides = simulated(0, scanners=True)
    found = audit_of(index, slides, None)
    assert found.tested == 0
    assert all(each.gap is None and not each.gap_told for each in found.findings)
    assert all(each.conflict is None and not each.conflict_told for each in found.findings)
    assert found.findings[0].attribute.name == "slides.scanner"
    assert found.slices == ()
    assert summary(found).startswith("Without test patients")


def test_one_patient_and_one_label_are_audited_without_a_verdict() -> None:
    index, slides = simulated(0, scanners=True)
    one = index[index["patient_id"] == "p0"].assign(split="train")
    lone = audit_of(one, slides, None)
    assert {each.verdict for each in lone.findings} == {Verdict.OPEN}
    tumor = index.assign(label=1)
    found = audit_of(tumor, slides, tumor[tumor["split"] == "test"].assign(prediction=1))
    assert {each.verdict for each in found.findings} == {Verdict.OPEN}


def test_the_table_holds_every_attribute_in_its_rank(tinted: Audit) -> None:
    table = audit_table(tinted)
    assert table["attribute"].tolist()[:2] == ["tissue_fraction", "slides.scanner"]
    assert len(table) == 1 + len(tinted.findings)
    first = table.iloc[1]
    assert first["most_tumor_in"] == "“second”"
    assert first["gap"] == pytest.approx(tinted.findings[0].gap.gap.difference, abs=1e-6)
    assert first["accuracy_against"] < first["accuracy_along"]
    assert first["verdict"] == "candidate shortcut"


def test_slices_are_told_in_words(tinted: Audit) -> None:
    told = slice_in_words(tinted.slices[0], tinted)
    assert told.startswith(("Tumor patches with", "Non-tumor patches with"))
    worst = tinted.slices[0]
    # Errors of the same patches chose which attributes are crossed: no intersection has a verdict.
    assert worst.surely < worst.elsewhere
    assert not any("told" in slice_in_words(each, tinted) for each in tinted.slices)
    assert f"{100 * worst.accuracy:.0f}\u00a0% right ({100 * worst.low:.0f}–{100 * worst.high:.0f})" in told


def test_ties_gaps_and_conflicts_are_told_in_words_with_the_right_bins(tinted: Audit) -> None:
    scanner = tinted.findings[0]
    index, slides = simulated(0, scanners=True)
    joined = index.merge(slides[["slide_id", "scanner"]], on="slide_id")
    share = 100 * joined[joined["split"] == "train"].groupby("scanner")["label"].mean()
    assert tie_in_words(scanner) == (
        f"Tumor: {share['second']:.0f}\u00a0% of “second”, {share['first']:.0f}\u00a0% of “first”."
    )
    answers = joined.merge(predicted(index), on="patch_id")
    correct = answers["prediction"] == answers["label"]
    along = (answers["scanner"] == "second") == (answers["label"] == 1)
    assert conflict_in_words(scanner) == (
        f"Right where it speaks for the other label: {100 * correct[~along].mean():.0f}\u00a0%, "
        f"for the patch’s own: {100 * correct[along].mean():.0f}\u00a0%."
    )
    assert scanner.gap is not None
    of_label = answers["label"] == scanner.gap.label
    right = (100 * correct[of_label].groupby(answers["scanner"]).mean()).sort_values()
    worse, better = (f"{value:.0f}\u00a0% of “{name}”" for name, value in right.items())
    assert gap_in_words(scanner).endswith(f" patches: {worse}, {better}.")


def test_a_slide_that_lacks_a_size_has_no_place() -> None:
    index, slides = simulated(0, scanners=False)
    found = attributes_of(index, slides.assign(width=np.nan, height=np.nan), None)
    reasons = {each.title: each.reason for each in found if isinstance(each, LeftOut)}
    assert reasons["place from left to right"] == "no training patch has a value"


def test_an_interval_that_leaves_everything_open_is_not_estimable(tinted: Audit) -> None:
    first = tinted.findings[0]
    assert first.gap is not None

    def shown(low: float, high: float) -> str:
        gap = first.gap._replace(gap=first.gap.gap._replace(difference=0.05, low=low, high=high))
        audit = replace(tinted, tissue=None, findings=(replace(first, gap=gap, gap_told=False),))
        sources: Any = SimpleNamespace(audit=audit, subject=None, audit_settings=SETTINGS)
        environment = make_environment("pipeline.report")
        html = environment.get_template("audit.html").render(panel.values(sources), sources=sources)
        return str(html).partition("<tbody>")[2].partition("</tbody>")[0]

    assert "not estimable" in shown(-1, 1)
    assert "not estimable" in shown(-0.996, 0.999)
    assert "−100 to 90" in shown(-1, 0.9)
    assert "−4 to 100" in shown(-0.04, 1)
