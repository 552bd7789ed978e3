"""What configs/params.yaml tells DVC of the chosen cohort."""

import os
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from patching.errors import MissingFileError
from pipeline.config import Context, is_generated, load_cohort, slides_manifest

_WIDEST = 10_000
"""Columns: longer lines would be broken."""


def source(context: Context) -> dict[str, object]:
    """What the ingest stage depends on: a generated folder, or a manifest that must exist.

    Raises:
        ConfigError: the cohort is an imported one, or its manifest names a variable that is not set.
        MissingFileError: the manifest of a real cohort does not exist.
    """
    cohort = load_cohort(context.configs, context.cohort)
    manifest = Path(slides_manifest(cohort, context.cohort))
    if is_generated(cohort, context.paths):
        return {"source": manifest.parent.as_posix(), "phantoms": [context.cohort]}
    absolute = context.paths.root / manifest
    if not absolute.is_file():
        raise MissingFileError(
            has=f"no file {manifest}, the manifest of cohort {context.cohort}",
            needs="a slides.csv (README: your own slides)",
            do="correct `manifest` in the cohort's file, or the variable it names",
        )
    return {"source": Path(os.path.normpath(manifest)).as_posix(), "phantoms": []}


def completed(text: str, sections: Iterable[str], algorithms: Iterable[str]) -> str:
    """A cohort's file with empty sections for those of these that it leaves out, as DVC wants them.

    The same text where there are all of them.
    """
    editor = _editor()
    content = editor.load(text)
    missing = [name for name in sections if content.get(name) is None]
    known = content.get("algorithms") or {}
    untold = [name for name in algorithms if known.get(name) is None]
    if not missing and not untold:
        return text
    for name in missing:
        content[name] = {}
    if not known:
        content["algorithms"] = {}
    for name in untold:
        content["algorithms"][name] = {}
    return _written(editor, content)


def edited(text: str, values: Mapping[str, object]) -> str:
    """A YAML mapping with these values in it, its comments kept."""
    editor = _editor()
    content = editor.load(text)
    for key, value in values.items():
        content[key] = CommentedSeq(value) if isinstance(value, list) else value
        if isinstance(value, list):
            content[key].fa.set_flow_style()
    return _written(editor, content)


def _editor() -> YAML:
    # PyYAML would drop the comments, and ruamel those under a list that is not written on one line.
    editor = YAML()
    editor.indent(mapping=2, sequence=4, offset=2)
    # "No" without its quotes would be no name any more.
    editor.preserve_quotes = True
    editor.width = _WIDEST
    return editor


def _written(editor: YAML, content: object) -> str:
    written = StringIO()
    editor.dump(content, written)
    return written.getvalue()
