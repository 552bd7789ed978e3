"""Read a published benchmark as a cohort: data/<cohort>/ as the stages from ingest to attribute leave it.

Its images become patches, one store per split; splits, labels and attributes are those published. Written are
patches/ with index.parquet, splits.csv, attributes/tables/given.parquet, attributes/groups.json and
cohort/slides.csv. Then `evenpatch train --cohort NAME --threshold given`. Every image is a patient of its
own, and has no tissue fraction. An import that was interrupted starts over.
"""

import argparse
import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from models.data.attributes import cramers_v
from models.data.splitting import SPLITS, TRAIN
from models.groups import conditional_distribution
from patching.errors import ConfigError, ManifestError
from patching.readers.base import RGB
from patching.store.reading import PatchStore, PatchTable, StoreAttributes
from patching.store.writing import write_store
from pipeline.artifacts import INDEX, SLIDES, Paths
from pipeline.cohort.index import patch_index
from pipeline.config import Context, expanded, load_cohort
from pipeline.files import replacing, write_json, write_parquet
from pipeline.published.base import Benchmark, Images, ImageSet, required
from pipeline.published.registry import make_benchmark
from pipeline.training.layout import GIVEN, NamedLayout, write_attributes
from pipeline.workspace import located

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cohort says which benchmark, and where it lies."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Read the benchmark, and write what training and evaluation read.

    Raises:
        ConfigError: the cohort has no `benchmark`, a text one, or a wrong setting of it.
        MissingFileError: a file of the benchmark is not there.
        ManifestError: its tables or arrays are not as published.
        UnreadableSlideError: an image is damaged.
        EmptyGroupError: a class without training images.
        DiskSpaceError: the disk is full.
    """
    paths, origin = context.paths, str(context.configs / "cohorts" / f"{context.cohort}.yaml")
    section = load_cohort(context.configs, context.cohort).benchmark
    if section is None:
        raise ConfigError(
            has=f"{origin} without `benchmark`",
            needs="layout and folder of a published benchmark",
            do=f"run `evenpatch ingest --cohort {context.cohort}` for slides, or add the section",
        )
    settings = make_benchmark(section, origin)
    folder = required(
        located(expanded(settings.folder), paths.root),
        "the benchmark's files",
        "see docs/benchmark-cohorts.md",
    )
    benchmark = settings.load(folder)
    figures = association(benchmark)
    # Tables of an earlier import must not outlive one that failed, nor what ingest told of slides.csv.
    summary = paths.ingested / "summary.json"
    for path in (paths.index, paths.splits, paths.attribute_table(GIVEN), summary):
        path.unlink(missing_ok=True)
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
    stores = [_stored(paths, split, benchmark, digest) for split in SPLITS]
    _write_tables(paths, benchmark, stores, settings.folder)
    write_json(paths.groups, {"thresholds": {GIVEN: figures}})
    for split in SPLITS:
        count_G = benchmark.splits[split].counts(benchmark.layout).ravel()
        numbers = count_G.sum(), count_G.size, benchmark.attribute_name, count_G.min(), count_G.max()
        logger.info("%s: %d images; %d groups by class and %s, of %d to %d", split, *numbers)


def association(benchmark: Benchmark) -> dict[str, Any]:
    """Entry of groups.json, as of a threshold without value: names, counts, p(a|y) and Cramér's V by split.

    Raises:
        EmptyGroupError: a class without training images.
    """
    counts = {split: benchmark.splits[split].counts(benchmark.layout) for split in SPLITS}
    whole = {split: counts_KA.sum(axis=1).all() for split, counts_KA in counts.items()}
    alpha_KA = conditional_distribution(counts[TRAIN])
    listed = {split: counts_KA.tolist() for split, counts_KA in counts.items()}
    strength = {split: cramers_v(counts_KA) for split, counts_KA in counts.items()}
    return {
        "how": f"{benchmark.attribute_name}, given with the images",
        "classes": list(benchmark.classes),
        "attributes": list(benchmark.attributes),
        "group_names": list(NamedLayout(benchmark.classes, benchmark.attributes).names),
        "counts": listed,
        "patients": listed,
        "alpha": alpha_KA.tolist(),
        "p_attribute": {
            split: conditional_distribution(counts[split]).tolist() if whole[split] else None
            for split in SPLITS
        },
        "cramers_v": {split: None if np.isnan(value) else value for split, value in strength.items()},
    }


def _stored(paths: Paths, split: str, benchmark: Benchmark, digest: str) -> PatchStore:
    """Write a split's store: its images side by side, as if they were cut from one strip."""
    images, side = benchmark.splits[split], benchmark.side
    count = len(images)
    unknown_N = np.full(count, np.nan)
    table = PatchTable(
        np.column_stack([side * np.arange(count), np.zeros(count, np.int64)]),
        tissue_fraction_N=unknown_N,
        tumor_fraction_N=unknown_N,
        label_N=images.label_N.astype(np.int8),
        covered_fraction_N=np.ones(count),
    )
    attributes = StoreAttributes(
        slide_id=split,
        fingerprint=digest,
        spec={"size": side, "mpp": None, "downsample": 1.0},
        extent=side,
        stride=side,
        downsample=1.0,
        mpp=None,
        slide_mpp=None,
        slide_size=(side * count, side),
        channels=RGB,
        dtype="uint8",
        brightfield=False,
        tissue_downsample=float(side),
        dropped={},
    )
    path = paths.store(split)
    write_store(path, attributes, table, np.ones((1, count), bool), _checked(images, split, side))
    return PatchStore.open(path)


