"""The intervention: what models say of the same patch with more or less tissue (evenpatch intervene)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.metrics.intervals import FEW_PATIENTS
from pipeline.files import NOT_ESTIMABLE, file_fingerprint, read_json
from pipeline.look import plots as drawing
from pipeline.look.styles import styles_of
from pipeline.look.uris import data_uri
from pipeline.report.sources import Sources
from pipeline.results.tested import base_of, rule_of
from pipeline.results.verdict import READINGS, SURE, Reading
from pipeline.training.patches import table_fingerprints

_CLEAN = ("normal_added", "normal_removed")
"""Interventions that leave no doubt about the label: without tumor before, without tumor after."""
_PER = 0.1
"""Slopes are told per 10 points of tissue."""
_LEAST = 0.05
"""An intervention that changes less of a patch on average says nothing of 10 points: no slope is told."""


def values(sources: Sources) -> Mapping[str, Any]:
    """The stage's figures, or why there are none to show."""
    missing = _missing(sources)
    if missing:
        return {"missing": missing}
    folder, minimum = sources.evidence.paths.intervene, sources.settings.minimum_test_patients
    content, narrow = _read(folder)
    shown = _shown(content, sources)
    return {
        "missing": "",
        "content": content,
        "arms": content["arms"],
        "clean": _CLEAN,
        "methods": {name: _told(each) for name, each in content["methods"].items()},
        "contrasts": [
            {side: content["methods"][each[side]]["name"] for side in ("candidate", "reference")}
            | {"net": _of_arms(each["net"]["probability"])}
            for each in content["contrasts"]
        ],
        "sentences": sentences(content, sources),
        "picture": drawing.svg_uri(_picture(content, shown)) if shown else None,
        "text": _text(content, shown),
        "strips": {
            name: data_uri("png", (folder / f"{name}.png").read_bytes())
            for name, arm in content["arms"].items()
            if arm["example"] is not None and (folder / f"{name}.png").is_file()
        },
        "few": _patients(content, range(minimum, FEW_PATIENTS)),
        "too_few": _patients(content, range(1, minimum)),
        "minimum": minimum,
        "narrow": [
            f"{content['arms'][name]['title']}, by {100 * content['arms'][name]['moved']:.0f} points"
            for name in narrow
        ],
    }


def _patients(content: Mapping[str, Any], numbers: range) -> list[str]:
    """Interventions of so many patients."""
    arms = content["arms"].values()
    return [f"{arm['title']}: {arm['patients']}" for arm in arms if arm["patients"] in numbers]


def told_of(sources: Sources, algorithm: str) -> str:
    """Whether a method goes by the amount of tissue, in one sentence."""
    if _missing(sources):
        return f"Not tested: `evenpatch intervene --cohort {sources.evidence.paths.cohort}` does."
    methods = _read(sources.evidence.paths.intervene)[0]["methods"]
    if algorithm not in methods:
        return "This method is not among those that were given more and less tissue."
    words = _reliance(methods[algorithm])
    return f"{words[0].upper()}{words[1:]}."


