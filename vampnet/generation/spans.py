"""Windows of frames that long material is generated in."""

from __future__ import annotations

from dataclasses import dataclass

from vampnet.audio.units import _checked
from vampnet.errors import SettingsError


@dataclass(frozen=True)
class Window:
    """A stretch of frames that is generated in one go, with the frames before it as context."""

    start: int
    """First frame of the window, counted from the start of the material."""
    stop: int
    """One past the last frame."""
    n_context: int
    """Leading frames of the window that earlier windows already generated; 0 in the first one."""

    @property
    def n_frames(self) -> int:
        """Length of the window, context included."""
        return self.stop - self.start

    @property
    def first_new(self) -> int:
        """The first frame that this window generates, counted from the start of the material."""
        return self.start + self.n_context


def windows(n_frames: int, window_frames: int, overlap_frames: int) -> list[Window]:
    """Windows that cover frames 0 to `n_frames`, each beginning inside the one before it.

    Windows have `window_frames` frames. Each but the first begins with at least `overlap_frames` frames (0 to
    `window_frames` - 1) of context; the last one is shifted left to stay full, so it has more context. Material of
    at most one window gives a single window of its own length, and 0 frames give none.
    """
    _checked(n_frames, "number of frames")
    if window_frames < 1:
        raise SettingsError(f"window is {window_frames} frames, but must be at least 1")
    if not 0 <= overlap_frames < window_frames:
        raise SettingsError(
            f"overlap is {overlap_frames} frames, but must lie in 0 to {window_frames - 1}, below the window"
        )
    result: list[Window] = []
    done = 0
    while done < n_frames:
        start = max(0, min(done - overlap_frames, n_frames - window_frames)) if result else 0
        stop = min(start + window_frames, n_frames)
        result.append(Window(start, stop, done - start))
        done = stop
    return result


def reference_windows(n_frames: int, chunk_frames: int) -> list[Window]:
    """Chunks as the authors cut them: one after the other, without context; the last one may be shorter."""
    return [Window(start, min(start + chunk_frames, n_frames), 0) for start in range(0, n_frames, chunk_frames)]
