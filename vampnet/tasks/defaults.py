"""Defaults and limits of the tasks, for Python, requests and clients alike. Imports nothing."""

from __future__ import annotations

DEFAULT_PROMPT = "periodic(7)"
"""Keeps every seventh frame: a variation that stays close to the input's rhythm and harmony."""
DEFAULT_THEME = "periodic(16) | beats(after=75ms)"
"""Prompt of the theme, the last bars of the recording looped: it keeps tempo and key (docs/results/long-range.md)."""
LIKE_PROMPT = "periodic(32) | beats(after=75ms)"
"""Prompt of a clip to follow in style."""
SKETCH_PROMPT = "periodic(13) | beats(after=75ms)"
"""Prompt of the sketch of music to words: its beats are kept, so the tempo stays (docs/results/controls.md)."""
NEW_S = 10.0
"""Length of new music where none is given, seconds."""
CONTINUE_S = 8.0
"""Default length that `continue` adds, seconds."""
MAX_NEW_S = 3600.0
"""Longest stretch of new audio, seconds."""
STRETCH_FACTOR, MAX_STRETCH_FACTOR = 2.0, 16.0
"""Times the length that a recording is stretched to, where nothing is given and at most."""
ROUNDS, MAX_ROUNDS = 8, 1000
"""Rounds of telephone where nothing is given, and at most."""
MAX_BARS = 1000
"""Most bars of a loop."""
MIN_LOOP_S, MAX_LOOP_S = 0.25, 120.0
"""Shortest and longest loop, seconds."""
