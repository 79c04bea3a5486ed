"""Every array of the golden data against what this package computes from the same files: a table.

    python -m tests.parity

Each row has the array (or a family of arrays), the largest difference, and the tolerance that the data's README.md
gives. Weights come through the package's own reader of the authors' files. Where the authors' result is a known defect,
the note says what was compared instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.golden import (
    GOLDEN,
    flat_from_ours,
    golden_array,
    golden_keep,
    golden_names,
    golden_tensor,
)
from vampnet.audio.files import read
from vampnet.codec.dac import DacCodec
from vampnet.generation import reference_mode as compat
from vampnet.generation.config import SamplingConfig
from vampnet.generation.reference_mode import reference_chunk
from vampnet.generation.run import Stage, WindowRequest
from vampnet.generation.sampling import (
    draw,
    fill,
    masked_after_each_step,
    most_confident,
    temper,
    top_p_filter,
    typical_filter,
)
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.models.reference_checkpoints import read_network
from vampnet.models.transformer import MaskedTransformer, relative_position_bucket
from vampnet.prompts import masks
from vampnet.tasks.model import VampNet

GREEDY = SamplingConfig(temperature=0, mask_temperature=0)
NOT_COMPARED = {
    r"(coarse|c2f)/in_|long/(codes|coarse_in_masked)|gen/.*/(start|mask)$|sample/(logits|mbrt_(probs|num))$": "input",
    r"mask/(codebook_base_p7_w1|apply_in)|sched/(gamma_grid_r|.*n_masked_start)|relpos/rel$": "input",
    r"pre/.*/(in|sr)$|e2e/mask$|e2e_long/(codes|coarse_masked)$|e2e_short/coarse_in": "input",
    r"mask/onset_frames_backtracked": "input to the onset masks; vampnet.beats.tracking finds onsets in its own way",
    r"vamp/": "time stretch and feedback are not built",
    r"sched/invgamma_grid": "the inverse schedule is not built: nothing needs it",
    r"sample/topk": "top-k is not built",
    r"sample/(tokens|probs)_seed9|seeded/": "only with PyTorch's generator called in the authors' order; not required",
}
"""Arrays that no row stands for, and why."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    arrays: str
    """Name of an array, or a pattern that stands for several."""
    difference: float
    tolerance: float
    """0: equal."""
    note: str = ""

    @property
    def inside(self) -> bool:
        return self.difference <= self.tolerance


@lru_cache(maxsize=1)
def bundle() -> Bundle:
    return load_bundle(GOLDEN)


def codec() -> DacCodec:
    loaded = bundle().codec
    assert isinstance(loaded, DacCodec)
    return loaded


def network(tag: str) -> MaskedTransformer:
    """The network that a tag begins with; "coarse_lora..." with lora.pth."""
    if tag.startswith("coarse_lora"):
        return read_network(GOLDEN / "coarse.pth", codec(), lora=GOLDEN / "lora.pth").model
    model = bundle().coarse if tag.startswith("coarse") else bundle().c2f
    assert model is not None
    return model


def largest(ours: Tensor | np.ndarray | list[Any], name: str) -> float:
    """Largest difference to the golden array of this name, over all entries; shapes must agree."""
    theirs = golden_tensor(name)
    ours = torch.as_tensor(ours)
    assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
    return float((ours.double() - theirs.double()).abs().max())


def rows() -> Iterator[Row]:
    with torch.no_grad():
        for part in (preprocessing, codec_rows, network_rows, position_rows, mask_rows, schedule_rows, sampling_rows):
            yield from part()
        yield from generation_rows()
        yield from end_to_end_rows()


def unaccounted(done: list[Row]) -> list[str]:
    """Arrays that neither a row nor NOT_COMPARED speaks of."""
    patterns = [re.escape(row.arrays).replace(r"\*", ".*") + "$" for row in done] + list(NOT_COMPARED)
    return [name for name in golden_names() if not any(re.match(pattern, name) for pattern in patterns)]


