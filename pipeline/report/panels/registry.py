"""The report's panels, in their order."""

from pipeline.report.panels import (
    calibration,
    cohort,
    curves,
    examples,
    exports,
    groups,
    metrics,
    provenance,
    reliability,
    sheets,
    shortcuts,
    side_by_side,
    structure,
    verdict,
)
from pipeline.report.sources import Panel, Question

PANELS = (
    Panel("untested", "No test patients", Question.TRUST, tested=False),
    Panel("group_table", "Accuracy in every group", Question.TRUST, tested=True),
    Panel("metrics", "The figures of this model", Question.TRUST, metrics.values, tested=True),
    Panel(
        "calibration",
        "Calibration and operating point",
        Question.TRUST,
        calibration.values,
        tested=True,
        scripts=("threshold.js",),
    ),
    Panel("examples", "Example patches", Question.FAIL, examples.values, tested=True),
    Panel(
        "structure", "Accuracy against tumor and tissue fraction", Question.WHY, structure.values, tested=True
    ),
    Panel("groups", "Tissue, tumor and the four groups", Question.WHY, groups.values),
    Panel(
        "shortcuts",
        "Without a network: tissue alone, and hand-made statistics",
        Question.WHY,
        shortcuts.values,
        appendix=True,
    ),
    Panel("verdict", "Verdict", Question.COMPARED, verdict.values, tested=True),
    Panel("side_by_side", "The algorithms side by side", Question.COMPARED, side_by_side.values, tested=True),
    Panel("reliability", "How reliable this is: seeds and splits", Question.COMPARED, reliability.values),
    Panel("cohort", "Patients, slides and patches", Question.MADE, cohort.values),
    Panel("sheets", "What the groups look like", Question.MADE, sheets.values, appendix=True),
    Panel("curves", "Training", Question.MADE, curves.values, appendix=True),
    Panel("provenance", "Provenance", Question.MADE, provenance.values, appendix=True),
    Panel(
        "exports",
        "Files for other programs",
        Question.MADE,
        exports.values,
        tested=True,
        appendix=True,
        files=exports.files,
    ),
    Panel("glossary", "Words and limits", Question.MADE),
)
