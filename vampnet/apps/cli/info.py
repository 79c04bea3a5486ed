"""Facts about bundles, adapters, audio files and compressed files, for `vampnet info`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vampnet.audio.files import AudioReader
from vampnet.audio.loudness import LoudnessMeter
from vampnet.compression.container import read_header
from vampnet.config import to_dict
from vampnet.models.bundle import load_bundle
from vampnet.models.lora import read_adapter


def audio_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Format, length and loudness of an audio file. Raises AudioError as reading does."""
    with AudioReader(path) as reader:
        info = reader.info
        meter = LoudnessMeter(info.sample_rate_hz, info.channels)
        for block in reader:
            meter.add(block)
    return {
        "file": str(path),
        "format": f"{info.format} {info.subtype}",
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "n_samples": info.n_samples,
        "duration_s": round(info.duration_s, 3),
        "loudness_lufs": round(meter.integrated_lufs, 2),
    }


def vamp_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the header of a compressed file says, and its rate. Raises VampFileError."""
    header, size = read_header(path), Path(path).stat().st_size
    facts: dict[str, Any] = {
        "file": str(path),
        "format": f"VAMP {header.entropy}",
        "sample_rate_hz": header.sample_rate_hz,
        "channels": header.channels,
        "n_samples": header.n_samples,
        "duration_s": round(header.duration_s, 3),
        "loudness_lufs": round(header.lufs, 2),
        "bytes": size,
        "file_bps": round(8 * size / header.duration_s, 1),
        "kept_codebooks": header.codebooks,
        "period": header.period,
        "codec_id": header.codec_id,
    }
    if header.generation is not None:
        facts |= {"model_id": header.generation.model_id, **to_dict(header.generation.sampling)}
    return facts


def adapter_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an adapter file changes, how it was made, and for which weights. Raises BundleError as reading does."""
    adapter = read_adapter(path)
    ranks = sorted({a_RI.shape[0] for a_RI, _ in adapter.factors.values()})
    facts: dict[str, Any] = {
        "adapter": str(path),
        "mib": round(Path(path).stat().st_size / 2**20, 2),
        "codec_id": adapter.codec_id,
        "layers": len(adapter.factors),
        "rank": ", ".join(map(str, ranks)),
        "scale": adapter.scale,
    }
    return facts | {f"about_{key}": value for key, value in adapter.about.items() if key != "rank"}


def bundle_info(name: str, verify: bool = False) -> dict[str, Any]:
    """Parts, sizes and origin of a bundle, which is loaded; `verify`: every file's SHA-256 too. Raises BundleError."""
    bundle = load_bundle(name, verify=verify)
    size = sum(p.stat().st_size for p in Path(bundle.folder).iterdir() if p.is_file())
    facts: dict[str, Any] = {
        "bundle": str(bundle.folder),
        "mib": round(size / 2**20, 2),
        "storage": bundle.config["storage"],
        "codec_id": bundle.codec.id,
        "sample_rate_hz": bundle.codec.sample_rate_hz,
        "frames_per_s": round(bundle.codec.frames_per_s, 3),
        "codebooks": f"{bundle.codec.n_codebooks} of {bundle.codec.codebook_size}",
    }
    for part, module in (("codec", bundle.codec), ("coarse", bundle.coarse), ("c2f", bundle.c2f)):
        if module is not None:
            facts[f"{part}_parameters"] = sum(p.numel() for p in module.parameters())
    return facts | {f"about_{key}": value for key, value in bundle.config.get("about", {}).items()}
