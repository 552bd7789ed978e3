"""Fixtures that every room's tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browsing import launched
from tests.requiring import skip_slow


def pytest_configure() -> None:
    """A thread for each test process and what it starts: more than there are cores cost several times it."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests run where they are asked for: `.ci/run` does."""
    skip_slow(items, config.option.markexpr)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data(repository: Path) -> Path:
    """Folder of the real cohorts; skips where there is none."""
    named = os.environ.get("EVENPATCH_REAL_DATA")
    folder = Path(named) if named else repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: neither EVENPATCH_REAL_DATA nor {folder.name} beside the repository")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, for tests marked `browser` (tests/browsing.py); skips where there is none."""
    with launched() as found:
        yield found
