"""Many patients: who has which slides, from which site, and the processes that draw them."""

import csv
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting
from pydantic import model_validator

from patching.geometry import Size
from patching.workers import end_with_parent
from pipeline.config import Settings
from pipeline.files import replacing
from pipeline.phantoms.anatomy import Patient, make_anatomy
from pipeline.phantoms.fields import Frame
from pipeline.phantoms.layout import Layout, make_layout
from pipeline.phantoms.optics import CHANNELS, Detector, expose, signals
from pipeline.phantoms.texture import textures
from pipeline.phantoms.writer import write_outlines, write_slide

COLUMNS = ("slide_id", "patient_id", "image", "channels", "annotation", "site")
_SITES = {"north": 1.0, "south": 1.15, "west": 0.87}
_SCANNERS = ("first", "second")
_TINTED = CHANNELS.index("TPEF")
_OF_SCANNER = 100  # of a random stream of its own; a patient's slides have those from 1 on
_SHARE = Annotated[float, Setting(ge=0, le=1)]


class PhantomSettings(Settings):
    """configs/phantom.yaml."""

    seed: int = Setting(ge=0)
    """Everything random follows from it."""
    patients: int = Setting(ge=1, le=10_000)
    slides_per_patient: tuple[Annotated[int, Setting(ge=1, le=20)], ...] = Setting(min_length=1)
    """Dealt to the patients in turn: (1, 1, 2) gives every third patient two slides."""
    size: tuple[Annotated[int, Setting(ge=256, le=20_000)], Annotated[int, Setting(ge=256, le=20_000)]]
    """Width and height in level-0 pixels."""
    mpp: float = Setting(ge=0.1, le=2)
    """µm per level-0 pixel."""
    tie: _SHARE
    """0: tissue area says nothing about the label; 1: it says everything."""
    difficulty: _SHARE
    """0: the classes' cell textures are far apart; 1: they are the same."""
    territory_um: float = Setting(ge=16, le=1000)
    """Side of the squares that get one tissue coverage each; about the patch's extent."""
    tumor_share: tuple[_SHARE, _SHARE]
    """Lowest and highest share of the specimen that is tumor."""
    background: float = Setting(ge=0, le=0.5)
    """Share of the slide outside the specimen."""
    photons: float = Setting(gt=0, le=10_000)
    """Mean photons per pixel of a full signal; fewer is noisier."""
    read_noise: float = Setting(ge=0, le=1000)
    """Standard deviation of the detector's noise, in counts."""
    illumination: float = Setting(ge=0, le=0.9)
    """Largest loss of light towards the corners."""
    variation: float = Setting(ge=0, le=0.5)
    """Standard deviation between patients of the logarithm of gain and of nuclear size (a third of it)."""
    scanner_gain: float = Setting(ge=1, le=4)
    """Factor of a second scanner on TPEF, a tint; 1: there is one scanner, and no column of it."""
    scanner_tie: _SHARE
    """With two scanners: 0: they say nothing of the label; 1: patients with much tumor have the second."""
    workers: int = Setting(ge=1, le=64)
    """Processes; the bytes do not depend on it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of slides.csv."""
        return (*COLUMNS, "scanner") if self.scanner_gain > 1 else COLUMNS

    @model_validator(mode="after")
    def _in_order(self) -> "PhantomSettings":
        low, high = self.tumor_share
        if not 0.05 <= low <= high <= 0.9:
            raise ValueError(f"tumor_share {low}, {high} must rise and lie in 0.05 to 0.9")
        return self


@dataclass(frozen=True)
class Slide:
    """One slide to draw."""

    patient: int
    number: int

    @property
    def patient_id(self) -> str:
        return f"P{self.patient:03d}"

    @property
    def slide_id(self) -> str:
        return f"{self.patient_id}-{self.number + 1}"

    @property
    def site(self) -> str:
        return tuple(_SITES)[self.patient % len(_SITES)]

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of slides.csv, in the order of COLUMNS."""
        image, annotation = f"slides/{self.slide_id}.ome.tif", f"annotations/{self.slide_id}.geojson"
        return self.slide_id, self.patient_id, image, ";".join(CHANNELS), annotation, self.site


@dataclass(frozen=True)
class Drawing:
    """A simulated slide and the truth about it."""

    counts_CHW: NDArray[np.uint16]
    tissue_HW: NDArray[np.bool_]
    layout: Layout


def slides_of(settings: PhantomSettings) -> list[Slide]:
    """Every slide of the cohort, in order."""
    dealt = settings.slides_per_patient
    return [
        Slide(patient, number)
        for patient in range(settings.patients)
        for number in range(dealt[patient % len(dealt)])
    ]


def scanner_of(settings: PhantomSettings, patient: int) -> str:
    """Which scanner a patient's slides come from; the second one tints them."""
    if settings.scanner_gain == 1:
        return _SCANNERS[0]
    as_tied = _random(settings.seed, patient, _OF_SCANNER).random() < (1 + settings.scanner_tie) / 2
    return _SCANNERS[_has_much_tumor(patient) == as_tied]