def _checked(images: ImageSet[Images], split: str, side: int) -> Iterator[NDArray[np.uint8]]:
    rows = track(range(len(images)), f"importing {split}", console=Console(stderr=True), transient=True)
    for row in rows:
        image_HWC = np.asarray(images.images[row])
        if image_HWC.shape != (side, side, len(RGB)) or image_HWC.dtype != np.uint8:
            raise ManifestError(
                has=f"{images.name_N[row]} of shape {image_HWC.shape} and type {image_HWC.dtype}",
                needs=f"RGB images of {side} by {side} pixels in uint8",
                do="see docs/benchmark-cohorts.md for the files",
            )
        yield image_HWC


def _write_tables(paths: Paths, benchmark: Benchmark, stores: list[PatchStore], folder: str) -> None:
    sets = [benchmark.splits[split] for split in SPLITS]
    name_N = np.concatenate([each.name_N for each in sets])
    split_N = np.repeat(SPLITS, [len(each) for each in sets])
    splits = pd.DataFrame({"patient_id": name_N, "split": split_N})
    slides = pd.DataFrame([_slide(store, folder) for store in stores]).reindex(columns=list(SLIDES))
    for path, table in ((paths.splits, splits), (paths.slides, slides)):
        with replacing(path) as part:
            table.to_csv(part, index=False, lineterminator="\n")
    index = patch_index(stores, [""] * len(stores)).assign(patient_id=name_N)
    attribute_N = np.concatenate([each.attribute_N for each in sets])
    attributes = index[["patch_id"]].assign(
        threshold=GIVEN,
        attribute=attribute_N,
        group=benchmark.layout.group(index["label"].to_numpy(), attribute_N),
    )
    with replacing(paths.attribute_table(GIVEN)) as part:
        write_attributes(part, attributes, NamedLayout(benchmark.classes, benchmark.attributes))
    # The index comes last: where it is, the import is whole.
    write_parquet(paths.index, index.astype({"patient_id": "str"})[list(INDEX)])


def _slide(store: PatchStore, folder: str) -> dict[str, Any]:
    attributes = store.attributes
    width, height = attributes.slide_size
    return {
        "slide_id": attributes.slide_id,
        "patient_id": attributes.slide_id,
        "image": folder,
        "channels": ";".join(attributes.channels),
        "split": attributes.slide_id,
        "fingerprint": attributes.fingerprint,
        "width": width,
        "height": height,
        "dtype": attributes.dtype,
    }
