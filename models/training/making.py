"""From an algorithm's name and settings to the algorithm, bound to what it may know."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.registry import ALGORITHMS
from models.groups import TrainGroups, TrainLabels
from patching.errors import AlgorithmError, ConfigError


def make_algorithm(
    name: str,
    settings: Mapping[str, Any],
    known: TrainGroups | TrainLabels,
    first: FirstModel | None = None,
) -> AbstractAlgorithm[Any, Any]:
    """Bind the algorithm `name` to a training split.

    Args:
        name: a key of ALGORITHMS.
        settings: the algorithm's YAML, with one candidate laid over it where there are some.
        known: the training split, as far as it is known; a method that must not see attributes gets
            the labels alone.
        first: the first model of a two-stage method (`first_stage`).

    Raises:
        ConfigError: no such algorithm, or a wrong setting.
        EmptyGroupError: a group that the algorithm draws from is empty.
        AlgorithmError: the settings do not fit the groups, or the method needs what is not known.
    """
    kind, checked = algorithm_type(name), checked_settings(name, settings)
    train = view_of(name, known)
    if kind.first_stage(checked) is None:
        return kind(train, checked)
    if first is None:
        raise AlgorithmError(
            has=f"algorithm {name} without a first model",
            needs="the first model of a two-stage method",
            do="train it with models.training.fit.fit, which does both stages",
        )
    return kind(train, checked, first)


def first_stage(name: str, settings: Mapping[str, Any]) -> FirstStage | None:
    """What the algorithm asks of a first model; none where it needs none.

    Raises:
        ConfigError: as `make_algorithm`.
    """
    return algorithm_type(name).first_stage(checked_settings(name, settings))


def algorithm_type(name: str) -> type[AbstractAlgorithm[Any, Any]]:
    """The class behind a name.

    Raises:
        ConfigError: no such algorithm.
    """
    if name not in ALGORITHMS:
        raise ConfigError(
            has=f"algorithm {name!r}",
            needs=f"one of {', '.join(ALGORITHMS)}",
            do="correct the name, or add the algorithm to models/algorithms/registry.py",
        )
    return ALGORITHMS[name]


def checked_settings(name: str, settings: Mapping[str, Any]) -> AlgorithmSettings:
    """An algorithm's settings as its own model.

    Raises:
        ConfigError: no such algorithm, or a wrong setting.
    """
    kind = algorithm_type(name)
    try:
        return kind.settings_type.model_validate(dict(settings))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or name} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(
            has=f"algorithm {name}: {found}",
            needs=f"settings of {name} ({', '.join(kind.settings_type.model_fields)})",
            do="correct or remove the keys named above",
        ) from error


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


def sees_attributes(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether any training of the method, a first model's included, is given the training samples'
    attributes. What its selection sees of the validation split's is another matter.

    Raises:
        ConfigError: no such algorithm, or a wrong setting.
    """
    if algorithm_type(name).view is TrainGroups:
        return True
    firsts = (first_stage(name, {**settings, **override}) for override in candidates(settings))
    return any(sees_attributes(first.algorithm, first.algorithm_settings) for first in firsts if first)


def view_of(name: str, known: TrainGroups | TrainLabels) -> TrainGroups | TrainLabels:
    """What the algorithm gets of what is known of the training split.

    Raises:
        ConfigError: no such algorithm.
        AlgorithmError: it needs attributes, and they are not known.
    """
    if algorithm_type(name).view is TrainLabels:
        return known.labels if isinstance(known, TrainGroups) else known
    if isinstance(known, TrainGroups):
        return known
    blind = ", ".join(other for other, each in ALGORITHMS.items() if each.view is TrainLabels)
    raise AlgorithmError(
        has=f"algorithm {name}, and training patches without attributes",
        needs="the attribute of every training patch",
        do=f"set `attributes: known` in the training's settings, or choose one of {blind}",
    )
