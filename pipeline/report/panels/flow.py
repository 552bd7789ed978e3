"""The way of patients, slides and patches from slides.csv to the test, as a diagram and as tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

from pipeline.cohort.flow import Count, Flow, Loss, Part, Steps, flow_of
from pipeline.patch_tables import read_attributes
from pipeline.report.sources import Sources
from pipeline.training.layout import read_layout

WIDTH = 760
_LINE, _PAD, _GAP = 17, 9, 26
_MAIN, _SIDE = (20, 380), (440, 320)
"""Left end and width of the boxes of what is kept, and of what is lost."""
_LETTER = 6.9
"""Widest mean width of a letter at the diagram's font size."""
_ROWS = ("patients", "slides", "patches", "patches without tumor", "patches with tumor")
_NAMES = {"train": "Training", "validation": "Validation", "test": "Test", "tested": "Tested"}


class Step(NamedTuple):
    """A step of the way: what is there, and what was lost just before it."""

    name: str
    kept: Count
    lost: tuple[str, ...]


class Line(NamedTuple):
    """Between two boxes, in pixels of the diagram; with a head at its end, or without."""

    x: float
    y: float
    to_x: float
    to_y: float
    headed: bool = True

    @property
    def head(self) -> str:
        """The head's path, open at its back."""
        x, y = self.to_x, self.to_y
        if self.y == y:
            return f"M{x - 7} {y - 4} L{x} {y} L{x - 7} {y + 4}"
        return f"M{x - 4} {y - 7} L{x} {y} L{x + 4} {y - 7}"


@dataclass(frozen=True)
class Box:
    """A rectangle with lines of text, the first of them bold; pixels of the diagram."""

    x: float
    y: float
    width: float
    lines: tuple[str, ...]

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + 2 * _PAD

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def placed(self) -> list[tuple[float, str]]:
        """The lines with the height of their base lines."""
        return [(self.y + _PAD + _LINE * place + 12.5, line) for place, line in enumerate(self.lines)]


def values(sources: Sources) -> Mapping[str, Any]:
    """The counts, and where the boxes of the diagram lie."""
    flow, groups = flow_shown(sources)
    steps = list(steps_of(flow))
    boxes, lines = diagram(steps, flow, groups)
    return {
        "flow": flow,
        "steps": steps,
        "parts": [*flow.parts, *([flow.tested] if flow.tested else [])],
        "rows": (*_ROWS, *groups),
        "threshold": sources.told_threshold(threshold_shown(sources)),
        "part_names": _NAMES,
        "boxes": boxes,
        "lines": lines,
        "size": (WIDTH, max(box.bottom for box in boxes) + 4),
        "text": told(steps, flow),
    }


def flow_shown(sources: Sources) -> tuple[Flow, tuple[str, ...]]:
    """The flow of the report's cohort to the tested patches of its subject, and the names of the groups."""
    evidence, subject, threshold = sources.evidence, sources.subject, threshold_shown(sources)
    table = read_attributes(evidence.paths, threshold)
    names = read_layout(evidence.paths, threshold).names
    steps = Steps(
        manifest=evidence.listed,
        left_out=evidence.left_out,
        slides=evidence.slides,
        excluded=evidence.excluded,
        tiled=evidence.tiled,
        index=evidence.index,
    )
    tested = None if subject is None else subject.run.patches
    return flow_of(steps, table.set_index("patch_id")["group"], len(names), tested), names


def threshold_shown(sources: Sources) -> str:
    """The threshold whose groups are counted: that of the report's subject."""
    subject = sources.subject
    return sources.evidence.thresholds[0] if subject is None else subject.run.threshold


def steps_of(flow: Flow) -> Iterator[Step]:
    """The steps in their order, without the splits."""
    if flow.listed is not None:
        yield Step("Listed in slides.csv", flow.listed, ())
    yield Step("Slides that can be read", flow.usable, tuple(_lost_before_ingest(flow)))
    yield Step("Patches kept", flow.kept, tuple(_lost_in_tiling(flow)))


def _lost_before_ingest(flow: Flow) -> Iterator[str]:
    left = flow.left_out
    if left is not None:
        slides = f", {_counted(left.slides, 'slide')}" if flow.listed else ""
        yield f"left out by the settings: {_counted(left.patients or 0, 'patient')}{slides}"
    yield from (f"{loss.reason}: {_counted(loss.number, 'slide')}" for loss in flow.unusable)
    if flow.listed is not None and flow.unusable:
        before = (flow.listed.patients or 0) - (0 if left is None else left.patients or 0)
        yield f"patients lost with them: {before - (flow.usable.patients or 0):,}"


