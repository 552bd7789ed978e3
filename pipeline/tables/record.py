"""The results table as JSON: unrounded figures, and what stands behind each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.metrics.intervals import Interval
from pipeline.results.figures import Contrast, Method, Section

UNKNOWN = "not estimable"


def record_of(cohort: str, sections: Sequence[Section]) -> dict[str, Any]:
    """Content of table.json. Figures that are not estimable say so: JSON has no NaN."""
    return {"cohort": cohort, "sections": [_section(section) for section in sections]}


def _section(section: Section) -> dict[str, Any]:
    return {
        "source": section.source,
        "threshold": section.threshold,
        "tissue_fraction_above": section.value,
        "patients": section.patients,
        "patients_per_class": dict(zip(section.layout.classes, section.patients_K, strict=True)),
        "patches": section.patches,
        "groups": dict(zip(section.layout.names, section.counts_G.tolist(), strict=True)),
        "settings": section.settings.model_dump(),
        "methods": [_method(section, method) for method in section.methods],
        "differences": [_contrast(contrast) for contrast in section.contrasts],
        "absent": list(section.absent),
        "remarks": list(section.remarks),
    }


def _method(section: Section, method: Method) -> dict[str, Any]:
    runs = method.pool.runs
    content: dict[str, Any] = {
        "algorithm": method.pool.algorithm,
        "name": method.name,
        "runs": [run.name for run in runs],
        "seeds": list(method.pool.seeds),
        "trials": list(method.pool.trials),
        "selection": runs[0].shared.get("selection"),
        "figures": {key: _interval(interval) for key, interval in method.figures.items()},
        "groups": _named(section.layout.names, method.groups),
    }
    if section.bins is not None:
        places = zip(section.bins.places, method.bins, strict=True)
        content["tissue_bins"] = [
            {"class": section.layout.classes[label], "low": low, "high": high, **_interval(interval)}
            for (label, low, high), interval in places
        ]
        content["slopes"] = _named(section.layout.classes, method.slopes)
    return content


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return {
        "candidate": contrast.candidate.pool.algorithm,
        "reference": contrast.reference.pool.algorithm,
        "figures": {
            key: _interval(interval) | {"reading": contrast.readings[key]}
            for key, interval in contrast.figures.items()
        },
    }


def _named(names: Sequence[str], intervals: Sequence[Interval]) -> dict[str, Mapping[str, Any]]:
    return {name: _interval(interval) for name, interval in zip(names, intervals, strict=True)}


def _interval(interval: Interval) -> dict[str, float | str]:
    keys = ("estimate", "low", "high", "level", "spread", "undefined_share")
    values = ((key, float(getattr(interval, key))) for key in keys)
    return {key: value if math.isfinite(value) else UNKNOWN for key, value in values}
