"""From anatomy to detector counts: contrast, blur, illumination, shot noise and read noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.phantoms.anatomy import Anatomy
from pipeline.phantoms.fields import Field, Frame, smooth_noise

CHANNELS = ("CARS", "TPEF", "SHG")
# Mean signal of each compartment, the same in both classes, patients and sites.
_TARGETS = {
    "CARS": {"gland": 0.50, "stroma": 0.36, "fat": 1.10},
    "TPEF": {"gland": 0.50, "stroma": 0.34, "fat": 0.10},
    "SHG": {"gland": 0.04, "stroma": 0.55, "fat": 0.06},
}
_BLUR_UM = 0.45


@dataclass(frozen=True)
class Detector:
    """The microscope of one slide."""

    photons: float
    """Mean photons per pixel of a signal of 1; fewer is noisier."""
    counts_per_photon: float
    gain_C: tuple[float, ...]
    """Factor of each channel on the photons: laser power, staining, site."""
    background: float
    """Signal where there is no tissue."""
    illumination: float
    """How much darker the far corner is, 0 to 1."""
    offset: float
    """Counts without light."""
    read_noise: float
    """Standard deviation in counts."""


def signals(rng: np.random.Generator, frame: Frame, anatomy: Anatomy, tumor_HW: NDArray[np.uint8]) -> Field:
    """Noise-free signal [C, H, W], blurred; each compartment's mean is the same in both classes."""
    nucleus, membrane, fiber, droplet = (
        mask / 255.0
        for mask in (anatomy.nucleus_HW, anatomy.membrane_HW, anatomy.fiber_HW, anatomy.droplet_HW)
    )
    grain = 1 + 0.22 * smooth_noise(rng, frame, 1.0) + 0.1 * smooth_noise(rng, frame, 6.0)
    fat = anatomy.fat_HW > 127
    gland = (anatomy.gland_HW > 127) & ~fat
    lipid = 1 + 0.06 * smooth_noise(rng, frame, 4.0)
    cars = np.where(fat, lipid, grain * (1 - 0.62 * nucleus) * (1 + 0.35 * membrane + 0.9 * droplet))
    tpef = np.where(fat, 1.0, grain * (1 - 0.7 * nucleus) + 0.5 * fiber)
    shg = np.where(gland | fat, 1.0, 0.08 + fiber * (1 - 0.8 * nucleus))
    compartments = {"gland": gland, "stroma": ~gland & ~fat, "fat": fat}
    return np.stack(
        [
            _finished(frame, _matched(channel, anatomy.tissue_HW, tumor_HW, compartments, _TARGETS[name]))
            for name, channel in zip(CHANNELS, (cars, tpef, shg), strict=True)
        ]
    )


def _matched(
    signal_HW: Field,
    tissue_HW: NDArray[np.bool_],
    tumor_HW: NDArray[np.uint8],
    compartments: dict[str, NDArray[np.bool_]],
    targets: dict[str, float],
) -> Field:
    """Scale every compartment of either class to its target mean, and clear the background."""
    result = np.zeros_like(signal_HW)
    for name, mask in compartments.items():
        for kind in (0, 1):
            here = mask & tissue_HW & (tumor_HW == kind)
            if here.any():
                result[here] = signal_HW[here] * (targets[name] / signal_HW[here].mean())
    return result


def _finished(frame: Frame, signal_HW: Field) -> Field:
    blurred: Field = ndimage.gaussian_filter(signal_HW, _BLUR_UM / frame.mpp)
    return blurred


def expose(
    rng: np.random.Generator, frame: Frame, signal_CHW: Field, detector: Detector
) -> NDArray[np.uint16]:
    """Detector counts [C, H, W] of a signal."""
    light = _illumination(rng, frame, detector.illumination)
    counts = np.empty(signal_CHW.shape, np.uint16)
    for channel, gain in enumerate(detector.gain_C):
        mean = (signal_CHW[channel] + detector.background) * light * (gain * detector.photons)
        # Rounded means keep the draws equal where processors differ in the last bit.
        photons = rng.poisson(np.round(mean.clip(0) * 64) / 64)
        read = rng.standard_normal(mean.shape) * detector.read_noise
        level = detector.offset + photons * detector.counts_per_photon + read
        counts[channel] = np.round(level.clip(0, 65535)).astype(np.uint16)
    return counts


def _illumination(rng: np.random.Generator, frame: Frame, strength: float) -> Field:
    """Quadratic fall-off from a random brightest point; 1 there, 1 - strength in the farthest corner."""
    height, width = frame.shape
    x0, y0 = rng.uniform(0.3, 0.7, 2)
    x, y = (np.arange(width) + 0.5) / width - x0, (np.arange(height) + 0.5) / height - y0
    square = (y**2)[:, None] + (x**2)[None, :]
    farthest = max(x0, 1 - x0) ** 2 + max(y0, 1 - y0) ** 2
    result: Field = 1 - strength * square / farthest
    return result
