"""The network: codes in, logits out, nothing else (paper, section 3.2; the exact layers: docs of each class).

A bidirectional transformer over frames. Axis letters: B batch, C codebook read, P codebook predicted, T frame,
V vocabulary, K width of a codebook vector, D width, H head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.errors import SettingsError
from vampnet.models.config import ModelConfig

RMS_EPS = 1e-6
INIT_STD = 0.02


class MaskedTransformer(nn.Module):
    """Logits of every predicted codebook at every frame, from codes of which some are the mask token.

    Each frame's C codebook vectors (the codec's own, from the buffer `codebooks_CVK`; a learned vector per codebook
    stands for the mask token) are concatenated and projected to width D. Then come pre-norm transformer layers that
    share one T5 relative position bias, a final RMS norm and a linear classifier of P * V outputs, codebook-major.
    """

    codebooks_CVK: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.register_buffer("codebooks_CVK", torch.zeros(c.n_codebooks, c.vocab_size, c.codebook_dim))
        self.mask_vectors_CK = nn.Parameter(torch.empty(c.n_codebooks, c.codebook_dim))
        self.project = nn.Linear(c.n_codebooks * c.codebook_dim, c.dim)
        self.learned_CVD: nn.Parameter | None = None
        if c.learned_embedding:
            self.learned_CVD = nn.Parameter(torch.empty(c.n_codebooks, c.vocab_size + 1, c.dim))
        self.dropout = nn.Dropout(c.dropout)
        self.position_bias = RelativePositionBias(c.n_heads, c.n_buckets, c.max_distance)
        self.layers = nn.ModuleList(TransformerLayer(c.dim, c.n_heads, c.dropout) for _ in range(c.n_layers))
        self.norm = RMSNorm(c.dim, eps=RMS_EPS)
        self.classifier = nn.Linear(c.dim, c.n_predicted * c.vocab_size)
        self._initialise()

    def forward(self, codes_BCT: Tensor, chosen_BPT: Tensor | None = None, added_NBTD: Tensor | None = None) -> Tensor:
        """Codes (B, C, T), int64, 0..V with V the mask token -> logits_BCTV (B, P, T, V), predicted codebooks only.

        The classes lie on the last axis, ready for gathering positions and for a softmax. With `chosen_BPT`, bool, only
        the N tokens where it is true: logits_NV, by codebook, then item, then frame: enough to train and to draw.
        `added_NBTD` (`conditioning.py`) is added before each of the layers and, its last, before the final norm.
        Raises SettingsError for another number of codebooks or no frames, IndexError (CPU) for a code outside 0..V.
        """
        return logits_of(self.classifier, self.hidden(codes_BCT, added_NBTD), self.config.n_predicted, chosen_BPT)

    def hidden(self, codes_BCT: Tensor, added_NBTD: Tensor | None = None) -> Tensor:
        """Input of the classifier: codes (B, C, T) -> (B, T, D), after the final norm."""
        x_BTD = self.dropout(self.embed(codes_BCT))
        reduced = self.dtype != torch.float32
        bias_HTT = self.position_bias(x_BTD.shape[1]).to(self.dtype if reduced else x_BTD.dtype)
        if added_NBTD is None:
            for layer in self.layers:
                x_BTD = layer(x_BTD, bias_HTT)
            return self.norm(x_BTD)
        for layer, added_BTD in zip(self.layers, added_NBTD[:-1], strict=True):
            x_BTD = layer(x_BTD + added_BTD, bias_HTT)
        return self.norm(x_BTD + added_NBTD[-1])

    def latents(self, codes_BCT: Tensor) -> Tensor:
        """Codebook vectors of each frame, concatenated: codes (B, C, T) -> (B, T, C * K)."""
        self._check_codes(codes_BCT)
        vectors_CVK = torch.cat([self.codebooks_CVK, self.mask_vectors_CK.unsqueeze(1)], dim=1)
        return torch.cat([F.embedding(codes_BCT[:, c], vectors_VK) for c, vectors_VK in enumerate(vectors_CVK)], dim=-1)

    def embed(self, codes_BCT: Tensor) -> Tensor:
        """Input of the first layer: codes (B, C, T) -> (B, T, D)."""
        x_BTD = self.project(self.latents(codes_BCT))
        if self.learned_CVD is not None:
            for c, table_VD in enumerate(self.learned_CVD):
                x_BTD = x_BTD + F.embedding(codes_BCT[:, c], table_VD)
        return x_BTD

    @property
    def dtype(self) -> torch.dtype:
        """Number format that the layers compute in, that of their matrices; the sum that they add to is float32."""
        return self.classifier.weight.dtype

    def in_format(self, dtype: torch.dtype) -> MaskedTransformer:
        """This network with its matrices in another number format, for inference; itself if they are in it already.

        What does not change is shared, not copied.
        """
        if dtype == self.dtype:
            return self
        with torch.device("meta"):
            converted = MaskedTransformer(self.config)
        state = {name: in_format(name, tensor, dtype) for name, tensor in self.state_dict().items()}
        converted.load_state_dict(state, assign=True)
        return converted.train(self.training)

    def set_codebooks(self, codebooks_CVK: Tensor) -> None:
        """Fill in the codec's codebook vectors (C, V, K); they are kept in the state dict and never trained.

        Raises SettingsError for another shape.
        """
        if codebooks_CVK.shape != self.codebooks_CVK.shape:
            raise SettingsError(
                f"codebooks of shape {tuple(codebooks_CVK.shape)} do not fit this model, which needs "
                f"{tuple(self.codebooks_CVK.shape)} (codebooks, entries, dimensions)"
            )
        with torch.no_grad():
            self.codebooks_CVK.copy_(codebooks_CVK)

    def _check_codes(self, codes_BCT: Tensor) -> None:
        if codes_BCT.ndim != 3 or codes_BCT.shape[1] != self.config.n_codebooks or codes_BCT.shape[2] == 0:
            raise SettingsError(
                f"codes of shape {tuple(codes_BCT.shape)} do not fit this model, which needs "
                f"(batch, {self.config.n_codebooks}, frames) with at least one frame"
            )

    def _initialise(self) -> None:
        """Draw the weights for training from scratch.

        Outputs that add to the residual stream shrink with depth, so that its variance at the top does not grow with
        the number of layers; the projection keeps the variance of its input.
        """
        if self.mask_vectors_CK.is_meta:  # weights from a file follow; drawing here would import PyTorch's compiler
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)
            for linear in (layer.attention.out, layer.feed_forward.down):
                nn.init.normal_(linear.weight, std=INIT_STD / math.sqrt(2 * self.config.n_layers))
        nn.init.normal_(self.project.weight, std=1 / math.sqrt(self.project.in_features))
        nn.init.normal_(self.mask_vectors_CK)
        nn.init.normal_(self.position_bias.table_NH, std=INIT_STD)
        if self.learned_CVD is not None:
            nn.init.normal_(self.learned_CVD, std=INIT_STD)


def logits_of(classifier: nn.Linear, hidden_BTD: Tensor, n_predicted: int, chosen_BPT: Tensor | None = None) -> Tensor:
    """Logits (B, P, T, V) from the last hidden states, or (N, V) of chosen tokens, as `MaskedTransformer.forward`."""
    hidden_BTD, shape_PV = _as_weight(hidden_BTD, classifier), (n_predicted, -1)
    if chosen_BPT is not None and type(classifier) is nn.Linear:  # an adapter computes more than weight and bias
        weight_PVD, bias_PV = (p.unflatten(0, shape_PV) for p in (classifier.weight, classifier.bias))
        parts = zip(chosen_BPT.unbind(1), weight_PVD, bias_PV, strict=True)
        return torch.cat([F.linear(hidden_BTD[chosen_BT], w, b) for chosen_BT, w, b in parts])
    logits_PBTV = classifier(hidden_BTD).unflatten(-1, shape_PV).permute(2, 0, 1, 3)
    return logits_PBTV.transpose(0, 1) if chosen_BPT is None else logits_PBTV[chosen_BPT.transpose(0, 1)]


def in_format(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of the network's state dict, in `dtype` if it is one of the matrices that do nearly all of the work.

    All others, norms, position biases and what makes the first layer's input, are float32: they cost little and matter
    much.
    """
    is_matrix = name.startswith("classifier.") or (name.startswith("layers.") and tensor.ndim == 2)
    return tensor.to(dtype if is_matrix else torch.float32)


