"""Muon optimiser (Jordan et al. 2024) that batches matrices of one shape; PyTorch's takes them one by one, in bfloat16.

A model of a few layers has dozens of small matrices; one by one they keep an accelerator waiting for its next order.
And bfloat16 is hundreds of times slower than float32 on CPUs without the instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from vampnet.device import inference_dtype

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan's iteration: steepest at zero, singular values end between about 0.7 and 1.2."""
ROUNDS = 5
EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalised momentum of matrices, as `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`.

    Momentum 0.95 after Nesterov, five rounds of Newton-Schulz iteration (Jordan 2024) in the fastest number format of
    the parameters' device, steps scaled to the size of AdamW's, decoupled weight decay. Either continues from the
    other's state, so a run may change machines. Raises ValueError for parameters that are no matrices.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        own = {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95}
        for_torch = {"nesterov": True, "ns_coefficients": QUINTIC, "eps": EPS, "ns_steps": ROUNDS}
        super().__init__(parameters, {**own, **for_torch, "adjust_lr_fn": "match_rms_adamw"})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes matrices only")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One optimiser step; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.device], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault((p.shape, p.device), []).append(p)
            for parameters in alike.values():
                self._move(parameters, group)
        return loss

    def _move(self, parameters: list[Tensor], group: dict) -> None:
        """One step of matrices of one shape."""
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        foreach = torch._C._VariableFunctions  # pyright: ignore[reportAttributeAccessIssue]
        foreach._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch.stack(foreach._foreach_lerp(gradients, momenta, group["momentum"]))
        updates = orthogonalise(ahead.to(inference_dtype(ahead.device))).to(ahead.dtype)
        foreach._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        foreach._foreach_add_(parameters, list(updates), alpha=-group["lr"] * 0.2 * max(ahead.shape[1:]) ** 0.5)


def orthogonalise(matrices: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Matrices (G, M, N) with singular values pushed towards 1 and singular vectors kept, in their own precision."""
    a, b, c = QUINTIC
    is_wide = matrices.shape[1] <= matrices.shape[2]
    wide = matrices if is_wide else matrices.mT
    x = wide / wide.norm(dim=(1, 2), keepdim=True).clamp_min(EPS)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if is_wide else x.mT
