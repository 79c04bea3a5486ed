"""Beats, downbeats and onsets of a source: given by the caller, or tracked on first use."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vampnet.audio.sources import Source
from vampnet.audio.units import samples_to_seconds
from vampnet.beats.events import Events, TrackerConfig
from vampnet.beats.tracking import find_bars, track_events
from vampnet.errors import SettingsError

log = logging.getLogger("vampnet")

RARE_S = {"beats": 2.5, "downbeats": 10.0, "onsets": 5.0}
"""Events that are farther apart than this on average are too few to hold music together, seconds."""


class EventFinder:
    """Finds events in a source when first asked, and only what it was not told.

    Given beats without downbeats get theirs from the audio (rhythm.find_bars). Raises AudioError for given beats most
    of which lie behind the end of the audio.
    """

    def __init__(self, source: Source, rhythm: Events | TrackerConfig | None) -> None:
        if rhythm is not None and not isinstance(rhythm, Events | TrackerConfig):
            raise SettingsError(f"beats is {rhythm!r}, but must be an Events, a TrackerConfig, or None to track them")
        self.source = source
        self.known = rhythm if isinstance(rhythm, Events) else Events((), ())
        self.known.check_fits(samples_to_seconds(source.n_samples, source.sample_rate_hz))
        self.tracking = rhythm if isinstance(rhythm, TrackerConfig) else TrackerConfig()
        self._asked: set[str] = set()

    def events(self, kind: str) -> Sequence[float]:
        """The moments, in seconds, of "beats", "downbeats" or "onsets"."""
        if not self.known.events(kind) and kind not in self._asked:
            self._listen(kind)
            self._asked.add(kind)  # silence is listened to once
            self._warn_if_rare(kind)
        return self.known.events(kind)

    def _warn_if_rare(self, kind: str) -> None:
        """A prompt keeps nothing where nothing is found, and its user should know why."""
        duration_s = samples_to_seconds(self.source.n_samples, self.source.sample_rate_hz)
        n_found = len(self.known.events(kind))
        if n_found < duration_s / RARE_S[kind]:
            log.warning(
                "%s %s found in %.1f s: prompts that follow them keep little; add to them: 'beats | periodic(16)'",
                n_found or "no",
                kind,
                duration_s,
            )

    def _listen(self, kind: str) -> None:
        source, known = self.source, self.known
        if kind == "downbeats" and known.beats_s:
            found = find_bars(source.blocks(), source.sample_rate_hz, source.n_samples, known.beats_s)
        else:
            found = track_events(source.blocks(), source.sample_rate_hz, source.n_samples, self.tracking)
        self.known = Events(
            known.beats_s or found.beats_s, known.downbeats_s or found.downbeats_s, known.onsets_s or found.onsets_s
        )