def preprocessing() -> Iterator[Row]:
    for signal in ("input", "stereo48k", "mono22k", "peaky", "short", "quiet", "silent"):
        stem, rate_hz = f"pre/{signal}", int(golden_array(f"pre/{signal}/sr")[0])
        files = {"input": "input.wav", "stereo48k": "input_stereo_48k.wav"}
        samples = read(GOLDEN / files[signal]).samples if signal in files else golden_array(f"{stem}/in")
        mono_S = compat.to_mono(samples, rate_hz, 44100)
        lufs = compat.reference_lufs(mono_S[None], 44100)
        out_S, _ = compat.normalise(mono_S, lufs)
        out_S = np.pad(out_S, (0, -len(out_S) % 768))
        theirs_S = golden_array(f"{stem}/out")
        peak = float(np.abs(theirs_S).max())
        yield Row(
            f"{stem}/loudness_in", largest([compat.reference_lufs(samples, rate_hz)], f"{stem}/loudness_in"), 1e-3, "dB"
        )
        yield Row(f"{stem}/loudness_mono44k", largest([lufs], f"{stem}/loudness_mono44k"), 1e-3, "dB")
        if f"{stem}/resampled_mono" in golden_names(stem):
            yield Row(f"{stem}/resampled_mono", largest(mono_S, f"{stem}/resampled_mono"), 2e-6)
        loud_peak = np.abs(mono_S).max() * 10 ** ((-24 - lufs) / 20)
        relative = largest([loud_peak], f"{stem}/peak_after_normalize") / max(loud_peak, 1e-9)
        yield Row(f"{stem}/peak_after_normalize", relative, 2e-4, "relative, before the limit")
        yield Row(f"{stem}/out", largest(out_S, f"{stem}/out") / max(peak, 1e-9), 2e-4, "relative to the peak")
        common = float(out_S @ theirs_S) / max(float(out_S @ out_S), 1e-30)
        yield Row(f"{stem}/out", largest(out_S * np.float32(common), f"{stem}/out"), 2e-6, "a common gain divided out")


class Seen:
    """An observer of the quantiser that remembers the projections of every level."""

    def __init__(self) -> None:
        self.vectors: list[Tensor] = []

    def observe(self, level: int, vectors_NK: Tensor, index_N: Tensor) -> None:
        self.vectors.append(vectors_NK)


def codec_rows() -> Iterator[Row]:
    model, codes = codec(), golden_tensor("codec/codes")
    audio_BS = golden_tensor("pre/input/out")[None]
    latent_BTL = model.encoder(audio_BS)
    yield Row("codec/z_enc", largest(latent_BTL.mT, "codec/z_enc"), 1e-4)
    yield Row("codec/codes", largest(model.encode(audio_BS), "codec/codes"), 0)
    seen = Seen()
    quantized = model.quantizer(latent_BTL, observer=seen)
    yield Row("codec/latents", largest(torch.cat(seen.vectors, 1).T[None], "codec/latents"), 1e-4)
    yield Row("codec/z_q", largest(quantized.latent_BTL.mT, "codec/z_q"), 1e-4)
    yield Row(
        "codec/z_q_nq4", largest(model.quantizer(latent_BTL, torch.tensor([4])).latent_BTL.mT, "codec/z_q_nq4"), 1e-4
    )
    cosines = [F.normalize(v) @ F.normalize(b).T for v, b in zip(seen.vectors, model.codebooks(), strict=True)]
    best_CT2 = torch.stack([c.topk(2).values for c in cosines])
    yield Row("codec/cos_margin", largest(best_CT2[..., 0] - best_CT2[..., 1], "codec/cos_margin"), 1e-4, "as z_enc")
    from_codes = model.quantizer.decode(codes).mT
    yield Row("codec/from_codes_z_q", largest(from_codes, "codec/from_codes_z_q"), 1e-5)
    entries = torch.cat([book[codes[:, c]] for c, book in enumerate(model.codebooks())], 2).mT
    yield Row("codec/from_codes_latents", largest(entries, "codec/from_codes_latents"), 1e-5)
    yield Row("codec/audio", largest(model.decode(codes)[0], "codec/audio"), 1e-5)
    name = "codec/audio_4cb_first_80_frames"
    yield Row(name, largest(model.decode(codes[:, :4])[0, : 80 * 768], name), 1e-5)
    name, holed = "codec/audio_4cb_masked50_60_frames_45_65", codes[:, :4].clone()
    holed[:, :, 50:60] = 0
    theirs = model.decode(holed)[0, 45 * 768 : 65 * 768]
    yield Row(name, largest(theirs, name), 1e-5, "defect: with token 0 for 1024; the default is silence")


