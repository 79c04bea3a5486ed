"""Decoders of checked files: libsndfile for what it knows, FFmpeg (PyAV, an extra) for the rest.

Both give samples of shape (n, channels) in order, tell exactly how many there are, and raise AudioError alone.
"""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from vampnet.audio.byte_pieces import Extent, pieced
from vampnet.audio.formats import EXTRA, has_ffmpeg
from vampnet.audio.integrity import CheckedFile
from vampnet.errors import AudioError

Dtype = Literal["float32", "float64"]
UNKNOWN_LENGTH = 2**62
"""Numbers of samples from here on are libsndfile's way to say that it does not know."""

# Playlists and the like, which name other files and addresses, are not among them.
_FFMPEG_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,asf_o,avi,aac,ac3,eac3,dts,flac,ogg,mp3,wav,w64,aiff,caf,au,ape,wv,tta,"
    "tak,mpc,mpc8,amr,dsf,iff,flv,mpegts,mpeg,oma,voc,rm,nut,xwma,mxf"
)


_STATED = ("MATROSKA", "ASF", "FLV", "AVI")
"""FFmpeg formats whose header states a duration; of others FFmpeg guesses it."""
_OF_LIBSNDFILE = ("MP3", "OGG", "FLAC", "WAV", "AIFF", "AU", "CAF", "W64", "VOC")
"""FFmpeg formats that come here only when libsndfile, which knows them too, refuses the file."""
_SLACK_S = 0.25
"""Such a duration is that of the longest stream, rounded."""

_EDIT_SLACK_S = 0.0025
"""An edit list that ends a sound by less than this too early is a rounded one."""


