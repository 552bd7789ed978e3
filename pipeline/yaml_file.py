"""YAML as people write it: a key is the word that stands there, or is refused.

To YAML 1.1 `Yes`, `No`, `On`, `Off` and `~` are no words, `007` is 7, `12:30` is 750 and `2026-11-30` a date.
As a setting that is told by the setting's own type; as a key it would be lost in a map of names. The four
words are keys as they stand, which is what YAML 1.2 reads, and so DVC; of the others nobody can tell.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from patching.errors import ConfigError

_MEANING = {"null": "nothing", "float": "a number", "timestamp": "a date"}
"""What plain words of these kinds are to YAML."""
_BOOL, _TEXT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")


class _Loader(yaml.SafeLoader):
    """Reads plain values and refuses what is not what it looks like."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written: what it merges from others comes later."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if key.tag == _BOOL:
                key.tag = _TEXT
            kind = key.tag.rpartition(":")[2]
            if kind in _MEANING:
                raise _misread(key, f"as {_MEANING[kind]}, and a key is a name")
            if isinstance(key, yaml.ScalarNode) and (kind, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} twice: the first would be lost", problem_mark=key.start_mark
                )
            seen.add((kind, str(key.value)))
        return node

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """An integer of plain digits; octal, hexadecimal and sexagesimal ones are names that were meant."""
        if not _DECIMAL.fullmatch(node.value):
            raise _misread(node, f"as the number {self.construct_yaml_int(node)}")
        return self.construct_yaml_int(node)

    def refuse_date(self, node: yaml.ScalarNode) -> None:
        """No setting is a date."""
        raise _misread(node, "as a date")


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.refuse_date)


def _misread(node: yaml.ScalarNode, meaning: str) -> yaml.MarkedYAMLError:
    word = node.value or "an empty key"
    return yaml.MarkedYAMLError(
        problem=f'YAML reads {word} {meaning}: quote it, "{node.value}", if it is a name',
        problem_mark=node.start_mark,
    )


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        ConfigError: no such file, not YAML, not a mapping, a key twice, or a word that YAML reads as
            something else than what stands there.
    """
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ConfigError(
            has=f"no file {path}",
            needs=f"one of those in {path.parent}: {known}",
            do="check the name, or write the file",
        )
    try:
        content = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # the second of other bytes than UTF-8
        raise ConfigError(has=f"{path}: {error}", needs="YAML in UTF-8", do="mend what it names") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            has=f"{path} with a {type(content).__name__} at the top",
            needs="a mapping of settings",
            do="write `key: value` lines",
        )
    return content
