"""The repository checks itself: every shipped YAML loads, and DVC knows each stage's code."""

import ast
import re
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import grimp
import numpy as np
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from models.algorithms.registry import ALGORITHMS
from models.groups import GroupLayout, TrainGroups
from models.training.making import candidates, first_stage
from patching.tissue.registry import DETECTORS
from pipeline.config import load_algorithm, load_cohort, load_stage
from pipeline.defaults import shipped_cohorts
from pipeline.published.registry import make_benchmark
from pipeline.report.panels.registry import PANELS
from pipeline.verbs import VERBS
from tests.models.conftest import bound

ROOT = Path(__file__).resolve().parent.parent
COHORTS = (
    "idc",
    "idc-whole",
    "lc25000",
    "pshg",
    "phantom",
    "cmnist",
    "waterbirds",
    "celeba",
    "cifar10c",
    "bffhq",
    "he-qupath",
    "phantom-scanner",
)
"""The shipped ones: users put their own beside them."""
PACKAGES = ("patching", "models", "pipeline")
WITH_SETTINGS = [name for name, verb in VERBS.items() if verb.settings]


def test_the_shipped_cohorts_are_all_known() -> None:
    assert set(COHORTS) == shipped_cohorts()
    assert set(COHORTS) <= {path.stem for path in (ROOT / "configs" / "cohorts").glob("*.yaml")}


def test_every_yaml_of_configs_has_an_owner() -> None:
    files = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    assert files == {*WITH_SETTINGS, "params"}
    assert {path.stem for path in (ROOT / "configs" / "algorithms").glob("*.yaml")} == set(ALGORITHMS)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("stage", WITH_SETTINGS)
def test_every_cohort_overlays_every_stage(cohort: str, stage: str) -> None:
    load_stage(ROOT / "configs", cohort, stage, VERBS[stage].settings_model())


@pytest.mark.parametrize(
    "cohort", [each for each in COHORTS if load_cohort(ROOT / "configs", each).benchmark]
)
def test_every_benchmark_cohort_has_a_known_layout(cohort: str) -> None:
    found = load_cohort(ROOT / "configs", cohort)
    make_benchmark(found.benchmark or {}, cohort)
    assert found.sections["tile"]["patch"]["size"] == (found.benchmark or {}).get("side", 28)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_candidate_of_every_algorithm_can_be_made(cohort: str, algorithm: str) -> None:
    # A strong tie, so that the bounds of beta are near their smallest.
    label_N, attribute_N = np.repeat([0, 0, 1, 1], [95, 5, 5, 95]), np.repeat([0, 1, 0, 1], [95, 5, 5, 95])
    groups = TrainGroups(GroupLayout(2, 2), label_N, attribute_N)
    settings = load_algorithm(ROOT / "configs", cohort, algorithm)
    for override in candidates(settings):
        bound(algorithm, {**settings, **override}, groups)


def sections_of_dvc() -> set[str]:
    """Keys of a cohort's file that dvc.yaml names as parameters, whichever cohort is chosen."""
    params = [each for stage in dvc_stages().values() for each in stage.get("params", ())]
    named = [each.get("configs/cohorts/${cohort}.yaml", ()) for each in params]
    return {key.split(".")[0] for keys in named for key in keys}


def test_dvc_names_the_sections_that_select_asks_for() -> None:
    asked = {name for name, verb in VERBS.items() if verb.needs_section}
    assert asked == sections_of_dvc() - {"manifest", "description", "algorithms"}


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_cohort_names_every_section(cohort: str) -> None:
    # DVC reports a missing section as a missing parameter: it has to be there, if empty.
    found = yaml.safe_load((ROOT / "configs" / "cohorts" / f"{cohort}.yaml").read_text(encoding="utf-8"))
    assert sections_of_dvc() - {"manifest"} <= set(found)
    assert ("manifest" in found) != ("benchmark" in found)
    run = yaml.safe_load((ROOT / "configs" / "params.yaml").read_text(encoding="utf-8"))["algorithms"]
    assert set(run) <= set(found["algorithms"]) <= set(ALGORITHMS)
    assert load_cohort(ROOT / "configs", cohort).description.endswith(".")


