"""The schema of a bundle's config.json: every field of it is bounded here, before a network is built from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampnet.codec.config import DacConfig, MagnitudeConfig
from vampnet.config import from_dict
from vampnet.errors import BundleError, SettingsError
from vampnet.models.config import ConditioningConfig, ModelConfig
from vampnet.storage import read_json

FORMAT_VERSION = 1
PARTS = ("codec", "coarse", "c2f", "conditioning")
MODELS = ("coarse", "c2f")
STORAGES = ("float32", "bfloat16", "int8")
CODEC_CONFIGS: dict[str, type] = {"magnitude": MagnitudeConfig, "dac": DacConfig}
"""Codec kind -> its settings."""
MAX_CONFIG_BYTES = 1 << 20
MAX_TEXT = 10_000
"""Longest text of a fact under "about", characters."""
_KEYS = {"format_version", "storage", "about", "codec", "codec_id", "sha256", "coarse", "c2f", "conditioning"}
_NEEDED = ("codec", "codec_id", "sha256", "storage")
_ID, _SHA256 = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{64}")
_FACTS = {
    **dict.fromkeys(
        ("codec_steps", "decoder_steps", "coarse_steps", "c2f_steps", "conditioning_steps"), (int, 0, 10**12)
    ),
    "surprise_limit": (float, 0.0, 1000.0),
}
"""Facts under "about" that programs read: type and range. All others are free."""


@dataclass(frozen=True)
class BundleSettings:
    """Checked contents of a bundle's config.json."""

    codec: MagnitudeConfig | DacConfig
    models: dict[str, ModelConfig]
    """Settings of "coarse" and "c2f", where the bundle has them."""
    trained_on: dict[str, str]
    """Id of the codec whose tokens each model was trained on."""
    conditioning: ConditioningConfig | None = None
    """Settings of the coarse model's conditioning, where the bundle has one."""


def read_config(folder: Path) -> tuple[dict[str, Any], BundleSettings]:
    """The config.json of a bundle, as it is and as settings. Raises BundleError naming the field that is wrong."""
    path = folder / "config.json"
    if not path.exists():
        raise BundleError(f"{folder}: not a bundle, its config.json cannot be read (no such file)")
    config = read_json(path, BundleError, MAX_CONFIG_BYTES)
    version = config.get("format_version") if isinstance(config, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        raise BundleError(f"{path}: bundle format {version!r:.40} is not {FORMAT_VERSION}, the one this vampnet reads")
    return config, check_config(config, path)


def check_config(config: dict[str, Any], path: Path) -> BundleSettings:
    """Settings of a config.json. Raises BundleError naming the field that is missing, unknown or out of range."""
    for key in _NEEDED:
        if key not in config:
            raise BundleError(f"{path}: damaged, has no {key!r}")
    unknown = sorted(config.keys() - _KEYS)
    if unknown:
        raise BundleError(f"{path}: unknown field {', '.join(unknown)[:100]}; known: {', '.join(sorted(_KEYS))}")
    if not isinstance(config["storage"], str) or config["storage"] not in STORAGES:
        raise BundleError(f"{path}: storage is {config['storage']!r:.40}; known: {', '.join(STORAGES)}")
    _check_text(config["codec_id"], _ID, "codec_id", "16 hexadecimal digits", path)
    models, trained_on = {}, {}
    for part in MODELS:
        if part in config:
            section = dict(config[part]) if isinstance(config[part], dict) else {}
            trained_on[part] = section.pop("codec_id", "")
            _check_text(trained_on[part], _ID, f"{part}: codec_id", "16 hexadecimal digits", path)
            models[part] = _settings(ModelConfig, section, part, path)
    _check_digests(config, path)
    _check_facts(config.get("about", {}), path)
    conditioning = _conditioning_settings(config["conditioning"], models, path) if "conditioning" in config else None
    return BundleSettings(_codec_settings(config["codec"], path), models, trained_on, conditioning)


def _conditioning_settings(section: Any, models: dict[str, ModelConfig], path: Path) -> ConditioningConfig:
    conditioning = _settings(ConditioningConfig, section, "conditioning", path)
    coarse = models.get("coarse")
    if coarse is None or (coarse.dim, coarse.n_layers) != (conditioning.dim, conditioning.n_layers):
        raise BundleError(f"{path}: its conditioning does not fit its coarse model, in width or number of layers")
    return conditioning


def _codec_settings(section: Any, path: Path) -> MagnitudeConfig | DacConfig:
    kind = section.get("kind") if isinstance(section, dict) else None
    if not isinstance(kind, str) or kind not in CODEC_CONFIGS:
        raise BundleError(f"{path}: codec kind {kind!r:.40} is unknown; known: {', '.join(CODEC_CONFIGS)}")
    return _settings(CODEC_CONFIGS[kind], section, "codec", path)


def _settings(kind: type, section: dict[str, Any], part: str, path: Path) -> Any:
    try:
        return from_dict(kind, section, f"{path}: {part}")
    except SettingsError as error:
        text = " ".join(str(error)[:400].split())
        raise BundleError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _check_digests(config: dict[str, Any], path: Path) -> None:
    digests, files = config["sha256"], [f"{part}.safetensors" for part in PARTS if part in config]
    if not isinstance(digests, dict) or sorted(digests) != sorted(files):
        raise BundleError(f"{path}: sha256 must have a digest of each of {', '.join(files)}, and of nothing else")
    for name, digest in digests.items():
        _check_text(digest, _SHA256, f"sha256: {name}", "64 hexadecimal digits", path)


def _check_facts(about: Any, path: Path) -> None:
    if not isinstance(about, dict):
        raise BundleError(f"{path}: about must hold facts by name")
    for name, (kind, low, high) in _FACTS.items():
        value = about.get(name)
        if value is None:  # not known
            continue
        fits = type(value) is int or (kind is float and type(value) is float)
        if not fits or not low <= value <= high:
            raise BundleError(f"{path}: about: {name} is {value!r:.40}, but must be a number from {low} to {high}")
    licence = about.get("licence", "")
    if not isinstance(licence, str) or len(licence) > MAX_TEXT:
        raise BundleError(f"{path}: about: licence must be a text of at most {MAX_TEXT} characters")


def _check_text(value: Any, pattern: re.Pattern[str], name: str, wanted: str, path: Path) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BundleError(f"{path}: {name} is {value!r:.40}, but must be {wanted}")
