"""The house: rooms that say what they hold, doors that are checked, and a picture that shows them."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from docs.draw_house import PICTURE, WORDS, contracts, draw, floors
from pipeline.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("patching", "models", "pipeline")
ROOMS = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for each in PACKAGES
    for path in (ROOT / each).rglob("__init__.py")
)
MOST_FILES = 15
# One file a method, a verb, a section of the report.
LISTS = ("models/algorithms", "pipeline/stages", "pipeline/report/panels")
PUBLIC_NAMES = ("patching", "models/metrics")
"""Rooms that hand names on; the others' `__init__` holds nothing but its docstring."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_lives_there_and_what_may_enter(room: str) -> None:
    module = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    lines = [line for line in (ast.get_docstring(module) or "").splitlines() if line]
    assert 3 <= len(lines) <= 5
    assert any(line.startswith("May enter") for line in lines)
    assert (len(module.body) == 1) != (room in PUBLIC_NAMES)


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in LISTS])
def test_no_room_is_an_attic(room: str) -> None:
    assert len([path for path in (ROOT / room).glob("*.py") if path.stem != "__init__"]) <= MOST_FILES


def test_no_imports_go_in_a_circle(imports: grimp.ImportGraph) -> None:
    order = TopologicalSorter(
        {module: imports.find_modules_directly_imported_by(module) for module in imports.modules}
    )
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_stage_is_a_verb_and_stands_alone(imports: grimp.ImportGraph) -> None:
    # The contract's wildcard covers a new stage by its being there.
    assert {"independence": ["pipeline.stages.*"]} in [
        {each["type"]: each.get("modules")} for each in contracts()
    ]
    assert imports.find_children("pipeline.stages") == {verb.module for verb in VERBS.values()}


def test_the_picture_of_the_house_is_that_of_the_contracts() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw(), "run `make house`"
    rooms = {
        f"{package}.{room}"
        for each in contracts()
        for package in each.get("containers", [])
        for floor in floors(each["layers"])
        for room in floor
    }
    assert set(WORDS) <= {*rooms, *PACKAGES}
