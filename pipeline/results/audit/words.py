"""What the audit found, in sentences."""

from models.metrics.audit.slices import Slice
from pipeline.results.audit.attributes import Attribute
from pipeline.results.audit.record import Audit, Finding, Verdict

LABELS = ("non-tumor", "tumor")
_FEW = 20
"""Patients of training or test under which little is ruled out."""


def phrase(attribute: Attribute, place: int) -> str:
    """A bin in words: `focus of the patch in the lowest quarter (up to 0.2)`."""
    name = attribute.bins[place]
    return f"{attribute.title} {'in the ' if 'quarter' in name else ''}{name}"


def percent(share: float) -> str:
    """A share as a whole number of percent."""
    return f"{100 * share:.0f}\u00a0%"


def tie_in_words(finding: Finding) -> str:
    """The bins that differ most in how much of them is tumor."""
    tied = finding.tied
    if tied is None:
        return "Too few patients to tell a tie."
    bins, tumor_B = finding.attribute.bins, finding.tumor_B
    return (
        f"Tumor: {percent(tumor_B[tied.high_bin])} of {bins[tied.high_bin]}, "
        f"{percent(tumor_B[tied.low_bin])} of {bins[tied.low_bin]}."
    )


def conflict_in_words(finding: Finding) -> str:
    """How accurate the model is where the attribute speaks against the label, and where for it."""
    found = finding.conflict
    if found is None:
        return "Too few test patients to tell of errors."
    return (
        f"Right where it speaks for the other label: {percent(found.against)}, "
        f"for the patch’s own: {percent(found.along)}."
    )


def gap_in_words(finding: Finding) -> str:
    """The bins of a label that differ most surely in accuracy."""
    found = finding.gap
    if found is None:
        return "Too few test patients to tell a gap."
    bins, gap = finding.attribute.bins, found.gap
    return (
        f"Right among {LABELS[found.label]} patches: {percent(found.worse)} of {bins[gap.low_bin]}, "
        f"{percent(found.better)} of {bins[gap.high_bin]}."
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


def summary(audit: Audit) -> str:
    """The audit in a few sentences."""
    if not audit.tested:
        return "Without test patients, only the tie to the label can be told."
    said = f"{_of_tissue(audit)} {_of_others(audit)}".strip()
    few = min(audit.training, audit.tested)
    return f"{said} That rests on {audit.training} training and {audit.tested} test patients" + (
        ": too few to rule much out." if few < _FEW else "."
    )


def _of_tissue(audit: Audit) -> str:
    found = audit.tissue.conflict if audit.tissue else None
    if audit.tissue is None or found is None:
        return ""
    if not audit.tissue.conflict_told:
        return "That errors lie against tissue, the known shortcut, is not shown."
    gap = found.gap
    return (
        f"Where tissue speaks for the other label, {100 * gap.difference:.0f} of 100 patches fewer are right "
        f"({100 * gap.low:.0f}–{100 * gap.high:.0f})."
    )


def _of_others(audit: Audit) -> str:
    known = audit.tissue is not None and audit.tissue.conflict_told
    made, look, place = (
        _heads(audit, verdict) for verdict in (Verdict.CANDIDATE, Verdict.LOOK, Verdict.PLACE)
    )
    said = []
    if made:
        named = f"{'Beside tissue, ' if known else ''}{_listed(made)}"
        said.append(f"{named} may be a shortcut: tumor goes along with it, errors against it.")
    else:
        what = "Nothing else" if known else "No attribute"
        made_of = " of a slide’s making" if look or place else ""
        said.append(f"{what}{made_of} is shown to be a shortcut.")
    if look:
        said.append(f"{_listed(look)}: {Verdict.LOOK}; only who looks at patches can tell.")
    if place:
        said.append(f"{_listed(place)}: {Verdict.PLACE}.")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}" for sentence in said)


def _heads(audit: Audit, verdict: Verdict) -> list[str]:
    """Titles of what has a verdict, without what goes with another one."""
    return [each.attribute.title for each in audit.of(verdict) if not each.goes_with]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