def _lost_in_tiling(flow: Flow) -> Iterator[str]:
    yield from (f"{loss.reason}: {_counted(loss.number, 'slide')}" for loss in flow.untiled)
    if flow.empty:
        yield f"without a single patch: {_counted(flow.empty, 'slide')}"
    if flow.places is None:
        yield "places without a patch: not recorded"
        return
    yield f"of {flow.places:,} places of the grid:"
    yield from (f"{loss.reason}: {loss.number:,}" for loss in flow.dropped or (Loss("none dropped", 0),))
    if flow.usable.patients != flow.kept.patients:
        lost = (flow.usable.patients or 0) - (flow.kept.patients or 0)
        yield f"patients lost with them: {lost:,}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def told_count(count: Count) -> str:
    """In words: `12 patients, 14 slides, 5,310 patches`."""
    parts = [
        _counted(number, thing)
        for number, thing in zip(count, ("patient", "slide", "patch"), strict=True)
        if number is not None
    ]
    return ", ".join(parts).replace("patchs", "patches")


def told(steps: Sequence[Step], flow: Flow) -> str:
    """The diagram in sentences, for who does not see it."""
    sentences = [
        f"{step.name}: {told_count(step.kept)}"
        + (f" (before that lost: {'; '.join(step.lost)})" if step.lost else "")
        for step in steps
    ]
    parts = [*flow.parts, *([flow.tested] if flow.tested else [])]
    sentences += [f"{_NAMES[part.name]}: {told_count(part.count)}" for part in parts]
    return "Flow diagram. " + ". ".join(sentences) + "."


def diagram(steps: Sequence[Step], flow: Flow, groups: Sequence[str]) -> tuple[list[Box], list[Line]]:
    """Boxes from top to bottom, what is lost at their right; and the lines between them."""
    boxes: list[Box] = []
    lines: list[Line] = []
    y, above = 2.0, None
    for step in steps:
        if step.lost:
            lost = _box(_SIDE, y, ("Lost", *step.lost))
            boxes.append(lost)
            if above is not None:
                lines.append(Line(above.middle, y + _PAD + 9, lost.x, y + _PAD + 9))
            y = lost.bottom + _GAP / 2
        box = _box(_MAIN, y, (step.name, told_count(step.kept)))
        if above is not None:
            lines.append(Line(above.middle, above.bottom, box.middle, box.y))
        boxes.append(box)
        y, above = box.bottom + _GAP, box
    own = [_split_box(place, y, part, groups) for place, part in enumerate(flow.parts)]
    joint, middle = y - _GAP / 2, boxes[-1].middle
    lines.append(Line(middle, boxes[-1].bottom, middle, joint, headed=False))
    lines.append(Line(own[0].middle, joint, own[-1].middle, joint, headed=False))
    lines += [Line(box.middle, joint, box.middle, box.y) for box in own]
    boxes += own
    if flow.tested is not None:
        last = _tested_box(flow.tested.count, flow.untested, own[-1])
        boxes.append(last)
        lines.append(Line(own[-1].middle, own[-1].bottom, last.middle, last.y))
    return boxes, lines


def _box(place: tuple[int, int], y: float, lines: Sequence[str]) -> Box:
    x, width = place
    most = int((width - 2 * _PAD) / _LETTER)
    return Box(x, y, width, tuple(part for line in lines for part in wrap(line, most) or [""]))


def _split_box(place: int, y: float, part: Part, groups: Sequence[str]) -> Box:
    lines = [_NAMES[part.name], f"{told_count(part.count._replace(patches=None))}", *_patches(part, groups)]
    width = (WIDTH - 2 * 14) // 3
    return _box((place * (width + 14), width), y, lines)


def _patches(part: Part, groups: Sequence[str]) -> Iterator[str]:
    yield f"{part.count.patches:,} patches, {part.labels[1]:,} tumor"
    yield from (f"{name}: {count:,}" for name, count in zip(groups, part.groups, strict=False))


def _tested_box(count: Count, untested: int, above: Box) -> Box:
    lines = ["Tested", told_count(count)]
    lines += [f"without a prediction: {untested:,}"] if untested else []
    return _box((int(above.x), int(above.width)), above.bottom + _GAP, lines)
