"""Means over the groups of a batch."""

import torch


def group_means(values_B: torch.Tensor, group_B: torch.Tensor, n_groups: int) -> torch.Tensor:
    """Mean of the values of every group, [G]; 0 for a group that the batch does not hold.

    Args:
        values_B: float; gradients flow through.
        group_B: group number of every sample, integers from 0 to G - 1.
        n_groups: G.
    """
    number_G = torch.arange(n_groups, device=group_B.device)
    member_GB = (group_B == number_G[:, None]).to(values_B.dtype)
    return member_GB @ values_B / member_GB.sum(dim=1).clamp(min=1)
