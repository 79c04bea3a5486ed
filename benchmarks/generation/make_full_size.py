"""Models of the paper's size with random weights, to measure with: the authors' files, and a bundle made of them.

    python -m benchmarks.generation.make_full_size /tmp/full --storage float32 bfloat16

writes /tmp/full/pth (codec.pth, coarse.pth, c2f.pth, with LoRA pairs, as the authors' code saves them) and
/tmp/full/bundle-float32 and so on, the same models as bundles: coarse model 20 layers, coarse-to-fine 16, width 1280,
20 heads; the authors' codec of 170 M parameters. 3 GB for each. What they generate is noise.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from vampnet.codec.config import DacConfig
from vampnet.codec.dac import DacCodec, Snake
from vampnet.codec.dac_weights import AUTHORS_KERNELS, original_names
from vampnet.models.config import ModelConfig
from vampnet.models.import_reference import import_reference
from vampnet.models.reference_checkpoints import FILES, LORA_RANK, NORM_NAMES, projection_names
from vampnet.models.transformer import INIT_STD, MaskedTransformer
from vampnet.models.weights import STORAGES

CODEC = DacConfig(
    encoder_rates=(2, 4, 8, 12), decoder_rates=(12, 8, 4, 2), decoder_kernels=AUTHORS_KERNELS, n_codebooks=14
)
COARSE = ModelConfig(n_codebooks=4, dim=1280, n_heads=20, n_layers=20)
C2F = ModelConfig(n_codebooks=14, n_conditioning_codebooks=4, dim=1280, n_heads=20, n_layers=16)


def write_pth(path: Path, state: dict[str, Tensor], arguments: dict[str, object]) -> None:
    """A checkpoint as the authors' code saves it."""
    torch.save({"state_dict": state, "metadata": {"kwargs": arguments}}, path)


def normalised(name: str, weight: Tensor) -> dict[str, Tensor]:
    """A weight as the two tensors of weight normalisation."""
    gain = weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))
    return {f"{name}.weight_g": gain, f"{name}.weight_v": weight}


def codec_state(codec: DacCodec) -> dict[str, Tensor]:
    """A codec's tensors under the authors' names."""
    state: dict[str, Tensor] = {}
    for ours, theirs in original_names(codec.config):
        module = codec.get_submodule(ours)
        if isinstance(module, Snake):
            state[f"{theirs}.alpha"] = module.alpha
            continue
        assert isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)) and module.bias is not None
        weight = module.weight.unsqueeze(-1) if isinstance(module, nn.Linear) else module.weight
        state |= {**normalised(theirs, weight), f"{theirs}.bias": module.bias}
    for c, book_VK in enumerate(codec.quantizer.codebooks_CVK):
        state[f"quantizer.quantizers.{c}.codebook.weight"] = book_VK.clone()
    return {name: tensor.detach() for name, tensor in state.items()}


def network_state(model: MaskedTransformer) -> dict[str, Tensor]:
    """A network's tensors under the authors' names, with a small LoRA pair on each projection that has one there."""
    c = model.config
    state: dict[str, Tensor] = {
        "embedding.special.MASK": model.mask_vectors_CK,
        "embedding.out_proj.weight": model.project.weight.unsqueeze(-1),
        "embedding.out_proj.bias": model.project.bias,
        "transformer.layers.0.self_attn.relative_attention_bias.weight": model.position_bias.table_NH,
        "transformer.norm.weight": model.norm.weight,
        # Their output channel is v * P + c, ours c * V + v; with random weights the order says nothing.
        **normalised("classifier.layers.0", model.classifier.weight.unsqueeze(-1)),
        "classifier.layers.0.bias": model.classifier.bias,
    }
    for n in range(c.n_layers):
        for ours, theirs in NORM_NAMES.items():
            state[f"transformer.layers.{n}.{theirs}.weight"] = model.get_parameter(f"layers.{n}.{ours}.weight")
    for ours, theirs in projection_names(model):
        weight_OI = state[f"{theirs}.weight"] = model.get_parameter(f"{ours}.weight")
        if not ours.endswith(".key"):
            state[f"{theirs}.lora_A"] = INIT_STD * torch.randn(LORA_RANK, weight_OI.shape[1])
            state[f"{theirs}.lora_B"] = INIT_STD * torch.randn(weight_OI.shape[0], LORA_RANK)
    return {name: tensor.detach() for name, tensor in state.items()}


def write_reference(folder: Path, codec: DacConfig, coarse: ModelConfig, c2f: ModelConfig, seed: int) -> None:
    """The authors' three files with random weights."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, object] = {name: getattr(codec, name) for name in ("encoder_dim", "decoder_dim")}
    arguments |= {"encoder_rates": list(codec.encoder_rates), "decoder_rates": list(codec.decoder_rates)}
    arguments |= {name: getattr(codec, name) for name in ("n_codebooks", "codebook_size", "codebook_dim")}
    module = DacCodec(codec)
    write_pth(folder / FILES["codec"], codec_state(module), {**arguments, "sample_rate": codec.sample_rate_hz})
    for part, config in (("coarse", coarse), ("c2f", c2f)):
        model = MaskedTransformer(config)
        arguments = {"n_heads": config.n_heads, "n_layers": config.n_layers, "n_codebooks": config.n_codebooks}
        arguments |= {"n_conditioning_codebooks": config.n_conditioning_codebooks, "latent_dim": config.codebook_dim}
        arguments |= {"embedding_dim": config.dim, "vocab_size": config.vocab_size, "dropout": config.dropout}
        write_pth(folder / FILES[part], network_state(model), arguments)


def make(folder: Path, storages: list[str], seed: int = 0) -> None:
    """Everything that the head of this file lists."""
    write_reference(folder / "pth", CODEC, COARSE, C2F, seed)
    files = {part: folder / "pth" / name for part, name in FILES.items()}
    for storage in storages:
        import_reference(
            folder / f"bundle-{storage}",
            files["codec"],
            files["coarse"],
            files["c2f"],
            storage=storage,
            licence="None needed: the weights are random.",
            overwrite=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=["float32"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    make(options.folder, options.storage, options.seed)
    size_mib = sum(p.stat().st_size for p in options.folder.rglob("*") if p.is_file()) / 2**20
    print(f"wrote {size_mib:.0f} MiB to {options.folder} in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
