"""What is known of the tiling once the slides were checked: told once, and not hours later slide by slide."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from patching.annotations.base import OTHERS, Classes, Kind, deciding_name
from patching.annotations.mask import names_values
from patching.annotations.mask_file import SMALL
from patching.annotations.registry import outline_classes, value_classes
from patching.errors import AnnotationError, EvenpatchError, SlideError
from patching.manifest import SlideRow
from patching.tiling.examination import Examined
from pipeline.config import Context, load_cohort, stage_mapping, validated

logger = logging.getLogger(__name__)
_NAMED = 3
_SHOWN = 10
_Found = TypeVar("_Found")


class Patch(BaseModel):
    """Of `tile.patch` what slides have to fit to."""

    mpp: float | None = None


class Tiling(BaseModel):
    """Of the tile stage's settings what can be told before it runs."""

    patch: Patch = Patch()
    classes: Classes = {}


def tell_foreseen(context: Context, tiling: Tiling, examined: Sequence[Examined]) -> set[str]:
    """Say in the log what outlines are called and what that means, and where tiling will stop.

    Returns:
        the slides that tiling will exclude, as far as that is known.
    """
    without = _tell_pixel_sizes(examined, tiling.patch.mpp)
    own = load_cohort(context.configs, context.cohort).sections.get("tile", {}).get("classes", {})
    rows = [slide.row for slide in examined]
    return without | tell_annotations(rows, tiling.classes, [str(name) for name in own])


def load_tiling(context: Context) -> Tiling:
    """The part of the tile stage's settings.

    Raises:
        ConfigError: a class of the map that is no name, or means nothing.
    """
    return validated(Tiling, stage_mapping(context.configs, context.cohort, "tile"), "configs/tile.yaml")


def _tell_pixel_sizes(examined: Sequence[Examined], wanted: float | None) -> set[str]:
    without = [slide.row.slide_id for slide in examined if slide.mpp is None and wanted is not None]
    if without:
        logger.warning(
            "%d of %d slides (%s) have no pixel size, which patches of `mpp: %g` need, so that tiling will "
            "exclude them: fill the column mpp, set `ingest.mpp`, or give `tile.patch.downsample` instead of "
            "`mpp`",
            len(without),
            len(examined),
            _listed(without),
            wanted,
        )
    return set(without)


def tell_annotations(
    rows: Sequence[SlideRow],
    classes: Mapping[str, Kind],
    own: Sequence[str],
    *,
    key: str = "tile.classes",
    step: str = "tiling",
) -> set[str]:
    """Say in the log what the map makes of outlines and masks, once for all slides.

    Args:
        rows: the slides.
        classes: the whole map.
        own: names that the user's file maps.
        key: where that map stands.
        step: what goes by it.

    Returns:
        the slides that this step will exclude, as far as that is known.
    """
    told = _Told(key, step, {})
    without = _tell_classes(rows, classes, own, told) | _tell_masks(rows, classes, told)
    told.unreadable()
    return without | told.broken.keys()


class _Told(NamedTuple):
    """How the map and the step that goes by it are called, and which annotations cannot be read."""

    key: str
    step: str
    broken: dict[str, EvenpatchError]
    """By slide_id."""

    def unreadable(self) -> None:
        """Warn of annotations that cannot be read."""
        for slide, error in list(self.broken.items())[:_SHOWN]:
            logger.warning(
                "%s: its annotation cannot be read (%s): %s will exclude this slide",
                *(slide, error.in_one_line, self.step),
            )
        if (more := len(self.broken) - _SHOWN) > 0:
            logger.warning("so it is with %d annotations more: %s will exclude their slides", more, self.step)

    def without(self, what: str, slides: Sequence[str], hint: str = "") -> None:
        """Warn of what the map lacks."""
        logger.warning(
            "%s on %d slides (%s), which `%s` does not map%s: %s will exclude these slides",
            what,
            len(slides),
            _listed(slides),
            self.key,
            hint,
            self.step,
        )


