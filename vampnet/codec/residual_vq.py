"""Residual vector quantiser of the embedded codec.

Level i projects what the levels before it left over to `codebook_dim` dimensions, takes the nearest entry (Euclidean)
of its codebook, projects it back and subtracts it. Codebooks follow the data by an exponential moving average, so
the quantisation error needs no loss term of its own (van den Oord et al. 2017, appendix A.1); projections learn by
gradient, straight through the look-up.

Axis letters: B batch, T frame, L latent width, C level, V entry, K codebook dimension, N vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

GROUP = 32
"""Entries of a codebook that are looked at together; about the root of their number is fastest."""


@dataclass(frozen=True)
class Quantized:
    """Result of one pass of the quantiser."""

    latent_BTL: Tensor
    """Sum of the quantised levels; gradients pass straight through."""
    codes_BCT: Tensor
    """int64 entries."""
    commitment: Tensor
    """Mean squared distance of the projections to their entries, relative to the projections' power."""


def nearest(vectors_NK: Tensor, codebook_VK: Tensor) -> Tensor:
    """Index (N,) of the entry nearest to each vector, Euclidean."""
    # The vector's own norm is the same for all entries, so it is left out.
    return _argmax(vectors_NK @ codebook_VK.T - 0.5 * codebook_VK.square().sum(1))


def _argmax(values_NV: Tensor) -> Tensor:
    """Argmax over entries, as `values_NV.argmax(dim=1)`: best group first, then the best in it. A CPU finds maxima in
    a tenth of the time that it takes to say where they are."""
    if values_NV.shape[1] % GROUP or values_NV.device.type != "cpu":
        return values_NV.argmax(dim=1)
    groups_NGW = values_NV.unflatten(1, (-1, GROUP))
    group_N = groups_NGW.amax(dim=2).argmax(dim=1)
    best_NW = groups_NGW[torch.arange(len(group_N)), group_N]
    return group_N * GROUP + best_NW.argmax(dim=1)


