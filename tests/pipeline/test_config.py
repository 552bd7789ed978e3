"""Settings: overlays, unknown keys, environment variables, and the errors they give."""

import re
from contextlib import suppress
from pathlib import Path
from typing import get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from patching.errors import ConfigError
from pipeline.config import (
    Settings,
    expanded,
    load_algorithm,
    load_cohort,
    load_stage,
    validated,
)
from pipeline.defaults import layers, merged
from pipeline.verbs import VERBS
from pipeline.yaml_file import load_yaml


class Example(Settings):
    """Two settings."""

    size: PositiveInt = 3
    inner: int = 0


def test_an_unknown_key_is_named_with_its_value() -> None:
    with pytest.raises(ConfigError, match=r"here\.yaml: sise = 4: Extra inputs are not permitted") as caught:
        validated(Example, {"sise": 4}, "here.yaml")
    assert "size, inner" in caught.value.needs


class Outer(Settings):
    """Settings inside settings."""

    examples: dict[str, Example] = Field(default_factory=dict)
    maybe: Example | None = None
    plain: int = Field(default=0, alias="register")


@pytest.mark.parametrize(
    ("model", "content", "told"),
    [
        (Example, {"sise": 4}, r"sise = 4: .* \(did you mean size\?\)"),
        (Outer, {"examples": {"one": {"iner": 4}}}, r"examples\.one\.iner = 4: .* \(did you mean inner\?\)"),
        (Outer, {"maybe": {"iner": 4}}, r"maybe\.iner = 4: .* \(did you mean inner\?\)"),
        (Outer, {"registr": 4}, r"registr = 4: .* \(did you mean register\?\)"),
        (Example, {"zzz": 4}, r"zzz = 4: Extra inputs are not permitted$"),
    ],
)
def test_the_key_that_was_meant_is_suggested(
    model: type[BaseModel], content: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(model, content, "here.yaml")
    assert re.search(told, caught.value.has)


def test_a_wrong_value_is_named_with_its_rule() -> None:
    with pytest.raises(ConfigError, match=r"size = -1: Input should be greater than 0"):
        validated(Example, {"size": -1}, "here.yaml")


def test_a_missing_file_lists_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match="one") as caught:
        load_yaml(tmp_path / "two.yaml")
    assert "two.yaml" in caught.value.has


@pytest.mark.parametrize(
    ("text", "told"), [("a: [", "expected"), ("- a", "list"), ("a: !!python/object:x {}", "tag")]
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_yaml(path)


@pytest.mark.parametrize("content", [b"description: 0.5 \xb5m", b"description: 2026-13-01"])
def test_other_bytes_than_utf_8_and_no_dates_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.yaml: "):
        load_yaml(path)


def test_an_empty_file_has_no_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_yaml(tmp_path / "empty.yaml") == {}


def test_nested_mappings_merge_and_lists_replace() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 5}
    assert merged(base, {"a": {"c": 3}, "d": [9]}) == {"a": {"b": 1, "c": 3}, "d": [9], "e": 5}
    assert base["a"] == {"b": 1, "c": 2}


LEAVES = st.dictionaries(st.text(max_size=3), st.integers())


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.recursive(LEAVES, lambda inner: st.dictionaries(st.text(max_size=3), inner)))
def test_merging_with_nothing_changes_nothing(content: dict[str, object]) -> None:
    assert merged(content, {}) == content
    assert merged({}, content) == content
    assert merged(content, content) == content


def test_variables_come_from_the_environment_or_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENPATCH_NOWHERE", raising=False)
    assert expanded("$(EVENPATCH_NOWHERE:-../here)/slides.csv") == "../here/slides.csv"
    monkeypatch.setenv("EVENPATCH_NOWHERE", "there")
    assert expanded("$(EVENPATCH_NOWHERE:-../here)/slides.csv") == "there/slides.csv"
    monkeypatch.delenv("EVENPATCH_NOWHERE")
    with pytest.raises(ConfigError, match="EVENPATCH_NOWHERE"):
        expanded("$(EVENPATCH_NOWHERE)/slides.csv")


def write_cohort(configs: Path, **content: object) -> None:
    (configs / "cohorts").mkdir(exist_ok=True)
    content = {"manifest": "a.csv", "description": "Mine.", "algorithms": {}} | content
    (configs / "cohorts" / "mine.yaml").write_text(yaml.safe_dump(content))


def test_a_stage_without_a_section_has_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text("size: 5\n")
    write_cohort(tmp_path)
    assert load_stage(tmp_path, "mine", "example", Example) == Example(size=5)
    write_cohort(tmp_path, example={"inner": 2})
    assert load_stage(tmp_path, "mine", "example", Example) == Example(size=5, inner=2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"example": 3}, "example = 3: Input should be a valid dictionary"),
        ({"algorithms": None}, "algorithms = None"),
        ({"benchmark": {}}, "only one of them"),
        ({"manifest": None}, "only one of them"),
    ],
)
def test_what_is_no_cohort_is_told(tmp_path: Path, content: dict[str, object], told: str) -> None:
    write_cohort(tmp_path, **content)
    with pytest.raises(ConfigError, match=told):
        load_cohort(tmp_path, "mine")


