"""Tests that are skipped where a machine lacks what they take, or nobody asked for them."""

import os

import pytest

REQUIRE = "EVENPATCH_REQUIRE"
"""Environment variable: markers, parted by commas, whose tests must run."""
SLOW = "slow"


def required(marker: str) -> bool:
    """Whether the environment asks for the marker's tests."""
    return marker in os.environ.get(REQUIRE, "").split(",")


def lacking(marker: str, reason: str) -> None:
    """Skip a test with the reason; fail where the machine was told to have what it takes."""
    if required(marker):
        pytest.fail(f"{reason}, and {REQUIRE} asks for {marker}")
    pytest.skip(reason)


def skip_slow(items: list[pytest.Item], markers: str) -> None:
    """Skip what is marked as slow, with the way to run it.

    Args:
        items: what was collected.
        markers: pytest's `-m`, which may ask for it as well.
    """
    if required(SLOW) or SLOW in markers:
        return
    skipped = pytest.mark.skip(reason=f"over ten seconds: make test-all, or {REQUIRE}={SLOW}")
    for item in items:
        if item.get_closest_marker(SLOW):
            item.add_marker(skipped)
