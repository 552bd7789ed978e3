"""Settings: overlays, unknown keys, environment variables, and the errors they give."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt

from patching.errors import ConfigError
from pipeline.config import (
    Settings,
    expanded,
    load_algorithm,
    load_cohort,
    load_stage,
    load_yaml,
    merged,
    validated,
)


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
