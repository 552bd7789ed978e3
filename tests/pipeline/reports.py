"""What reports are made of, and panels of them without the rest of the page, which takes seconds."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG

from pipeline.config import Context, load_stage
from pipeline.report.page import body_of, environment_of, shown_panels
from pipeline.report.sources import ReportSettings, Sources, gather


def sources_of(context: Context) -> Sources:
    """What the report of a cohort is made of."""
    return gather(context, load_stage(context.configs, context.cohort, "report", ReportSettings))


def shown(sources: Sources, *names: str) -> str:
    """What stands in these panels of the report, one after the other."""
    environment = environment_of(sources)
    panels = {panel.name: panel for panel in shown_panels(sources)}
    return "\n".join(body_of(environment, panels[name], sources) for name in names)


def panel(page: str, name: str) -> str:
    """A panel of a whole page."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found
    return found[0]


@contextmanager
def undrawn() -> Iterator[None]:
    """Reports with blank plots: laying out and writing them takes half of a report's time."""
    blank = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasSVG, "print_svg", lambda _, target, **__: target.write(blank))
        yield
