"""Draw docs/images/house.svg from the contracts in pyproject.toml: `make house`."""

import tomllib
from pathlib import Path
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "house.svg"
WIDTHS = {"pipeline": 580, "models": 236, "patching": 412}
WORDS = {
    "pipeline": "files, settings, figures, MLflow",
    "models": "patches to a classifier",
    "patching": "slides to patches",
    "pipeline.cli": "evenpatch VERB",
    "pipeline.stages": "a thin file a verb",
    "pipeline.verbs": "one row a verb; read by cli and select alone",
    "pipeline.deployment": "models to new slides",
    "pipeline.projects": "a new project's files",
    "pipeline.tracking": "the one door to MLflow",
    "pipeline.report": "one offline page",
    "pipeline.experiments": "study, tune, sweep",
    "pipeline.intervention": "test patches with tissue removed or added, and what models then say",
    "pipeline.tables": "figures as text, HTML, JSON",
    "pipeline.explain": "patches under the lens",
    "pipeline.checks": "what verify finds",
    "pipeline.cards": "models and data in words",
    "pipeline.results": "the engine: from predictions to figures with intervals",
    "pipeline.training": "what trainings get",
    "pipeline.cohort": "what was tiled",
    "pipeline.phantoms": "synthetic slides",
    "pipeline.published": "benchmarks",
    "pipeline.look": "charts, pages, pictures",
    "pipeline.config": "settings: defaults, overlaid by project and cohort",
    "pipeline.provenance": "where it comes from",
    "pipeline.artifacts": "every path",
    "pipeline.files": "whole or not at all",
    "pipeline.locks": "one writer, or readers",
    "pipeline.patch_tables": "patches, checked",
    "pipeline.workspace": "where paths lead",
    "pipeline.flattening": "nested to flat",
    "pipeline.defaults": "what is shipped",
    "pipeline.yaml_file": "YAML as people write it",
    "models.training": "one loop for all methods",
    "models.algorithms": "a file a method, and parts/",
    "models.metrics": "groups, intervals",
    "models.decisions": "rules, calibration",
    "models.networks": "backbones, heads, checkpoints",
    "models.data": "patches, splits, augmentation",
    "models.groups": "label, attribute",
    "models.determinism": "seeds",
    "patching.tiling": "plan, cut, publish",
    "patching.tissue": "a file a detector, and parts/",
    "patching.pictures": "overlays, sheets",
    "patching.annotations": "outlines, masks, labels",
    "patching.manifest": "slides.csv",
    "patching.digests": "fingerprints of files",
    "patching.readers": "a slide of any format",
    "patching.store": "patches in zarr",
    "patching.damage": "broken files",
    "patching.disk_space": "before tiling",
    "patching.workers": "end with parent",
    "patching.numbers": "from text",
    "patching.survey": "a slide before it is cut",
    "patching.tissue_area": "exact fractions",
    "patching.jpeg_stream": "JPEG in TIFF",
    "patching.grid": "where patches lie",
    "patching.resample": "averages over areas",
    "patching.geometry": "Location, Size, Mpp",
    "patching.sealing": "checksums in JSON",
    "patching.errors": "has, needs, do",
}
"""What a room is for, in as few words as fit."""
RULE = (
    "Floors import those below, never above; rooms of one floor do not know each other. White: a single file."
)
INK, GRAY, BLUE = "#1d2730", "#5d6b78", "#0b5a83"
FONT = 'font-family="Helvetica, Arial, sans-serif" role="img"'
TIP = f'<path d="M0 0L8 4L0 8z" fill="{GRAY}"/>'
SIZE = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"'
ARROW = f'<defs><marker id="a" {SIZE}>{TIP}</marker></defs>'
FLOOR, GAP, TOP, LEFT, AISLE, PAD = 46, 6, 64, 12, 34, 12


def contracts() -> list[dict[str, Any]]:
    """The contracts of import-linter, as pyproject.toml has them."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = content["tool"]["importlinter"]["contracts"]
    return found


def floors(layers: list[str]) -> list[list[str]]:
    """The rooms of every floor, from the top; `|` stands between rooms of one floor."""
    return [[room.strip(" ()") for room in layer.replace(":", "|").split("|")] for layer in layers]


def text(x: float, y: float, words: str, size: int, color: str = INK, bold: bool = False) -> str:
    """One line of text."""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{weight} fill="{color}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, color: str = GRAY) -> str:
    """A rounded rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" '
        f'stroke="{color}" stroke-width="1.2"/>'
    )


def room(x: float, y: float, width: float, name: str) -> list[str]:
    """A package, or in white a single file, with what it is for."""
    package, _, short = name.rpartition(".")
    is_file = (ROOT / package / f"{short}.py").is_file()
    drawn = [box(x, y, width, FLOOR - GAP, "#ffffff" if is_file else "#e8f1f6", GRAY if is_file else BLUE)]
    if name not in WORDS:
        return [*drawn, text(x + 9, y + 25, short, 13, bold=True)]
    return [
        *drawn,
        text(x + 9, y + 17, short, 13, bold=True),
        text(x + 9, y + 32, WORDS[name], 11, "#3c4955"),
    ]


def building(x: float, package: str, storeys: list[list[str]], floors_beside: int) -> list[str]:
    """A package: its floors, standing on the same ground as the highest building beside it."""
    width = WIDTHS[package]
    roof = TOP + (floors_beside - len(storeys)) * FLOOR
    drawn = [box(x, roof - 52, width, 52 + len(storeys) * FLOOR + PAD - GAP, "#f3f6f8")]
    drawn += [text(x + PAD, roof - 29, package, 17, bold=True)]
    drawn += [text(x + PAD, roof - 12, WORDS[package], 12, GRAY)]
    for number, rooms in enumerate(storeys):
        wide = (width - 2 * PAD + GAP) / len(rooms)
        for place, name in enumerate(rooms):
            drawn += room(x + PAD + place * wide, roof + number * FLOOR, wide - GAP, f"{package}.{name}")
    return drawn


def draw() -> str:
    """The picture, as SVG."""
    found = contracts()
    inside = {each["containers"][0]: floors(each["layers"]) for each in found if "containers" in each}
    order = next(each["layers"] for each in found if each["type"] == "layers" and "containers" not in each)
    highest = max(map(len, inside.values()))
    ground, x, drawn = TOP + highest * FLOOR + PAD - GAP, float(LEFT), []
    for number, package in enumerate(order):
        drawn += building(x, package, inside[package], highest)
        x += WIDTHS[package] + AISLE
        if number + 1 < len(order):
            start, end, y = x - AISLE + 2, x - 3, ground - 40
            drawn.append(
                f'<path d="M{start:g} {y:g}H{end:g}" stroke="{GRAY}" stroke-width="2" marker-end="url(#a)"/>'
            )
    rules = [each["name"] for each in found if each["type"] != "layers"]
    told = [RULE, *wrap("Checked as well: " + "  ·  ".join(rules), width=200, drop_whitespace=False)]
    drawn += [text(LEFT, ground + 26 + 17 * n, line, 12, "#3c4955") for n, line in enumerate(told)]
    width, height = x - AISLE + LEFT, ground + 26 + 17 * len(told)
    label = f'aria-label="The house: {" imports ".join(order)}, and the floors of each"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {FONT} {label}>',
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        ARROW,
    ]
    return "\n".join([*head, *drawn, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
