"""The few figures that a terminal has room for: wga.json, for `dvc metrics show` and `dvc exp show`."""

import math

from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.report.sources import Sources
from pipeline.results.tested import rule_of


def headline(sources: Sources) -> dict[str, object]:
    """Worst-group accuracy on the test patients, at the report's main threshold, of every method.

    Returns:
        `wga`: by algorithm, without what other decision rules make of it; empty where nobody was tested.
        `groups_judged`: over how many groups it is the worst, those with enough test patches and patients.
    """
    if sources.main is None:
        return {"groups_judged": 0, "wga": {}}
    groups = sources.boards[sources.main].methods[0].groups
    return {
        "groups_judged": sum(math.isfinite(group.estimate) for group in groups),
        "wga": {
            method.algorithm: finite_or(round(method.figures["wga"].estimate, 3), NOT_ESTIMABLE)
            for method in sources.boards[sources.main].methods
            if rule_of(method.algorithm) is None
        },
    }
