"""The stores of the tested slides, before the report shows pictures of them and counts on their patches."""

from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.progress import track

from models.data.splitting import TEST
from patching.errors import StoreError
from patching.store.verify import damaged_shards
from pipeline.report.evidence import Evidence

_NAMED = 5


def require_stores(evidence: Evidence) -> None:
    """Check every byte of the tested slides' patches, of several slides at a time.

    Raises:
        StoreError: some are damaged or missing, so that the figures are of other patches than lie there now.
    """
    index = evidence.index
    slides = index.loc[index["split"] == TEST, "slide_id"].unique()
    with ThreadPoolExecutor() as pool:
        of_slides = pool.map(lambda slide: list(damaged_shards(evidence.paths.store(slide))), slides)
        console = Console(stderr=True)
        shown = track(of_slides, "checking patches", len(slides), console=console, transient=True)
        found = [shard for shards in shown for shard in shards]
    if found:
        raise StoreError(
            has=f"damaged patches of tested slides: {', '.join(found[:_NAMED])}"
            + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""),
            needs="whole patches: the report shows some, and what it says is about all of them",
            do="run `evenpatch verify`, which names all; remove these stores, and run `evenpatch tile` again",
        )
