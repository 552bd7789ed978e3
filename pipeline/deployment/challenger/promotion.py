"""Moving aliases so that at every moment exactly one champion is there, and it is one that loads.

MLflow moves one alias in one step, and two in two. `previous` is set first: whoever is stopped between the
steps leaves the old champion, and the same command again completes the move. Nothing here takes the
champion's alias away.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patching.errors import RegistryError
from pipeline.deployment.challenger.record import APPROVED, FORCED, Judgement, gate_tags, now
from pipeline.tracking.connection import local_database, tracking_uri
from pipeline.tracking.refusals import without_secrets
from pipeline.tracking.registry import Registry, Version
from pipeline.workspace import workspace

logger = logging.getLogger(__name__)

ROLLED_BACK = "evenpatch.rolled_back"
REPLACES = "evenpatch.replaces"


@dataclass(frozen=True)
class Aliases:
    """Names of the champion's alias and of the one that keeps the version before."""

    champion: str
    previous: str


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Keep the aliases of the store to this process; the lock lies beside a local store.

    With a server it holds for this working tree alone; `promote` looks again whether the alias has moved.

    Raises:
        RegistryError: another process is at it; says which, and since when.
    """
    uri = tracking_uri(root)
    database = local_database(uri) or workspace(root) / "mlflow.db"
    path = database.with_name(f"{database.name}.aliases.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise RegistryError(
                has=f"{lock.read().strip() or 'another process is'} at work on the aliases of "
                f"{without_secrets(uri)}",
                needs="one register or rollback at a time",
                do="wait until it has ended, and run the command again: it judges by what is champion then",
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {now().isoformat()}, is\n")
        lock.flush()
        yield


def publish(registry: Registry, judgement: Judgement, path: Path) -> None:
    """Keep gate.json with the candidate's run, and the judgement as tags of its version and run."""
    candidate, tags = judgement.evidence.candidate, gate_tags(judgement)
    registry.attach(candidate, path, "gate")
    registry.untag(candidate, tuple(key for key in (FORCED, APPROVED) if key not in tags))
    registry.tag(candidate, tags)


def promote(registry: Registry, aliases: Aliases, candidate: Version, judged: Version | None) -> None:
    """Make the candidate champion, and the champion that it was judged beside the previous one.

    Raises:
        RegistryError: the alias has moved since it was judged.
    """
    _still(registry, aliases, judged)
    if judged is not None:
        registry.tag(candidate, {REPLACES: judged.number})
        registry.point(aliases.previous, judged.number)
    _still(registry, aliases, judged)
    registry.point(aliases.champion, candidate.number)
    logger.info("moved %s from %s to %s", aliases.champion, judged.told if judged else "none", candidate.told)


def _still(registry: Registry, aliases: Aliases, judged: Version | None) -> None:
    """A server has no lock of ours, and others may have moved the alias while the gate was judging."""
    found = registry.aliased(aliases.champion)
    if (found and found.number) != (judged and judged.number):
        raise RegistryError(
            has=f"{aliases.champion} at {found.told if found else 'no version'}, and at "
            f"{judged.told if judged else 'no version'} when the candidate was judged",
            needs="the champion that the candidate was judged beside",
            do="run `evenpatch register` again: it judges beside the present one",
        )


def previous_champion(registry: Registry, aliases: Aliases) -> tuple[Version, Version]:
    """The champion and the version that a rollback goes back to; equal where one was interrupted.

    Raises:
        RegistryError: there is no champion, or none before it.
    """
    champion, previous = registry.aliased(aliases.champion), registry.aliased(aliases.previous)
    if champion is None or previous is None:
        raise RegistryError(
            has=f"{registry.model} with {aliases.champion} at {champion.told if champion else 'no version'} "
            f"and {aliases.previous} at {previous.told if previous else 'no version'}",
            needs="a champion, and the one before it",
            do="a rollback goes one step back and not again; promote with `evenpatch register --run NAME`",
        )
    return champion, previous


def roll_back(registry: Registry, aliases: Aliases, champion: Version, previous: Version, by: str) -> None:
    """Give the alias back to the previous version, and keep none: a rollback cannot be undone by another.

    A command that is run again after it was stopped must not go forward to what was rolled back.
    """
    if previous.number == champion.number:
        logger.info("%s is at %s already: an earlier command was stopped", aliases.champion, champion.told)
    else:
        name = f" by {by}" if by else ""
        words = f"{now().isoformat()}{name}, to version {previous.number}"
        _still(registry, aliases, champion)
        registry.tag(champion, {ROLLED_BACK: words})
        registry.point(aliases.champion, previous.number)
        logger.info("moved %s back from %s to %s", aliases.champion, champion.told, previous.told)
    registry.drop(aliases.previous)
