"""VampNet: masked acoustic token modelling of music (Flores Garcia et al., ISMIR 2023).

    import vampnet
    from vampnet.audio import read, write

    model = vampnet.load("default")
    audio = read("song.wav")
    result = model.vamp(audio, vampnet.Periodic(7), vampnet.Sampling(seed=1))

Importing the package does no work: each public name is fetched from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vampnet.audio import Audio
    from vampnet.config import Sampling
    from vampnet.pipeline import Vampnet, load
    from vampnet.prompt_text import parse_prompt
    from vampnet.prompts import Codebooks, Drop, Keep, Periodic, Random
    from vampnet.prompts_time import Beats, Onsets, Prefix, Suffix

__version__ = "0.1.0"

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
    "Sampling",
    "Suffix",
    "Vampnet",
    "load",
    "parse_prompt",
]

_MODULES = {
    "Audio": "vampnet.audio",
    "Sampling": "vampnet.config",
    "Vampnet": "vampnet.pipeline",
    "load": "vampnet.pipeline",
    "Codebooks": "vampnet.prompts",
    "Keep": "vampnet.prompts",
    "Periodic": "vampnet.prompts",
    "Random": "vampnet.prompts",
    "Drop": "vampnet.prompts",
    "Beats": "vampnet.prompts_time",
    "Onsets": "vampnet.prompts_time",
    "Prefix": "vampnet.prompts_time",
    "Suffix": "vampnet.prompts_time",
    "parse_prompt": "vampnet.prompt_text",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'vampnet' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
