"""The codec's weights in several storage formats: bytes, tokens that change, and mel distance after decoding.

    python -m benchmarks.codec.storage --audio FOLDER --excerpts 20 -o docs/results/codec/storage.md [--bundle default]

10 s from the middle of each file. "Changed" counts tokens that differ from those of the float32 weights. The embedded
bundle holds int8 only: what stands in for its float32 weights is each int8 weight plus a uniformly random part of half
a step either way (seeded), weights that would have been stored as this very bundle. A bundle stored as float32 is
measured as it is. "loaded" saves and loads the int8 bundle as the product does. `-o` writes Markdown, and JSON beside
it. About 10 s of one core per excerpt.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.tables import report, table
from vampnet.audio.folders import audio_files_in
from vampnet.audio.mel import mel_distance
from vampnet.codec.base import Codec
from vampnet.models.bundle import find_bundle, load_codec, save_bundle
from vampnet.models.weights import SCALE, pack, unpacked
from vampnet.training.data.wave_dataset import levelled_excerpt

SECONDS, N_COARSE = 10.0, 4
GROUP = 32
State = dict[str, Tensor]


def float32_weights(codec: Codec, folder: Path) -> tuple[State, bool]:
    """The weights to store, and whether they are stand-ins."""
    state = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    generator, stand_in = torch.Generator().manual_seed(0), False
    with safe_open(folder / "codec.safetensors", framework="pt") as file:
        for name in state:
            if file.get_tensor(name).dtype == torch.int8:
                noise = 0.998 * (torch.rand(state[name].shape, generator=generator) - 0.5)  # no ties in rounding
                at_edge = file.get_tensor(name).abs() == 127  # these set the row's step, so they stay what they are
                state[name] += torch.where(at_edge, 0.0, noise) * file.get_tensor(name + SCALE)
                stand_in = True
    return state, stand_in


def as_stored(state: State, storage: str) -> tuple[State, int]:
    """What a storage of the product gives back, and its bytes."""
    packed = pack(state, storage)
    again = {name: unpacked(packed[name], packed.get(name + SCALE)).float() for name in state}
    return again, sum(t.numel() * t.element_size() for t in packed.values())


def as_float16(state: State) -> tuple[State, int]:
    """float16 where the product would store bfloat16."""
    packed = {name: t.half() if t.dtype == torch.bfloat16 else t for name, t in pack(state, "bfloat16").items()}
    packed = {name: state[name].half() if t.dtype == torch.float16 else t for name, t in packed.items()}
    return {n: t.float() for n, t in packed.items()}, sum(t.numel() * t.element_size() for t in packed.values())


def as_int8_groups(state: State) -> tuple[State, int]:
    """int8 with a float16 scale per GROUP neighbours of a row where the product has one float32 scale per row."""
    again, n_bytes = {}, 0
    for name, stored in pack(state, "bfloat16").items():
        tensor = state[name]
        if stored.dtype != torch.bfloat16:
            again[name], n_bytes = tensor, n_bytes + 4 * tensor.numel()
            continue
        flat = tensor.flatten()
        groups = torch.nn.functional.pad(flat, (0, -len(flat) % GROUP)).view(-1, GROUP)
        scale = (groups.abs().amax(1, keepdim=True) / 127).clamp_min(1e-7).half().float()
        rounded = (groups / scale).round().clamp(-127, 127) * scale
        again[name] = rounded.flatten()[: len(flat)].view_as(tensor)
        n_bytes += len(flat) + 2 * len(groups)
    return again, n_bytes


FORMATS: dict[str, Callable[[State], tuple[State, int]]] = {
    "float32": lambda state: as_stored(state, "float32"),
    "bfloat16": lambda state: as_stored(state, "bfloat16"),
    "float16": as_float16,
    "int8 per row (the bundle's)": lambda state: as_stored(state, "int8"),
    f"int8 per {GROUP} values": as_int8_groups,
}


def with_weights(codec: Codec, state: State) -> Codec:
    made = copy.deepcopy(codec)
    made.load_state_dict(state)
    return made.eval()


def loaded(codec: Codec) -> Codec:
    """A codec saved as int8 and loaded, as the product does it."""
    with tempfile.TemporaryDirectory() as folder:
        save_bundle(Path(folder) / "bundle", codec, storage="int8")
        return load_codec(Path(folder) / "bundle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="folder of held-out music")
    parser.add_argument("--excerpts", type=int, default=20)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("-o", "--output", type=Path, help="Markdown file; JSON is written beside it")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    codec = load_codec(options.bundle)
    state, stand_in = float32_weights(codec, find_bundle(options.bundle))
    made = {name: store(state) for name, store in FORMATS.items()}
    codecs = {name: with_weights(codec, again) for name, (again, _) in made.items()}
    assert not stand_in or all(
        torch.allclose(tensor, codec.state_dict()[name], rtol=1e-4, atol=1e-7)
        for name, tensor in made["int8 per row (the bundle's)"][0].items()
    ), "the stand-ins would be stored as other weights"
    codecs["loaded"] = loaded(codecs["float32"])
    sizes = {name: n_bytes for name, (_, n_bytes) in made.items()}
    totals: dict[str, dict[str, float]] = {name: dict.fromkeys(("changed", "coarse", "mel"), 0.0) for name in codecs}
    files = audio_files_in(options.audio)[: options.excerpts]
    for path in files:
        audio_1S = torch.from_numpy(levelled_excerpt(path, codec.sample_rate_hz, SECONDS))[None]
        codes = {name: one.encode(audio_1S) for name, one in codecs.items()}
        assert torch.equal(codes["loaded"], codes["int8 per row (the bundle's)"]), "loading changes tokens"
        for name in sizes:
            different_CT = (codes[name] != codes["float32"])[0].double()
            decoded_1S = codecs[name].decode(codes[name])[:, : audio_1S.shape[1]]
            totals[name]["changed"] += float(different_CT.mean()) / len(files)
            totals[name]["coarse"] += float(different_CT[:N_COARSE].mean()) / len(files)
            totals[name]["mel"] += float(mel_distance(decoded_1S, audio_1S, codec.sample_rate_hz)) / len(files)
        print(path.name, flush=True)
    figures: dict[str, Any] = {name: {"bytes": sizes[name], **totals[name]} for name in sizes}
    rows = {
        name: {
            "MB": f"{row['bytes'] / 1e6:.2f}",
            "tokens changed": f"{row['changed']:.3%}",
            f"of codebooks 1 to {N_COARSE}": f"{row['coarse']:.3%}",
            "mel distance": f"{row['mel']:.4f}",
        }
        for name, row in figures.items()
    }
    text = f"# Storage of the codec\n\n`python -m benchmarks.codec.storage --audio FOLDER --excerpts {len(files)}`\n\n"
    text += (
        f"Codec {codec.id}. {len(files)} excerpts of {SECONDS:g} s, 14 codebooks. Saved as int8 and loaded again, the"
    )
    text += " codec gives the very tokens of its int8 weights in memory on all of them. Vectors, small tensors and"
    text += " codebooks are float32 in every format.\n\n"
    if stand_in:
        text += (
            "The bundle holds no float32 weights; stand-ins that would be stored as this very bundle are measured (see"
        )
        text += " the script), so the row of int8 is the bundle itself.\n\n"
    report(
        text + table("storage", rows), {"codec_id": codec.id, "stand_in": stand_in, "formats": figures}, options.output
    )


if __name__ == "__main__":
    main()
