"""VampNet: masked acoustic token modelling of music (Flores Garcia et al., ISMIR 2023).

    import vampnet
    from vampnet.audio.files import read, write

    model = vampnet.load("default")
    audio = read("song.wav")
    result = model.vamp(audio, vampnet.Periodic(7), vampnet.SamplingConfig(seed=1))

Importing the package does no work: each public name is fetched from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vampnet.audio.files import Audio
    from vampnet.generation.config import SamplingConfig
    from vampnet.generation.pipeline import VampNet, load
    from vampnet.prompts.grammar import parse_prompt
    from vampnet.prompts.parts import Codebooks, Drop, Keep, Periodic, Random
    from vampnet.prompts.rhythmic import Beats, Onsets, Prefix, Suffix

from vampnet.version import __version__ as __version__

__all__ = [
    "Audio",
    "Beats",
    "Codebooks",
    "Drop",
    "Keep",
    "Onsets",
    "Periodic",
    "Prefix",
    "Random",
    "SamplingConfig",
    "Suffix",
    "VampNet",
    "load",
    "parse_prompt",
]

_MODULES = {
    "Audio": "vampnet.audio.files",
    "SamplingConfig": "vampnet.generation.config",
    "VampNet": "vampnet.generation.pipeline",
    "load": "vampnet.generation.pipeline",
    "Codebooks": "vampnet.prompts.parts",
    "Keep": "vampnet.prompts.parts",
    "Periodic": "vampnet.prompts.parts",
    "Random": "vampnet.prompts.parts",
    "Drop": "vampnet.prompts.parts",
    "Beats": "vampnet.prompts.rhythmic",
    "Onsets": "vampnet.prompts.rhythmic",
    "Prefix": "vampnet.prompts.rhythmic",
    "Suffix": "vampnet.prompts.rhythmic",
    "parse_prompt": "vampnet.prompts.grammar",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'vampnet' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
