"""Where GERNE's beta may lie, known before anything is trained: for searches over its settings.

What GERNE trains on depends on c (beta + 1) alone (Asaad et al., arXiv 2503.13236, section 4.1), here called
its position: 0 is class-balanced ERM, 1 group resampling in expectation. c then decides the variance.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.algorithms.gerne import Gerne, GerneSettings
from models.algorithms.gerne_unknown import GerneUnknownSettings, hard_samples
from models.groups import TrainGroups, TrainLabels
from models.training.making import checked_settings, make_algorithm
from patching.errors import ConfigError

_DECIMALS = 10_000


def largest_beta(
    name: str,
    settings: Mapping[str, Any],
    known: TrainGroups | TrainLabels,
    largest_position: float = math.inf,
) -> float:
    """Largest legal beta of a method of GERNE's kind; infinite where every group is as frequent as any other.

    For unknown attributes the pseudo-groups' sizes follow from t alone, whichever samples are hard.

    Args:
        name: of the method in the registry.
        settings: its YAML; c, t, batch_size and rounding decide.
        known: the training split.
        largest_position: a limit of one's own on c (beta + 1).

    Raises:
        ConfigError: a wrong setting, or a method without beta.
        EmptyGroupError: a group, or a pseudo-group of this t, is empty.
        AlgorithmError: the method needs attributes, and they are not known.
    """
    checked = checked_settings(name, settings)
    if not isinstance(checked, GerneSettings):
        raise ConfigError(
            has=f"algorithm {name}, whose settings have no bounds of beta",
            needs="GERNE's c and beta for a range by their bounds",
            do="give low and high in place of share_of_bounds",
        )
    groups = known
    if isinstance(checked, GerneUnknownSettings):
        label_N = known.label_N
        groups = TrainLabels(known.n_classes, label_N).divided(
            hard_samples(np.zeros(len(label_N)), label_N, checked.t)
        )
    own = checked.model_dump(include=set(GerneSettings.model_fields)) | {"beta": -1.0}
    method = make_algorithm("gerne", own, groups)
    legal = method.bounds[1] if isinstance(method, Gerne) else math.nan
    return max(-1.0, min(legal, largest_position / checked.c - 1.0))


def beta_at(share: float, largest: float) -> float:
    """The beta that lies `share` of the way from -1 to the largest, in four decimals, rounded towards -1.

    >>> beta_at(0.0, 5.0), beta_at(0.5, 5.0), beta_at(1.0, 1.99999)
    (-1.0, 2.0, 1.9999)
    """
    wanted = min(-1.0 + share * (largest + 1.0), largest)
    return min(max(math.floor(wanted * _DECIMALS) / _DECIMALS, -1.0), largest)


def position(settings: Mapping[str, Any]) -> float | None:
    """c (beta + 1); none for settings without both.

    >>> position({"c": 0.5, "beta": 1.0})
    1.0
    """
    if "c" in settings and "beta" in settings:
        return float(settings["c"]) * (float(settings["beta"]) + 1.0)
    return None
