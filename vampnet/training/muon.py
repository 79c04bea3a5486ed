"""Muon in float32, for machines on which PyTorch's own, which computes in bfloat16, is hundreds of times slower."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan's iteration: steepest at zero, singular values end between about 0.7 and 1.2."""
ROUNDS = 5
EPS = 1e-7


class Float32Muon(torch.optim.Optimizer):
    """Steps along the orthogonalised momentum of matrices, as `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`.

    Momentum 0.95 after Nesterov, five rounds of Newton-Schulz iteration (Jordan 2024), steps scaled to the size of
    AdamW's, decoupled weight decay. Either continues from the other's state, so a run may change machines. Raises
    ValueError for parameters that are no matrices.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        own = {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95}
        for_torch = {"nesterov": True, "ns_coefficients": QUINTIC, "eps": EPS, "ns_steps": ROUNDS}
        super().__init__(parameters, {**own, **for_torch, "adjust_lr_fn": "match_rms_adamw"})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes matrices only")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                momentum = state["momentum_buffer"]
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalised(p.grad.lerp(momentum, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)
        return loss


def orthogonalised(matrix: Tensor, rounds: int = ROUNDS) -> Tensor:
    """The matrix (M, N) with singular values pushed towards 1 and its singular vectors kept, in its own precision."""
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / wide.norm().clamp_min(EPS)
    for _ in range(rounds):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
