"""Choice of a model: bundle, adapters, device and number format."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vampnet.config import check_settings, nearest, setting
from vampnet.errors import SettingsError


@dataclass(frozen=True)
class ModelChoice:
    """A model and how it runs."""

    bundle: str = "default"
    """'default' (embedded), a folder, or OWNER/NAME on the hub."""
    lora: tuple[str, ...] = ()
    """Adapter files FILE[:STRENGTH]; several add up."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    backend: str = setting("torch", choices=("torch", "openvino"))
    """torch, or openvino (an extra; faster on many CPUs)."""
    precision: str = setting("auto", choices=("auto", "float32", "bfloat16", "int8"))
    """Number format of the networks; auto is bfloat16 where the hardware has it, else float32; int8
    is for large models on CPUs."""

    def __post_init__(self) -> None:
        check_settings(self, "model.")
        if self.precision == "int8" and self.backend != "torch":
            raise SettingsError(f"model.precision 'int8' is PyTorch's, not {self.backend}'s; leave one of the two out")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            near = nearest(self.device, ("auto", "cpu", "cuda", "mps"))
            raise SettingsError(f"model.device is {self.device!r}, but must be auto, cpu, cuda, cuda:N or mps{near}")