class ResidualQuantizer(nn.Module):
    """`n_codebooks` levels of `codebook_size` entries of `codebook_dim` dimensions over a latent of `latent_dim`."""

    codebooks_CVK: Tensor

    def __init__(self, latent_dim: int, n_codebooks: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.n_codebooks, self.codebook_size, self.codebook_dim = n_codebooks, codebook_size, codebook_dim
        self.down = nn.ModuleList(nn.Linear(latent_dim, codebook_dim) for _ in range(n_codebooks))
        self.up = nn.ModuleList(nn.Linear(codebook_dim, latent_dim) for _ in range(n_codebooks))
        self.register_buffer("codebooks_CVK", torch.randn(n_codebooks, codebook_size, codebook_dim))

    def lookup(self, vectors_NK: Tensor, level: int) -> Tensor:
        """Index (N,) of the entry nearest to each vector."""
        return nearest(vectors_NK, self.codebooks_CVK[level])

    def forward(
        self, latent_BTL: Tensor, levels_B: Tensor | None = None, observer: Observer | None = None
    ) -> Quantized:
        """Quantise; `levels_B` is the number of levels used per item (all when None).

        `observer` is told each level's projections and entries (the moving average and the usage statistics).
        """
        residual_BTL, total_BTL = latent_BTL, torch.zeros_like(latent_BTL)
        codes, commitment = [], latent_BTL.new_zeros(())
        for level in range(self.n_codebooks):
            vectors_BTK, index_N, entries_BTK = self._look_up(residual_BTL, level)
            if observer is not None:
                observer.observe(level, vectors_BTK.detach().flatten(0, 1), index_N)
            power = vectors_BTK.detach().square().mean() + 1e-6
            commitment = commitment + (vectors_BTK - entries_BTK).square().mean() / power
            step_BTL = self.up[level](vectors_BTK + (entries_BTK - vectors_BTK).detach())
            if levels_B is not None:
                step_BTL = step_BTL * (levels_B > level).view(-1, 1, 1).to(step_BTL.dtype)
            total_BTL = total_BTL + step_BTL
            residual_BTL = residual_BTL - step_BTL
            codes.append(index_N.view(vectors_BTK.shape[:2]))
        return Quantized(total_BTL, torch.stack(codes, dim=1), commitment / self.n_codebooks)

    @torch.no_grad()
    def encode(self, latent_BTL: Tensor) -> Tensor:
        """Latent (B, T, L) -> codes (B, C, T), int64: those of `forward`, without what training needs."""
        residual_BTL, codes = latent_BTL, []
        for level in range(self.n_codebooks):
            vectors_BTK, index_N, entries_BTK = self._look_up(residual_BTL, level)
            residual_BTL = residual_BTL - self.up[level](vectors_BTK + (entries_BTK - vectors_BTK))
            codes.append(index_N.view(vectors_BTK.shape[:2]))
        return torch.stack(codes, dim=1)

    def _look_up(self, residual_BTL: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Projections of what the levels before left over, (B, T, K), the nearest entries' indices (N,), and they."""
        vectors_BTK = self.down[level](residual_BTL)
        index_N = self.lookup(vectors_BTK.detach().flatten(0, 1), level)
        return vectors_BTK, index_N, self.codebooks_CVK[level][index_N].view_as(vectors_BTK)

    def decode(self, codes_BCT: Tensor, known_BCT: Tensor | None = None) -> Tensor:
        """Codes of the first C' levels -> latent (B, T, L); where `known_BCT` is 0 a level adds nothing."""
        total = torch.zeros((), device=codes_BCT.device)
        for level in range(codes_BCT.shape[1]):
            step_BTL = self.up[level](self.codebooks_CVK[level][codes_BCT[:, level]])
            total = total + (step_BTL if known_BCT is None else step_BTL * known_BCT[:, level].unsqueeze(-1))
        return total


class Observer:
    """Moves the codebooks towards the data and restarts dead entries; training only.

    `decay`: share of the old average kept per step, 0 to 1. An entry that gets less than `dead_share` of the mean
    number of vectors is replaced by a random recent vector every `restart_every` steps.
    """

    def __init__(
        self,
        quantizer: ResidualQuantizer,
        decay: float = 0.99,
        dead_share: float = 0.05,
        restart_every: int = 20,
    ) -> None:
        self.quantizer, self.decay = quantizer, decay
        self.dead_share, self.restart_every = dead_share, restart_every
        books = quantizer.codebooks_CVK
        self.count_CV = torch.ones(books.shape[:2], device=books.device)
        self.total_CVK = books.clone()
        self.recent: dict[int, Tensor] = {}

    def to(self, device: torch.device) -> None:
        """Move the averages to where the quantiser is."""
        self.count_CV, self.total_CVK = self.count_CV.to(device), self.total_CVK.to(device)

    def observe(self, level: int, vectors_NK: Tensor, index_N: Tensor) -> None:
        """Take in one batch of one level."""
        vectors_NK = vectors_NK.float()
        # As `bincount`, which would make the host wait for an accelerator.
        count_V = torch.zeros_like(self.count_CV[level]).index_add_(0, index_N, vectors_NK.new_ones(len(index_N)))
        total_VK = torch.zeros_like(self.total_CVK[level]).index_add_(0, index_N, vectors_NK)
        self.count_CV[level].lerp_(count_V, 1 - self.decay)
        self.total_CVK[level].lerp_(total_VK, 1 - self.decay)
        self.recent[level] = vectors_NK

    def update(self, step: int) -> None:
        """Write the averages into the codebooks; call once per training step, after all levels were seen."""
        if step % self.restart_every == 0:
            for level in self.recent:
                self._restart_dead(level)
        # Entries that nothing falls on keep their place instead of dividing nothing by nothing.
        seen_CV1 = (self.count_CV > 1e-4).unsqueeze(-1)
        mean_CVK = self.total_CVK / self.count_CV.clamp_min(1e-4).unsqueeze(-1)
        moved_CVK = torch.where(seen_CV1, mean_CVK, self.quantizer.codebooks_CVK)
        self.quantizer.codebooks_CVK.copy_(moved_CVK)

    def _restart_dead(self, level: int) -> None:
        count_V, vectors_NK = self.count_CV[level], self.recent[level]
        mean = count_V.mean()
        dead = (count_V < self.dead_share * mean).nonzero().squeeze(1)
        if len(dead) == 0 or len(vectors_NK) == 0:
            return
        pick = torch.randint(len(vectors_NK), (len(dead),), device=vectors_NK.device)
        count_V[dead] = mean
        self.total_CVK[level, dead] = vectors_NK[pick] * mean
        self.quantizer.codebooks_CVK[level, dead] = vectors_NK[pick]

    def state_dict(self) -> dict[str, Tensor]:
        """Moving counts and sums, for a checkpoint."""
        return {"count_CV": self.count_CV, "total_CVK": self.total_CVK}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self.count_CV.copy_(state["count_CV"])
        self.total_CVK.copy_(state["total_CVK"])


@torch.no_grad()
def initialise(quantizer: ResidualQuantizer, latent_NL: Tensor, n_iterations: int = 12, seed: int = 0) -> list[float]:
    """Set every level from latents (N, L) of a codec trained without quantiser (design section 7).

    Level by level: principal components of what is left over as the down projection, k-means as the codebook, least
    squares as the up projection. Returns the share of the latents' variance left after each level.
    """
    generator = torch.Generator().manual_seed(seed)
    residual_NL = latent_NL.float().clone()
    variance = residual_NL.sub(residual_NL.mean(0)).square().mean()
    left = []
    for level in range(quantizer.n_codebooks):
        mean_L = residual_NL.mean(0)
        centred_NL = residual_NL - mean_L
        _, vectors_LL = torch.linalg.eigh(centred_NL.T @ centred_NL)
        down_LK = vectors_LL[:, -quantizer.codebook_dim :]
        vectors_NK = centred_NL @ down_LK
        codebook_VK, index_N = kmeans(vectors_NK, quantizer.codebook_size, n_iterations, generator)
        entries_NK = torch.cat([codebook_VK[index_N], index_N.new_ones(len(index_N), 1)], dim=1)
        solution = _least_squares(entries_NK, residual_NL)
        down, up = quantizer.down[level], quantizer.up[level]
        assert isinstance(down, nn.Linear) and isinstance(up, nn.Linear)
        down.weight.copy_(down_LK.T)
        down.bias.copy_(-mean_L @ down_LK)
        up.weight.copy_(solution[:-1].T)
        up.bias.copy_(solution[-1])
        quantizer.codebooks_CVK[level] = codebook_VK
        residual_NL = residual_NL - entries_NK @ solution
        left.append(float(residual_NL.square().mean() / variance))
    scale_to_unit_power(quantizer)
    return left


def _least_squares(inputs_NK: Tensor, wanted_NL: Tensor) -> Tensor:
    """Weights (K, L) that map inputs to what is wanted. By normal equations: `lstsq` differs from call to call."""
    inputs_NK = inputs_NK.double()
    gram_KK = inputs_NK.T @ inputs_NK
    gram_KK.diagonal().add_(1e-9 * gram_KK.diagonal().mean())  # where entries span less than all dimensions
    return torch.linalg.solve(gram_KK, inputs_NK.T @ wanted_NL.double()).float()


@torch.no_grad()
def scale_to_unit_power(quantizer: ResidualQuantizer) -> None:
    """Scale each level's entries to a mean square of 1, its projections so that codes and latents stay what they are.

    Masked models read the entries: at a scale of hundreds they hardly learn.
    """
    for level in range(quantizer.n_codebooks):
        down, up = quantizer.down[level], quantizer.up[level]
        assert isinstance(down, nn.Linear) and isinstance(up, nn.Linear)
        power = quantizer.codebooks_CVK[level].square().mean().sqrt().clamp_min(1e-12)
        quantizer.codebooks_CVK[level] /= power
        for parameter in (down.weight, down.bias):
            parameter.div_(power)
        up.weight.mul_(power)


def kmeans(vectors_NK: Tensor, size: int, n_iterations: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm; an empty cluster restarts at a random vector. Returns centres (size, K) and indices (N,)."""
    device = vectors_NK.device
    order = torch.randperm(len(vectors_NK), generator=generator).to(device)
    centres_VK = vectors_NK[order[torch.arange(size, device=device) % len(order)]].clone()
    index_N = torch.zeros(len(vectors_NK), dtype=torch.long, device=device)
    for _ in range(n_iterations):
        index_N = nearest(vectors_NK, centres_VK)
        count_V = torch.bincount(index_N, minlength=size).float()
        total_VK = torch.zeros_like(centres_VK).index_add_(0, index_N, vectors_NK)
        empty = (count_V == 0).nonzero().squeeze(1)
        centres_VK = total_VK / count_V.clamp_min(1).unsqueeze(1)
        pick = torch.randint(len(vectors_NK), (len(empty),), generator=generator).to(device)
        centres_VK[empty] = vectors_NK[pick]
    return centres_VK, index_N
