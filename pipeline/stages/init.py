"""Make a project in a folder, from an installed evenpatch and without its repository.

Writes every setting with its comments (configs/), the cohort's file to edit, slides.csv to fill, a README.md
that tells how, dvc.yaml, and what git and DVC are to ignore. In that folder `evenpatch` and `dvc repro` run
as in the repository. What is there already is never overwritten: a file of the same name with other content
is an error, and then nothing is written.
"""

import argparse
import logging
from pathlib import Path

from patching.disk_space import full_disk
from patching.errors import ConfigError
from pipeline.artifacts import require_name
from pipeline.projects.skeleton import skeleton
from pipeline.projects.writing import in_git, make_git, writing

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, the cohort, and whether to begin a history."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new or there already; . is this one")
    parser.add_argument(
        "--cohort",
        default="mine",
        help="name of your cohort, or a shipped one, as phantom, to begin with it (default: mine)",
    )
    parser.add_argument(
        "--git", action="store_true", help="make FOLDER a git repository, unless it lies in one already"
    )


def run(options: argparse.Namespace) -> None:
    """Write the project.

    Raises:
        ConfigError: the name is no cohort's, a file is there already, or git refuses.
        MissingFileError: a shipped real cohort without its slides.
    """
    folder, cohort = options.folder, options.cohort
    require_name("cohort", cohort)
    begins = options.git and not in_git(folder)
    files = skeleton(folder, cohort, scm=begins or in_git(folder))
    config = folder / ".dvc" / "config"
    if config.is_file():
        # It keeps its own settings.
        files = {name: text for name, text in files.items() if name not in (".dvc/config", ".dvc/.gitignore")}
    try:
        with writing(folder, files) as written:
            if begins:
                make_git(folder)
    except OSError as error:
        if full_disk(error, folder) is not error:
            raise
        raise ConfigError(
            has=f"{folder}: {error.strerror}", needs="a folder that can be written", do="choose another"
        ) from error
    logger.info("%s: %d files written, %d were there", folder, len(written), len(files) - len(written))
    first = f"fill slides.csv, edit configs/cohorts/{cohort}.yaml" if "slides.csv" in files else "`dvc repro`"
    if begins and "no_scm = true" in config.read_text(encoding="utf-8"):
        logger.warning("take `no_scm = true` out of .dvc/config: DVC does not look for git yet")
    logger.info("next, in that folder: %s; README.md tells the rest", first)
