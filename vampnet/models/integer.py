"""Networks whose products of matrices are of 8-bit integers, on CPUs about twice as fast as those in bfloat16.

Weights are rounded to 8 bits with one scale per output, once; what a layer reads with one scale per frame, at every
call. The products themselves are exact, so a frame's result depends neither on other frames of the batch nor on its
size. Attention, the norms, the first layer's input and the classifier stay as they are: they cost little, and the
classifier's rounding would reach the tokens directly.

Axis letters: B batch, T frame, D width, H head, N row, I input, O output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vampnet.errors import SettingsError
from vampnet.models.transformer import Attention, FeedForward, MaskedTransformer, TransformerLayer, attend, in_format

LARGEST = 127
"""Largest integer of a row, its sign aside."""
_TINY = 1e-30
"""Lower limit of a scale: a row of zeros stays one."""


class IntegerLinear(nn.Module):
    """Linear map without bias in 8-bit integers; several maps of one input are one product."""

    weight_OI: Tensor
    scale_O: Tensor

    def __init__(self, maps: Sequence[nn.Linear]) -> None:
        super().__init__()
        weight_OI = torch.cat([own.weight.detach().float() for own in maps])
        integers_OI, scale_O1 = to_integers(weight_OI)
        self.register_buffer("weight_OI", integers_OI)
        self.register_buffer("scale_O", scale_O1.flatten())

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Rows (B, T, I) -> (B, T, O), float32."""
        integers_NI, scale_N1 = to_integers(x_BTI.flatten(0, 1).float())
        products_NO = torch._int_mm(integers_NI, self.weight_OI.t())  # pyright: ignore[reportPrivateImportUsage]
        return products_NO.float().mul_(self.scale_O).mul_(scale_N1).unflatten(0, x_BTI.shape[:2])


class IntegerAttention(nn.Module):
    """`transformer.Attention` with its four projections in integers."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.n_heads = attention.n_heads
        self.query_key_value = IntegerLinear([attention.query, attention.key, attention.value])
        self.out = IntegerLinear([attention.out])

    def forward(self, x_BTD: Tensor, bias_HTT: Tensor) -> Tensor:
        """Self-attention with position bias (H, T, T), in the number format of that; the shape (B, T, D) stays."""
        projected = self.query_key_value(x_BTD).to(bias_HTT.dtype).unflatten(-1, (3, self.n_heads, -1))
        query_BHTd, key_BHTd, value_BHTd = projected.permute(2, 0, 3, 1, 4)
        return self.out(attend(query_BHTd, key_BHTd, value_BHTd, bias_HTT).transpose(1, 2).flatten(2))


class IntegerFeedForward(nn.Module):
    """`transformer.FeedForward` with both maps in integers."""

    def __init__(self, feed_forward: FeedForward) -> None:
        super().__init__()
        self.up, self.down = IntegerLinear([feed_forward.up]), IntegerLinear([feed_forward.down])

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Gated feed-forward on the last axis; the shape (B, T, D) stays."""
        value, gate = self.up(x_BTD).chunk(2, dim=-1)
        return self.down(value * F.gelu(gate, approximate="tanh"))


def to_integers(x_NI: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as int8, -127 to 127, and each row's scale (N, 1), float32: their product is the nearest that there is."""
    scale_N1 = x_NI.abs().amax(-1, keepdim=True).div_(LARGEST).clamp_min_(_TINY)
    return (x_NI / scale_N1).round_().to(torch.int8), scale_N1


@torch.no_grad()
def in_integers(model: MaskedTransformer, dtype: torch.dtype) -> MaskedTransformer:
    """A network, given with float32 matrices, with the layers' matrices in 8-bit integers, for inference on a CPU.

    `dtype`: number format of attention and classifier. Nothing is shared with the given network, so that the file that
    its weights are mapped from can be let go.
    """
    check_integers()
    with torch.device("meta"):
        converted = MaskedTransformer(model.config)
    for own, layer in zip(converted.layers, model.layers, strict=True):
        assert isinstance(own, TransformerLayer) and isinstance(layer, TransformerLayer)
        assert isinstance(layer.attention, Attention) and isinstance(layer.feed_forward, FeedForward)
        own.add_module("attention", IntegerAttention(layer.attention))
        own.add_module("feed_forward", IntegerFeedForward(layer.feed_forward))
    state = model.state_dict()
    floats = [name for name in converted.state_dict() if name in state]  # all but what is in integers now
    own_state = {name: in_format(name, state[name], dtype).clone() for name in floats}
    converted.load_state_dict(own_state, strict=False, assign=True)
    return converted.eval()


def check_integers() -> None:
    """Raise SettingsError where PyTorch does not multiply 8-bit integers fast and exactly on this CPU.

    Without oneDNN they are multiplied one by one; without the instructions for it (VNNI) sums of two products may not
    fit the 16 bits that they are held in, and nothing says so. The largest products there are show it.
    """
    if not hasattr(torch, "_int_mm") or not torch.backends.mkldnn.is_available():
        raise SettingsError(
            "this PyTorch has no fast product of 8-bit integers, which precision 'int8' needs; choose precision 'auto'"
        )
    signs_NI = 1 - 2 * (torch.arange(64 * 256).view(64, 256) // 2 % 2)  # ++--, so that pairs have one sign
    extreme_NI = (LARGEST * signs_NI).to(torch.int8)
    if not torch.equal(_multiply(extreme_NI, extreme_NI), extreme_NI.int() @ extreme_NI.int().t()):
        raise SettingsError(
            "this CPU has no exact product of 8-bit integers (VNNI), which precision 'int8' needs; choose precision "
            "'auto'"
        )


def _multiply(rows_NI: Tensor, weight_OI: Tensor) -> Tensor:
    """Exact products of int8 rows, (N, O), int32."""
    return torch._int_mm(rows_NI, weight_OI.t())  # pyright: ignore[reportPrivateImportUsage]
