"""Give the registry alias back to the version that held it before.

The version that `previous` points to is loaded and asked for its own example first; then `champion` points
to it, and `previous` to nothing: a rollback goes one step back, and a second one is refused. The version
that was rolled back is tagged with when and by whom, and `evenpatch register` does not take it again without
`--force`.
"""

import argparse
import tempfile
from pathlib import Path

from patching.errors import RegistryError
from pipeline.config import Context, load_stage
from pipeline.deployment.challenger.evidence import answers
from pipeline.deployment.challenger.promotion import Aliases, one_at_a_time, previous_champion, roll_back
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.tracking.registry import Registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which alias, and who says so."""
    parser.add_argument("--alias", help="alias to move back (default: the settings')")
    parser.add_argument("--approve", metavar="NAME", default="", help="who decided it: recorded as a tag")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(context: Context, options: argparse.Namespace) -> None:
    """Check that the previous version loads, and move the alias back.

    Raises:
        RegistryError: there is no previous version, it does not load, or nobody approved where somebody must.
        ConfigError: there can be no such alias.
    """
    settings = load_stage(context.configs, context.cohort, "register", RegisterSettings).under(options.alias)
    alias, by = settings.alias, options.approve.strip()
    aliases = Aliases(alias, settings.previous)
    root = context.paths.root
    if settings.approval == "required" and not by and not options.dry_run:
        raise RegistryError(
            has="a rollback that nobody approved",
            needs="a name: `approval: required`",
            do="add --approve NAME",
        )
    with one_at_a_time(root):
        registry = Registry(root, context.cohort)
        champion, previous = previous_champion(registry, aliases)
        with tempfile.TemporaryDirectory() as folder:
            trouble = answers(registry, previous, Path(folder))
        if trouble:
            raise RegistryError(
                has=f"{aliases.previous} at {previous.told}, which does not serve: {trouble}",
                needs="a version that loads and answers",
                do=f"leave {alias} at {champion.told}, or promote another: `evenpatch register --run NAME`",
            )
        if not options.dry_run:
            roll_back(registry, aliases, champion, previous, by)
    done = "would go back to" if options.dry_run else "is"
    print(f"models:/{registry.model}@{alias} {done} {previous.told}")