def _has_much_tumor(patient: int) -> bool:
    return patient % 2 == 1


def _cells(settings: PhantomSettings, slide: Slide) -> tuple[str, ...]:
    """A slide's line of slides.csv, in the order of its columns."""
    return (*slide.row, scanner_of(settings, slide.patient))[: len(settings.columns)]


def _tumor_share(rng: np.random.Generator, settings: PhantomSettings, slide: Slide) -> float:
    """With two scanners, patients with little tumor have the lower half of the range, others the upper."""
    low, high = settings.tumor_share
    if settings.scanner_gain > 1:
        middle = (low + high) / 2
        low, high = (middle, high) if _has_much_tumor(slide.patient) else (low, middle)
    return rng.uniform(low, high)


def draw(settings: PhantomSettings, slide: Slide) -> Drawing:
    """Simulate one slide; depends on the settings, the patient and the slide's number only."""
    frame = Frame(Size(*settings.size), settings.mpp)
    person = _random(settings.seed, slide.patient, 0)
    rng = _random(settings.seed, slide.patient, 1 + slide.number)
    patient = Patient(
        nucleus_scale=float(np.exp(person.normal(0, settings.variation / 3))),
        fiber_angle=person.uniform(0, np.pi),
    )
    gain = np.exp(person.normal(0, settings.variation, len(CHANNELS))) * _SITES[slide.site]
    if scanner_of(settings, slide.patient) == _SCANNERS[1]:
        gain[_TINTED] *= settings.scanner_gain
    layout = make_layout(
        rng,
        frame,
        tie=settings.tie,
        background=settings.background,
        tumor_share=_tumor_share(rng, settings, slide),
        territory_um=settings.territory_um,
    )
    anatomy = make_anatomy(rng, frame, layout, textures(settings.difficulty), patient)
    signal = signals(rng, frame, anatomy, layout.tumor_HW)
    counts = expose(rng, frame, signal, _detector(rng, settings, gain))
    return Drawing(counts, anatomy.tissue_HW, layout)


def _random(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _detector(rng: np.random.Generator, settings: PhantomSettings, gain_C: NDArray[np.float64]) -> Detector:
    return Detector(
        photons=settings.photons,
        counts_per_photon=4.0,
        gain_C=tuple(gain_C.tolist()),
        background=0.03,
        illumination=rng.uniform(0.3, 1) * settings.illumination,
        offset=100.0,
        read_noise=settings.read_noise,
    )


def generate(settings: PhantomSettings, folder: Path, done: Callable[[], None]) -> None:
    """Write slides.csv, slides/ and annotations/ into `folder`, which is replaced as a whole.

    Args:
        settings: the cohort.
        folder: where it goes; an earlier cohort there disappears once the new one is whole.
        done: called after each slide.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for name in ("slides", "annotations"):
        (part / name).mkdir(parents=True)
    for _ in _written(settings, part):
        done()
    with replacing(part / "slides.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(settings.columns)
        rows.writerows(_cells(settings, slide) for slide in slides_of(settings))
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)


def _written(settings: PhantomSettings, folder: Path) -> Iterator[Slide]:
    slides = slides_of(settings)
    if settings.workers == 1:
        for slide in slides:
            yield _write(settings, slide, folder)
        return
    # Forked children would inherit the threads of whoever calls.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(settings.workers, len(slides)), context, end_with_parent) as pool:
        for future in as_completed([pool.submit(_write, settings, slide, folder) for slide in slides]):
            yield future.result()


def _write(settings: PhantomSettings, slide: Slide, folder: Path) -> Slide:
    drawing = draw(settings, slide)
    write_slide(folder / "slides" / f"{slide.slide_id}.ome.tif", drawing.counts_CHW, settings.mpp)
    write_outlines(folder / "annotations" / f"{slide.slide_id}.geojson", drawing.layout.tumor)
    return slide
