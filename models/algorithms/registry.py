"""The table of algorithms, and the way from settings to an algorithm."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.cb_loss import CbLoss
from models.algorithms.class_balanced import ClassBalanced
from models.algorithms.erm import Erm
from models.algorithms.gerne import Gerne
from models.algorithms.group_resampling import GroupResampling
from models.algorithms.reweight import ReWeight
from models.algorithms.sqrt_reweight import SqrtReWeight
from models.algorithms.subg import Subg
from models.groups import TrainGroups
from patching.errors import ConfigError

ALGORITHMS: dict[str, type[AbstractAlgorithm[Any]]] = {
    "erm": Erm,
    "class_balanced": ClassBalanced,
    "group_resampling": GroupResampling,
    "reweight": ReWeight,
    "sqrt_reweight": SqrtReWeight,
    "subg": Subg,
    "cb_loss": CbLoss,
    "gerne": Gerne,
}


def make_algorithm(name: str, settings: Mapping[str, Any], groups: TrainGroups) -> AbstractAlgorithm[Any]:
    """Bind the algorithm `name` to the groups of a training split.

    Args:
        name: a key of ALGORITHMS.
        settings: the algorithm's YAML, with one candidate laid over it where there are some.
        groups: of the training split.

    Raises:
        ConfigError: no such algorithm, or a wrong setting.
        EmptyGroupError: a group that the algorithm draws from is empty.
        AlgorithmError: the settings do not fit the groups.
    """
    if name not in ALGORITHMS:
        raise ConfigError(
            has=f"algorithm {name!r}",
            needs=f"one of {', '.join(ALGORITHMS)}",
            do="correct the name, or add the algorithm to models/algorithms/registry.py",
        )
    kind = ALGORITHMS[name]
    try:
        checked = kind.settings_type.model_validate(dict(settings))
    except ValidationError as error:
        raise _config_error(name, error, kind.settings_type.model_fields) from error
    return kind(groups, checked)


def candidates(settings: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The overrides of an algorithm's settings that training tries and selects from by validation.

    Without a `candidates` key there is one, empty override. Use `{**settings, **override}`.

    Raises:
        ConfigError: `candidates` is not a list of mappings, or empty.
    """
    listed = settings.get("candidates", ({},))
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(c, Mapping) for c in listed):
        raise ConfigError(
            has=f"candidates: {listed!r}",
            needs="a list of mappings, each a set of settings to try",
            do="write e.g. `candidates: [{beta: 0.5}, {beta: 1.0}]`, or leave the key out",
        )
    return tuple(dict(override) for override in listed)


def _config_error(name: str, error: ValidationError, known: Mapping[str, Any]) -> ConfigError:
    found = "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or name} = {item['input']!r}: {item['msg']}"
        for item in error.errors()
    )
    return ConfigError(
        has=f"algorithm {name}: {found}",
        needs=f"settings of {name} ({', '.join(known)})",
        do="correct or remove the keys named above",
    )
