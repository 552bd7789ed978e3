"""What is known of the tiling once the slides were checked: told once, and not hours later slide by slide."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from patching.annotations.base import OTHERS, Classes, Kind, deciding_name
from patching.annotations.registry import outline_classes
from patching.errors import AnnotationError, SlideError
from patching.manifest import SlideRow
from patching.tiling.examination import Examined
from pipeline.config import Context, load_cohort, stage_mapping, validated

logger = logging.getLogger(__name__)
_NAMED = 3
_SHOWN = 10


class Patch(BaseModel):
    """Of `tile.patch` what slides have to fit to."""

    mpp: float | None = None


class Tiling(BaseModel):
    """Of the tile stage's settings what can be told before it runs."""

    patch: Patch = Patch()
    classes: Classes = {}


def tell_foreseen(context: Context, tiling: Tiling, examined: Sequence[Examined]) -> None:
    """Say in the log what outlines are called and what that means, and where tiling will stop."""
    _tell_pixel_sizes(examined, tiling.patch.mpp)
    own = load_cohort(context.configs, context.cohort).sections.get("tile", {}).get("classes", {})
    _tell_classes([slide.row for slide in examined], tiling.classes, [str(name) for name in own])


def load_tiling(context: Context) -> Tiling:
    """The part of the tile stage's settings.

    Raises:
        ConfigError: a class of the map that is no name, or means nothing.
    """
    return validated(Tiling, stage_mapping(context.configs, context.cohort, "tile"), "configs/tile.yaml")


def _tell_pixel_sizes(examined: Sequence[Examined], wanted: float | None) -> None:
    without = [slide.row.slide_id for slide in examined if slide.mpp is None]
    if without and wanted is not None:
        logger.warning(
            "%d of %d slides (%s) have no pixel size, which patches of `mpp: %g` need, so that tiling will "
            "exclude them: fill the column mpp, set `ingest.mpp`, or give `tile.patch.downsample` instead of "
            "`mpp`",
            len(without),
            len(examined),
            _listed(without),
            wanted,
        )


def _tell_classes(rows: Sequence[SlideRow], classes: Mapping[str, Kind], own: Sequence[str]) -> None:
    """What the map makes of outlines, which classes it lacks, and which it names in vain.

    Args:
        rows: the slides.
        classes: the whole map.
        own: names that the cohort's file maps.
    """
    found, slides_of = Counter[tuple[str, Kind | None]](), defaultdict[str, list[str]](list)
    for row in rows:
        try:
            known = outline_classes(row.annotation, classes) if row.annotation else Counter()
        except (AnnotationError, SlideError):  # of a file that tiling excludes, with the reason
            continue
        found += known
        for name, kind in known:
            if kind is None:
                slides_of[name].append(row.slide_id)
    if not found:
        return
    explained = [(name, kind, count) for (name, kind), count in found.most_common() if kind is not None]
    if explained:
        told = [f"{name!r} is {_meaning(name, kind, classes)} ({count})" for name, kind, count in explained]
        logger.info("classes of outlines: %s", _listed(told, _SHOWN))
    for name, slides in list(slides_of.items())[:_SHOWN]:
        logger.warning(
            "outlines of the class %r on %d slides (%s), which `tile.classes` does not map%s: tiling will "
            "exclude these slides",
            name,
            len(slides),
            _listed(slides),
            _like(name, classes),
        )
    names = {name for name, _ in found}
    in_vain = [key for key in own if key != OTHERS and not key.isdecimal() and not _occurs(key, names)]
    for key in in_vain[:_SHOWN]:
        logger.warning("`tile.classes` maps %r, and no outline is called so%s", key, _like(key, names))


def _meaning(name: str, kind: Kind, classes: Mapping[str, Kind]) -> str:
    if deciding_name([name], classes) is not None:
        return kind
    return f"{kind} by `*`" if classes.get(OTHERS) == kind else f"{kind} as QuPath's own class"


def _occurs(key: str, names: Iterable[str]) -> bool:
    return any(deciding_name([name], {key: key}) for name in names)


def _like(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str], most: int = _NAMED) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
