"""VampNet: masked acoustic token modelling of music (Flores Garcia et al., ISMIR 2023).

    import vampnet

    vampnet.vamp("song.wav").save("out.wav")            # in one line, with the embedded model

    model = vampnet.load()
    model.vamp("song.wav", prompt="beats(after=75ms) | keep(0, 2)", n=4)
    model.inpaint("song.wav", regions=[(3.0, 5.5)], sampling=vampnet.SamplingConfig(seed=1))

Public names; `help(vampnet.NAME)` says more:

    load, vamp                    a model; one variation with the embedded model
    VampNet                       a loaded model: vamp, inpaint, outpaint, continue_, generate, loop, stretch,
                                  telephone, compress, decompress
    Variation                     what a task gives: .audio, .save(path), .codes, .seed, .kept_share; plays in notebooks
    Audio                         samples (channels, n) with their rate
    choose                        the variations that follow a recording's beats, chords, rhythm or melody best
    reshape                       a recording at another pitch and speed
    SamplingConfig                steps, temperatures, seed
    CompressionConfig             which tokens a .vamp file keeps
    Prompt, parse_prompt          which tokens are kept; text such as "periodic(7) & codebooks(3)"
    Periodic, Codebooks, Keep, Prefix, Suffix, Beats, Onsets, Random, Drop, Paint, Erase, Nothing, Everything
                                  parts of prompts, combined with | and &
    Events, TrackerConfig         beats that are known, or how to find them
    Client                        a server's tasks, with the methods of VampNet (`vampnet serve`)
    VampnetError                  base class of every error that a user can mend

The packages below are internal: documented for contributors (`vampnet guide concepts`), and free to change.
Importing vampnet does no work: each name is fetched from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vampnet.version import __version__ as __version__

if TYPE_CHECKING:
    from vampnet.apps.client import Client as Client
    from vampnet.audio.files import Audio as Audio
    from vampnet.audio.reshaping import reshape as reshape
    from vampnet.beats.events import (
        Events as Events,
        TrackerConfig as TrackerConfig,
    )
    from vampnet.compression.config import CompressionConfig as CompressionConfig
    from vampnet.errors import VampnetError as VampnetError
    from vampnet.generation.config import SamplingConfig as SamplingConfig
    from vampnet.prompts.grammar import parse_prompt as parse_prompt
    from vampnet.prompts.painted import (
        Erase as Erase,
        Paint as Paint,
    )
    from vampnet.prompts.parts import (
        Codebooks as Codebooks,
        Drop as Drop,
        Everything as Everything,
        Keep as Keep,
        Nothing as Nothing,
        Periodic as Periodic,
        Prompt as Prompt,
        Random as Random,
    )
    from vampnet.prompts.rhythmic import (
        Beats as Beats,
        Onsets as Onsets,
        Prefix as Prefix,
        Suffix as Suffix,
    )
    from vampnet.tasks.choosing import choose as choose
    from vampnet.tasks.model import (
        VampNet as VampNet,
        load as load,
    )
    from vampnet.tasks.task import Variation as Variation

_MODULES = {
    "Audio": "vampnet.audio.files",
    "Beats": "vampnet.prompts.rhythmic",
    "Client": "vampnet.apps.client",
    "Codebooks": "vampnet.prompts.parts",
    "CompressionConfig": "vampnet.compression.config",
    "Drop": "vampnet.prompts.parts",
    "Erase": "vampnet.prompts.painted",
    "Events": "vampnet.beats.events",
    "Everything": "vampnet.prompts.parts",
    "Keep": "vampnet.prompts.parts",
    "Nothing": "vampnet.prompts.parts",
    "Onsets": "vampnet.prompts.rhythmic",
    "Paint": "vampnet.prompts.painted",
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
    "choose": "vampnet.tasks.choosing",
    "load": "vampnet.tasks.model",
    "reshape": "vampnet.audio.reshaping",
    "parse_prompt": "vampnet.prompts.grammar",
}

__all__ = ["load", "vamp"]  # what help() shows in full; the docstring lists all public names

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
    return sorted({*globals(), *_MODULES})