def network_rows() -> Iterator[Row]:
    model, codes, outputs = network("coarse"), golden_tensor("coarse/in_masked"), []
    hooks = [layer.register_forward_hook(lambda _m, _i, output: outputs.append(output)) for layer in model.layers]
    flat = flat_from_ours(model(codes))
    for hook in hooks:
        hook.remove()
    yield Row("coarse/latents", largest(model.latents(codes).mT, "coarse/latents"), 1e-6)
    yield Row("coarse/embedding", largest(model.embed(codes).mT, "coarse/embedding"), 1e-5)
    yield Row("coarse/activations", largest(torch.stack(outputs), "coarse/activations"), 1e-4)
    yield Row("coarse/logits", largest(flat, "coarse/logits"), 1e-4)
    bare = read_network(GOLDEN / "coarse.pth", codec(), merge=False).model
    yield Row("coarse/logits_nolora", largest(flat_from_ours(bare(codes))[:, :, ::5], "coarse/logits_nolora"), 1e-4)
    other = flat_from_ours(network("coarse_lora")(codes))
    yield Row("coarse/logits_lora", largest(other[:, :, ::3], "coarse/logits_lora"), 1e-4)
    c2f = flat_from_ours(network("c2f")(golden_tensor("c2f/in_masked")))
    yield Row("c2f/logits", largest(c2f[:, :, ::3], "c2f/logits"), 1e-4)
    flat = flat_from_ours(model(golden_tensor("long/coarse_in_masked")))
    yield Row("long/coarse_argmax", largest(flat.argmax(1), "long/coarse_argmax"), 0)
    yield Row("long/coarse_logsumexp", largest(flat.logsumexp(1), "long/coarse_logsumexp"), 1e-4)
    name, places = "long/coarse_logits_t0_t287_t574", [0, 1, 2, 3, 4 * 287, 4 * 574 + 3]
    yield Row(name, largest(flat[:, :, places], name), 1e-4)


def position_rows() -> Iterator[Row]:
    bias = network("coarse").position_bias
    bucket = relative_position_bucket(golden_tensor("relpos/rel"), 32, 128)
    yield Row("relpos/bucket", largest(bucket, "relpos/bucket"), 0)
    yield Row("relpos/bias_heads_q5_k5", largest(bias(5).unsqueeze(1), "relpos/bias_heads_q5_k5"), 0)
    name = "relpos/bias_180_row0_row90_row179"
    yield Row(name, largest(bias(180)[:, [0, 90, 179]], name), 0)


def mask_rows() -> Iterator[Row]:
    def numbers(name: str) -> list[int]:
        return [int(word) for word in re.findall(r"\d+", name)]

    def family(pattern: str, ours: dict[str, Tensor], note: str = "") -> Row:
        # The authors' masks are 1 where a token is generated, ours True where it is kept.
        return Row(pattern, max(largest((~keep).long(), name) for name, keep in ours.items()), 0, note)

    def ends(n_prefix: int, n_suffix: int) -> Tensor:
        return masks.regions_keep(n, [(0, n_prefix), (n - n_suffix, n)])

    n, base = 61, golden_keep("mask/codebook_base_p7_w1")
    odd = {x: masks.periodic_keep(n, p, w + (w % 2 == 0)) for x in golden_names("mask/per") for p, w in [numbers(x)]}
    yield family("mask/periodic/*", odd, "defect: their even widths are the next odd one; ours are exact")
    yield family("mask/inpaint/*", {x: ends(*numbers(x)) for x in golden_names("mask/inpaint/")})
    books = {x: base & masks.codebooks_keep(14, *numbers(x)) for x in golden_names("mask/codebook_mask/")}
    yield family("mask/codebook_mask/*", books)
    books = {x: base | masks.codebooks_keep(14, *numbers(x)) for x in golden_names("mask/codebook_unmask/")}
    yield family("mask/codebook_unmask/*", books)
    periodic, inpaint = masks.periodic_keep(n, 7), ends(5, 7)
    yield family("mask/mask_and", {"mask/mask_and": (periodic | inpaint).expand(14, n)})
    yield family("mask/mask_or", {"mask/mask_or": (periodic & inpaint).expand(14, n)})
    yield family("mask/time_stretch_3", {"mask/time_stretch_3": masks.periodic_keep(n, 3)})
    applied = masks.mask_codes(golden_tensor("mask/apply_in"), base, 1024)
    yield Row("mask/apply_out", largest(applied, "mask/apply_out"), 0)
    built = (periodic.roll(6) | ends(3, 5) | masks.codebooks_keep(14, 1)) & masks.codebooks_keep(14, 3)
    onsets, opened = golden_array("mask/onset_frames_backtracked"), {}
    for name in golden_names("mask/onset_w"):
        width = numbers(name)[0]
        regions = [(int(i) - width, int(i) + width) for i in onsets if i >= width]
        opened[name] = masks.regions_keep(173, regions)
    yield family("mask/onset_w*", opened, "defect: they lose onsets before frame w; compared without these")
    yield family("mask/build_mask_seed0", {"mask/build_mask_seed0": built.expand(2, 14, n)})


