"""The repository checks itself: every shipped YAML loads, and DVC knows each stage's code."""

import ast
import re
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import grimp
import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc_render.vega_templates import TEMPLATES
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from models.algorithms.parts.two_stage import AbstractTwoStage
from models.algorithms.registry import ALGORITHMS, candidates
from models.data.attributes import tissue_histogram
from models.groups import GroupLayout, TrainGroups
from pipeline.cli import STAGES
from pipeline.config import CohortFile, load_algorithm, load_cohort, load_stage
from pipeline.owners import OWNERS, owner
from pipeline.published.registry import make_benchmark
from tests.models.conftest import bound

ROOT = Path(__file__).resolve().parent.parent
COHORTS = ("lc25000", "pshg", "phantom", "cmnist", "waterbirds", "celeba", "cifar10c", "bffhq")
"""The shipped ones: users put their own beside them."""


def test_the_shipped_cohorts_are_all_known() -> None:
    assert set(COHORTS) <= {path.stem for path in (ROOT / "configs" / "cohorts").glob("*.yaml")}


def test_every_yaml_of_configs_has_an_owner() -> None:
    files = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    assert files == {*OWNERS, "params"}
    assert {path.stem for path in (ROOT / "configs" / "algorithms").glob("*.yaml")} == set(ALGORITHMS)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("stage", OWNERS)
def test_every_cohort_overlays_every_stage(cohort: str, stage: str) -> None:
    load_stage(ROOT / "configs", cohort, stage, owner(stage))


@pytest.mark.parametrize(
    "cohort", [each for each in COHORTS if load_cohort(ROOT / "configs", each).benchmark]
)
def test_every_benchmark_cohort_has_a_known_layout(cohort: str) -> None:
    found = load_cohort(ROOT / "configs", cohort)
    make_benchmark(found.benchmark or {}, cohort)
    assert found.tile["patch"]["size"] == (found.benchmark or {}).get("side", 28)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_candidate_of_every_algorithm_can_be_made(cohort: str, algorithm: str) -> None:
    # A strong tie, so that the bounds of beta are near their smallest.
    label_N, attribute_N = np.repeat([0, 0, 1, 1], [95, 5, 5, 95]), np.repeat([0, 1, 0, 1], [95, 5, 5, 95])
    groups = TrainGroups(GroupLayout(2, 2), label_N, attribute_N)
    settings = load_algorithm(ROOT / "configs", cohort, algorithm)
    for override in candidates(settings):
        bound(algorithm, {**settings, **override}, groups)


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_cohort_names_every_section(cohort: str) -> None:
    # DVC reports a missing section as a missing parameter: it has to be there, if empty.
    found = yaml.safe_load((ROOT / "configs" / "cohorts" / f"{cohort}.yaml").read_text(encoding="utf-8"))
    required = {field.alias or name for name, field in CohortFile.model_fields.items() if field.is_required()}
    assert required <= set(found)
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
        stages = "yes" if issubclass(kind, AbstractTwoStage) else ""
        assert told[name] == [sees, "yes" if kind.additive else "no", stages], name


def dvc_stages() -> Mapping[str, Mapping[str, Any]]:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("patching", "models", "pipeline")


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_depends_on_everything_a_stage_imports(stage: str, imports: grimp.ImportGraph) -> None:
    deps = [PurePosixPath(dep) for dep in dvc_stages()[stage]["deps"]]
    module, _ = STAGES[stage]
    missing = []
    for name in sorted({module, *imports.find_upstream_modules(module)}):
        file = Path(*name.split(".")).with_suffix(".py")
        path = PurePosixPath(file if (ROOT / file).is_file() else file.with_suffix("") / "__init__.py")
        if (ROOT / path).stat().st_size and not any(path.is_relative_to(dep) for dep in deps):
            missing.append(str(path))
    assert not missing


@pytest.mark.parametrize("stage", dvc_stages())
def test_dvc_runs_the_verb_of_the_stage(stage: str) -> None:
    assert stage in STAGES
    assert dvc_stages()[stage]["cmd"].startswith(f"evenpatch {stage} ")


def test_dvc_has_the_template_of_every_plot() -> None:
    shipped = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / ".dvc" / "plots").iterdir()}
    plots = [
        plot for stage in dvc_stages().values() for each in stage.get("plots", ()) for plot in each.values()
    ]
    assert {plot["template"] for plot in plots} <= {*shipped, *(each.DEFAULT_NAME for each in TEMPLATES)}
    columns = tissue_histogram(pd.DataFrame({"label": [0], "tissue_fraction": [0.5]}), bins=2).columns
    assert set(re.findall(r"datum\.(\w+)", shipped["tissue_by_label"])) == set(columns)


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
    for package in ("patching", "models", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], path


LONGEST_FUNCTION, LONGEST_MODULE = 60, 250
# Longer already: every trained model depends on their code, and a few lines are not worth a training.
LONGER = {
    "models/metrics/intervals.py": 254,
    "models/training/loop.py": 251,
}


@pytest.mark.parametrize("package", ["patching", "models", "pipeline"])
def test_functions_and_modules_are_short(package: str) -> None:
    too_long: dict[str, int] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGER.get(name, LONGEST_MODULE):
            too_long[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    too_long[f"{name}:{node.name}"] = lines
    assert not too_long
