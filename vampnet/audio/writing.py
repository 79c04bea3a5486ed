"""Audio files written in blocks, whole or not at all, with the metadata of the file that they take after."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from vampnet.audio.formats import BY_ENDING, FORMATS, M4A_SUBTYPES, has_ffmpeg, require_ffmpeg
from vampnet.audio.integrity import quoted
from vampnet.audio.loop_points import mark_loop
from vampnet.audio.metadata import Metadata, append_metadata, find_losses, prepend_id3
from vampnet.audio.repeatable import make_repeatable
from vampnet.audio.samples import BLOCK_SAMPLES, AudioInfo, Samples, check_finite
from vampnet.audio.sinks import FfmpegSink, ResamplingSink, Sink, SoundfileSink
from vampnet.errors import AudioError
from vampnet.storage import cause, open_temporary, remove_temporary, sync, sync_folder

log = logging.getLogger("vampnet")

LINEAR_SUBTYPES = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
"""Codings that an output takes over from its input; the compressed ones would add noise or change the length."""
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)

_UNCLAMPED = ("FLOAT", "DOUBLE")
_MAX_WAV_BYTES = 2**32 - 1  # WAV and AIFF hold sizes as 32-bit numbers


class AudioWriter:
    """Writes a file in blocks: `with AudioWriter(path, rate, channels) as writer: writer.write(block)`.

    The ending of the name chooses the format. The coding is `subtype` if given, else that of the file `like` describes
    if it is an uncompressed one that the format has, else the format's default (`formats.FORMATS`). Tags, channel mask,
    cue points and loops are those of `like`; `warnings` tells which of them the format cannot hold, and that Opus is
    resampled to 48 kHz. `loop_turn` marks so many samples, from the first on, as a loop (WAV alone). Values beyond full
    scale are clamped unless the coding is a float one. The file appears under its name when the `with` block ends well;
    if it ends with an exception, nothing is left and a file that was there before stays as it was. Raises AudioError
    for an ending, coding, rate or number of channels that cannot be written, no samples, a folder or disk without room.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        channels: int,
        subtype: str | None = None,
        like: AudioInfo | None = None,
        loop_turn: int = 0,
    ) -> None:
        self._path = Path(path)
        self._name = quoted(path)
        self._rate_hz, self._channels = sample_rate_hz, channels
        self._n_samples, self._loop_turn = 0, loop_turn
        self._metadata = _fitting_metadata(like, channels)
        self._format, self._subtype = output_coding(path, subtype, like)
        if self._format == "WAV" and self._metadata.channel_mask:
            self._format = "WAVEX"
        self.warnings = find_losses(self._metadata, self._format)
        """Losses of the format, a line each; complete when the file is finished."""
        self._temporary, self._lock = self._make_temporary()
        try:
            self._file = self._open()
        except OSError as error:
            remove_temporary(self._temporary, self._lock)
            raise AudioError(f"cannot write {self._name}: {cause(error)}") from None
        # FFmpeg's errors are ValueErrors; a rate that does not fit 32 bits is an OverflowError.
        except (soundfile.LibsndfileError, ValueError, TypeError, OverflowError) as error:
            remove_temporary(self._temporary, self._lock)
            raise AudioError(self._refusal(error)) from None

    def _open(self) -> Sink:
        tags = self._metadata.tags
        if self._format == "M4A":
            return FfmpegSink(self._temporary, self._rate_hz, self._channels, self._subtype, tags)
        coding = self._format, self._subtype
        if self._subtype == "OPUS" and self._rate_hz not in OPUS_RATES_HZ:
            self.warnings.append(f"Opus has no {self._rate_hz} Hz; the output is resampled to {OPUS_RATES_HZ[-1]} Hz")
            file = SoundfileSink(self._temporary, OPUS_RATES_HZ[-1], self._channels, coding, tags)
            return ResamplingSink(file, self._rate_hz, OPUS_RATES_HZ[-1], self._channels)
        return SoundfileSink(self._temporary, self._rate_hz, self._channels, coding, tags)

    def __enter__(self) -> AudioWriter:
        return self

    def write(self, block: Samples) -> None:
        """Append the samples of a float array (channels, n); raises AudioError for another shape or a NaN."""
        if block.ndim != 2 or len(block) != self._channels:
            raise AudioError(
                f"cannot write {self._name}: block has shape {block.shape}, not ({self._channels}, samples)"
            )
        check_finite(self._name, block, self._n_samples, self._rate_hz)
        if self._subtype not in _UNCLAMPED:
            block = np.clip(block, -1.0, 1.0)
        # Long runs in one call overflow the stack of libsndfile's Vorbis coder.
        for start in range(0, block.shape[1], BLOCK_SAMPLES):
            part = block[:, start : start + BLOCK_SAMPLES].T
            self._append(np.ascontiguousarray(part, dtype=np.float64 if part.dtype == np.float64 else np.float32))
        self._n_samples += block.shape[1]

    def _append(self, data: NDArray[Any]) -> None:
        """Write samples of shape (n, channels)."""
        try:
            # A float sample of 8 bytes is the longest there is.
            bytes_after = self._temporary.stat().st_size + 8 * data.size
            if self._format in ("WAV", "WAVEX", "AIFF") and bytes_after > _MAX_WAV_BYTES:
                raise AudioError(f"cannot write {self._name}: {self._format} holds at most 4 GiB, use the ending .flac")
            self._file.write(data)
        except OSError as error:  # FFmpeg's among them
            raise AudioError(f"cannot write {self._name}: {cause(error)}") from None
        # soundfile asserts that all was written, and says no more.
        except (soundfile.LibsndfileError, AssertionError, ValueError):
            raise AudioError(f"cannot write {self._name}: writing failed; the disk may be full") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if kind is None and not self._n_samples:
                raise AudioError(f"cannot write {self._name}: there are no samples to write")
            if kind is None:
                make_repeatable(self._temporary)
                self._add_metadata()
                if self._loop_turn:
                    mark_loop(self._temporary, self._loop_turn, self._rate_hz)
                sync(self._temporary)
                os.replace(self._temporary, self._path)
                sync_folder(self._path.parent)
                for warning in self.warnings:
                    log.warning("%s: %s", self._path, warning)
        except (soundfile.LibsndfileError, OSError, ValueError) as failure:
            if kind is None:
                raise AudioError(f"cannot write {self._name}: {cause(failure)}") from None
        finally:
            remove_temporary(self._temporary, self._lock)

    def discard(self) -> None:
        """Give up: nothing is left of the output."""
        self.__exit__(KeyboardInterrupt, None, None)

    def _add_metadata(self) -> None:
        """Chunks that libsndfile does not write, behind the sound."""
        if self._format == "MP3" and self._metadata.tags:
            prepend_id3(self._temporary, self._metadata.tags)
        if self._format in ("WAV", "WAVEX", "AIFF"):
            append_metadata(self._temporary, self._metadata, self._n_samples, self._rate_hz)
            self.warnings = find_losses(self._metadata, self._format, self._n_samples)

    def _make_temporary(self) -> tuple[Path, int]:
        """An empty, locked file beside the output, with the permissions that a new file gets here."""
        try:
            return open_temporary(self._path)
        except FileNotFoundError:
            raise AudioError(f"cannot write {self._name}: there is no folder {quoted(self._path.parent)}") from None
        except (OSError, ValueError) as error:
            raise AudioError(f"cannot write {self._name}: {cause(error)}") from None

    def _refusal(self, error: Exception) -> str:
        hint = ""
        if self._subtype == "OPUS":
            hint = "; Opus takes up to 255 channels, use another ending for more"
        elif self._format == "M4A":
            hint = "; m4a takes one to eight channels and rates of 8000 to 96000 Hz, use another ending for others"
        elif self._format == "MP3":
            hint = "; MP3 takes one or two channels and rates of 8000 to 48000 Hz, use another ending for others"
        what = f"{self._format} {self._subtype} with {self._channels} channels at {self._rate_hz} Hz"
        return f"cannot write {self._name}: no {what}{hint}"


