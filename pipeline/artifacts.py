"""Where every hand-over between stages lies, and which columns its tables have.

Stages know this file and nothing of each other. `patch_id` is the one join key.
"""

import re
from dataclasses import dataclass
from pathlib import Path

SLIDES = (
    "slide_id",
    "patient_id",
    "image",
    "channels",
    "annotation",
    "label",
    "mpp",
    "split",
    "fingerprint",
    "annotation_fingerprint",
    "width",
    "height",
    "dtype",
)
EXCLUDED = ("slide_id", "stage", "error", "reason")
INDEX = (
    "patch_id",
    "slide_id",
    "patient_id",
    "store_row",
    "x",
    "y",
    "extent",
    "tissue_fraction",
    "tissue_area_um2",
    "tumor_fraction",
    "label",
)
SPLITS = ("patient_id", "split")
ATTRIBUTES = ("patch_id", "threshold", "attribute", "group")
PREDICTIONS = ("patch_id", "split", "label", "attribute", "group", "probability", "prediction")


@dataclass(frozen=True)
class Paths:
    """Every file and folder of one cohort, relative to the repository's root."""

    root: Path
    cohort: str

    @property
    def data(self) -> Path:
        return self.root / "data" / self.cohort

    @property
    def outputs(self) -> Path:
        return self.root / "outputs" / self.cohort

    @property
    def raw(self) -> Path:
        """A generated cohort: slides.csv with its images and annotations."""
        return self.data / "raw"

    @property
    def ingested(self) -> Path:
        """Folder of the ingest stage: slides.csv (SLIDES and kept columns), excluded.csv, summary.json."""
        return self.data / "cohort"

    @property
    def slides(self) -> Path:
        return self.ingested / "slides.csv"

    @property
    def ingest_excluded(self) -> Path:
        return self.ingested / "excluded.csv"

    @property
    def patches(self) -> Path:
        """Folder of the tile stage: <slide_id>.zarr, index.parquet (INDEX), excluded.csv, summary.json."""
        return self.data / "patches"

    @property
    def index(self) -> Path:
        return self.patches / "index.parquet"

    @property
    def overlays(self) -> Path:
        """<slide_id>.jpg: thumbnail, tissue, grid, annotation; cohort.html and sheets/ over all of them."""
        return self.data / "overlays"

    @property
    def tile_receipts(self) -> Path:
        """What each patch store was made from, beside the outputs: a resumed run reads it."""
        return self.data / ".tile"

    def store(self, slide_id: str) -> Path:
        return self.patches / f"{slide_id}.zarr"

    @property
    def splits(self) -> Path:
        return self.data / "splits.csv"

    @property
    def attributes(self) -> Path:
        """Folder of the attribute stage: tables/ (`attribute_table`), groups.json, histogram.csv."""
        return self.data / "attributes"

    def attribute_table(self, threshold: str) -> Path:
        """Attribute and group of every patch at one threshold (ATTRIBUTES).

        A file each, so that another threshold's change does not reach the trainings at this one.
        """
        return self.attributes / "tables" / f"{threshold}.parquet"

    @property
    def groups(self) -> Path:
        return self.attributes / "groups.json"

    @property
    def histogram(self) -> Path:
        return self.attributes / "histogram.csv"

    def training(self, run: str) -> Path:
        """Folder of one training: model.safetensors, model.json, history.csv, composition.json, run.json."""
        return self.outputs / "train" / run

    def evaluation(self, run: str) -> Path:
        """Folder of one evaluation: predictions.parquet (PREDICTIONS), metrics.json."""
        return self.outputs / "evaluate" / run

    @property
    def report(self) -> Path:
        return self.outputs / "report" / "report.html"

    @property
    def tracked(self) -> Path:
        """The track stage's receipt: MLflow run and model version of every training."""
        return self.outputs / "track" / "runs.json"

    @property
    def study(self) -> Path:
        """Folder of a repeated cross-validation."""
        return self.outputs / "study"

    def trials(self, verb: str, run: str) -> Path:
        """Folder of a search (tune: docs/tune.md) or of a sweep (sweep: docs/learning-rates.md)."""
        return self.outputs / verb / run

    @property
    def results(self) -> Path:
        """Folder of the compare verb: table.md, table.tex, table.html, table.json."""
        return self.outputs / "compare"


def run_name(algorithm: str, threshold: str, seed: int | None = None) -> str:
    """Name of one training: `gerne-low`; with a seed other than the settings', `gerne-low-s2`."""
    return f"{algorithm}-{threshold}" + ("" if seed is None else f"-s{seed}")


def name_parts(name: str) -> tuple[str, str, int | None]:
    """Algorithm, threshold and seed of a training's name; the seed is None where the name has none.

    >>> name_parts("gerne-low-s2"), name_parts("gerne-low"), name_parts("gerne-s2")
    (('gerne', 'low', 2), ('gerne', 'low', None), ('gerne', 's2', None))
    """
    whole, _, last = name.rpartition("-")
    if "-" not in whole or not re.fullmatch(r"s\d+", last):
        return whole, last, None
    algorithm, _, threshold = whole.rpartition("-")
    return algorithm, threshold, int(last[1:])