@pytest.mark.parametrize(
    "file", sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml"))
)
def test_dvc_can_change_every_parameter_file(file: str, tmp_path: Path) -> None:
    # `dvc exp run -S 'FILE:key=value'` sends the file through OmegaConf.
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / file).read_text(encoding="utf-8"))
    content = yaml.safe_load(copy.read_text(encoding="utf-8"))
    key, value = next((k, v) for k, v in content.items() if isinstance(v, bool | int | float | str))
    apply_overrides(copy, [f"{key}='changed'"])
    assert yaml.safe_load(copy.read_text(encoding="utf-8")) == content | {key: "changed"}
    assert value != "changed"


def test_the_methods_page_tells_what_every_method_sees() -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    told = {
        name: ([cell.strip() for cell in row.split("|")][2:5])
        for row in rows
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    for name, kind in ALGORITHMS.items():
        sees = "groups" if kind.view is TrainGroups else "labels"
        stages = "yes" if first_stage(name, {}) else ""
        assert told[name] == [sees, "yes" if kind.additive else "no", stages], name


@cache
def dvc_stages() -> Mapping[str, Mapping[str, Any]]:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


TABLES = {"models.algorithms.registry": "models/algorithms", "patching.tissue.registry": "patching/tissue"}
"""Tables that no stage depends on, with the folder of their entries: a stage depends on the entry that it is
run with, so that a new entry leaves what others have made as it is."""


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES)


@pytest.fixture(scope="module")
def without_tables(imports: grimp.ImportGraph) -> grimp.ImportGraph:
    graph = deepcopy(imports)
    for table in TABLES:
        graph.remove_module(table)
    return graph


def file_of(module: str) -> str:
    file = Path(*module.split(".")).with_suffix(".py")
    return (file if (ROOT / file).is_file() else file.with_suffix("") / "__init__.py").as_posix()


