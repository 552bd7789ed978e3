"""A model's decision, fitted on validation patches: rule, then calibration, then operating threshold."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from models.decisions.calibration import fitted_temperature
from models.decisions.operating import balanced_threshold, sensitive_threshold
from models.decisions.patches import ValidationPatches, validation_patches
from models.decisions.rules import fit_rule
from models.decisions.settings import DecisionSettings, FitSettings, Sensitivity
from models.networks.card import CalibrationCard, DecisionCard, FittedCard, Rule
from models.networks.decision import ruled, told
from patching.errors import AlgorithmError, ConfigError

_DEFAULTS: Final = FitSettings()


def fit_decision(
    rule: Rule,
    *,
    logit_N: ArrayLike,
    label_N: ArrayLike,
    tissue_fraction_N: ArrayLike | None,
    above: float | None,
    patient_N: ArrayLike,
    settings: FitSettings = _DEFAULTS,
) -> DecisionCard:
    """Fit rule, calibration and threshold of a model with two classes (docs/decision.md).

    Args:
        rule: how the tissue fraction has a say.
        logit_N: the network's own log-odds of class 1, of validation patches alone.
        label_N: 0 or 1.
        tissue_fraction_N: as the slide's detector found it; None or NaN where it is not known.
        above: a patch with more tissue has attribute 1; None where tissue does not make the attribute.
        patient_N: name of the patient.
        settings: of the fit.

    Raises:
        AlgorithmError: these patches cannot carry the rule or the threshold that is asked for: a group or a
            class has too few patients, or the slope is not positive.
        ConfigError: another rule than `plain` without tissue fractions.
    """
    patches = validation_patches(
        logit_N=logit_N,
        label_N=label_N,
        patient_N=patient_N,
        tissue_fraction_N=tissue_fraction_N,
        above=above,
    )
    return _operated(_calibrated(_ruled(rule, patches, settings), patches, settings), patches, settings)


def check_decision(
    settings: DecisionSettings,
    *,
    n_classes: int,
    grouped: bool,
    label_N: ArrayLike,
    tissue_fraction_N: ArrayLike | None,
    above: float | None,
    patient_N: ArrayLike,
) -> None:
    """Check what can be known before the training: whether validation patches can carry its decision.

    Args:
        settings: of the decision.
        n_classes: of the model.
        grouped: whether validation's attributes may be used.
        label_N, tissue_fraction_N, above, patient_N: see `fit_decision`.

    Raises:
        AlgorithmError, ConfigError: as `fit_decision`; or a rule or threshold that such a model cannot have.
    """
    plain = settings.rule == "plain"
    if plain and settings.operating == "plain":
        return
    if n_classes != 2:
        raise ConfigError(
            has=f"the rule {settings.rule} and the threshold {settings.operating} for {n_classes} classes",
            needs="two classes: with more, the verdict is the most probable one",
            do="set `decision: {rule: plain, operating: plain}`",
        )
    if not plain and not grouped:
        raise ConfigError(
            has=f"the rule {settings.rule} with `attributes: nowhere`",
            needs="attributes of the validation patients, to which it is fitted",
            do="set `attributes: validation_only` or `decision: {rule: plain}`",
        )
    patches = validation_patches(
        logit_N=np.zeros(np.shape(label_N)),
        label_N=label_N,
        patient_N=patient_N,
        tissue_fraction_N=tissue_fraction_N,
        above=above,
    )
    if plain:
        patches.require_classes(settings.minimum_patients)
    else:
        patches.require_groups(settings.minimum_patients)


def _ruled(rule: Rule, patches: ValidationPatches, settings: FitSettings) -> DecisionCard:
    if rule == "plain":
        return DecisionCard()
    patches.require_groups(settings.minimum_patients)
    slope, offsets, knots = fit_rule(rule, patches, ridge=settings.ridge, knots=settings.knots)
    how = (
        "logistic regression of the label on log-odds and tissue fraction; the four groups weigh alike, "
        f"patients alike in each; ridge {settings.ridge:g} towards plain"
    )
    return DecisionCard(rule=rule, slope=slope, offsets=offsets, knots=knots, fitted=_fitted(patches, how))


def _calibrated(card: DecisionCard, patches: ValidationPatches, settings: FitSettings) -> DecisionCard:
    """With a temperature, or the reason why there is none."""
    if settings.calibration == "none":
        return card
    plain = card.rule == "plain"
    weight_N = patches.weight_by_patient_N if plain else patches.weight_by_group_N
    try:
        patches.require_classes(settings.minimum_patients)
        temperature = fitted_temperature(
            ruled(card, patches.logit_N, patches.tissue_N), patches.label_N, weight_N
        )
    except AlgorithmError as error:
        return card.model_copy(update={"uncalibrated": f"{error.has}; needs {error.needs}"})
    weights = "patients weigh alike" if plain else "the four groups weigh alike, patients alike in each"
    how = f"temperature scaling of the rule's log-odds; {weights}"
    calibration = CalibrationCard(temperature=temperature, **_fitted(patches, how).model_dump())
    return card.model_copy(update={"calibration": calibration, "uncalibrated": ""})


def _operated(card: DecisionCard, patches: ValidationPatches, settings: FitSettings) -> DecisionCard:
    asked = settings.operating
    if asked == "plain":
        return card
    patches.require_classes(settings.minimum_patients)
    probability_N, _ = told(card, patches.logit_N, patches.tissue_N)
    given = (probability_N, patches.label_N, patches.weight_by_class_N)
    if isinstance(asked, Sensitivity):
        threshold = sensitive_threshold(*given, asked.sensitivity)
        what = f"the largest threshold that {asked.sensitivity:g} of tumor exceeds"
    else:
        threshold, what = balanced_threshold(*given), "the largest mean of sensitivity and specificity"
    how = f"{what}; patients weigh alike in each class"
    return card.model_copy(update={"threshold": threshold, "operating": _fitted(patches, how)})


def _fitted(patches: ValidationPatches, how: str) -> FittedCard:
    return FittedCard(how=how, patients=patches.patients, patches=len(patches))
