"""Cohorts of two methods' predictions, drawn from known accuracies, and the truth about them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

N_GROUPS = 4
PATCHES = 30
"""Of a patient, on average."""
SHARES = (0.7, 0.3, 0.3, 0.7)
"""Of a patient's patches that lie in each group of the patient's label; the inner groups are the minority."""
CORRELATION = 0.7
"""Between the patient effects of two methods."""
_NODES = 60
_TRAININGS = 20_000


@dataclass(frozen=True)
class Setting:
    """What cohorts are drawn from.

    Attributes:
        name: in tables.
        patient_sd: standard deviation of the logit of being right, over patients.
        first, second: accuracies of the groups before the patient effect, by method.
        repeats: trainings of each method, on the same patients.
        training_sd: standard deviation of the logit over trainings, of each group on its own.
        unevenness: standard deviation of the logarithm of a patient's number of patches.
        apart: whether a patient has an effect of its own in each group, and not one for all.
    """

    name: str
    patient_sd: float
    first: tuple[float, ...]
    second: tuple[float, ...]
    repeats: int = 1
    training_sd: float = 0.0
    unevenness: float = 0.0
    apart: bool = False

    def trained(self, repeats: int, training_sd: float) -> "Setting":
        """The same with several trainings."""
        return replace(self, repeats=repeats, training_sd=training_sd)


ONE_WORST, EQUAL = (0.85, 0.75, 0.5, 0.8), (0.65,) * N_GROUPS
DEBIASED, BIASED = (0.6, 0.62, 0.55, 0.6), (0.95, 0.55, 0.35, 0.9)
SETTINGS = (
    Setting("one worst group", 1.0, ONE_WORST, ONE_WORST),
    Setting("four equal groups", 1.0, EQUAL, EQUAL),
    Setting("pshg-like", 1.5, DEBIASED, BIASED),
    # The worst groups are equally good, so that whoever is told to be better is so falsely.
    Setting("pshg-like, no gain", 1.5, DEBIASED, (0.95, 0.75, 0.55, 0.9)),
    Setting("one worst against four equal", 1.0, ONE_WORST, (0.5,) * N_GROUPS),
)
UNEVEN = tuple(replace(each, name=f"{each.name}, uneven patients", unevenness=1.0) for each in SETTINGS[:3])

APART = tuple(replace(each, name=f"{each.name}, effects by group", apart=True) for each in SETTINGS[:3])


@dataclass(frozen=True)
class Truth:
    """Of one method.

    Attributes:
        accuracy_G: of every group, over patients and trainings.
        wga: of a training, on average: without trainings the lowest of them.
    """

    accuracy_G: NDArray[np.float64]
    wga: float

    @property
    def gba(self) -> float:
        return float(self.accuracy_G.mean())


@dataclass(frozen=True)
class Cohort:
    """Right and all patches of C cohorts, P patients, R repeats and G groups, by method."""

    first_CPRG: NDArray[np.float64]
    second_CPRG: NDArray[np.float64]
    count_CPG: NDArray[np.float64]


def truth_of(accuracy: tuple[float, ...], setting: Setting) -> Truth:
    """By Gauss-Hermite quadrature over patients; over trainings, by many of them."""
    node_Q, weight_Q = np.polynomial.hermite_e.hermegauss(_NODES)
    weight_Q = weight_Q / weight_Q.sum()
    n_trainings = _TRAININGS if setting.training_sd else 1
    training_TG = setting.training_sd * np.random.default_rng(0).standard_normal((n_trainings, N_GROUPS))
    logit_TGQ = (logit(np.array(accuracy)) + training_TG)[..., None] + setting.patient_sd * node_Q
    accuracy_TG = expit(logit_TGQ) @ weight_Q
    return Truth(accuracy_TG.mean(axis=0), float(accuracy_TG.min(axis=1).mean()))


def draw(setting: Setting, n_cohorts: int, n_patients: int, rng: np.random.Generator) -> Cohort:
    """Half of the patients of each label; patches by Poisson, right ones by patient and training."""
    of_label_PG = np.zeros((n_patients, N_GROUPS))
    of_label_PG[::2, :2] = of_label_PG[1::2, 2:] = 1
    normal_CP = rng.standard_normal((n_cohorts, n_patients))
    size_CP = np.exp(setting.unevenness * normal_CP - setting.unevenness**2 / 2)
    mean_CPG = PATCHES * size_CP[..., None] * of_label_PG * np.array(SHARES)
    count_CPG = rng.poisson(mean_CPG)
    n_effects = N_GROUPS if setting.apart else 1
    shared_CPE, *own = rng.standard_normal((3, n_cohorts, n_patients, n_effects))
    right = []
    for accuracy, own_CPE in zip((setting.first, setting.second), own, strict=True):
        patient_CPE = np.sqrt(CORRELATION) * shared_CPE + np.sqrt(1 - CORRELATION) * own_CPE
        training_CRG = setting.training_sd * rng.standard_normal((n_cohorts, setting.repeats, N_GROUPS))
        logit_CPRG = logit(np.array(accuracy)) + training_CRG[:, None]
        logit_CPRG = logit_CPRG + setting.patient_sd * patient_CPE[:, :, None]
        right.append(rng.binomial(count_CPG[:, :, None], expit(logit_CPRG)).astype(np.float64))
    return Cohort(right[0], right[1], count_CPG.astype(np.float64))