def output_coding(
    path: str | os.PathLike[str], subtype: str | None = None, like: AudioInfo | None = None
) -> tuple[str, str]:
    """Format and subtype that AudioWriter would use; AudioError if there is none. Touches no file."""
    ending = Path(path).suffix.lower()
    one = BY_ENDING.get(ending)
    if one is None or not one.subtype:
        writable = ", ".join(f.ending for f in FORMATS if f.subtype and (has_ffmpeg() or not f.needs_ffmpeg))
        raise AudioError(f"cannot write {quoted(path)}: ending {ending!r} is not one of {writable}")
    if one.needs_ffmpeg:
        require_ffmpeg(f"writing {quoted(path)}")
    possible = M4A_SUBTYPES if one.container == "M4A" else tuple(soundfile.available_subtypes(one.container))
    if subtype is not None:
        if subtype not in possible:
            raise AudioError(
                f"cannot write {quoted(path)}: {one.container} has no {subtype!r}, only {', '.join(possible)}"
            )
        return one.container, subtype
    if like is not None and like.subtype in possible and like.subtype in (*LINEAR_SUBTYPES, "ALAC"):
        return one.container, like.subtype
    return one.container, one.subtype


def _fitting_metadata(like: AudioInfo | None, channels: int) -> Metadata:
    """The metadata of the file that an output takes after; a channel mask counts for as many channels alone."""
    if like is None:
        return Metadata()
    if like.channels == channels:
        return like.metadata
    return dataclasses.replace(like.metadata, channel_mask=0)
