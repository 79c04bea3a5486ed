"""Checks of a choice of model before it is loaded, without torch."""

from __future__ import annotations

from pathlib import Path

from vampnet.controls.config import GROUPS
from vampnet.errors import BundleError, require
from vampnet.models.adapter_header import parse_adapter, read_adapter_header
from vampnet.models.choice import ModelChoice
from vampnet.storage import read_json

BUNDLED = Path(__file__).parents[1] / "bundles" / "default"
"""The embedded bundle."""


def heard_groups(choice: ModelChoice, compat: str = "") -> tuple[str, ...]:
    """Groups of controls that the chosen model follows by itself, as far as its folder says; of one on the hub none.

    Neither OpenVINO nor reference mode runs conditioning.
    """
    if choice.backend != "torch" or compat:
        return ()
    path = (BUNDLED if choice.bundle == "default" else Path(choice.bundle)) / "config.json"
    if not path.is_file():
        return ()
    config = read_json(path, BundleError)
    section = config.get("conditioning") if isinstance(config, dict) else None
    return tuple(section.get("groups", GROUPS)) if isinstance(section, dict) else ()


def check_choice(choice: ModelChoice) -> None:
    """Raise VampnetError for a bundle folder or adapter that is not there, and for a missing extra."""
    name = choice.bundle
    on_hub = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
    if name != "default" and not on_hub:
        known = ("config.json", "codec.pth")
        if not Path(name).is_dir():
            raise BundleError(
                f"model.bundle is {name!r}, which is no folder; give a folder, 'default', or OWNER/NAME on the hub"
            )
        if not any((Path(name) / file).exists() for file in known):
            raise BundleError(f"model.bundle is {name!r}, a folder without {' or '.join(known)}")
    for text in choice.lora:
        try:
            read_adapter_header(parse_adapter(text)[0])
        except BundleError as error:
            raise BundleError(f"model.lora: {error}") from None
    if choice.backend == "openvino":
        require("openvino", "networks that OpenVINO runs")
