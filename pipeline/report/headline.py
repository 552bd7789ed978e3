"""The few figures that a terminal has room for: wga.json, for `dvc metrics show` and `dvc exp show`."""

from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.report.sources import Sources
from pipeline.results.tested import rule_of


def headline(sources: Sources) -> dict[str, dict[str, float | str]]:
    """Worst-group accuracy on the test patients, at the report's main threshold, of every method.

    Returns:
        `wga`: by algorithm, without what other decision rules make of it; empty where nobody was tested.
    """
    if sources.main is None:
        return {"wga": {}}
    return {
        "wga": {
            method.algorithm: finite_or(round(method.figures["wga"].estimate, 3), NOT_ESTIMABLE)
            for method in sources.boards[sources.main].methods
            if rule_of(method.algorithm) is None
        }
    }