def _tell_classes(
    rows: Sequence[SlideRow], classes: Mapping[str, Kind], own: Sequence[str], told: _Told
) -> set[str]:
    """What the map makes of outlines, which classes it lacks, on which slides, and which it names in vain."""
    found, slides_of = Counter[tuple[str, Kind | None]](), defaultdict[str, list[str]](list)
    for row, known in _each(rows, partial(outline_classes, classes=classes), told.broken):
        found += known
        for name, kind in known:
            if kind is None:
                slides_of[name].append(row.slide_id)
    if not found:
        return set()
    explained = [(name, kind, count) for (name, kind), count in found.most_common() if kind is not None]
    if explained:
        meanings = [
            f"{name!r} is {_meaning(name, kind, classes)} ({count})" for name, kind, count in explained
        ]
        logger.info("classes of outlines: %s", _listed(meanings, _SHOWN))
    for name, slides in list(slides_of.items())[:_SHOWN]:
        told.without(f"outlines of the class {name!r}", slides, _like(name, classes))
    names = {name for name, _ in found}
    in_vain = [each for each in own if each != OTHERS and not each.isdecimal() and not _occurs(each, names)]
    for each in in_vain[:_SHOWN]:
        logger.warning("`%s` maps %r, and no outline is called so%s", told.key, each, _like(each, names))
    return set(chain.from_iterable(slides_of.values()))


def _tell_masks(rows: Sequence[SlideRow], classes: Mapping[str, Kind], told: _Told) -> set[str]:
    """What each value of masks is read as, and where that is a guess; the slides with values not mapped."""
    slides_of = defaultdict[tuple[int, Kind | None], list[str]](list)
    several, unread = list[str](), 0
    for row, kinds in _each(rows, partial(value_classes, classes=classes), told.broken):
        unread += kinds is None
        for value, kind in (kinds or {}).items():
            slides_of[value, kind].append(row.slide_id)
        if sum(kind == "tumor" for kind in (kinds or {}).values()) > 1:
            several.append(row.slide_id)
    ordered = [(*key, slides_of[key]) for key in sorted(slides_of, key=itemgetter(0))]
    known = [(value, kind, ids) for value, kind, ids in ordered if kind]
    unnamed = "" if names_values(classes) else f", as `{told.key}` names no value"
    if known:
        meanings = [f"{value} is {kind} ({len(ids)} slides)" for value, kind, ids in known]
        logger.info("values of masks: %s%s", _listed(meanings, _SHOWN), unnamed)
    if several and unnamed:
        tumor = [str(value) for value, kind, _ in known if kind == "tumor"]
        logger.warning(
            "masks of %d slides (%s) have several values that all count as tumor (%s)%s; write what each "
            "means, as `classes: {0: normal, 1: tumor, 255: ignore}`",
            len(several),
            _listed(several),
            _listed(tumor, _SHOWN),
            unnamed,
        )
    lacking = [(value, ids) for value, kind, ids in ordered if kind is None]
    for value, ids in lacking[:_SHOWN]:
        told.without(f"the value {value} of masks", ids)
    if unread:
        logger.info(
            "%d masks of more than %d million pixels are not read twice: %s tells of their values",
            *(unread, SMALL // 10**6, told.step),
        )
    return {slide for _, ids in lacking for slide in ids}


def _each(
    rows: Sequence[SlideRow], read: Callable[[Path], _Found], broken: dict[str, EvenpatchError]
) -> Iterator[tuple[SlideRow, _Found]]:
    """What is read of every annotation; the errors of those that cannot be read are added to `broken`."""
    for row in rows:
        if row.annotation is None:
            continue
        try:
            found = read(row.annotation)
        except (AnnotationError, SlideError) as error:
            broken[row.slide_id] = error
            continue
        yield row, found


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
