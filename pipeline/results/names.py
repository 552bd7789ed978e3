"""Names of methods that are decided by another rule than plainly: `erm+by_tissue`."""

from typing import Literal

DecidedRule = Literal["threshold", "by_attribute", "by_tissue"]
"""Rules of models.networks.card that differ from the plain one."""
CONTROL: DecidedRule = "by_tissue"
"""The rule that tells a better representation from a moved threshold."""
ITS_CARD = "card"
"""In place of a rule: what a training's own card decides, where no name above says it."""
_MARK = "+"
_TITLES = {
    "threshold": "{}, moved threshold",
    "by_attribute": "{}, decided by attribute",
    "by_tissue": "{}, decided by tissue",
    ITS_CARD: "{}, as its card decides",
}


def decided_name(algorithm: str, rule: str) -> str:
    """The name of an algorithm whose logits are decided by a rule."""
    return f"{algorithm}{_MARK}{rule}"


def base_of(algorithm: str) -> str:
    """The algorithm without a rule.

    >>> base_of("erm+by_tissue"), base_of("erm")
    ('erm', 'erm')
    """
    return algorithm.partition(_MARK)[0]


def rule_of(algorithm: str) -> str | None:
    """The rule in the name; none where the method is decided plainly.

    >>> rule_of("erm+by_tissue"), rule_of("erm")
    ('by_tissue', None)
    """
    return algorithm.partition(_MARK)[2] or None


def decided_title(title: str, rule: str | None) -> str:
    """A printed name with the rule in words.

    >>> decided_title("ERM", "by_tissue"), decided_title("ERM", None)
    ('ERM, decided by tissue', 'ERM')
    """
    return title if rule is None else _TITLES.get(rule, f"{{}}, {rule}").format(title)
