"""The page of pictures of two runs: which verdicts changed in every group, and how these patches look."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import Paths
from pipeline.look.html import make_environment
from pipeline.look.stored import stored_pictures
from pipeline.provenance import versions
from pipeline.results.figures import Scoreboard
from pipeline.results.terms import Terms
from pipeline.results.tested import Tested
from pipeline.tables.flips import BROKEN, MENDED, chosen_flips, flips_of, paired_patches

PAGE = "pictures.html"
MOST = 4
"""Pictures of every group and way at most."""
_SIDE = 160


def pictures_page(
    paths: Paths,
    pair: tuple[Tested, Tested],
    board: Scoreboard,
    terms: Terms,
    description: str,
    called: Callable[[str], str],
) -> str:
    """The page, complete in itself.

    Args:
        paths: of the cohort; its stored patches are read.
        pair: from the first to the second.
        board: that both are on.
        terms: with the names to print.
        description: of the cohort.
        called: the name to print of a patch, by its id.
    """
    first, second = (as_decided(run, board) for run in pair)
    both = paired_patches(first, second)
    groups = flips_of(both, board.layout.groups, board.settings)
    chosen = chosen_flips(both, MOST)
    drawn = stored_pictures(_stores(paths, chosen), chosen, _SIDE)
    return (
        make_environment("pipeline.tables")
        .get_template("pictures.html")
        .render(
            scripts=(),
            cohort=paths.cohort,
            description=description,
            names=[_named(run, terms) for run in (first, second)],
            threshold=board.told_threshold,
            level=board.settings.level,
            minimum=board.settings,
            groups=[
                {
                    "title": title,
                    "flips": flips,
                    "ways": _ways(chosen[chosen["group"] == number], drawn.by_patch, called),
                }
                for number, (title, flips) in enumerate(zip(board.told.names, groups, strict=True))
            ],
            total={way: int((both["flip"] == way).sum()) for way in (MENDED, BROKEN)},
            patches=len(both),
            lacking=len(chosen) - len(drawn.by_patch),
            colors=drawn.colors,
            most=MOST,
            version=versions()["evenpatch"],
        )
    )


def as_decided(run: Tested, board: Scoreboard) -> Tested:
    """The run as its own model's card decides."""
    if run.decision is None:
        return run
    own = [each for each in board.methods if each.algorithm == run.as_decided]
    return next((each for method in own for each in method.pool.runs if each.seed == run.seed), run)


def _named(run: Tested, terms: Terms) -> str:
    return f"{terms.named(run.algorithm)}, seed {run.seed} ({run.name})"


def _stores(paths: Paths, chosen: pd.DataFrame) -> dict[str, Path]:
    """Stores of the slides that have one; predictions of other origin name no slide."""
    slides = chosen["slide_id"].dropna().astype("str").unique()
    return {name: paths.store(name) for name in slides if paths.store(name).exists()}


def _ways(
    rows: pd.DataFrame, by_patch: Mapping[str, Any], called: Callable[[str], str]
) -> Sequence[tuple[str, Sequence[Mapping[Hashable, Any]]]]:
    """Patches of a group by the way of their verdict; probabilities are NaN where runs have none."""
    shown = rows.reindex(columns=rows.columns.union(["probability", "probability_to"], sort=False))
    # Objects, or a patch without a picture would have NaN for it.
    pictures = pd.Series([by_patch.get(name) for name in shown["patch_id"]], shown.index, dtype=object)
    shown = shown.assign(picture=pictures, name=[called(str(patch_id)) for patch_id in shown["patch_id"]])
    return [(way, shown[shown["flip"] == way].to_dict("records")) for way in (BROKEN, MENDED)]
