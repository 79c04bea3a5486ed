"""`vampnet info`: what a recording, a .vamp file, an adapter or a bundle is. Files of models are read without torch."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

from vampnet.apps.cli.parser import CommandOptions, CommandParser
from vampnet.errors import BundleError, VampnetError

WEIGHTS = ("codec", "coarse", "c2f", "conditioning")
"""Parts of a bundle, each with a file of weights."""
KEY_S = 180.0
"""Length from the start that the key is estimated from, seconds."""
Facts = dict[str, Any]


def info_options(parser: CommandParser) -> None:
    """Flags of `vampnet info`."""
    parser.add_argument(
        "what",
        nargs="?",
        default="default",
        metavar="WHAT",
        help="recording, .vamp file, adapter (.safetensors), or bundle: a folder, OWNER/NAME, or 'default'",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--verify", action="store_true", help="compare every weight file with its SHA-256")
    parser.add_argument("--no-music", action="store_true", help="leave out tempo and key of a recording")


def run_info(options: CommandOptions) -> None:
    """Print what there is to know about a file or bundle."""
    what = Path(options.what)
    if what.is_file():
        readers = {".safetensors": adapter_facts, ".vamp": vamp_facts}
        reader = readers.get(what.suffix.lower())
        facts = reader(what) if reader else recording_facts(what, with_music=not options.no_music)
    elif what.suffix and not what.is_dir() and str(options.what).count("/") != 1:
        raise VampnetError(f"{what}: no such file")
    else:
        facts = bundle_facts(options.what, options.verify)
    if options.json:
        print(json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in facts.items()},
                         indent=1))  # fmt: skip
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {'-' if value is None else value}")


def recording_facts(path: Path, *, with_music: bool = True) -> Facts:
    """Format, length, loudness, tempo and key of a recording. Raises AudioError as reading does."""
    from vampnet.audio.files import AudioReader
    from vampnet.audio.loudness import LoudnessMeter

    with AudioReader(path) as reader:
        info = reader.info
        meter = LoudnessMeter(info.sample_rate_hz, info.channels)
        for block in reader:
            meter.add(block)
    facts: Facts = {
        "file": str(path),
        "format": f"{info.format} {info.subtype}",
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "n_samples": info.n_samples,
        "duration_s": round(info.duration_s, 3),
        "loudness_lufs": round(meter.integrated_lufs, 2),
    }
    if warnings := [*info.warnings, *meter.level.check(str(path))]:
        facts["warnings"] = "; ".join(warnings)
    return facts | (_music_facts(path) if with_music else {})


def _music_facts(path: Path) -> Facts:
    """Tempo, bars and key; null for what is not found."""
    import numpy as np

    from vampnet.audio.samples import Audio
    from vampnet.audio.sources import FileSource
    from vampnet.beats.tracking import track_events
    from vampnet.controls.extraction import ExtractionConfig, extract_controls

    source = FileSource(path)
    events = track_events(source.blocks(), source.sample_rate_hz, source.n_samples)
    gaps_s = np.diff(events.beats_s)
    facts: Facts = {
        "tempo_bpm": round(60 / float(np.median(gaps_s)), 1) if len(gaps_s) else None,
        "beats": len(events.beats_s),
        "beats_per_bar": _beats_per_bar(events.beats_s, events.downbeats_s),
    }
    blocks, n_samples = [], 0
    for block in source.blocks():
        blocks.append(block)
        n_samples += block.shape[1]
        if n_samples > KEY_S * source.sample_rate_hz:
            break
    audio = Audio(np.concatenate(blocks, axis=1), source.sample_rate_hz)
    return facts | {"key": extract_controls(audio, ExtractionConfig(("key",)), events=events).key}


def _beats_per_bar(beats_s: tuple[float, ...], downbeats_s: tuple[float, ...]) -> int | None:
    """The most frequent number of beats from one downbeat to the next."""
    places = [beats_s.index(time_s) for time_s in downbeats_s if time_s in beats_s]
    counts = [later - earlier for earlier, later in itertools.pairwise(places)]
    return max(set(counts), key=counts.count) if counts else None


def vamp_facts(path: Path) -> Facts:
    """Facts of a compressed file's header, and its rate. Raises VampFileError."""
    from vampnet.compression.container import read_header
    from vampnet.config import to_dict

    header, size = read_header(path), path.stat().st_size
    facts: Facts = {
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


def adapter_facts(path: Path) -> Facts:
    """Facts of an adapter: layers, origin, weights it is for. Raises BundleError as reading does."""
    from vampnet.models.adapter_header import read_adapter_header

    header = read_adapter_header(path)
    facts: Facts = {
        "adapter": str(path),
        "mib": round(path.stat().st_size / 2**20, 2),
        "codec_id": header.codec_id,
        "layers": len(header.shapes),
        "rank": ", ".join(map(str, sorted({rank for rank, _, _ in header.shapes.values()}))),
        "scale": header.scale,
    }
    return facts | {f"about_{key}": value for key, value in header.about.items() if key != "rank"}


def bundle_facts(name: str, verify: bool = False) -> Facts:
    """Parts, sizes and origin of a bundle, from its config.json and the headers of its weights.

    `verify` compares every file's SHA-256. Raises BundleError.
    """
    folder = _bundle_folder(name)
    if not (folder / "config.json").exists():
        return _reference_facts(name)
    from vampnet.controls.config import GROUPS
    from vampnet.models.bundle_config import read_config
    from vampnet.storage import sha256_of_file

    config = read_config(folder)[0]
    try:
        codec, parts = config["codec"], [part for part in WEIGHTS if part in config]
        rate_hz, hop = codec["sample_rate_hz"], codec["hop"]
        if verify:
            for part in parts:
                if (
                    sha256_of_file(folder / f"{part}.safetensors", BundleError)
                    != config["sha256"][f"{part}.safetensors"]
                ):
                    raise BundleError(f"{folder / part}.safetensors: damaged, its SHA-256 is not that of config.json")
        facts: Facts = {
            "bundle": str(folder),
            "mib": _size_mib(folder),
            "storage": config["storage"],
            "codec_id": config["codec_id"],
            "sample_rate_hz": rate_hz,
            "frames_per_s": round(rate_hz / hop, 3),
            "codebooks": f"{codec['n_codebooks']} of {codec['codebook_size']}",
        }
        facts |= {f"{part}_parameters": count_weights(folder / f"{part}.safetensors") for part in parts}
        if "conditioning" in config:
            facts["follows"] = ", ".join(config["conditioning"].get("groups", GROUPS))
        return facts | {f"about_{key}": value for key, value in config.get("about", {}).items()}
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise BundleError(f"{folder / 'config.json'}: damaged, has no usable {error}") from None


def _bundle_folder(name: str) -> Path:
    if name == "default":
        import vampnet

        return Path(vampnet.__file__).parent / "bundles" / "default"
    if Path(name).is_dir():
        return Path(name)
    from vampnet.models.bundle import find_bundle  # the hub, or an error that names what there could be

    return find_bundle(name)


def _reference_facts(name: str) -> Facts:
    """Facts of the authors' checkpoints, which only torch can read."""
    from vampnet.models.bundle import load_bundle

    bundle = load_bundle(name)
    facts: Facts = {
        "bundle": str(bundle.folder),
        "mib": _size_mib(bundle.folder),
        "storage": bundle.config["storage"],
        "codec_id": bundle.codec.id,
        "sample_rate_hz": bundle.codec.sample_rate_hz,
        "frames_per_s": round(bundle.codec.frames_per_s, 3),
        "codebooks": f"{bundle.codec.n_codebooks} of {bundle.codec.codebook_size}",
    }
    for part, module in zip(WEIGHTS[:3], (bundle.codec, bundle.coarse, bundle.c2f), strict=True):
        if module is not None:
            facts[f"{part}_parameters"] = sum(p.numel() for p in module.parameters())
    return facts | {f"about_{key}": value for key, value in bundle.config.get("about", {}).items()}


def _size_mib(folder: Path) -> float:
    return round(sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) / 2**20, 2)


def count_weights(path: Path) -> int:
    """Number of weights in a file of a bundle, by its header, without scales of rows. Raises BundleError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys() if not name.endswith("::scale")]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: damaged, missing, or not a safetensors file ({error})") from None
    return sum(math.prod(shape) for shape in shapes)