def schedule_rows() -> Iterator[Row]:
    lengths = [1, 2, 4, 8, 12, 16, 24, 36]
    gammas = [largest(masks.gamma(torch.arange(1, n + 1) / n), f"sched/gamma_{n}") for n in lengths]
    yield Row("sched/gamma_*", max(gammas), 1e-7)
    grid = masks.gamma(golden_tensor("sched/gamma_grid_r"))
    yield Row("sched/gamma_grid", largest(grid, "sched/gamma_grid"), 1e-7)
    worst = {"b1": 0.0, "b2": 0.0}
    for name in golden_names("sched/coarse_"):
        if not name.endswith("still_masked_after"):
            continue
        singles = [name.replace("b2", "b1")] * 2
        if "mixed" in name:
            singles = [name.replace("mixed", mask).replace("b2", "b1") for mask in ("nearfull", "rand60")]
        starts = golden_array(name.replace("still_masked_after", "n_masked_start"))
        for start, single in zip(starts, singles, strict=False):
            expected = golden_array(single)[0]
            ours = masked_after_each_step(int(start), len(expected))[1:]
            batch = "b1" if "_b1/" in name else "b2"
            worst[batch] = max(worst[batch], float(np.abs(np.array(ours) - expected).max()))
    yield Row("sched/coarse_*_b1/*", worst["b1"], 0)
    yield Row("sched/coarse_*_b2/*", worst["b2"], 0, "defect: their batch shares a count; each item against its b1")


def sampling_rows() -> Iterator[Row]:
    logits = golden_tensor("sample/logits")[0]

    def kept(filtered: Tensor, name: str) -> float:
        theirs = np.unpackbits(golden_array(name)[0], axis=-1).astype(bool)
        return float((torch.isfinite(filtered).numpy() != theirs).sum())

    for name in golden_names("sample/typical_keep_"):
        mass, least = re.findall(r"m([\d.]+)_n(\d+)", name)[0]
        yield Row(name, kept(typical_filter(logits, float(mass), int(least)), name), 0, "computed there, then dropped")
    for name in golden_names("sample/topp"):
        mass = float(re.findall(r"topp([\d.]+)", name)[0])
        if name.endswith("_keep"):
            yield Row(name, kept(top_p_filter(logits, mass), name), 0)
        else:
            _, log_p = draw(logits, torch.zeros(24), replace(GREEDY, top_p=mass))
            yield Row(name, largest(log_p.exp()[None], name), 1e-5)
    for name in golden_names("sample/argmax_temp"):
        p_NV = torch.softmax(temper(logits, float(re.findall(r"[\d.]+", name)[0])), -1)
        yield Row(name, largest(p_NV.amax(-1)[None], name), 1e-5)
    yield Row("sample/argmax_tokens", largest(logits.argmax(-1)[None], "sample/argmax_tokens"), 0)
    n_left = golden_tensor("sample/mbrt_num").flatten()
    commit = most_confident(golden_tensor("sample/mbrt_probs").log(), (50 - n_left).tolist())
    yield Row("sample/mbrt_mask", largest((~commit).long(), "sample/mbrt_mask"), 0)


class Recorder:
    """A network that remembers what it was given."""

    def __init__(self, model: MaskedTransformer) -> None:
        self.model, self.config, self.inputs = model, model.config, []

    def __call__(self, codes_BCT: Tensor, chosen_BPT: Tensor) -> Tensor:
        self.inputs.append(codes_BCT.clone())
        return self.model(codes_BCT, chosen_BPT)


def generation_rows() -> Iterator[Row]:
    for name in golden_names("gen/"):
        if not name.endswith("/tokens"):
            continue
        stem, tag = name.removesuffix("/tokens"), name.split("/")[1]
        recorder, n_to_mask = Recorder(network(tag)), golden_array(f"{stem}/num_to_mask")
        start, keep = golden_tensor(f"{stem}/start"), golden_keep(f"{stem}/mask")
        made = fill(recorder, start, keep, GREEDY, [0] * len(start), n_to_mask.shape[1])
        if "mixed" in tag:
            singles = [f"gen/coarse_{single}_s12/tokens" for single in ("nearfull", "rand60")]
            worst = max(largest(made[i : i + 1], single) for i, single in enumerate(singles))
            yield Row(f"{stem}/*", worst, 0, "defect: their batch shares a count; each item against its single run")
            continue
        yield Row(name, largest(made, name), 0)
        given = torch.stack(recorder.inputs)
        yield Row(f"{stem}/z_masked_per_step", largest(given, f"{stem}/z_masked_per_step"), 0)
        n_masked = masked_after_each_step(
            int((~keep[:, network(tag).config.n_conditioning_codebooks :]).sum()), len(given)
        )
        yield Row(f"{stem}/num_to_mask", largest([n_masked[1:]], f"{stem}/num_to_mask"), 0)


