"""What configs/params.yaml tells DVC of the chosen cohort."""

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from patching.errors import MissingFileError
from pipeline.config import Context, is_generated, load_cohort, slides_manifest


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


def edited(text: str, values: Mapping[str, object]) -> str:
    """A YAML mapping with these values in it, its comments kept."""
    # PyYAML would drop the comments, and ruamel those under a list that is not written on one line.
    editor = YAML()
    editor.indent(mapping=2, sequence=4, offset=2)
    content = editor.load(text)
    for key, value in values.items():
        content[key] = CommentedSeq(value) if isinstance(value, list) else value
        if isinstance(value, list):
            content[key].fa.set_flow_style()
    written = StringIO()
    editor.dump(content, written)
    return written.getvalue()
