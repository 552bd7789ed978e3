"""Cohorts as tables, without slides: what tiling would measure of phantoms with one scanner and with two."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CHANNELS = ("cars", "tpef", "shg")
TINT = 1.8
_SIDE, _COLUMNS, _ROWS = 64, 10, 4


def simulated(seed: int, *, scanners: bool, patients: int = 120) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patch index with splits, and slides: tissue goes with tumor, and so does a scanner that tints TPEF.

    Odd patients have much tumor; nine of ten of them have the second scanner, where there are two. Every
    patient has gains of its own, and a site that says nothing. Texture (`spread`) is tumor's own look.
    """
    rng = np.random.default_rng(seed)
    parts, slides = [], []
    for p in range(patients):
        much = p % 2 == 1 if scanners else rng.random() < 0.5
        second = scanners and (rng.random() < 0.9) == much
        gain_C = np.exp(rng.normal(0, 0.1, 3)) * (1, TINT if second else 1, 1)
        share = (0.7 if much else 0.25) if scanners else rng.uniform(0.35, 0.55)
        parts.append(_patches(rng, p, gain_C, share))
        slide: dict[str, object] = {"slide_id": f"s{p}", "patient_id": f"p{p}", "mpp": 0.5, "dtype": "uint16"}
        slide |= {"width": _SIDE * _COLUMNS, "height": _SIDE * _ROWS, "kind": "intensity"}
        slide |= {"site": ("north", "south", "west")[p % 3], "accession": f"A-{p:04}"}
        slides.append(slide | ({"scanner": "second" if second else "first"} if scanners else {}))
    return pd.concat(parts, ignore_index=True), pd.DataFrame(slides)


def _patches(rng: np.random.Generator, p: int, gain_C: NDArray[np.float64], share: float) -> pd.DataFrame:
    n = _COLUMNS * _ROWS
    label_N = (rng.random(n) < share).astype(np.int64)
    dense_N = rng.random(n) < np.where(label_N == 1, 0.85, 0.15)
    tissue_N = np.where(dense_N, rng.uniform(0.6, 1, n), rng.uniform(0.05, 0.5, n))
    place_N = np.arange(n)
    columns = {"patch_id": [f"s{p}@{i}" for i in place_N], "slide_id": f"s{p}", "patient_id": f"p{p}"}
    columns |= {"x": place_N % _COLUMNS * _SIDE, "y": place_N // _COLUMNS * _SIDE, "extent": _SIDE}
    columns |= {"tissue_fraction": tissue_N, "tumor_fraction": label_N.astype(float), "label": label_N}
    for name, gain in zip(CHANNELS, gain_C, strict=True):
        light_N = gain * (0.05 + tissue_N) * np.exp(rng.normal(0, 0.08, n))
        columns[f"quality_mean_{name}"] = 100 * light_N
        columns[f"quality_spread_{name}"] = 50 * light_N * (1 + 0.15 * label_N + rng.normal(0, 0.1, n))
    split = ("train", "train", "validation", "test", "test")[p // 2 % 5]
    return pd.DataFrame(columns | {"split": split})


def predicted(index: pd.DataFrame) -> pd.DataFrame:
    """Test predictions of a linear model on intensities, contrasts and tissue: it takes any shortcut."""
    names = [f"quality_{kind}_{name}" for kind in ("mean", "spread") for name in CHANNELS]
    seen = np.log(index[[*names, "tissue_fraction"]].clip(lower=1e-3).to_numpy())
    training, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(seen[training], index.loc[training, "label"])
    return pd.DataFrame(
        {"patch_id": index.loc[test, "patch_id"].to_numpy(), "prediction": model.predict(seen[test])}
    )
