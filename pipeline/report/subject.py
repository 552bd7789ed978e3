"""The one model that the report is about, and the figures of it that several parts show, computed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from models.metrics.audit.concentration import Concentration, concentration
from patching.store.reading import PatchStore
from pipeline.artifacts import run_name
from pipeline.patch_tables import read_predictions
from pipeline.report.evidence import Evidence
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.clinical.misses import PlaceFigures, Regions, places_of, regions_of
from pipeline.results.clinical.operating_point import ReliabilityBin, reliability_of
from pipeline.results.clinical.parts import Part, parts_of
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.tested import Tested, base_of


@dataclass(frozen=True)
class Subject:
    """The one model that the report is about (JudgingSettings.subject), among all that were compared.

    Attributes:
        board: of its threshold.
        method: its figures, decided as its own card says; all of its seeds pooled.
        run: the training that single patches are shown of; its patches are decided as the card says, too.
        evidence: of its cohort.
        intervals: minimums, draws and level.
        prevalence: stated share of tumor that predictive values are told for, beside the patches' own.
        inside: tumor fraction from which a tumor patch lies wholly inside its outline.
    """

    board: Scoreboard
    method: Method
    run: Tested
    evidence: Evidence
    intervals: BootstrapSettings
    prevalence: float
    inside: float

    @property
    def training(self) -> str:
        """Name of the training that single patches are shown of."""
        return run_name(base_of(self.run.algorithm), self.run.threshold)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All patches, attribute values and groups; empty without probabilities of two classes."""
        return parts_of(self.method, self.board.told, self.intervals, self.prevalence)

    @cached_property
    def by_value(self) -> Mapping[str, pd.DataFrame]:
        """The shown training's test patches: all of them, and those of every attribute value, by name."""
        rows, names = self.run.patches, self.board.told.attributes
        attribute_N = rows["group"] % len(names)
        return {"all patches": rows} | {name: rows[attribute_N == a] for a, name in enumerate(names)}

    @cached_property
    def reliability(self) -> Mapping[str, tuple[ReliabilityBin, ...]]:
        """Bins of the predicted probability, of the same parts."""
        return {name: reliability_of(rows, self.intervals) for name, rows in self.by_value.items()}

    @cached_property
    def places(self) -> tuple[PlaceFigures, ...] | str:
        """Tumor patches at the border and inside, or why these cannot be told apart, in words."""
        if self.evidence.has_tumor_fractions:
            return places_of(self.method, self.inside, self.intervals)
        if self.evidence.montages:
            return (
                "The slides of this cohort are montages of loose patches, each with one label: how much of a "
                "patch is tumor is not known, so border and inside cannot be told apart."
            )
        return (
            "All tumor patches have the same tumor fraction, as where a label is given for a whole slide or "
            "core: border and inside cannot be told apart."
        )

    @cached_property
    def regions(self) -> Regions | str:
        """Regions of the shown training's tumor patches on annotated slides, or why there are none."""
        evidence = self.evidence
        if evidence.montages:
            return (
                "The slides of this cohort are montages of loose patches: patches that touch there are no "
                "region of a slide, so there is no region to miss."
            )
        outlined = evidence.slides["annotation"].astype("str").fillna("") != ""
        slides = set(evidence.slides.loc[outlined, "slide_id"])
        places = evidence.index[["patch_id", "x", "y", "extent"]]
        patches = self.run.patches.merge(places, on="patch_id", how="left", validate="1:1")
        patches = patches[patches["slide_id"].isin(slides) & (patches["label"] == 1)]
        if patches.empty:
            return (
                "No tested slide with tumor has an outline (labels are of whole slides or cores): there is "
                "no outlined region to miss."
            )
        reach = {str(name): self._reach(str(name)) for name in patches["slide_id"].unique()}
        return regions_of(patches, reach, self.intervals)

    def concentration(self, unit: Literal["patient", "slide"]) -> Concentration:
        """In how few patients or slides half of the errors lie."""
        rows = self.run.patches
        wrong_N = (rows["label"] != rows["prediction"]).to_numpy()
        return concentration(wrong_N, pd.factorize(rows[f"{unit}_id"])[0])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """PREDICTIONS of the shown training's validation and test patches as its card decides; places."""
        folder = self.evidence.paths.evaluation(self.training)
        told = read_predictions(folder)
        index = self.evidence.index.drop(columns=["label", "split"])
        return told.merge(index, on="patch_id", how="left", validate="1:1")

    def _reach(self, slide_id: str) -> float:
        """How far apart neighbors of the slide's grid lie, in level-0 pixels; the grid may leave gaps."""
        about = PatchStore.open(self.evidence.paths.store(slide_id)).attributes
        return float(max(about.stride, about.extent))
