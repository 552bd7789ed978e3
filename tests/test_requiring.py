"""What is skipped, and that continuous integration skips none of it."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from tests.requiring import REQUIRE, skip_slow


class Item:
    """A test as pytest collects it."""

    def __init__(self, *markers: str) -> None:
        self.markers = list(markers)
        self.reasons: list[str] = []

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.markers else None

    def add_marker(self, marker: Any) -> None:
        self.reasons.append(marker.kwargs["reason"])


@pytest.mark.parametrize(
    ("asked", "markers", "skipped"),
    [
        ("", "", True),
        ("browser", "", True),
        ("browser,slow", "", False),
        ("slow", "", False),
        ("", "slow", False),
        ("", "browser", True),
    ],
)
def test_slow_tests_run_where_they_are_asked_for(
    asked: str, markers: str, skipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REQUIRE, asked)
    slow, other = Item("slow", "browser"), Item("browser")
    skip_slow(cast("list[pytest.Item]", [slow, other]), markers)
    assert other.reasons == []
    assert slow.reasons == (["over ten seconds: make test-all, or EVENPATCH_REQUIRE=slow"] if skipped else [])


def test_continuous_integration_asks_for_every_marker_that_may_be_skipped(repository: Path) -> None:
    markers = re.findall(r'^  "(\w+): .*EVENPATCH_REQUIRE', (repository / "pyproject.toml").read_text(), re.M)
    assert sorted(markers) == ["browser", "slow"]
    for file in (".ci/run", "Makefile"):
        (asked,) = re.findall(r"EVENPATCH_REQUIRE=(\S+)", (repository / file).read_text())
        assert sorted(asked.split(",")) == markers
