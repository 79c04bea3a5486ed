"""What rounding the coarse network to bfloat16 or 8-bit integers changes: tokens, cross-entropy, Fréchet distance.

    python -m benchmarks.generation.precision TOKENS [--bundle default] [--excerpts 12] [--skip-fad]

TOKENS are held-out tokens of the bundle's codec (`vampnet corpus ... --tokens` or `vampnet tokenize`). Agreement is
the share of masked tokens that are drawn as in float32 with the same seed, in one pass and in 12. Nats are means over
masked tokens of the coarse codebooks; the difference from float32 is paired, with the standard error over excerpts.
FAD, diversity and mel distance as in `benchmarks.generation.samplers`, 95 % intervals.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.generation.samplers import Reference, Way, figures_of, shown, statistic
from benchmarks.tables import table
from benchmarks.training.masked_variants import excerpts_of, periodic, share
from vampnet.device import inference_dtype
from vampnet.errors import DependencyError
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import TokenNetwork, fill
from vampnet.models.bundle import load_bundle
from vampnet.models.integer import in_integers
from vampnet.models.openvino import OpenVinoNetwork
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.masks import mask_codes
from vampnet.training.data.token_dataset import TokenSet, open_tokens

AGREEMENT_EXCERPTS = 4
C2F_FRAMES = 173


def networks(model: MaskedTransformer) -> Iterator[tuple[str, TokenNetwork]]:
    """Each number format that this CPU computes, float32 first."""
    yield "float32", model
    fastest = inference_dtype(torch.device("cpu"))
    if fastest != torch.float32:
        yield "bfloat16", model.in_format(fastest)
        with contextlib.suppress(DependencyError):
            yield "OpenVINO bfloat16", OpenVinoNetwork(model, fastest)
    yield "int8", in_integers(model, fastest)


@torch.no_grad()
def nats(network: TokenNetwork, codes_BCT: Tensor, keep_BCT: Tensor) -> Tensor:
    """Mean cross-entropy of the masked tokens of each excerpt, (B,)."""
    found = []
    for codes_CT, keep_CT in zip(codes_BCT, keep_BCT, strict=True):
        masked_CT = mask_codes(codes_CT, keep_CT, network.config.mask_token)
        logits_NV = network(masked_CT[None], ~keep_CT[None]).float()
        found.append(F.cross_entropy(logits_NV, codes_CT[~keep_CT]))
    return torch.stack(found)


def fine_nats(network: TokenNetwork, codes_BCT: Tensor, keep_BCT: Tensor) -> Tensor:
    """As `nats`, of the codebooks that a coarse-to-fine network predicts."""
    n_given, found = network.config.n_conditioning_codebooks, []
    for codes_CT, keep_CT in zip(codes_BCT, keep_BCT, strict=True):
        masked_CT = mask_codes(codes_CT, keep_CT, network.config.mask_token)
        chosen_PT = ~keep_CT[n_given:]
        with torch.no_grad():
            logits_NV = network(masked_CT[None], chosen_PT[None]).float()
        found.append(F.cross_entropy(logits_NV, codes_CT[n_given:][chosen_PT]))
    return torch.stack(found)


def fine_excerpts(tokens: TokenSet, n_codebooks: int, n_excerpts: int) -> Tensor:
    """The first 3 s of whole pieces, (B, C, T), all codebooks."""
    found = []
    for shard, start, length in tokens.pieces.tolist()[:n_excerpts]:
        part_TC = tokens.shards[shard][start : start + min(length, C2F_FRAMES)]
        found.append(torch.from_numpy(part_TC.astype("int64")).T[:n_codebooks])
    return torch.stack([codes_CT for codes_CT in found if codes_CT.shape[1] == C2F_FRAMES])


def agreement(network: TokenNetwork, codes_BCT: Tensor, keep_BCT: Tensor, steps: int, kept: dict[int, Tensor]) -> float:
    """Share of the masked tokens that are drawn as by the first network asked."""
    seeds = list(range(len(codes_BCT)))
    made = [
        fill(network, codes_CT[None], keep_CT[None], SamplingConfig(), [seed], steps)
        for codes_CT, keep_CT, seed in zip(codes_BCT, keep_BCT, seeds, strict=True)
    ]
    drawn_BCT = torch.cat(made)
    return float((drawn_BCT == kept.setdefault(steps, drawn_BCT))[~keep_BCT].float().mean())


def difference(own_B: Tensor, base_B: Tensor) -> str:
    apart_B = own_B - base_B
    error = float(apart_B.std() / math.sqrt(len(apart_B))) if len(apart_B) > 1 else math.nan
    return f"{float(apart_B.mean()):+.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--excerpts", type=int, default=12)
    parser.add_argument("--skip-fad", action="store_true")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    assert bundle.coarse is not None and bundle.c2f is not None
    codes_BCT = excerpts_of(open_tokens(options.tokens), options.excerpts)
    generator = torch.Generator().manual_seed(0)
    keeps = {"P = 7": periodic(codes_BCT, generator, 7), "half masked": share(codes_BCT, generator, 0.5)}
    reference = None if options.skip_fad else Reference.of(codes_BCT, bundle.codec)
    rows: dict[str, dict[str, str]] = {}
    base: dict[str, Tensor] = {}
    kept: dict[int, Tensor] = {}
    fine_BCT = fine_excerpts(open_tokens(options.tokens), bundle.c2f.config.n_codebooks, options.excerpts)
    given_BCT = torch.zeros_like(fine_BCT, dtype=torch.bool)
    given_BCT[:, : bundle.c2f.config.n_conditioning_codebooks] = True
    fine = {name: fine_nats(network, fine_BCT, given_BCT) for name, network in networks(bundle.c2f.eval())}
    for name, network in networks(bundle.coarse.eval()):
        few = codes_BCT[:AGREEMENT_EXCERPTS], keeps["P = 7"][:AGREEMENT_EXCERPTS]
        row = {f"same tokens, {n} step{'s' * (n > 1)}": f"{agreement(network, *few, n, kept):.1%}" for n in (1, 12)}
        for mask, keep_BCT in keeps.items():
            own_B = nats(network, codes_BCT, keep_BCT)
            first_B = base.setdefault(mask, own_B)
            row[f"nats, {mask}"] = f"{float(own_B.mean()):.4f}" if first_B is own_B else difference(own_B, first_B)
        apart = f"{float(fine[name].mean()):.4f}" if name == "float32" else difference(fine[name], fine["float32"])
        row["nats, c2f, all fine masked"] = apart
        if reference is not None:
            figures = figures_of(Way(), network, bundle.codec, reference)
            row |= {key: shown(statistic(figures[key])) for key in ("FAD, P = 7", "diversity", "mel")}
        rows[name] = row
        print(name, row, flush=True)
    print(f"\n{len(codes_BCT)} excerpts of 10 s\n\n" + table("", rows))


if __name__ == "__main__":
    main()