def run_stage(model: VampNet, stage: Stage, codes_BCT: Tensor, keep_BCT: Tensor) -> Tensor:
    """One stage alone over all of its windows, one after the other."""
    codes_BCT, n_read = codes_BCT.int().clone(), stage.model.config.n_codebooks
    for number, span in enumerate(stage.spans(codes_BCT.shape[2])):
        window = codes_BCT[:, :n_read, span.start : span.stop].long()
        keep = keep_BCT[:, :n_read, span.start : span.stop].clone()
        window, keep = reference_chunk(window, keep, stage.model.config.n_conditioning_codebooks, stage.window_frames)
        filled = model.fill([WindowRequest(stage, number, window, keep, (0,), GREEDY)])[0]
        codes_BCT[:, :n_read, span.start : span.stop] = filled[:, :, : span.n_frames].int()
    return codes_BCT


def end_to_end_rows() -> Iterator[Row]:
    model = VampNet(bundle(), "cpu", compat="reference")

    def vamped(codes_BCT: Tensor, keep_BCT: Tensor, steps: int, c2f_steps: int) -> dict[str, Tensor]:
        coarse, c2f = model.stages(replace(GREEDY, steps=steps, c2f_steps=c2f_steps))
        after = run_stage(model, coarse, codes_BCT, keep_BCT)
        return {"coarse": after, "c2f": run_stage(model, c2f, after, keep_BCT)}

    made = vamped(golden_tensor("codec/codes"), golden_keep("e2e/mask"), 12, 2)
    yield Row("e2e/coarse_vamp", largest(made["coarse"], "e2e/coarse_vamp"), 0)
    yield Row("e2e/c2f", largest(made["c2f"], "e2e/c2f"), 0)
    yield Row("e2e/audio", largest(model.codec.decode(made["c2f"].long())[0], "e2e/audio"), 1e-5)
    kept = golden_keep("e2e/mask")[:, :4].clone()
    kept[:, :, [0, -1]] = True
    masked = masks.mask_codes(golden_tensor("codec/codes")[:, :4], kept, 1024)
    yield Row("e2e/coarse_masked", largest(masked, "e2e/coarse_masked"), 0)
    coarse = masks.codebooks_keep(14, 4)
    yield Row("e2e/c2f_masked", largest(masks.mask_codes(made["c2f"].long(), coarse, 1024), "e2e/c2f_masked"), 0)
    keep = golden_tensor("e2e_long/coarse_masked") != 1024
    made = vamped(golden_tensor("e2e_long/codes"), F.pad(keep, (0, 0, 0, 10), value=False), 4, 4)
    yield Row("e2e_long/coarse_vamp4", largest(made["coarse"][:, :4], "e2e_long/coarse_vamp4"), 0, "compat=reference")
    yield Row("e2e_long/c2f", largest(made["c2f"], "e2e_long/c2f"), 0, "compat=reference")
    codes = F.pad(golden_tensor("e2e_short/coarse_in"), (0, 0, 0, 10))
    nothing = torch.zeros_like(codes, dtype=torch.bool)
    _, c2f = model.stages(replace(GREEDY, c2f_steps=12))
    padded = run_stage(model, c2f, codes, nothing)
    yield Row("e2e_short/c2f", largest(padded, "e2e_short/c2f"), 0, "defect: padded with token 0; compat=reference")
    plain = fill(network("c2f"), codes, nothing, GREEDY, [0], 12)
    yield Row("e2e_short/c2f_without_padding", largest(plain, "e2e_short/c2f_without_padding"), 0, "the default")


def main() -> None:
    done = list(rows())
    print("| golden array | our largest difference | tolerance | note |\n|---|---|---|---|")
    for row in done:
        tolerance = "equal" if row.tolerance == 0 else f"{row.tolerance:.0e}"
        print(f"| {row.arrays} | {row.difference:.1e} | {tolerance} | {row.note}{'' if row.inside else ' OUTSIDE'} |")
    print(
        f"\n{sum(row.inside for row in done)} of {len(done)} inside; not accounted for: {unaccounted(done) or 'none'}"
    )
    for pattern, reason in NOT_COMPARED.items():
        print(f"not compared: {pattern}  ({reason})")
