"""A decision of every rule, for tests of where models are used: each gives untrained networks two classes."""

from models.networks.card import CalibrationCard, DecisionCard, FittedCard

_FITTED = {"how": "as a test wanted it", "patients": 12, "patches": 3400}
FITTED = FittedCard(**_FITTED)
CALIBRATED = {"calibration": CalibrationCard(**_FITTED, temperature=1.7), "uncalibrated": ""}
RULES = {
    "plain": DecisionCard(**CALIBRATED),
    "threshold": DecisionCard(
        rule="threshold", slope=0.8, offsets=(-0.3,), fitted=FITTED, threshold=0.47, operating=FITTED
    ),
    "by_attribute": DecisionCard(
        rule="by_attribute", slope=1.1, offsets=(-0.3, 0.1), knots=(0.7,), fitted=FITTED, **CALIBRATED
    ),
    "by_tissue": DecisionCard(
        rule="by_tissue",
        offsets=(-0.4, 0.05, 0.2),
        knots=(0.2, 0.6, 0.95),
        fitted=FITTED,
        threshold=0.51,
        operating=FITTED,
        **CALIBRATED,
    ),
}
BY_TISSUE = RULES["by_tissue"]