@cache
def holds_code(path: Path) -> bool:
    """Whether a module is more than its docstring, as the `__init__` of most rooms is not."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    return len(module.body) > (ast.get_docstring(module) is not None)


def needed_by(module: str, graph: grimp.ImportGraph) -> set[str]:
    """The files of all that a module imports, and its own."""
    files = {file_of(each) for each in {module, *graph.find_upstream_modules(module)}}
    return {file for file in files if holds_code(ROOT / file)}


def tables_of(stage: str, graph: grimp.ImportGraph) -> list[str]:
    return sorted(graph.find_upstream_modules(VERBS[stage].module) & set(TABLES))


def literal_of(table: str) -> ast.Dict:
    body = ast.parse((ROOT / file_of(table)).read_text(encoding="utf-8")).body
    (literal,) = [each.value for each in body if isinstance(each, ast.AnnAssign)]
    assert isinstance(literal, ast.Dict)
    return literal


def entries(table: str) -> list[str]:
    """Names of a table, each of a module in its folder."""
    return [ast.literal_eval(key) for key in literal_of(table).keys if key]


@cache
def first_models(algorithm: str) -> frozenset[str]:
    """Algorithms of the first models that a method asks for, with any settings that are shipped."""
    listed = [{}, *(load_algorithm(ROOT / "configs", cohort, algorithm) for cohort in COHORTS)]
    asked = [first_stage(algorithm, {**own, **override}) for own in listed for override in candidates(own)]
    return frozenset(stage.algorithm for stage in asked if stage)


BY_STRING: dict[str, Callable[[str], frozenset[str]]] = {"models.algorithms.registry": first_models}
"""Which entries of the same table an entry names by strings, where some do."""


def needed_by_entry(table: str, name: str, graph: grimp.ImportGraph) -> set[str]:
    """The files of an entry, of what it imports, and of the entries that it names by a string."""
    named = BY_STRING[table](name) if table in BY_STRING else ()
    modules = [f"{table.rpartition('.')[0]}.{each}" for each in (name, *named)]
    return set().union(*(needed_by(module, graph) for module in modules))


def depends_on(deps: list[str], file: str) -> bool:
    return any(PurePosixPath(file).is_relative_to(dep) for dep in deps)


def of_the_entry(stage: str, table: str, name: str) -> list[str]:
    """A stage's dependencies where it is run with this entry."""
    own = re.compile(rf"{TABLES[table]}/\$\{{[\w.]+\}}\.py")
    deps = [own.sub(f"{TABLES[table]}/{name}.py", dep) for dep in dvc_stages()[stage]["deps"]]
    assert f"{TABLES[table]}/{name}.py" in deps, f"{stage} imports {table}, and does not say what it takes"
    return deps


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_depends_on_everything_a_stage_imports(
    stage: str, imports: grimp.ImportGraph, without_tables: grimp.ImportGraph
) -> None:
    deps = dvc_stages()[stage]["deps"]
    assert not [f for f in needed_by(VERBS[stage].module, without_tables) if not depends_on(deps, f)]
    for table in tables_of(stage, imports):
        for name in entries(table):
            found, needed = of_the_entry(stage, table, name), needed_by_entry(table, name, without_tables)
            assert not [file for file in needed if not depends_on(found, file)], name


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_depends_on_the_templates_of_every_page(stage: str, without_tables: grimp.ImportGraph) -> None:
    """They are no modules: `make_environment("pipeline.report")` names the room; look/ has what all share."""
    pages = {
        room
        for file in needed_by(VERBS[stage].module, without_tables)
        for call in re.findall(r"make_environment\(([^)]*)\)\n", (ROOT / file).read_text(encoding="utf-8"))
        for room in re.findall(r'"([\w.]+)"', call)
    }
    rooms = pages | ({"pipeline.look"} if pages else set())
    folders = [f"{room.replace('.', '/')}/templates" for room in rooms]
    assert not [each for each in folders if not depends_on(dvc_stages()[stage]["deps"], each)]


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_depends_on_nothing_else(
    stage: str, imports: grimp.ImportGraph, without_tables: grimp.ImportGraph
) -> None:
    used = needed_by(VERBS[stage].module, without_tables)
    for table in tables_of(stage, imports):
        for name in entries(table):
            # DVC takes no list for each run: what one entry needs of another, all depend on.
            used |= needed_by_entry(table, name, without_tables) - {f"{TABLES[table]}/{name}.py"}
    listed = [
        ROOT / dep for dep in dvc_stages()[stage]["deps"] if dep.startswith(PACKAGES) and "$" not in dep
    ]
    files = {
        file.relative_to(ROOT).as_posix()
        for dep in listed
        for file in ([dep] if dep.is_file() else dep.rglob("*.py"))
    }
    by_path = {"pipeline/tracking/served_entry.py"} if stage == "track" else set()
    assert {file for file in files if holds_code(ROOT / file)} - by_path <= used


def test_dvc_watches_the_settings_that_a_stage_reads(without_tables: grimp.ImportGraph) -> None:
    """By itself, or by an earlier stage, whose outputs it takes; a study no stage runs."""
    reading = re.compile(r'(?:load_stage|stage_mapping)\(\s*[\w.]+,\s*[\w.]+,\s*"(\w+)"')
    watched = {"study"}
    for stage, content in dvc_stages().items():
        watched |= {Path(file).stem for each in content.get("params", ()) for file in each}
        files = needed_by(VERBS[stage].module, without_tables)
        read = {name for file in files for name in reading.findall((ROOT / file).read_text(encoding="utf-8"))}
        assert read <= watched, stage
        assert stage in read | {"track"}, "else this would show nothing"


def test_trainings_alone_look_into_the_table_of_algorithms(imports: grimp.ImportGraph) -> None:
    assert [s for s in dvc_stages() if "models.algorithms.registry" in tables_of(s, imports)] == ["train"]


