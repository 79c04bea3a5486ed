"""Ways of filling in that are no options of the product, beside those that are, at matched diversity.

    python -m benchmarks.generation.samplers corpora/tokens/validation --work runs/samplers [--excerpts 24] [-o \
        docs/samplers.md]

Coarse tokens alone: P = 7, two variations of each excerpt, and P = 16, one; decoded from the coarse codebooks and
compared with what the excerpts' own coarse tokens sound like. FAD with 95 % intervals, diversity as in `vampnet
evaluate`, "beside the temperature" is FAD minus that of temperature alone at the same diversity (P = 7; below 0 is
better, in resamples of excerpts). Passes are those of the network per window.

- rescored: in every step a share of what is there is hidden from the network as well; the half of it that the network
  finds less likely, not knowing it, is drawn anew. A critic without a critic.
- codebooks in 9-1-1-1 steps: one codebook after the other, most passes for the first (SoundStorm).
- guided: logits move away from what the network says when half of what is there is hidden, by a weight.

Finished rows are kept in `--work`; several processes can share them by `--only`, and a last one makes the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.generation.unmasking_orders import ORDERS, fill_by_codebook, fill_in_order
from benchmarks.tables import report, table
from benchmarks.training.masked_variants import excerpts_of, periodic
from vampnet.audio.mel import mel_distance
from vampnet.codec.base import Codec
from vampnet.evaluation.embeddings.builtin import MelStatistics
from vampnet.evaluation.experiments.analysis import Statistic, combine, mean_of
from vampnet.evaluation.metrics.frechet import Floats, GroupedMoments, Moments, factor, frechet_distance, quick_distance
from vampnet.evaluation.metrics.statistics import resample_counts
from vampnet.generation.config import SamplingConfig
from vampnet.generation.sampling import TokenNetwork, draw, fill, masked_after_each_step
from vampnet.models.config import ModelConfig
from vampnet.prompts.masks import mask_codes
from vampnet.tasks.model import load
from vampnet.training.data.token_dataset import open_tokens

RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Way:
    """How tokens are filled in."""

    sampling: SamplingConfig = SamplingConfig()
    rescored: float = 0.0
    """Share of what is there that every step looks at again."""
    guided: float = 0.0
    """Weight of guidance."""
    order: str = "confidence"
    """Unmasking order, of `unmasking_orders.ORDERS`."""
    remask: float = 0.0
    """Share of the committed tokens that every step masks again."""

    codebook_steps: tuple[int, ...] = ()
    """Steps of each codebook, filled one after the other; empty: all codebooks together."""

    @property
    def passes(self) -> int:
        if self.codebook_steps:
            return sum(self.codebook_steps)
        return self.sampling.steps * (2 if self.guided else 1)


TEMPERATURES = {f"temperature {t:g}": Way(SamplingConfig(temperature=t)) for t in (0.8, 0.9, 1.0, 1.15)}
WAYS = TEMPERATURES | {"rescored 0.3": Way(rescored=0.3), "guided 1": Way(guided=1.0)}
WAYS |= {f"{steps} steps": Way(SamplingConfig(steps=steps)) for steps in (4, 8, 12)}
WAYS |= {
    f"codebooks in {n}-1-1-1 steps, temperature {t:g}": Way(SamplingConfig(temperature=t), codebook_steps=(n, 1, 1, 1))
    for n in (3, 5, 9)
    for t in (0.9, 1.0, 1.1)
}
WAYS |= {name: Way(order=name) for name in ORDERS[1:]} | {"remask 0.1": Way(remask=0.1)}


class Guided:
    """A network whose logits move away from those of itself when it sees less; half of its calls' work is that."""

    training = False

    def __init__(self, network: TokenNetwork, weight: float) -> None:
        self.network, self.weight, self.generator = network, weight, torch.Generator().manual_seed(0)

    @property
    def config(self) -> ModelConfig:
        return self.network.config

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor) -> Tensor:
        hidden_BCT = torch.rand(codes_BCT.shape, generator=self.generator) < 0.5
        weak_NV = self.network(mask_codes(codes_BCT, ~hidden_BCT, self.config.mask_token), chosen_BPT)
        full_NV = self.network(codes_BCT, chosen_BPT)
        return full_NV + self.weight * (full_NV - weak_NV)


