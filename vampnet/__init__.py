"""VampNet: masked acoustic token modelling of music (Flores Garcia et al., ISMIR 2023).

    import vampnet

    vampnet.vamp("song.wav").save("out.wav")            # in one line, with the embedded model

    model = vampnet.load()
    model.vamp("song.wav", prompt="beats(after=75ms) | keep(0, 2)", n=4)
    model.inpaint("song.wav", regions=[(3.0, 5.5)], sampling=vampnet.SamplingConfig(seed=1))

A model has one method per task: vamp, inpaint, outpaint, continue_, generate, loop, stretch, telephone, compress and
decompress. Each gives a Variation: `.audio`, `.save(path)`, `.codes`, `.seed`; in a notebook it plays.

Importing the package does no work: each public name is fetched from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vampnet.version import __version__ as __version__

if TYPE_CHECKING:
    from vampnet.audio.files import Audio
    from vampnet.beats.events import Events, TrackerConfig
    from vampnet.compression.config import CompressionConfig
    from vampnet.errors import VampnetError
    from vampnet.generation.config import SamplingConfig
    from vampnet.prompts.grammar import parse_prompt
    from vampnet.prompts.parts import Codebooks, Drop, Everything, Keep, Nothing, Periodic, Prompt, Random
    from vampnet.prompts.rhythmic import Beats, Onsets, Prefix, Suffix
    from vampnet.tasks.model import VampNet, load
    from vampnet.tasks.task import Variation

_MODULES = {
    "Audio": "vampnet.audio.files",
    "Beats": "vampnet.prompts.rhythmic",
    "Codebooks": "vampnet.prompts.parts",
    "CompressionConfig": "vampnet.compression.config",
    "Drop": "vampnet.prompts.parts",
    "Events": "vampnet.beats.events",
    "Everything": "vampnet.prompts.parts",
    "Keep": "vampnet.prompts.parts",
    "Nothing": "vampnet.prompts.parts",
    "Onsets": "vampnet.prompts.rhythmic",
    "Periodic": "vampnet.prompts.parts",
    "Prefix": "vampnet.prompts.rhythmic",
    "Prompt": "vampnet.prompts.parts",
    "Random": "vampnet.prompts.parts",
    "SamplingConfig": "vampnet.generation.config",
    "Suffix": "vampnet.prompts.rhythmic",
    "TrackerConfig": "vampnet.beats.events",
    "VampNet": "vampnet.tasks.model",
    "VampnetError": "vampnet.errors",
    "Variation": "vampnet.tasks.task",
    "load": "vampnet.tasks.model",
    "parse_prompt": "vampnet.prompts.grammar",
}

__all__ = [
    "Audio",
    "Beats",
    "Codebooks",
    "CompressionConfig",
    "Drop",
    "Events",
    "Everything",
    "Keep",
    "Nothing",
    "Onsets",
    "Periodic",
    "Prefix",
    "Prompt",
    "Random",
    "SamplingConfig",
    "Suffix",
    "TrackerConfig",
    "VampNet",
    "VampnetError",
    "Variation",
    "load",
    "parse_prompt",
    "vamp",
]

_default: list[Any] = []


def vamp(audio: Any, **settings: Any) -> Any:
    """Vary a recording with the embedded model, which is loaded once; settings are those of `VampNet.vamp`.

    >>> vampnet.vamp("song.mp3", prompt="reimagine").save("out.wav")
    """
    if not _default:
        _default.append(import_module("vampnet.tasks.model").load())
    return _default[0].vamp(audio, **settings)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'vampnet' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