@pytest.mark.parametrize(("table", "folder"), TABLES.items())
def test_a_table_that_nothing_depends_on_is_a_table_and_nothing_else(table: str, folder: str) -> None:
    """No entry can change what another name means: there are imports, one literal, and functions that hand
    it on; every name is of the module of that name, and importing a module does nothing but define names."""
    body = ast.parse((ROOT / file_of(table)).read_text(encoding="utf-8")).body
    imported = [each for each in body if isinstance(each, ast.ImportFrom)]
    defined = [each for each in body if isinstance(each, ast.FunctionDef)]
    assert [type(e) for e in body if e not in (*imported, *defined)] == [ast.Expr, ast.AnnAssign]
    aliases = [(alias.asname or alias.name, each.module) for each in imported for alias in each.names]
    origin, literal = dict(aliases), literal_of(table)
    assert len(origin) == len(aliases), "no name is imported twice"
    found = {
        name: origin[ast.unparse(value)] for name, value in zip(entries(table), literal.values, strict=True)
    }
    assert found == {name: f"{folder.replace('/', '.')}.{name}" for name in found}
    assert len(found) == len(literal.keys), "no name is listed twice"
    for function in defined:
        call = handed_on(function)
        assert origin[call] not in found.values(), "the logic is in a file that stages depend on"
    for name in found:
        assert not doing_at_import(f"{folder}/{name}.py"), name


def doing_at_import(file: str) -> list[str]:
    """Statements of a module that are no imports, definitions, docstrings, or names given to values."""
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    defining = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
    return [
        ast.unparse(each)
        for each in body
        if not isinstance(each, defining)
        and not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        and not (isinstance(each, ast.Assign) and all(isinstance(name, ast.Name) for name in each.targets))
    ]


def handed_on(function: ast.FunctionDef) -> str:
    """What a function calls that is a docstring and `return name(its own arguments)`."""
    _, only = function.body
    assert isinstance(only, ast.Return)
    assert isinstance(only.value, ast.Call)
    assert isinstance(only.value.func, ast.Name)
    assert all(isinstance(argument, ast.Name) for argument in only.value.args)
    return only.value.func.id


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_selected_detector_is_the_cohorts(cohort: str) -> None:
    params = yaml.safe_load((ROOT / "configs" / "params.yaml").read_text(encoding="utf-8"))
    tile = load_stage(ROOT / "configs", cohort, "tile", VERBS["tile"].settings_model())
    method = tile.model_dump()["tissue"]["method"]
    assert method in DETECTORS
    assert params["cohort"] != cohort or params["detector"] == method


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_runs_the_verb_of_the_stage(stage: str) -> None:
    assert stage in VERBS
    assert dvc_stages()[stage]["cmd"].startswith(f"evenpatch {stage} ")


def test_what_dvc_shows_is_part_of_the_report() -> None:
    # Others would widen the tables of `dvc metrics show` and `dvc exp show` by thousands of characters, and
    # `dvc plots show` draws all but pictures by a script that it fetches.
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert not [name for name, stage in dvc_stages().items() if {"metrics", "plots"} & set(stage)]
    (metrics,) = content["metrics"]
    assert metrics == "outputs/${cohort}/report/wga.json"
    drawn = {panel.name for panel in PANELS if panel.files} & {"curves", "groups"}
    assert {Path(plot).name for plot in content["plots"]} == drawn
    assert {Path(plot).parent.as_posix() for plot in content["plots"]} == {"outputs/${cohort}/report"}


def test_the_constraints_pin_the_whole_environment() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines if line.strip()}
    assert all(str(requirement.specifier).startswith("==") for requirement in pinned.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    waiting = [(Requirement(line), {""}) for line in direct]
    seen: set[str] = set()
    while waiting:
        requirement, extras = waiting.pop()
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
        if name in seen or not wanted:
            continue
        seen.add(name)
        assert name in pinned, f"{name} is installed but not pinned"
        assert metadata.version(name).split("+")[0] in pinned[name].specifier
        waiting += [(Requirement(line), {"", *requirement.extras}) for line in metadata.requires(name) or []]


def test_no_code_can_load_a_pickle() -> None:
    forbidden = ("import pickle", "torch.load(", "joblib", "allow_pickle=True", "yaml.load(")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], path


LONGEST_FUNCTION, LONGEST_MODULE = 60, 250


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_and_modules_are_short(package: str) -> None:
    too_long: dict[str, int] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGEST_MODULE:
            too_long[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    too_long[f"{name}:{node.name}"] = lines
    assert not too_long
