"""Chains of effects for a whole piece: tone, dynamics, colour, room, medium, band, drawn with a heaviness per piece.

A quarter of the pieces stay clean. The stages come in the order of a recording: what the player and the desk do, then
the room, then the medium that it is kept on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthcorpus.diverse import effects as more
from synthcorpus.diverse.effects import log_uniform
from synthcorpus.render import effects

Effect = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""(audio, rate_hz, rng) -> audio."""


def _eq(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.random_eq(audio, rate_hz, rng)


def _resonance(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    bells = [
        effects.peaking(
            log_uniform(rng, 80.0, 12000.0), float(rng.uniform(-15.0, 12.0)), log_uniform(rng, 1.0, 12.0), rate_hz
        )
        for _ in range(int(rng.integers(1, 5)))
    ]
    return effects.filter_sections(audio, np.concatenate(bells))


def _compress(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.compress(audio, float(rng.uniform(-35.0, -8.0)), float(rng.uniform(2.0, 12.0)), rate_hz)


def _multiband(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.multiband_compress(audio, float(rng.uniform(0.2, 0.7)), rate_hz)


def _pumping(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.pumping(audio, float(rng.uniform(0.3, 1.0)), float(rng.uniform(3.0, 18.0)), rate_hz)


def _soft_drive(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.shaped_drive(audio, float(rng.uniform(3.0, 30.0)), float(rng.uniform(-0.5, 0.5)), rate_hz)


def _hard_clip(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.hard_clip(audio, float(rng.uniform(2.0, 18.0)))


def _fold(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.fold(audio, float(rng.uniform(1.0, 5.0)))


def _chorus(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.chorus(audio, float(rng.uniform(0.5, 5.0)), int(rng.integers(1, 4)), rate_hz, rng)


def _flanger(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.flanger(audio, float(rng.uniform(1.0, 6.0)), log_uniform(rng, 0.05, 1.5), rate_hz, rng)


def _phaser(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.phaser(audio, log_uniform(rng, 0.1, 3.0), int(rng.integers(2, 7)), rate_hz, rng)


def _tremolo(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.tremolo(audio, log_uniform(rng, 0.5, 16.0), float(rng.uniform(0.3, 1.0)), rate_hz, rng)


def _ring(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.ring(audio, log_uniform(rng, 30.0, 2500.0), float(rng.uniform(0.3, 1.0)), rate_hz)


def _room(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.early_reflections(audio, log_uniform(rng, 2.0, 15.0), float(rng.uniform(0.1, 0.7)), rate_hz, rng)


def _reverb(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    decay_s = log_uniform(rng, 0.15, 5.0)
    response = effects.reverb_response(decay_s, log_uniform(rng, 1200.0, 14000.0), rate_hz, rng)
    lag = int(rng.uniform(0.0, 0.06) * rate_hz)
    wet = effects.reverb(audio.mean(axis=0), response * np.float32(effects.db(float(rng.uniform(-18.0, 2.0)))))
    return audio + np.pad(wet, ((0, 0), (lag, 0)))[:, : audio.shape[1]]


def _delay(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    wet = effects.delay(audio, log_uniform(rng, 0.03, 0.9), float(rng.uniform(0.2, 0.7)), rate_hz)
    return audio + wet * np.float32(rng.uniform(0.3, 0.9))


def _tape(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    worn = more.wow_and_flutter(audio, log_uniform(rng, 0.05, 4.0), log_uniform(rng, 0.005, 0.15), rate_hz, rng)
    worn = effects.drive(worn, float(rng.uniform(0.0, 8.0)))
    return effects.low_pass(worn, log_uniform(rng, 6000.0, 18000.0), rate_hz, 2)


def _vinyl(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.vinyl(audio, float(rng.uniform(-60.0, -25.0)), float(rng.uniform(0.5, 25.0)), rate_hz, rng)


def _noise(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    hum_hz = float(rng.choice((0.0, 0.0, 50.0, 60.0)))
    return more.noise_floor(audio, float(rng.uniform(-70.0, -20.0)), hum_hz, rate_hz, rng)


def _crush(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.crush(audio, int(rng.integers(4, 13)), int(rng.integers(1, 6)))


def _telephone(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.telephone(audio, log_uniform(rng, 120.0, 500.0), log_uniform(rng, 2200.0, 6000.0), rate_hz)


def _low_rate(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return more.lower_rate(audio, int(log_uniform(rng, 11025.0, 36000.0)), rate_hz)


def _low_pass(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.low_pass(audio, log_uniform(rng, 5000.0, 18000.0), rate_hz, int(rng.choice((2, 4, 6, 10))))


def _high_pass(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    return effects.high_pass(audio, log_uniform(rng, 30.0, 400.0), rate_hz)


@dataclass(frozen=True)
class EffectStage:
    """One place in the chain: how likely it is used in the heaviest chains, and what may stand there."""

    probability: float
    options: tuple[tuple[str, float, Effect], ...]
    """Name, weight and function of each effect."""


STAGES = (
    EffectStage(0.7, (("eq", 3.0, _eq), ("resonances", 2.0, _resonance), ("high pass", 1.0, _high_pass))),
    EffectStage(0.55, (("compressor", 3.0, _compress), ("multiband", 2.0, _multiband), ("pumping", 1.0, _pumping))),
    EffectStage(0.3, (("drive", 4.0, _soft_drive), ("hard clip", 1.5, _hard_clip), ("fold", 0.7, _fold))),
    EffectStage(
        0.3,
        (
            ("chorus", 2.0, _chorus),
            ("flanger", 1.0, _flanger),
            ("phaser", 1.0, _phaser),
            ("tremolo", 1.0, _tremolo),
            ("ring", 0.4, _ring),
        ),
    ),
    EffectStage(0.25, (("delay", 1.0, _delay),)),
    EffectStage(0.4, (("room", 1.0, _room),)),
    EffectStage(0.6, (("reverb", 1.0, _reverb),)),
    EffectStage(
        0.3,
        (
            ("tape", 3.0, _tape),
            ("vinyl", 2.0, _vinyl),
            ("noise", 2.0, _noise),
            ("crush", 1.0, _crush),
            ("telephone", 0.7, _telephone),
        ),
    ),
    EffectStage(0.4, (("low pass", 2.0, _low_pass), ("low rate", 3.0, _low_rate))),
)
"""The chain, in the order of a recording."""

CLEAN_SHARE = 0.25
"""Share of pieces without any of these effects."""

EFFECTS = tuple(name for stage in STAGES for name, _, _ in stage.options)
"""Names of all effects, as the index gives them."""


def random_chain(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """A piece through a drawn chain, and the names of its effects; float32 (2, samples) in and out."""
    heaviness = 0.0 if rng.random() < CLEAN_SHARE else float(rng.uniform(0.3, 1.0))
    names = []
    for stage in STAGES:
        if rng.random() >= stage.probability * heaviness:
            continue
        weights = np.array([weight for _, weight, _ in stage.options])
        name, _, apply = stage.options[int(rng.choice(len(weights), p=weights / weights.sum()))]
        audio = apply(audio, rate_hz, rng).astype(np.float32, copy=False)
        names.append(name)
    return audio, tuple(names)
