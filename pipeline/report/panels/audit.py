"""Which attributes of patches go with the label before training, and with the model's errors after it."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.results.audit.record import Finding, Verdict
from pipeline.results.audit.words import (
    conflict_in_words,
    gap_in_words,
    slice_in_words,
    summary,
    tie_in_words,
)

_SHOWN = 6
"""Attributes with a row of their own on paper; told ones have one in any case."""


def values(sources: Sources) -> Mapping[str, Any]:
    """The ranked attributes, and the worst intersections."""
    audit = sources.audit
    ranked = [each for each in (audit.tissue, *audit.findings) if each is not None]
    rows = [
        {
            "finding": each,
            "words": _words(each),
            "marked": each.verdict is Verdict.CANDIDATE,
        }
        for each in ranked
    ]
    told = sum(each.verdict is not Verdict.OPEN for each in ranked)
    shown = max(_SHOWN, min(told, 3 * _SHOWN))
    return {
        "audit": audit,
        "summary": summary(audit),
        "model": sources.subject.method.name if sources.subject else "",
        "rows": rows[:shown],
        "more": rows[shown:],
        "slices": [slice_in_words(each, audit) for each in audit.slices],
    }


def _words(finding: Finding) -> str:
    """What stands behind a verdict; nothing where nothing is shown."""
    if finding.verdict is Verdict.OPEN:
        return ""
    errors = gap_in_words if finding.verdict is Verdict.GAP else conflict_in_words
    return f"{tie_in_words(finding)} {errors(finding)}"