class Decoder(Protocol):
    """Samples of one file, in order."""

    sample_rate_hz: int
    channels: int
    n_samples: int
    format: str
    subtype: str
    tags: dict[str, str]
    warnings: tuple[str, ...]

    def read(self, n_samples: int, dtype: Dtype) -> NDArray[Any]:
        """The next samples (n, channels), at most as many; none at the end, or where damage keeps them away."""
        ...

    def seek(self, sample: int) -> None:
        """Go to a sample, counted from the beginning."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def make_decoder(checked: CheckedFile, name: str) -> Decoder:
    """A decoder for the parts of a checked file, by libsndfile if it knows them, else by FFmpeg from the whole file.

    Raises AudioError: not an audio file, or one that needs the extra "formats".
    """
    try:
        decoder: Decoder = SoundfileDecoder(checked.parts, name)
    except (soundfile.LibsndfileError, TypeError, ValueError):  # TypeError: soundfile takes it for headerless data
        checked.check(name)
        decoder = _ffmpeg_decoder(checked, name)
    try:
        checked.check(name)
    except AudioError:
        decoder.close()
        raise
    if decoder.n_samples >= UNKNOWN_LENGTH:
        decoder.close()
        return _ffmpeg_decoder(checked, name)
    return decoder


class SoundfileDecoder:
    """libsndfile over one or several parts, one behind the other."""

    def __init__(self, parts: Sequence[BinaryIO], name: str) -> None:
        self._files: list[soundfile.SoundFile] = []
        try:
            for part in parts:
                self._files.append(soundfile.SoundFile(part))
                self._check_same(name)
        except BaseException:
            self.close()
            raise
        first = self._files[0]
        self.sample_rate_hz, self.channels = first.samplerate, first.channels
        self.format, self.subtype = first.format, first.subtype
        self._starts = [0, *itertools.accumulate(file.frames for file in self._files)]
        self.n_samples = self._starts[-1]
        self.tags = first.copy_metadata()
        self.warnings: tuple[str, ...] = ()
        self._position = 0

    def read(self, n_samples: int, dtype: Dtype) -> NDArray[Any]:
        """Up to `n_samples` next samples (samples, channels); fewer at the end."""
        parts: list[NDArray[Any]] = []
        wanted = min(n_samples, self.n_samples - self._position)
        while wanted > 0:
            number = bisect.bisect_right(self._starts, self._position) - 1
            n_here = min(wanted, self._starts[number + 1] - self._position)
            part = self._files[number].read(n_here, dtype=dtype, always_2d=True)
            parts.append(part)
            self._position += len(part)
            wanted -= len(part)
            if len(part) < n_here:
                break
        return np.concatenate(parts) if parts else np.zeros((0, self.channels), dtype)

    def seek(self, sample: int) -> None:
        """Go to a sample, counted from the beginning."""
        number = min(bisect.bisect_right(self._starts, sample) - 1, len(self._files) - 1)
        self._files[number].seek(sample - self._starts[number])
        for file in self._files[number + 1 :]:
            file.seek(0)
        self._position = sample

    def close(self) -> None:
        """Release the file."""
        for file in self._files:
            file.close()

    def _check_same(self, name: str) -> None:
        first, last = self._files[0], self._files[-1]
        if (first.samplerate, first.channels) != (last.samplerate, last.channels):
            raise AudioError(
                f"cannot read {name}: it is {len(self._files)} or more recordings joined, of which the first has"
                f" {first.channels} channels at {first.samplerate} Hz, another {last.channels} at {last.samplerate} Hz;"
                " save them as files of their own"
            )


def _ffmpeg_decoder(checked: CheckedFile, name: str) -> Decoder:
    if not has_ffmpeg():
        raise AudioError(
            f"cannot read {name}: not an audio file, damaged at its beginning, or of a format that needs an extra"
            " (WAV, FLAC, OGG, Opus, MP3, AIFF, CAF, AU and W64 can be read as it is; for m4a, mp4, webm, mkv, mov,"
            f" wma and others: {EXTRA})"
        )
    size = os.fstat(checked.file.fileno()).st_size
    return FfmpegDecoder(pieced(checked.file, [Extent(checked.offset, size)], checked.errors), name)


class FfmpegDecoder:
    """FFmpeg, by PyAV, for the first sound stream of a file; encoder delay and padding are left out."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._container: Any = None
        self._edits = True
        self._open()
        stream = self._stream()
        codec = stream.codec_context
        if codec is None or codec.layout is None:
            raise AudioError(
                f"cannot read {name}: its sound is in a coding that is not known, or its header is damaged"
            )
        self.sample_rate_hz, self.channels = int(codec.sample_rate or 0), int(codec.layout.nb_channels or 0)
        self.format, self.subtype = self._container.format.name.split(",")[0].upper(), codec.name.upper()
        self.tags = _tags(self._container, stream)
        self.warnings: tuple[str, ...] = ()
        if self.format in _OF_LIBSNDFILE:
            self.warnings = ("libsndfile cannot read it, FFmpeg can; it may be damaged, and parts of it missing",)
        if not self.sample_rate_hz or not self.channels:
            raise AudioError(f"cannot read {name}: damaged, its header names no sample rate or no channels")
        self.n_samples = self._count()
        self._restart()

    def read(self, n_samples: int, dtype: Dtype) -> NDArray[Any]:
        """Up to `n_samples` next samples (samples, channels); fewer at the end."""
        parts, wanted = [], min(n_samples, self.n_samples - self._position)
        while wanted > 0:
            if not len(self._left):
                block = next(self._frames, None)
                if block is None:
                    break
                self._left = block
            part, self._left = self._left[:wanted], self._left[wanted:]
            parts.append(part)
            wanted -= len(part)
            self._position += len(part)
        return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros((0, self.channels), dtype)

    def seek(self, sample: int) -> None:
        """Go to a sample, counted from the beginning."""
        if sample < self._position:
            self._restart()
        while self._position < sample and len(self.read(min(65536, sample - self._position), "float32")):
            pass

    def close(self) -> None:
        """Release the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self, edits: bool = True) -> None:
        """Open the file from its start; without `edits` an edit list counts for its beginning alone."""
        import av

        self.close()
        self._file.seek(0)
        options = {"format_whitelist": _FFMPEG_FORMATS, "advanced_editlist": str(int(edits))}
        self._container = self._guarded(
            lambda: av.open(self._file, options=options, metadata_errors="replace"),
            "not an audio file, or damaged at its beginning",
        )

    def _stream(self) -> Any:
        if not self._container.streams.audio:
            raise AudioError(f"cannot read {self._name}: there is no sound in it")
        return self._container.streams.audio[0]

    def _restart(self) -> None:
        self._open(self._edits)
        self._position = 0
        self._left: NDArray[Any] = np.zeros((0, self.channels), np.float32)
        self._frames = self._decode()

    def _decode(self) -> Iterator[NDArray[Any]]:
        """Decoded samples (n, channels), as long as packets last."""
        import av

        stream = self._stream()
        packets = self._container.demux(stream)
        resampler = av.AudioResampler(format="flt", layout=stream.codec_context.layout, rate=self.sample_rate_hz)
        while (packet := self._guarded(lambda: next(packets, None))) is not None:
            if packet.is_corrupt:
                raise AudioError(f"cannot read {self._name}: damaged or truncated after {self._at_s():.3f} s")
            for frame in self._guarded(packet.decode):
                if frame.sample_rate != self.sample_rate_hz or frame.layout.nb_channels != self.channels:
                    raise AudioError(
                        f"cannot read {self._name}: its rate or its channels change after {self._at_s():.3f} s"
                    )
                for piece in self._guarded(lambda frame=frame: resampler.resample(frame)):
                    yield piece.to_ndarray().reshape(-1, self.channels)

    def _count(self) -> int:
        """Samples without delay and padding: from times of packets where these count samples, else by decoding."""
        stream = self._stream()
        exact = stream.time_base is not None and stream.time_base == Fraction(1, self.sample_rate_hz)
        gapless = _itunes_length(self.tags)
        if gapless:
            return gapless
        if exact and self.format in ("MOV", "WAV", "AIFF", "CAF", "W64"):
            end = self._end_of_packets()
            if self.format == "MOV":
                end = self._end_beyond_edits(end)
            if end:
                return end
        self._position = 0
        n_samples = 0
        for block in self._decode():
            n_samples += len(block)
            self._position = n_samples
        stated_s = (self._container.duration or 0) / 1e6
        if self.format in _STATED and n_samples < (stated_s - _SLACK_S) * self.sample_rate_hz:
            raise AudioError(
                f"cannot read {self._name}: damaged or truncated, it ends after {self._at_s():.3f} s"
                f" of {stated_s:.3f} s"
            )
        return n_samples

    def _end_of_packets(self) -> int:
        """The sample behind the last one of all packets; 0 where they do not say."""
        packets = self._container.demux(self._stream())
        spans = self._guarded(lambda: [span for packet in packets if (span := _span(packet)) is not None])
        return max((stop for _, stop in spans), default=0)

    def _end_beyond_edits(self, end: int) -> int:
        """The true end of an MP4 file: its edit list is rounded to milliseconds or so, and may lose a last packet."""
        self._open(edits=False)
        whole = self._end_of_packets()
        self._edits = not 0 < whole - end <= self.sample_rate_hz * _EDIT_SLACK_S
        return end if self._edits else whole

    def _at_s(self) -> float:
        return getattr(self, "_position", 0) / self.sample_rate_hz

    def _guarded(self, work: Any, cause: str = "") -> Any:
        """The result of some work of FFmpeg, whatever it raises as an AudioError."""
        try:
            return work()
        except AudioError:
            raise
        except Exception as error:  # demuxers of a hundred formats and their wrapper raise all kinds
            if not cause:
                cause = f"damaged or truncated after {self._at_s():.3f} s ({type(error).__name__})"
            raise AudioError(f"cannot read {self._name}: {cause}") from None


def _span(packet: Any) -> tuple[int, int] | None:
    """First sample of a packet and the one behind its last, where its times count samples."""
    if packet.pts is None or not packet.duration:
        return None
    return packet.pts, packet.pts + packet.duration


def _itunes_length(tags: dict[str, str]) -> int:
    """Samples that Apple's encoders announce in a tag of their own; 0 where there is none."""
    fields = tags.get("iTunSMPB", "").split()
    try:
        return int(fields[3], 16) if len(fields) > 3 else 0
    except ValueError:
        return 0


def _tags(container: Any, stream: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in {**stream.metadata, **container.metadata}.items()}
