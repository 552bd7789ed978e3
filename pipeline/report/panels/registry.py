"""The report's panels, in their order."""

from pipeline.report.panels import (
    cohort,
    curves,
    examples,
    groups,
    provenance,
    reliability,
    sheets,
    side_by_side,
    structure,
    verdict,
)
from pipeline.report.sources import Panel

PANELS = (
    Panel("verdict", "Verdict", verdict.values),
    Panel("cohort", "Patients, slides and patches", cohort.values),
    Panel("groups", "Tissue, tumor and the four groups", groups.values),
    Panel("sheets", "What the groups look like", sheets.values),
    Panel("group_table", "Accuracy in every group"),
    Panel("side_by_side", "The algorithms side by side", side_by_side.values),
    Panel("reliability", "How reliable this is: seeds and splits", reliability.values),
    Panel("structure", "Accuracy against tumor and tissue fraction", structure.values),
    Panel("curves", "Training", curves.values),
    Panel("examples", "Example patches", examples.values),
    Panel("provenance", "Provenance", provenance.values),
    Panel("glossary", "Words and limits"),
)
