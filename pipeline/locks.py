"""What a process writes it has to itself, and what it reads nobody writes meanwhile.

A lock is the operating system's (flock) on a file of its own, and ends with its process, however that ends.
Who holds it is told in a note beside the file, for people to read: one that was left over holds nobody up.
"""

import fcntl
import json
import logging
import math
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from patching.errors import BusyError, ConfigError

logger = logging.getLogger(__name__)

_LOOKS_AGAIN = 0.5  # seconds
_TELLS_AGAIN = 600.0


@dataclass(frozen=True, order=True)
class Claim:
    """One thing that a process wants, and how.

    Attributes:
        file: the lock's, which exists for nothing else and is never removed.
        told: what the lock stands for, in words or as a path.
        alone: to write it; else to read it beside other readers.
    """

    file: Path
    told: str
    alone: bool = True


@contextmanager
def held(claims: Iterable[Claim], verb: str, wait: float | None = None) -> Iterator[None]:
    """Hold all claims while the block lasts.

    Args:
        claims: they are taken in the order of their files, so that no two processes wait for each other.
        verb: what holders are told to be doing.
        wait: seconds, in all, before giving up; None waits until it is this process's turn.

    Raises:
        BusyError: another process still has one of them.
        ConfigError: what is to be written lies where nothing can be.
    """
    until = None if wait is None else time.monotonic() + wait
    with ExitStack() as stack:
        for claim in sorted(claims):
            stack.enter_context(_held(claim, verb, until))
        yield


@contextmanager
def _held(claim: Claim, verb: str, until: float | None) -> Iterator[None]:
    file = _opened(claim)
    if file is None:
        yield
        return
    try:
        _take(file, claim, until)
        with _noted(claim, verb):
            yield
    finally:
        os.close(file)


def _opened(claim: Claim) -> int | None:
    """The lock's file, not handed on to other programs; None where there is nothing to lock.

    Raises:
        ConfigError: nothing can be written there, and that is what the process wants.
    """
    try:
        claim.file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(claim.file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if claim.file.is_file():  # another user's: flock needs no right to write
            return os.open(claim.file, os.O_RDONLY)
        if not claim.alone:  # a folder that cannot be written is not being written
            return None
        raise ConfigError(
            has=f"{claim.file.parent}, in which nothing can be written ({error.strerror})",
            needs="a folder for the outputs",
            do="change the permissions, or choose another folder",
        ) from error


def _take(file: int, claim: Claim, until: float | None) -> None:
    kind, tells = fcntl.LOCK_EX if claim.alone else fcntl.LOCK_SH, time.monotonic()
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            now = time.monotonic()
            left = math.inf if until is None else until - now
            if left <= 0:
                raise _busy(claim) from error
        except OSError as error:  # a network share that is mounted without locks
            logger.warning(
                "%s cannot be locked (%s): see to it that nothing else works on %s meanwhile",
                claim.file,
                error.strerror,
                claim.told,
            )
            return
        if now >= tells:
            logger.warning("waiting for %s, at work on %s", _holders(claim), claim.told)
            tells = now + _TELLS_AGAIN
        time.sleep(min(_LOOKS_AGAIN, left))


def _busy(claim: Claim) -> BusyError:
    return BusyError(
        has=f"{_holders(claim)}, at work on {claim.told}",
        needs=f"{claim.told} {'to itself' if claim.alone else 'that nobody is writing'}",
        do="run the same command again when that has ended, or let it wait (`--wait`)",
    )


@contextmanager
def _noted(claim: Claim, verb: str) -> Iterator[None]:
    """Tell who has the lock; where no note can be written, nobody learns it."""
    note = claim.file.with_name(f"{claim.file.name}@{platform.node()}@{os.getpid()}")
    content = {
        "verb": verb,
        "process": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with suppress(OSError):
        if claim.alone:
            for left_over in _notes(claim):
                left_over.unlink()
        note.write_text(json.dumps(content), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()


def _notes(claim: Claim) -> list[Path]:
    beginning = f"{claim.file.name}@"
    return sorted(path for path in claim.file.parent.iterdir() if path.name.startswith(beginning))


def _holders(claim: Claim) -> str:
    """Those of the lock as a person would name them."""
    found = [told for note in _notes(claim) if (told := _in_words(note))]
    return ", ".join(found) or "another process"


def _in_words(note: Path) -> str:
    """A note's process; empty where that is gone, or the note cannot be read."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        verb, process, host, since = (content[key] for key in ("verb", "process", "host", "since"))
        gone = host == platform.node() and not _runs(process)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "" if gone else f"evenpatch {verb} (process {process} on {host}, since {since})"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
