"""Group resampling (ReSample): every group equally often."""

from models.algorithms.parts.quota import AbstractGroupResampler, QuotaSettings


class GroupResampling(AbstractGroupResampler[QuotaSettings]):
    """Batches with p(y) = 1/K and p(a|y) = 1/A: GERNE's case c = 1, beta = 0.

    Raises:
        EmptyGroupError: a group without training samples.
    """
