"""Write outputs/<cohort>/report/report.html: one file that opens offline and prints on A4.

It compares every evaluated training on the test patients: the verdict in words, figures of every group with
intervals over patients, training curves, example patches, and where it all comes from. Whatever it
shows comes from the earlier stages' files; the same files give the same report, but for its provenance.
"""

import argparse
import logging
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from rich.progress import track

from pipeline.config import Context, load_stage
from pipeline.files import replacing
from pipeline.look.html import make_environment
from pipeline.provenance import versions
from pipeline.report.evidence import Evidence, load_evidence
from pipeline.report.panels.registry import PANELS
from pipeline.report.sources import Panel, ReportSettings, Sources
from pipeline.results.verdict import bootstrap_settings, compare, estimable

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The report has no options beyond the cohort."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Write the report of a cohort.

    Raises:
        ArtifactError: an earlier stage's output is missing.
    """
    settings = load_stage(context.configs, context.cohort, "report", ReportSettings)
    evidence = load_evidence(context, tuple(settings.names))
    intervals = bootstrap_settings(context)
    comparison = compare(
        evidence, intervals, settings.candidate, settings.references, settings.minimum_test_patients
    )
    page = render(Sources(evidence, comparison, settings, intervals))
    with replacing(context.paths.report) as part:
        part.write_text(page, encoding="utf-8")
    logger.info("wrote %s (%.1f MB)", context.paths.report, len(page.encode()) / 1e6)


def render(sources: Sources) -> str:
    """The page as HTML."""
    environment = make_environment("pipeline.report")
    environment.tests["estimable"] = estimable
    sections = [
        {"name": panel.name, "title": panel.title, "body": _body(environment, panel, sources)}
        for panel in track(PANELS, description="report", transient=True)
    ]
    return environment.get_template("report.html").render(
        cohort=sources.evidence.paths.cohort,
        description=sources.evidence.description,
        facts=_facts(sources.evidence),
        sections=sections,
        version=versions()["evenpatch"],
    )


def _body(environment: Environment, panel: Panel, sources: Sources) -> Markup:
    html = environment.get_template(f"{panel.name}.html").render(panel.values(sources))
    # Rendered with escaping on, so it is safe to place as it is.
    return Markup(html)  # noqa: S704


def _facts(evidence: Evidence) -> list[tuple[str, Any]]:
    index = evidence.index
    return [
        ("patients", f"{index['patient_id'].nunique():,}"),
        ("slides", f"{index['slide_id'].nunique():,}"),
        ("patches", f"{len(index):,}"),
        ("test patients", f"{index[index['split'] == 'test']['patient_id'].nunique():,}"),
        ("algorithms", len(evidence.algorithms)),
        ("thresholds", len(evidence.thresholds)),
    ]
