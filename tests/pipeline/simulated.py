"""Predictions of made-up methods on made-up patients, for the tests of what is made of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from models.metrics.intervals import PatientSums
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.studied import repeats_of
from pipeline.results.terms import JudgingSettings, PrimarySettings, Terms
from pipeline.results.tested import Tested
from pipeline.training.layout import TISSUE

Run = Tested
"""Under a name that pytest does not take for a test."""
ABOVE = 0.5
EACH = 30


def log_odds(patches: pd.DataFrame, *, skill: float, shortcut: float, seed: int = 0) -> np.ndarray:
    """What a network says: `skill` of the label, `shortcut` of the tissue fraction, and noise."""
    noise_N = np.random.default_rng(seed).normal(0, 1, len(patches))
    return skill * (2 * patches["label"] - 1) + shortcut * (patches["tissue_fraction"] - ABOVE) + noise_N


def cohort(n_patients: int, *, prefix: str = "t", seed: int = 0) -> pd.DataFrame:
    """Patients of EACH patches; with tumor goes much tissue, in five of six patches."""
    rng = np.random.default_rng(seed)
    n = n_patients * EACH
    label_N = rng.permutation(np.arange(n) % 2)
    much_N = np.where(rng.random(n) < 5 / 6, label_N, 1 - label_N)
    tissue_N = np.where(much_N, rng.uniform(ABOVE, 1, n), rng.uniform(0.05, ABOVE, n))
    return pd.DataFrame(
        {
            "patch_id": [f"{prefix}{i:05}" for i in range(n)],
            "patient_id": [f"{prefix}{i // EACH:03}" for i in range(n)],
            "label": label_N,
            "attribute": much_N.astype(int),
            "group": 2 * label_N + much_N,
            "tissue_fraction": tissue_N,
        }
    )


def predicted(patches: pd.DataFrame, logit_N: np.ndarray) -> pd.DataFrame:
    """Decided plainly."""
    return patches.assign(
        logit=logit_N, prediction=(logit_N > 0).astype(int), probability=1 / (1 + np.exp(-logit_N))
    )


def run_of(
    algorithm: str, *, skill: float = 1.0, shortcut: float = 0.0, seed: int = 0, n_patients: int = 24
) -> Tested:
    """One training on one split, at `low`: as many validation patients as test patients, in another order."""
    test, validation = cohort(n_patients), cohort(n_patients, prefix="v", seed=1)
    tables = [
        predicted(each, log_odds(each, skill=skill, shortcut=shortcut, seed=seed + place))
        for place, each in enumerate((test, validation))
    ]
    return Tested(f"{algorithm}-low", "split", algorithm, "low", seed, (), {}, {}, *tables)


def study_of(
    methods: Mapping[str, tuple[float, float]],
    *,
    thresholds: Mapping[str, float],
    repeats: int = 2,
    folds: int = 2,
    n_patients: int = 24,
) -> list[Tested]:
    """A study, by method its skill and its shortcut."""
    index, tables, cells = cohort(n_patients), [], []
    patient_N = index["patient_id"].str[1:].astype(int)
    for repeat in range(repeats):
        for fold in range(folds):
            # A quarter of the patients that a fold does not test is validated on.
            part_N = (patient_N + repeat) % folds == fold
            validated_N = ~part_N & ((patient_N // folds) % 4 == repeat % 4)
            for threshold, above in thresholds.items():
                own = index.assign(attribute=(index["tissue_fraction"] > above).astype(int))
                own["group"] = 2 * own["label"] + own["attribute"]
                for place, (name, (skill, shortcut)) in enumerate(methods.items()):
                    seed = 100 * repeat + 10 * fold + place
                    logit_N = log_odds(own, skill=skill, shortcut=shortcut, seed=seed)
                    rows = predicted(own, logit_N).assign(
                        repeat=repeat, fold=fold, threshold=threshold, algorithm=name
                    )
                    tables += [
                        rows[part_N].assign(split="test"),
                        rows[validated_N].assign(split="validation"),
                    ]
                    cells.append(
                        {
                            "algorithm": name,
                            "threshold": threshold,
                            "repeat": repeat,
                            "fold": fold,
                            # Every fold has its own threshold, as with quantiles of its training patients.
                            "tissue_fraction_above": above,
                            "n_trials": 1,
                        }
                    )
    known = index[["patch_id", "patient_id", "tissue_fraction"]]
    return repeats_of(
        pd.concat(tables).drop(columns=["tissue_fraction", "patient_id", "probability"]), cells, known
    )


def terms_for(
    tested: Sequence[Tested],
    *,
    thresholds: Mapping[str, float] | None = None,
    references: tuple[str, ...] | None = None,
    **judging: object,
) -> Terms:
    """GERNE − ERM at `low` is primary."""
    primary = PrimarySettings(candidate="gerne", reference="erm", metric="wga", threshold="low")
    given = {"names": {"erm": "ERM", "gerne": "GERNE"}, "candidate": "gerne", "primary": primary}
    given |= {"minimum_test_patients": 5, "decided": ("by_tissue",), "minimum_validation_patients": 1}
    settings = JudgingSettings.model_validate(given | judging)
    return Terms(
        judging=settings,
        bootstrap={each: BootstrapSettings(draws=200) for each in ("split", "study")},
        variants=True,
        references=references,
        thresholds={"low": ABOVE} if thresholds is None else thresholds,
        layouts={one.threshold: TISSUE for one in tested},
        decided=settings.decided,
    )


def wga_of(sums: PatientSums) -> float:
    """On all patients."""
    whole = sums.metrics(np.ones((1, len(sums.patients))))[0]
    return float(whole[:, sums.names.index("wga")].mean())