@torch.no_grad()
def fill_rescored(
    network: TokenNetwork, codes_CT: Tensor, mask_CT: Tensor, way: Way, generator: torch.Generator
) -> Tensor:
    """As `sampling.fill` in confidence order, for one item, with a second look at what is there."""
    settings, mask_token = way.sampling, network.config.mask_token
    codes_CT = mask_codes(codes_CT, ~mask_CT, mask_token)
    schedule = masked_after_each_step(int(mask_CT.sum()), settings.steps)
    for step in range(settings.steps):
        waiting_CT = codes_CT == mask_token
        probed_CT = mask_CT & ~waiting_CT & (torch.rand(codes_CT.shape, generator=generator) < way.rescored)
        hidden_CT = waiting_CT | probed_CT
        logits_NV = network(mask_codes(codes_CT, ~probed_CT, mask_token)[None], hidden_CT[None]).float()
        uniform_2N = torch.rand(2, len(logits_NV), generator=generator).clamp(2.0**-25, 1 - 2.0**-24)
        drawn_N, log_p_N = draw(logits_NV, uniform_2N[0], settings)
        weight = settings.mask_temperature * (1 - (step + 1) / settings.steps)
        confidence_N = log_p_N - weight * torch.log(-torch.log(uniform_2N[1]))
        is_probe_N, old_N = probed_CT[hidden_CT], codes_CT[hidden_CT]
        old_log_p_N = logits_NV.log_softmax(-1).gather(1, old_N.clamp(max=mask_token - 1)[:, None])[:, 0]
        worse_N = is_probe_N & (old_log_p_N < old_log_p_N[is_probe_N].nanmedian())
        n_commit = schedule[step] - schedule[step + 1]
        leading = confidence_N.masked_fill(is_probe_N, -torch.inf).topk(n_commit).indices
        committed_N = worse_N.index_fill(0, leading, True)
        codes_CT = codes_CT.masked_scatter(hidden_CT, torch.where(committed_N, drawn_N, old_N))
    return codes_CT