def _as_weight(x: Tensor, linear: nn.Linear) -> Tensor:
    """The input of a layer in the layer's own number format. Float32 weights take any: autocast sees to it."""
    return x if linear.weight.dtype == torch.float32 else x.to(linear.weight.dtype)


class RMSNorm(nn.RMSNorm):
    """RMS norm whose weight takes the input's number format: PyTorch has a fused kernel only where both agree."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis to a root mean square of 1, then scale."""
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class TransformerLayer(nn.Module):
    """Pre-norm: x += attention(rms(x)); x += feed_forward(rms(x)). Dropout acts on both branches."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(dim, eps=RMS_EPS)
        self.attention = Attention(dim, n_heads)
        self.feed_forward_norm = RMSNorm(dim, eps=RMS_EPS)
        self.feed_forward = FeedForward(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, bias_HTT: Tensor) -> Tensor:
        """Pre-norm attention and feed-forward with residual sums; the shape (B, T, D) stays."""
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), bias_HTT))
        return x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))


class Attention(nn.Module):
    """Multi-head self-attention over all frames, no biases in its projections, scores scaled by 1/sqrt(D / H).

    The four projections are apart because adapters (LoRA) of the published models act on some of them only.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x_BTD: Tensor, bias_HTT: Tensor) -> Tensor:
        """Self-attention with position bias (H, T, T); the shape (B, T, D) stays."""
        x_BTD = _as_weight(x_BTD, self.query)
        query_BHTd = self._split(self.query(x_BTD))
        key_BHTd = self._split(self.key(x_BTD))
        value_BHTd = self._split(self.value(x_BTD))
        mixed_BHTd = attend(query_BHTd, key_BHTd, value_BHTd, bias_HTT)
        return self.out(mixed_BHTd.transpose(1, 2).flatten(2))

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


