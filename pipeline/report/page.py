"""The report's page: every panel rendered, and put together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from rich.progress import track

from pipeline.look.html import make_environment, script
from pipeline.provenance import versions
from pipeline.report.opening import summary
from pipeline.report.opening.answers import answers
from pipeline.report.panel import Panel, Question
from pipeline.report.panels.registry import PANELS
from pipeline.report.sources import Sources
from pipeline.results.verdict import estimable
from pipeline.training.layout import TISSUE


def render(sources: Sources) -> str:
    """The page as HTML."""
    environment = environment_of(sources)
    bodies = {
        panel: body_of(environment, panel, sources)
        for panel in track(shown_panels(sources), description="report", transient=True)
    }
    parts = [
        (question, [(panel, body) for panel, body in bodies.items() if panel.question is question])
        for question in Question
    ]
    own = dict.fromkeys(name for panel in bodies for name in panel.scripts)
    return environment.get_template("report.html").render(
        scripts=[script("sort.js"), *(script(name, "pipeline.report") for name in own)],
        cohort=sources.evidence.paths.cohort,
        description=sources.evidence.description,
        first=_rendered(environment, "first", {**summary.values(sources), "answers": answers(sources)}),
        parts=[(question, panels) for question, panels in parts if panels],
        version=versions()["evenpatch"],
    )


def environment_of(sources: Sources) -> Environment:
    """What the templates of panels and page know."""
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": sources, "group_names": TISSUE.names, "main": sources.main}
    environment.globals["titles"] = {panel.name: panel.title for panel in shown_panels(sources)}
    return environment


def body_of(environment: Environment, panel: Panel, sources: Sources) -> Markup:
    """What stands under a panel's title, as HTML."""
    return _rendered(environment, panel.name, panel.values(sources) if panel.values else {})


def shown_panels(sources: Sources) -> list[Panel]:
    """Those that the report has: of tested patients, and of what is there to show."""
    tested = [panel for panel in PANELS if panel.tested in (None, bool(sources.boards))]
    return [panel for panel in tested if panel.present is None or panel.present(sources)]


def write_beside(sources: Sources, folder: Path) -> None:
    """Write what lies beside the report into its folder: a folder each of the panels that have files."""
    for panel in shown_panels(sources):
        for name, content in panel.files(sources) if panel.files else ():
            path = folder / panel.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _rendered(environment: Environment, name: str, values: Mapping[str, Any]) -> Markup:
    html = environment.get_template(f"{name}.html").render(values)
    # Rendered with escaping on, so it is safe to place as it is.
    return Markup(html)  # noqa: S704