def filled(network: TokenNetwork, codes_CT: Tensor, period: int, way: Way, seed: int) -> Tensor:
    keep_CT = periodic(codes_CT[None], torch.Generator(), period)[0]
    if way.codebook_steps:
        generator = torch.Generator().manual_seed(seed)
        return fill_by_codebook(network, codes_CT, ~keep_CT, way.sampling, way.codebook_steps, generator)
    if way.rescored:
        return fill_rescored(network, codes_CT, ~keep_CT, way, torch.Generator().manual_seed(seed))
    if way.order != "confidence" or way.remask:
        generator = torch.Generator().manual_seed(seed)
        return fill_in_order(network, codes_CT, ~keep_CT, way.sampling, way.order, way.remask, generator)
    own = Guided(network, way.guided) if way.guided else network
    return fill(own, codes_CT[None], keep_CT[None], way.sampling, [seed], way.sampling.steps)[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What outputs are compared with."""

    codes_ECT: Tensor
    audio_ES: Tensor
    total: Moments
    resampled: list[tuple[Moments, Floats]]
    counts_RE: Floats

    @staticmethod
    def of(codes_ECT: Tensor, codec: Codec) -> Reference:
        audio_ES = torch.cat([codec.decode(codes_CT[None]) for codes_CT in codes_ECT])
        counts_RE = resample_counts(len(codes_ECT), RESAMPLES, np.random.default_rng(0))
        grouped = GroupedMoments.of([moments_of(audio_S[None]) for audio_S in audio_ES])
        resampled = [(m, factor(m.covariance_DD)) for m in grouped.totals(counts_RE)]
        return Reference(codes_ECT, audio_ES, grouped.total(), resampled, counts_RE)

    def fad(self, audio_EVS: Tensor) -> Statistic:
        """Of outputs (excerpts, variations, samples)."""
        grouped = GroupedMoments.of([moments_of(audio_AS) for audio_AS in audio_EVS])
        pairs = zip(self.resampled, grouped.totals(self.counts_RE), strict=True)
        draws_R = np.array([quick_distance(*one, other) for one, other in pairs])
        return Statistic(frechet_distance(self.total, grouped.total()), draws_R)


def moments_of(audio_AS: Tensor) -> Moments:
    return Moments.of(MelStatistics().vectors(audio_AS).flatten(0, 1).numpy())


@torch.no_grad()
def figures_of(way: Way, network: TokenNetwork, codec: Codec, reference: Reference) -> dict[str, Any]:
    """FAD, diversity and mel distance with their resamples."""
    started, outputs = time.perf_counter(), dict[str, Tensor]()
    for period, seeds in ((7, (0, 1)), (16, (0,))):
        made_ECT = [
            torch.stack([filled(network, codes_CT, period, way, 1000 * seed + e) for seed in seeds])
            for e, codes_CT in enumerate(reference.codes_ECT)
        ]
        outputs[str(period)] = torch.stack([codec.decode(codes_VCT) for codes_VCT in made_ECT])
    seconds = (time.perf_counter() - started) / (3 * len(reference.codes_ECT))
    first_ES, second_ES = outputs["7"].unbind(1)
    rate_hz = codec.sample_rate_hz
    apart = [mel_distance(a[None], b[None], rate_hz).item() for a, b in zip(first_ES, second_ES, strict=True)]
    off = [mel_distance(a[None], b[None], rate_hz).item() for a, b in zip(first_ES, reference.audio_ES, strict=True)]
    found = {f"FAD, P = {period}": reference.fad(audio_EVS) for period, audio_EVS in outputs.items()}
    found |= {
        "diversity": mean_of(np.array(apart), reference.counts_RE),
        "mel": mean_of(np.array(off), reference.counts_RE),
    }
    return {"passes": way.passes, "s": seconds} | {
        name: {"value": s.value, "draws": s.draws_R.round(5).tolist()} for name, s in found.items()
    }


def statistic(found: dict[str, Any]) -> Statistic:
    return Statistic(found["value"], np.array(found["draws"]))


def beside_temperature(results: dict[str, dict[str, Any]], name: str) -> str:
    """FAD at P = 7 minus that of the temperature curve at the same diversity."""
    curve = [results[t] for t in TEMPERATURES if t in results]
    if len(curve) < 2 or name in TEMPERATURES:
        return ""

    def excess(own: Floats, diversity: Floats, fad: Floats) -> float:
        order = np.argsort(diversity)
        inside = diversity.min() <= own[0] <= diversity.max()
        return float(own[1] - np.interp(own[0], diversity[order], fad[order])) if inside else np.nan

    keys = ("diversity", "FAD, P = 7")
    own = [statistic(results[name][key]) for key in keys]
    return shown(combine(excess, own, *([statistic(row[key]) for row in curve] for key in keys)))


def shown(s: Statistic) -> str:
    interval = s.interval()
    return f"{s.value:.3f} ({interval.low:.3f} to {interval.high:.3f})" if np.isfinite(s.value) else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path, help="held-out tokens of the bundle's codec")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--excerpts", type=int, default=24)
    parser.add_argument("--only", nargs="*", help="rows; all when not given")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    model = load(options.bundle, backend=options.backend)
    codes_ECT, results = excerpts_of(open_tokens(options.tokens), options.excerpts), dict[str, dict[str, Any]]()
    reference = Reference.of(codes_ECT, model.codec)
    for name in options.only or WAYS:
        path = options.work / f"{''.join(c if c.isalnum() else '-' for c in name)}-{len(codes_ECT)}.json"
        if not path.exists():
            path.write_text(json.dumps(figures_of(WAYS[name], model.coarse, model.codec, reference)) + "\n")
        results[name] = json.loads(path.read_text())
        print(name, {k: shown(statistic(v)) for k, v in results[name].items() if isinstance(v, dict)}, flush=True)
    rows = {
        name: {"passes": str(row["passes"])}
        | {key: shown(statistic(row[key])) for key in ("FAD, P = 7", "diversity")}
        | {"beside the temperature": beside_temperature(results, name)}
        | {key: shown(statistic(row[key])) for key in ("FAD, P = 16", "mel")}
        for name, row in results.items()
    }
    kept = {n: {k: v["value"] if isinstance(v, dict) else v for k, v in row.items()} for n, row in results.items()}
    text = f"# Ways of filling in\n\n{__doc__}\nHere: {len(codes_ECT)} excerpts, backend {options.backend}.\n\n"
    report(text + table("", rows), kept, options.output)


if __name__ == "__main__":
    main()