def test_what_a_cohort_sets_its_candidates_do_not_change(tmp_path: Path) -> None:
    (tmp_path / "algorithms").mkdir()
    (tmp_path / "algorithms" / "gerne.yaml").write_text(
        "c: 0.5\nbeta: 1.0\ncandidates: [{beta: 1.0}, {beta: 1.5}, {beta: 1.0, c: 1.0}]\n"
    )
    for section, expected in (
        ({}, [{"beta": 1.0}, {"beta": 1.5}, {"beta": 1.0, "c": 1.0}]),
        ({"beta": 0.25}, [{}, {"c": 1.0}]),
        ({"beta": 0.25, "c": 1.0}, [{}]),
        ({"beta": 0.25, "candidates": [{"beta": 2.0}]}, [{"beta": 2.0}]),
    ):
        write_cohort(tmp_path, algorithms={"gerne": section})
        settings = load_algorithm(tmp_path, "mine", "gerne")
        assert settings["candidates"] == expected
        assert settings["beta"] == section.get("beta", 1.0)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Defaults of an installed evenpatch: `example`, the algorithm `gerne` and the cohort `theirs`."""
    configs = tmp_path / "shipped" / "configs"
    (configs / "algorithms").mkdir(parents=True)
    (configs / "example.yaml").write_text("size: 5\ninner: 2\n")
    (configs / "algorithms" / "gerne.yaml").write_text(
        "c: 0.5\nbeta: 1.0\ncandidates: [{beta: 1.0}, {beta: 1.5}]\n"
    )
    write_cohort(configs, description="Shipped.")
    (configs / "cohorts" / "mine.yaml").rename(configs / "cohorts" / "theirs.yaml")
    monkeypatch.setattr("pipeline.defaults.shipped", lambda: configs.parent)
    return configs


def test_a_projects_file_holds_only_what_differs(shipped: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_cohort(project, example={"inner": 3})
    assert load_stage(project, "mine", "example", Example) == Example(size=5, inner=3)
    (project / "example.yaml").write_text("size: 7\n")
    assert load_stage(project, "mine", "example", Example) == Example(size=7, inner=3)
    assert load_stage(project, "theirs", "example", Example) == Example(size=7, inner=2)
    (project / "example.yaml").write_text("# as shipped\n")
    assert load_stage(project, "mine", "example", Example) == Example(size=5, inner=3)
    (project / "example.yaml").write_text("sise: 7\n")
    with pytest.raises(
        ConfigError, match=re.escape(f"{project / 'example.yaml'} with cohort mine: sise = 7")
    ):
        load_stage(project, "mine", "example", Example)


def test_what_is_taken_out_of_a_mapping_is_gone(shipped: Path, tmp_path: Path) -> None:
    (shipped / "outer.yaml").write_text("examples: {low: {size: 1}, high: {size: 9}}\nregister: 4\n")
    project = tmp_path / "project"
    project.mkdir()
    write_cohort(project, outer={"examples": {"higher": {"inner": 1}}})
    (project / "outer.yaml").write_text("examples: {low: {inner: 5}, higher: {size: 8}}\n")
    settings = load_stage(project, "mine", "outer", Outer).model_dump()
    assert settings["examples"] == {"low": {"size": 3, "inner": 5}, "higher": {"size": 8, "inner": 1}}
    assert settings["plain"] == 4


@pytest.mark.parametrize("verb", [name for name, each in VERBS.items() if each.settings])
def test_of_a_group_written_out_in_part_the_rest_is_the_default_or_asked_for(
    verb: str, repository: Path
) -> None:
    # Otherwise a project's own `label: {tau: 0.3}` would change, without a word, what it does not name.
    model, content = VERBS[verb].settings_model(), load_yaml(repository / "configs" / f"{verb}.yaml")
    content = merged(content, {"patch": {"mpp": 0.5}} if verb == "tile" else {})
    free = [name for name, field in model.model_fields.items() if get_origin(field.annotation) is dict]
    whole = model.model_validate(content)
    for name, group in content.items():
        for key in group if isinstance(group, dict) and name not in free else ():
            part = content | {name: {each: value for each, value in group.items() if each != key}}
            with suppress(ValidationError):
                assert model.model_validate(part) == whole, (name, key)


def test_a_projects_cohort_is_whole(shipped: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "cohorts").mkdir(parents=True)
    assert load_cohort(project, "theirs").description == "Shipped."
    (project / "cohorts" / "theirs.yaml").write_text("description: Ours.\nalgorithms: {}\n")
    with pytest.raises(ConfigError, match="give manifest"):
        load_cohort(project, "theirs")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("c: 1.0", [{"beta": 1.0}, {"beta": 1.5}]),
        ("beta: 0.25", [{}]),
        ("beta: 0.25\ncandidates: [{beta: 0.5}]", [{"beta": 0.5}]),
    ],
)
def test_what_a_project_sets_shipped_candidates_do_not_change(
    own: str, expected: list[dict[str, float]], shipped: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "algorithms").mkdir(parents=True)
    write_cohort(project)
    (project / "algorithms" / "gerne.yaml").write_text(own)
    settings = load_algorithm(project, "mine", "gerne")
    assert settings == {"c": 0.5, "beta": 1.0} | yaml.safe_load(own) | {"candidates": expected}


def test_a_name_that_nobody_has_is_told_with_those_of_both(shipped: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_cohort(project)
    with pytest.raises(ConfigError) as caught:
        load_cohort(project, "ours")
    assert caught.value.has == f"no file {project / 'cohorts' / 'ours.yaml'}"
    assert caught.value.needs == (
        f"one of those in {project / 'cohorts'}: mine; or of those that evenpatch ships: theirs"
    )


def test_in_the_repository_the_defaults_are_its_own_files(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    for configs in (Path("configs"), repository / "configs"):
        assert layers(configs, "tile") == [configs / "tile.yaml"]
        with pytest.raises(ConfigError) as caught:
            layers(configs, "cohorts/nobody")
        assert caught.value.needs.startswith(f"one of those in {configs / 'cohorts'}: bffhq, ")
        assert "ships" not in caught.value.needs
