"""The report's page: every panel rendered, and put together."""

from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from rich.progress import track

from pipeline.look.html import make_environment, script
from pipeline.provenance import versions
from pipeline.report.evidence import Evidence
from pipeline.report.panels.registry import PANELS
from pipeline.report.sources import Panel, Question, Sources
from pipeline.results.verdict import estimable
from pipeline.training.layout import TISSUE


def render(sources: Sources) -> str:
    """The page as HTML."""
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": sources, "group_names": TISSUE.names}
    shown = [panel for panel in PANELS if panel.tested in (None, bool(sources.boards))]
    bodies = {
        panel: _body(environment, panel, sources)
        for panel in track(shown, description="report", transient=True)
    }
    parts = [
        (question, [(panel, body) for panel, body in bodies.items() if panel.question is question])
        for question in Question
    ]
    own = dict.fromkeys(name for panel in shown for name in panel.scripts)
    return environment.get_template("report.html").render(
        scripts=[script("sort.js"), *(script(name, "pipeline.report") for name in own)],
        cohort=sources.evidence.paths.cohort,
        description=sources.evidence.description,
        facts=_facts(sources.evidence),
        parts=[(question, panels) for question, panels in parts if panels],
        version=versions()["evenpatch"],
    )


def _body(environment: Environment, panel: Panel, sources: Sources) -> Markup:
    own = panel.values(sources) if panel.values else {}
    html = environment.get_template(f"{panel.name}.html").render(own)
    # Rendered with escaping on, so it is safe to place as it is.
    return Markup(html)  # noqa: S704


def _facts(evidence: Evidence) -> list[tuple[str, Any]]:
    index = evidence.index
    return [
        ("patients", f"{index['patient_id'].nunique():,}"),
        ("slides", f"{index['slide_id'].nunique():,}"),
        ("patches", f"{len(index):,}"),
        ("test patients", f"{evidence.test_patients:,}"),
        ("algorithms", len(evidence.algorithms)),
        ("thresholds", len(evidence.thresholds)),
    ]
