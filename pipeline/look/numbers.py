"""Numbers as people write them: no exponents."""

from typing import Any

import numpy as np

_THOUSANDTH, _MILLIONTH = 1e-3, 1e-6


def plain(value: float) -> str:
    """A measured figure to three digits; of small ones so many millionths.

    >>> plain(0.01234), plain(123456.7), plain(-2.906e-06), plain(0.0), plain(4e-11)
    ('0.0123', '123,457', '−2.91 millionths', '0', 'under 0.001 millionths')
    """
    size = abs(value)
    if size == 0 or size >= _THOUSANDTH:
        told = f"{value:,.0f}" if size >= 100 else f"{value:.3g}"
    else:
        small = value / _MILLIONTH
        told = f"{small:.3g} millionths" if abs(small) >= _THOUSANDTH else "under 0.001 millionths"
    return told.replace("-", "−")


def exact(value: Any) -> Any:
    """A setting with all of its digits; what is no float stays what it is.

    >>> exact(3e-05), exact(0.5), exact("low")
    ('0.00003', '0.5', 'low')
    """
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else value
