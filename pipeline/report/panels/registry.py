"""The report's panels, in their order."""

from pipeline.report.panels import (
    cohort,
    curves,
    examples,
    groups,
    provenance,
    reliability,
    sheets,
    shortcuts,
    side_by_side,
    structure,
    verdict,
)
from pipeline.report.sources import Panel

PANELS = (
    Panel("untested", "No test patients", tested=False),
    Panel("verdict", "Verdict", verdict.values, tested=True),
    Panel("cohort", "Patients, slides and patches", cohort.values),
    Panel("groups", "Tissue, tumor and the four groups", groups.values),
    Panel("sheets", "What the groups look like", sheets.values),
    Panel("group_table", "Accuracy in every group", tested=True),
    Panel("side_by_side", "The algorithms side by side", side_by_side.values, tested=True),
    Panel("reliability", "How reliable this is: seeds and splits", reliability.values),
    Panel("shortcuts", "Without a network: tissue alone, and hand-made statistics", shortcuts.values),
    Panel("structure", "Accuracy against tumor and tissue fraction", structure.values, tested=True),
    Panel("curves", "Training", curves.values),
    Panel("examples", "Example patches", examples.values, tested=True),
    Panel("provenance", "Provenance", provenance.values),
    Panel("glossary", "Words and limits"),
)
