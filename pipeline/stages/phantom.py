"""Generate a synthetic multimodal cohort: data/<cohort>/raw.

Co-registered CARS, TPEF and SHG channels of many patients as tiled pyramidal OME-TIFFs, tumor outlines as
QuPath GeoJSON, and slides.csv. Tumor differs from normal tissue in cell-scale texture only, while the dial
`tie` decides how much the tissue area gives the label away. docs/phantom.md tells what is simulated.
"""

import argparse
import logging

from rich.console import Console
from rich.progress import Progress

from pipeline.config import Context, load_stage
from pipeline.phantoms.cohort import PhantomSettings, generate, slides_of

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument("--workers", type=int, help="processes; overrides the setting, not the bytes")


def run(context: Context, options: argparse.Namespace) -> None:
    """Draw the cohort's slides and write them.

    Raises:
        ConfigError: a setting is unknown or out of its range.
    """
    given = {"workers": options.workers}
    settings = load_stage(context.configs, context.cohort, "phantom", PhantomSettings, **given)
    folder = context.paths.raw
    total = len(slides_of(settings))
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("drawing slides", total=total)
        generate(settings, folder, lambda: progress.advance(task))
    logger.info("%d slides of %d patients in %s", total, settings.patients, folder)
