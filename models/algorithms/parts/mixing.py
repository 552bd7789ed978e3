"""What methods share that mix patches, and what mixing does to tissue area.

A mixed patch has no attribute of its own. Groups, quotas and tables always refer to its two sources; of a
tissue fraction only the interpolated one can be told (`mixed_fraction`), which is how much tissue a pixel
holds on average. The area with any tissue in it is larger than either source's: the patches lie over each
other like transparencies. Pasting a piece of one patch into another (CutMix, Yun et al. 2019) is refused:
how much tissue the piece holds depends on where it is cut, so that the label's mixture is not the tissue's.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator

from models.algorithms.parts.plans import Batch


def _not_cut(value: Any) -> Any:
    if str(value).lower().replace("_", "") in ("cutmix", "cutout", "cut"):
        raise ValueError(
            "cutting changes the tissue area, which the attribute is made of, by an amount that depends on "
            "the place of the cut; mix whole patches instead (mixup)"
        )
    return value


Mixing = Annotated[Literal["mixup"], BeforeValidator(_not_cut)]
"""How patches are mixed: whole, pixel by pixel."""


def mixed_fraction(f1: float, f2: float, lam: float) -> float:
    """Tissue fraction of a mixed patch: lam * f1 + (1 - lam) * f2, between both.

    Args:
        f1: tissue fraction of the first source, 0..1.
        f2: of the second.
        lam: share of the first, 0..1.
    """
    return lam * f1 + (1 - lam) * f2


def mixed(batch: Batch, partner_B: NDArray[np.int64], own_B: NDArray[np.float64], n_classes: int) -> Batch:
    """Every patch mixed with its partner, and its label likewise: x = own * x + (1 - own) * x[partner].

    Args:
        batch: of raw pixels; only after a linear transform is that the same as mixing what the network sees.
        partner_B: row of every patch's partner.
        own_B: share of the patch itself, 0..1; the rest is the partner's.
        n_classes: K.
    """
    target_BK = batch.target_BK
    if target_BK is None:
        target_BK = torch.nn.functional.one_hot(batch.label_B, n_classes).float()
    own_B1 = torch.from_numpy(own_B).to(batch.images_BCHW)[:, None]
    rows_B = torch.from_numpy(partner_B).to(batch.label_B.device)
    own_B111 = own_B1[:, :, None, None]
    return replace(
        batch,
        images_BCHW=own_B111 * batch.images_BCHW + (1 - own_B111) * batch.images_BCHW[rows_B],
        target_BK=own_B1 * target_BK + (1 - own_B1) * target_BK[rows_B],
    )
