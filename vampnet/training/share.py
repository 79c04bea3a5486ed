"""Share of a step's batch that one process takes at once, when several processes or several passes make one step."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BatchShare:
    """Every `n`-th item of a batch, beginning with item `first`."""

    first: int = 0
    n: int = 1

    def of(self, items: Tensor) -> Tensor:
        """The share's items of a tensor whose first axis is the batch."""
        return items if self.n == 1 else items[self.first :: self.n]

    def weight(self, keep_BCT: Tensor) -> float:
        """Factor of the mean loss over the share's masked tokens.

        The mean of the weighted losses over all shares is the mean over all masked tokens of the batch.
        """
        if self.n == 1:
            return 1.0
        return self.n * float((~self.of(keep_BCT)).sum()) / max(1.0, float((~keep_BCT).sum()))


def launched_ranks() -> tuple[int, int] | None:
    """Processes per machine and machines, as `torchrun` started them; None without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local
