"""The results table as JSON: unrounded figures, and what stands behind each."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.metrics.along_attribute import sizes_of
from models.metrics.intervals import Interval
from pipeline.results.figures import FAMILY, Contrast, Method, Scoreboard
from pipeline.results.verdict import interval_record
from pipeline.tables.operating import operating_content


def record_of(cohort: str, boards: Sequence[Scoreboard]) -> dict[str, Any]:
    """Content of table.json. Figures that are not estimable say so: JSON has no NaN."""
    return {"cohort": cohort, "sections": [_scoreboard(board) for board in boards]}


def _scoreboard(board: Scoreboard) -> dict[str, Any]:
    return {
        "source": board.source,
        "threshold": board.threshold,
        "tissue_fraction_above": board.value,
        "tissue_fraction_above_range": None if board.above is None else list(board.above),
        "patients": board.patients,
        "patients_per_class": dict(zip(board.layout.classes, board.patients_K, strict=True)),
        "patches": board.patches,
        "groups": {size.name: size.patches for size in board.sizes},
        "settings": board.settings.model_dump(),
        "methods": [_method(board, method) for method in board.methods],
        "differences": [_contrast(board, contrast) for contrast in board.contrasts],
        "exploratory": [_figures(board, contrast) for contrast in board.beside],
        "corrected_for": board.family,
        "absent": list(board.absent),
        "remarks": list(board.remarks),
    }


def _method(board: Scoreboard, method: Method) -> dict[str, Any]:
    runs = method.pool.runs
    content: dict[str, Any] = {
        "algorithm": method.algorithm,
        "name": method.name,
        "runs": [run.name for run in runs],
        "seeds": list(method.pool.seeds),
        "trials": list(method.pool.trials),
        "selection": runs[0].shared.get("selection"),
        "figures": {key: interval_record(interval) for key, interval in method.figures.items()},
        "groups": _named(board.layout.names, method.groups),
        "strata": _named(board.layout.attributes if method.strata else (), method.strata),
    }
    if method.operating:
        content["operating"] = operating_content(board, method)
    if board.bins is not None:
        places = zip(board.bins.places, method.bins, *sizes_of(method.statistics["bins"]), strict=True)
        content["tissue_bins"] = [
            {"class": board.layout.classes[label], "from": low, "to": high}
            | {"patches": float(patches), "patients": int(patients), **interval_record(interval)}
            for (label, low, high), interval, patches, patients in places
        ]
        content["slopes"] = _named(board.layout.classes, method.slopes)
    return content


def _contrast(board: Scoreboard, contrast: Contrast) -> dict[str, Any]:
    content = _figures(board, contrast)
    content["figures"][FAMILY]["exploratory"] = False
    return content | {"primary": contrast.primary, "verdict": contrast.verdict}


def _figures(board: Scoreboard, contrast: Contrast) -> dict[str, Any]:
    """A difference without its verdict."""
    return {
        "candidate": contrast.candidate.algorithm,
        "reference": contrast.reference.algorithm,
        "figures": {
            key: interval_record(interval) | {"reading": contrast.readings[key], "exploratory": True}
            for key, interval in contrast.figures.items()
        },
        "strata": _named(board.layout.attributes if contrast.strata else (), contrast.strata),
    }


def _named(names: Sequence[str], intervals: Sequence[Interval]) -> dict[str, Mapping[str, Any]]:
    return {name: interval_record(interval) for name, interval in zip(names, intervals, strict=True)}
