"""What the audit found, in sentences."""

from models.metrics.audit.concentration import Concentration
from models.metrics.audit.slices import Slice
from pipeline.results.audit.attributes import Attribute
from pipeline.results.audit.record import Audit, Finding

LABELS = ("non-tumor", "tumor")
_FEW = 20
"""Patients of training or test under which little is ruled out."""


def phrase(attribute: Attribute, place: int) -> str:
    """A bin in words: `focus of the patch in the lowest quarter (up to 0.2)`."""
    name = attribute.bins[place]
    return f"{attribute.title} {'in the ' if 'quarter' in name else ''}{name}"


def percent(share: float) -> str:
    """A share as a whole number of percent."""
    return f"{100 * share:.0f} %"


def tie_in_words(finding: Finding) -> str:
    """The bins that differ most in how much of them is tumor."""
    tied = finding.tied
    if tied is None:
        return "too few patients to tell"
    bins, tumor_B = finding.attribute.bins, finding.tumor_B
    return (
        f"tumor {percent(tumor_B[tied.high_bin])} of {bins[tied.high_bin]}, "
        f"{percent(tumor_B[tied.low_bin])} of {bins[tied.low_bin]}"
    )


def gap_in_words(finding: Finding) -> str:
    """The bins of a label that differ most in accuracy."""
    found = finding.gap
    if found is None:
        return "too few test patients to tell"
    bins, gap = finding.attribute.bins, found.gap
    return (
        f"{LABELS[found.label]}: {percent(found.worse)} right of {bins[gap.low_bin]}, "
        f"{percent(found.better)} of {bins[gap.high_bin]}"
    )


def conflict_in_words(finding: Finding) -> str:
    """How accurate the model is where the attribute speaks against the label, and where for it."""
    found = finding.conflict
    if found is None:
        return "too few test patients to tell"
    return (
        f"right of patches that it speaks against {percent(found.against)}, "
        f"of those it speaks for {percent(found.along)}"
    )


def slice_in_words(found: Slice, audit: Audit) -> str:
    """Which patches, how many of them are right, and how many of the others."""
    one, other = (
        phrase(audit.attributes[attribute], place)
        for attribute, place in zip(found.place.attributes, found.place.bins, strict=True)
    )
    return (
        f"{LABELS[found.place.label].capitalize()} patches with {one}, and {other}: "
        f"{percent(found.accuracy)} right ({100 * found.low:.0f}–{100 * found.high:.0f}), "
        f"{found.patches:,} patches of {found.patients:,} patients; "
        f"of the other {LABELS[found.place.label]} patches {percent(found.elsewhere)}."
    )


def concentration_in_words(found: Concentration, unit: str) -> str:
    """Where half of the errors lie."""
    return (
        f"Half of the {found.errors:,} errors lie in {found.fewest:,} of {found.units:,} {unit}, who hold "
        f"{percent(found.share)} of the patches; with one error rate for all, it would take {found.even:,}."
    )


def summary(audit: Audit) -> str:
    """The audit in a sentence or two."""
    heads = [each.attribute.title for each in audit.candidates if not each.goes_with]
    if not audit.tested:
        return "Without test patients, only the tie to the label can be told."
    if heads:
        said = f"Beside tissue, {_listed(heads)} may be a shortcut: tumor and errors both go along with it."
    else:
        said = "No attribute but tissue is shown to go along with both tumor and errors."
    few = min(audit.training, audit.tested)
    return f"{said} That rests on {audit.training} training and {audit.tested} test patients" + (
        ": too few to rule much out." if few < _FEW else "."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