def _read(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """intervene.json, and which interventions are narrow: their slopes are unknown in it."""
    content = read_json(folder / "intervene.json", "intervene")
    narrow = [name for name, arm in content["arms"].items() if 0 < arm["moved"] < _LEAST]
    unknown = dict.fromkeys(("estimate", "low", "high"), NOT_ESTIMABLE) | {"reading": "unknown"}
    kinds = [kind for method in content["methods"].values() for kind in method["slopes"].values()]
    for kind in (*kinds, *(each["net"] for each in content["contrasts"])):
        for slopes in kind.values():
            slopes |= dict.fromkeys(narrow, unknown)
    return content, narrow


def _missing(sources: Sources) -> str:
    """Why the stage's figures cannot be shown; empty where they can."""
    paths = sources.evidence.paths
    path = paths.intervene / "intervene.json"
    if not path.is_file():
        return "The intervention has not been run."
    content = read_json(path, "intervene")
    if content["missing"]:
        return str(content["missing"])
    if content["threshold"] != sources.main:
        return f"The intervention that was run is of models at another threshold, “{content['threshold']}”."
    used, present = dict(content["fingerprints"]), table_fingerprints(paths, content["threshold"])
    runs = [name for name in used if name not in present and (paths.training(name)).is_dir()]
    present |= {name: file_fingerprint([paths.training(name) / "model.safetensors"]) for name in runs}
    changed = sorted(name for name, digest in used.items() if present.get(name) != digest)
    if changed:
        return f"The intervention that was run is of another state: {', '.join(changed)} changed since."
    return ""


def sentences(content: Mapping[str, Any], sources: Sources) -> list[str]:
    """What the slopes say of every plain method shown, and of the candidate beside its reference."""
    plain = [name for name in _shown(content, sources) if rule_of(name) is None]
    primary = sources.terms.judging.primary
    pair = (primary.candidate, primary.reference)
    compared = [each for each in content["contrasts"] if (each["candidate"], each["reference"]) == pair]
    return [
        *(f"{content['methods'][name]['name']}, {_reliance(content['methods'][name])}." for name in plain),
        *(_beside(each, content) for each in compared),
    ]


def _reliance(method: Mapping[str, Any]) -> str:
    """Whether the probability of tumor follows the amount of tissue in patches without tumor."""
    slopes = method["slopes"]["net"]["probability"]
    parts = []
    for arm, adds in zip(_CLEAN, (True, False), strict=True):
        act, slope = f"{'adding' if adds else 'removing'} tissue", slopes[arm]
        if slope["reading"] in ("unknown", "few"):
            parts.append(f"{act}: {READINGS[slope['reading']]}")
        elif slope["reading"] in SURE:
            raises = (slope["estimate"] > 0) == adds
            size = f"{abs(100 * _PER * slope['estimate']):.1f} points for every 10 points of tissue"
            parts.append(f"{act} {'raises' if raises else 'lowers'} its probability of tumor by {size}")
        else:
            parts.append(f"{act} is not shown to change its probability of tumor")
    return f"in patches without tumor: {'; '.join(parts)}"


def _beside(contrast: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """The candidate's slope beside the reference's, in patches without tumor: less only where it is told."""
    first, second = (content["methods"][contrast[side]] for side in ("candidate", "reference"))
    parts = []
    for arm, act in zip(_CLEAN, ("added", "removed"), strict=True):
        slopes = [each["slopes"]["net"]["probability"][arm] for each in (first, second)]
        own, other = (slope["estimate"] for slope in slopes)
        reading: Reading = contrast["net"]["probability"][arm]["reading"]
        if reading in ("unknown", "few"):
            parts.append(f"{READINGS[reading]} where tissue is {act}")
        elif reading not in SURE:
            parts.append(f"not shown to differ where tissue is {act}")
        elif slopes[0]["reading"] in SURE and own * other < 0:
            parts.append(f"the other way where tissue is {act}")
        else:
            parts.append(f"{'less' if abs(own) < abs(other) else 'more'} where tissue is {act}")
    return f"Reliance on the amount, {first['name']} beside {second['name']}: {'; '.join(parts)}."


def _shown(content: Mapping[str, Any], sources: Sources) -> list[str]:
    """Methods of the picture, plain and by rule: primary reference, group resampling, candidate, subject."""
    judging, subject = sources.terms.judging, sources.subject
    few = {judging.primary.reference, "group_resampling", judging.candidate}
    few |= {base_of(subject.run.algorithm)} if subject else set()
    return [name for name in content["methods"] if base_of(name) in few]


def _told(method: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": method["name"],
        **{kind: _of_arms(each["probability"]) for kind, each in method["slopes"].items()},
        "odds": _of_arms(method["slopes"]["net"]["log_odds"]),
    }


def _of_arms(slopes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per 10 points of tissue, with NaN for what is not estimable, as the templates' macros take it."""
    return {
        arm: {
            key: np.nan if slope[key] == NOT_ESTIMABLE else _PER * slope[key]
            for key in ("estimate", "low", "high")
        }
        for arm, slope in slopes.items()
    }


def _text(content: Mapping[str, Any], shown: Sequence[str]) -> str:
    parts = []
    for arm, each in content["arms"].items():
        ends = []
        for name in shown:
            steps = content["methods"][name]["steps"][arm]["area"]
            known = [step for step in steps if step["probability"]["estimate"] != NOT_ESTIMABLE]
            if known:
                first, last = known[0]["probability"]["estimate"], known[-1]["probability"]["estimate"]
                ends.append(
                    f"{content['methods'][name]['name']} from {100 * first:.0f} to {100 * last:.0f} %"
                )
        parts.append(f"{each['title']}: {', '.join(ends) or NOT_ESTIMABLE}")
    return f"Mean probability of tumor from the first step to the last. {'; '.join(parts)}."


def _picture(content: Mapping[str, Any], shown: Sequence[str]) -> bytes:
    """Mean probability against tissue, a column each intervention: plain above, decided by tissue below."""
    rows = [[name for name in shown if (rule_of(name) is None) == plain] for plain in (True, False)]
    rows = [row for row in rows if row]
    arms, styles = content["arms"], styles_of(shown)
    with drawing.canvas(7.4, 0.6 + 2.3 * len(rows), len(rows), len(arms), sharey=True) as (figure, grid):
        for line, row in zip(grid, rows, strict=True):
            for axes, (arm, each) in zip(line, arms.items(), strict=True):
                for name in row:
                    _draw(axes, content["methods"][name], arm, styles[name])
                axes.set_title(each["title"].replace(", ", ",\n"), fontsize=8.5)
                drawing.percent_axis(axes, "y")
            how = "plainly" if rule_of(row[0]) is None else "by tissue"
            line[0].set_ylabel(f"probability of tumor, %\n(decided {how})")
        for axes in grid[-1]:
            axes.set_xlabel("tissue, % of the patch")
        for axes in grid.flat:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        figure.legend(*_handles(grid), loc="outside lower left", ncols=2)
        return drawing.svg(figure, "intervention")


def _handles(grid: Any) -> tuple[list[Any], list[str]]:
    """Of every method once: an intervention without patches draws none of them."""
    pairs = (pair for axes in grid.flat for pair in zip(*axes.get_legend_handles_labels(), strict=True))
    found = {label: handle for handle, label in pairs}
    return list(found.values()), list(found)


def _draw(axes: Any, method: Mapping[str, Any], arm: str, style: Any) -> None:
    steps, control = (method["steps"][arm][kind] for kind in ("area", "control"))
    if not steps:
        return
    at = [step["tissue_fraction"] for step in steps]
    of = {key: _column(steps, key) for key in ("estimate", "low", "high")}
    axes.fill_between(at, of["low"], of["high"], color=style.color, alpha=0.15, linewidth=0)
    axes.plot(at, of["estimate"], label=method["name"], linewidth=1.2, **style.marked(4.5))
    axes.plot(at, _column(control, "estimate"), color=style.color, linewidth=0.9, linestyle=(0, (1, 1.5)))


def _column(steps: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    found = (step["probability"][key] for step in steps)
    return [np.nan if value == NOT_ESTIMABLE else float(value) for value in found]
