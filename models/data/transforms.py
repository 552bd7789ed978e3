"""What may be done to a channel's values before they are normalized."""

from typing import Literal

Transform = Literal["none", "sqrt", "log1p"]
"""The square root steadies photon counts, the logarithm wide ranges. Applied in models.data.normalization."""
