"""The simulation's tables, as Markdown."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Cell = Mapping[str, Any]
WAYS = {
    "percentile": "percentile",
    "basic": "basic",
    "BCa": "BCa",
    "expanded": "expanded percentile",
    "t": "Student's t",
}
WORST_WAYS = WAYS | {
    "lowest ends, expanded": "lowest lower and lowest upper end, expanded",
    "lowest ends, upper jointly, expanded": "the same, upper ends jointly",
}
OTHERS_AT = 20
"""Patients of the table of other ways."""


def markdown(results: Mapping[str, Any]) -> str:
    """All tables, each below its title."""
    parts = (
        ("One training", HEAD, (_row(each) for each in results["patients"])),
        ("Uneven patients", HEAD, (_row(each) for each in results["uneven"])),
        ("Effects by group", HEAD, (_row(each) for each in results["apart"])),
        (f"Other ways, {OTHERS_AT} patients", OTHERS_HEAD, _others(results["patients"])),
        ("Several trainings", TRAINED_HEAD, (_trained(each) for each in results["trainings"])),
        ("AUROC", RANKED_HEAD, (_ranked(each) for each in results["ranked"])),
    )
    lines = [f"{results['cohorts']:,} cohorts of each setting and size.", ""]
    for title, head, rows in parts:
        lines += [f"### {title}", "", *_table(head, rows), ""]
    return "\n".join(lines)


HEAD = (
    "Setting", "Patients", "WGA", "by percentiles", "width", "bias", "cross-fitted", "Groups", "jointly",
    "WGA difference", "by percentiles", "width", "“better” / “worse”", "falsely", "Group differences", "GBA",
    "GBA difference",
)  # fmt: skip
OTHERS_HEAD = (
    "Setting", "Way", "WGA", "width", "Groups", "width", "WGA difference", "“better”", "Group differences",
)  # fmt: skip
TRAINED_HEAD = (
    "Setting", "Training SD", "Patients", "Trainings", "WGA", "width", "Groups alone", "WGA difference",
    "width", "Group difference", "GBA", "GBA difference",
)  # fmt: skip
RANKED_HEAD = ("Patients", "AUROC", "width", "Within a value", "Mean within", "width")


def _row(cell: Cell) -> Sequence[str]:
    ours, others, means = cell["ours"], cell["others"], cell["means"]
    change = ours["wga difference"]
    gain = cell["truth"]["first"] - cell["truth"]["second"]
    return (
        cell["setting"],
        str(cell["patients"]),
        _least(ours, ("first wga", "second wga")),
        _number(others["first wga|percentile"]["coverage"]),
        _number(ours["first wga"]["width"]),
        f"{means['plug-in']:+.3f}",
        f"{means['cross-fitted']:+.3f}",
        _least(ours, ("first group ", "second group ")),
        _least(ours, ("first groups jointly", "second groups jointly")),
        _number(change["coverage"]),
        _number(others["wga difference|percentile"]["coverage"]),
        _number(change["width"]),
        f"{_number(change['better'])} / {_number(change['worse'])}",
        _false(change, gain),
        _least(ours, ("group difference",)),
        _least(ours, ("first gba", "second gba")),
        _number(ours["gba difference"]["coverage"]),
    )


def _false(change: Mapping[str, float], gain: float) -> str:
    """The share told to be better, or worse, that is not: the greater one."""
    wrong = ([change["better"]] if gain <= 1e-9 else []) + ([change["worse"]] if gain >= -1e-9 else [])
    return _number(max(wrong))


def _others(cells: Iterable[Cell]) -> Iterator[Sequence[str]]:
    for cell in cells:
        if cell["patients"] != OTHERS_AT:
            continue
        ours, others = cell["ours"], cell["others"]
        for way, title in WORST_WAYS.items():
            groups = {name: record for name, record in others.items() if name.endswith(f"|{way}")}
            change = others.get(f"wga difference|{way}")
            yield (
                cell["setting"],
                title,
                _number(others[f"first wga|{way}"]["coverage"]),
                _number(others[f"first wga|{way}"]["width"]),
                _least(groups, ("first group",)),
                _mean(groups, "first group"),
                _number(change["coverage"]) if change else "",
                _number(change["better"]) if change else "",
                _least(groups, ("group difference",)),
            )
        yield (
            cell["setting"],
            "**shown**",
            _number(ours["first wga"]["coverage"]),
            _number(ours["first wga"]["width"]),
            _least(ours, ("first group ",)),
            _mean(ours, "first group "),
            _number(ours["wga difference"]["coverage"]),
            _number(ours["wga difference"]["better"]),
            _least(ours, ("group difference",)),
        )


def _trained(cell: Cell) -> Sequence[str]:
    ours = cell["ours"]
    return (
        cell["setting"],
        f"{cell['training_sd']:g}",
        str(cell["patients"]),
        str(cell["repeats"]),
        _least(ours, ("first wga", "second wga")),
        _number(ours["first wga"]["width"]),
        _least(ours, ("first group ", "second group ")),
        _number(ours["wga difference"]["coverage"]),
        _number(ours["wga difference"]["width"]),
        _least(ours, ("group difference",)),
        _least(ours, ("first gba", "second gba")),
        _number(ours["gba difference"]["coverage"]),
    )


def _ranked(cell: Cell) -> Sequence[str]:
    figures = cell["figures"]
    return (
        str(cell["patients"]),
        _number(figures["auroc"]["coverage"]),
        _number(figures["auroc"]["width"]),
        _least(figures, ("auroc_0", "auroc_1")),
        _number(figures["auroc_within"]["coverage"]),
        _number(figures["auroc_within"]["width"]),
    )


def _least(records: Mapping[str, Mapping[str, float]], beginnings: Iterable[str]) -> str:
    """The lowest coverage of the figures whose names begin so."""
    starts = tuple(beginnings)
    found = [record["coverage"] for name, record in records.items() if name.startswith(starts)]
    return _number(min(found)) if found else ""


def _mean(records: Mapping[str, Mapping[str, float]], beginning: str) -> str:
    """The mean width of the figures whose names begin so."""
    found = [record["width"] for name, record in records.items() if name.startswith(beginning)]
    return _number(sum(found) / len(found)) if found else ""


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
