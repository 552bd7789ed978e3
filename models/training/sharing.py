"""Which samples of a step every process takes, and in which parts: each group and role evenly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.algorithms.parts.plans import BatchPlan
from patching.errors import AlgorithmError


@dataclass(frozen=True)
class Sharing:
    """How a step's samples are dealt out; without arguments, all to one process at once.

    The samples are sorted by their stratum (group) and the roles that they serve, then dealt like cards: of
    every group, two processes get numbers that differ by one at most, and so do two parts of a step.

    Attributes:
        strata_N: group of every training sample.
        rank: of this process, from 0.
        processes: how many there are.
        micro_batch: samples of one forward pass, at most; none: all that the process has.
    """

    strata_N: NDArray[np.int64]
    rank: int = 0
    processes: int = 1
    micro_batch: int | None = None

    def parts(self, plan: BatchPlan) -> list[NDArray[np.int64]]:
        """Positions in the plan, ascending, of every part of this process; equally many parts in all.

        Raises:
            AlgorithmError: fewer samples than processes.
        """
        count = self._count(len(plan))
        hands = count * self.processes
        bits_R = 2 ** np.arange(len(plan.weights_RN))
        served_N = bits_R @ (plan.weights_RN != 0)
        order_N = np.lexsort((served_N, self.strata_N[plan.indices_N]))
        # The part is the slower digit of the hand: a process's hands together are a hand of a deal to
        # processes alone.
        return [np.sort(order_N[part * self.processes + self.rank :: hands]) for part in range(count)]

    def _count(self, samples: int) -> int:
        if samples < self.processes:
            raise AlgorithmError(
                has=f"a step of {samples} samples, and {self.processes} processes",
                needs="at least one sample for every process",
                do="raise the algorithm's batch_size, or start fewer processes",
            )
        share = -(-samples // self.processes)
        wanted = -(-share // (self.micro_batch or share))
        # A process with one sample less than others still needs one for each of its parts.
        return min(wanted, samples // self.processes)
