"""Nested settings and figures as flat names, the way tables of parameters and metrics need them."""

from collections.abc import Mapping
from typing import Any


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` becomes `{"a.b": 1}`; lists stay values.

    >>> flat({"a": {"b": 1, "c": []}})
    {'a.b': 1, 'a.c': []}
    """
    result: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.")
        else:
            result[name] = value
    return result


def metrics_of(content: Mapping[str, Any]) -> dict[str, float]:
    """metrics.json as metrics by name; figures that are not estimable are left out, never 0.

    >>> metrics_of({"test": {"wga": 0.5, "gba": "not estimable", "intervals": {"wga": {"low": 0.4}}}})
    {'test/wga': 0.5, 'test/wga/low': 0.4}
    """
    return {
        key.replace(".groups.", "/").replace(".intervals.", "/").replace(".", "/"): float(value)
        for key, value in flat(content).items()
        if isinstance(value, int | float)
    }
