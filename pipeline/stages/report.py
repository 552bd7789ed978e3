"""Write outputs/<cohort>/report/report.html: one file that opens offline and prints on A4.

It compares every evaluated training on the test patients: the verdict in words, figures of every group with
intervals over patients, training curves, example patches, and where it all comes from. Other seeds of a
training (`evenpatch train --seed`) are pooled with it, and a finished study of the present patches is shown.
Whatever it shows comes from the earlier stages' files; the same files give the same report, but for its
provenance. Beside it lie what would make it too large, or is read by other programs: a folder for each panel
that has files, and wga.json, the few figures that `dvc metrics show` and `dvc exp show` print.
"""

import argparse
import logging

from pipeline.config import Context, load_stage
from pipeline.files import replacing_folder, write_json
from pipeline.report.documents import documents_of
from pipeline.report.headline import headline
from pipeline.report.page import render, write_beside
from pipeline.report.sources import ReportSettings, gather
from pipeline.report.stores import require_stores

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The report has no options beyond the cohort."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Write the report of a cohort.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        StoreError: patches of tested slides are damaged.
    """
    settings = load_stage(context.configs, context.cohort, "report", ReportSettings)
    sources = gather(context, settings)
    require_stores(sources.evidence)
    page = render(sources)
    documents = documents_of(context, sources)
    # Whole, so that no page links to what is missing or of an earlier report.
    with replacing_folder(context.paths.report.parent) as part:
        write_beside(sources, part)
        for name, content in {**documents, context.paths.report.name: page}.items():
            (part / name).write_text(content, encoding="utf-8")
        write_json(part / "wga.json", headline(sources), seal=False)
    logger.info("wrote %s (%.1f MB)", context.paths.report, len(page.encode()) / 1e6)