def attend(query_BHTd: Tensor, key_BHTd: Tensor, value_BHTd: Tensor, bias_HTT: Tensor) -> Tensor:
    """Attention of heads (B, H, T, d) with a position bias (H, T, T), both in one number format; the shape stays."""
    if query_BHTd.dtype == torch.bfloat16 and query_BHTd.device.type == "cpu" and not torch.is_grad_enabled():
        return _attend_on_cpu(query_BHTd, key_BHTd, value_BHTd, bias_HTT)
    return F.scaled_dot_product_attention(query_BHTd, key_BHTd, value_BHTd, attn_mask=bias_HTT.unsqueeze(0))


def _attend_on_cpu(query_BHTd: Tensor, key_BHTd: Tensor, value_BHTd: Tensor, bias_HTT: Tensor) -> Tensor:
    """Attention in three plain steps, which in bfloat16 on a CPU is a third faster than PyTorch's fused one."""
    scale = query_BHTd.shape[-1] ** -0.5
    items = []
    for query_HTd, key_HTd, value_HTd in zip(query_BHTd, key_BHTd, value_BHTd, strict=True):
        scores_HTT = torch.baddbmm(bias_HTT, query_HTd, key_HTd.mT, alpha=scale)
        items.append(scores_HTT.softmax(-1) @ value_HTd)
    return torch.stack(items)


class FeedForward(nn.Module):
    """Gated feed-forward: D -> 4D, halves a and b, a * gelu_tanh(b), 2D -> D; no biases."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 4 * dim, bias=False)
        self.down = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Gated feed-forward on the last axis; the shape (B, T, D) stays."""
        value, gate = self.up(_as_weight(x_BTD, self.up)).chunk(2, dim=-1)
        return self.down(value * F.gelu(gate, approximate="tanh"))


class RelativePositionBias(nn.Module):
    """T5's bidirectional relative position bias (Raffel et al. 2020): a learned scalar per head and distance bucket."""

    def __init__(self, n_heads: int, n_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.table_NH = nn.Parameter(torch.empty(n_buckets, n_heads))

    def forward(self, n_frames: int) -> Tensor:
        """Bias (H, T, T) of query frame (axis 1) and key frame (axis 2), contiguous.

        It depends on key - query alone, so the 2T - 1 distances are looked up and each row is a window of them. This
        takes about a hundredth of a forward pass, so nothing is cached and nothing can be stale.
        """
        distance = torch.arange(-(n_frames - 1), n_frames, device=self.table_NH.device)
        bucket = relative_position_bucket(distance, self.table_NH.shape[0], self.max_distance)
        # Contiguous before as well as after: attention would copy any other layout anew in every layer.
        by_distance_HR = F.embedding(bucket, self.table_NH).T.contiguous()
        return by_distance_HR.unfold(1, n_frames, 1).flip(1)


def relative_position_bucket(distance: Tensor, n_buckets: int, max_distance: int) -> Tensor:
    """Bucket 0..n_buckets-1 of key - query distances in frames (int64), bidirectional as in T5.

    Half of the buckets serve each direction. Of those, the first half hold one distance each, the rest grow
    logarithmically up to `max_distance`, and all longer distances share the last.
    """
    n_side = n_buckets // 2
    n_exact = n_side // 2
    length = distance.abs()
    scale = (n_side - n_exact) / math.log(max_distance / n_exact)
    # The clamp keeps log(0) out; those distances take the exact branch.
    logarithmic = n_exact + (torch.log(length.clamp(min=1).float() / n_exact) * scale).long()
    bucket = torch.where(length < n_exact, length, logarithmic.clamp(max=n_side - 1))
    return bucket + (distance > 0) * n_side
