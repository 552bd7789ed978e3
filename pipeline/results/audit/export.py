"""The audit as a table, for a file beside the report."""

import math

import pandas as pd

from pipeline.results.audit.record import Audit, Finding
from pipeline.results.audit.words import LABELS


def audit_table(audit: Audit) -> pd.DataFrame:
    """A row for every attribute in the order of the ranking, tissue first; a cell is empty where unknown."""
    findings = [each for each in (audit.tissue, *audit.findings) if each is not None]
    rows = [_row(rank, each) for rank, each in enumerate(findings)]
    table = pd.DataFrame(rows, columns=list(_row(0, findings[0])) if findings else ["rank"])
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: table[name].round(6) for name in numbers})


def _row(rank: int, finding: Finding) -> dict[str, object]:
    bins, tied, gap, conflict = finding.attribute.bins, finding.tied, finding.gap, finding.conflict
    nothing = math.nan
    return {
        "rank": rank,
        "attribute": finding.attribute.name,
        "title": finding.attribute.title,
        "kind": str(finding.attribute.kind),
        "verdict": str(finding.verdict),
        "goes_with": finding.goes_with,
        "tie": finding.tie.estimate,
        "tie_low": finding.tie.low,
        "tie_high": finding.tie.high,
        "tie_beyond_tissue": finding.beyond.estimate,
        "tie_beyond_tissue_low": finding.beyond.low,
        "tie_beyond_tissue_high": finding.beyond.high,
        "tie_told": finding.tie_told,
        "most_tumor_in": bins[tied.high_bin] if tied else "",
        "least_tumor_in": bins[tied.low_bin] if tied else "",
        "conflict": conflict.gap.difference if conflict else nothing,
        "conflict_low": conflict.gap.low if conflict else nothing,
        "conflict_high": conflict.gap.high if conflict else nothing,
        "conflict_told": finding.conflict_told,
        "accuracy_against": conflict.against if conflict else nothing,
        "accuracy_along": conflict.along if conflict else nothing,
        "gap_label": LABELS[gap.label] if gap else "",
        "gap": gap.gap.difference if gap else nothing,
        "gap_low": gap.gap.low if gap else nothing,
        "gap_high": gap.gap.high if gap else nothing,
        "gap_told": finding.gap_told,
        "worse_in": bins[gap.gap.low_bin] if gap else "",
        "worse_accuracy": gap.worse if gap else nothing,
        "better_in": bins[gap.gap.high_bin] if gap else "",
        "better_accuracy": gap.better if gap else nothing,
    }
