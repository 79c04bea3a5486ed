"""VampNet: a loaded model with one method per task, for audio in memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Literal, overload

from vampnet.audio.files import Audio
from vampnet.audio.inputs import AudioLike, as_audio
from vampnet.audio.sources import MemorySource
from vampnet.beats.events import Events, TrackerConfig
from vampnet.controls.config import HumConfig, TapConfig
from vampnet.controls.sketching import sketch_drums, sketch_lead
from vampnet.controls.words import ControlWords
from vampnet.generation.config import SamplingConfig, check_draws
from vampnet.generation.pipeline import load_pipeline
from vampnet.generation.progress import Report
from vampnet.generation.run import run_all
from vampnet.prompts.grammar import as_prompt
from vampnet.prompts.parts import Prompt
from vampnet.tasks.defaults import (
    CONTINUE_S,
    DEFAULT_PROMPT,
    DEFAULT_THEME,
    LIKE_PROMPT,
    NEW_S,
    ROUNDS,
    SKETCH_PROMPT,
    STRETCH_FACTOR,
)
from vampnet.tasks.following import Follow, following
from vampnet.tasks.generate import generate, generate_like
from vampnet.tasks.inpaint import inpaint
from vampnet.tasks.loop import cut_bars, events_of, loop
from vampnet.tasks.outpaint import outpaint
from vampnet.tasks.sketched import as_words, generate_to_words
from vampnet.tasks.stretch import stretch
from vampnet.tasks.task import Variation, Workspace
from vampnet.tasks.task_pipeline import TaskPipeline, Variations
from vampnet.tasks.telephone import telephone
from vampnet.tasks.vamp import vamp

Beats = Events | TrackerConfig | None
PromptLike = Prompt | str
Regions = Sequence[tuple[float, float | None]]


class VampNet(TaskPipeline):
    """A loaded model with one method per task: `model = vampnet.load(); model.vamp("song.wav").save("out.wav")`.

    Audio goes in as a path, `vampnet.Audio`, or a pair (samples, sample rate in Hz), see `vampnet.audio.inputs`. A
    prompt is a `vampnet.Prompt`, its text, or a preset's name. Each method returns one `Variation`, or a list of `n`;
    item k of the list, from 0, equals what `sampling.seed + k` alone gives (but in `loop`, whose variations share a
    seam). `report` hears `Progress` after every decoding step, and may raise to stop the job.
    """

    @overload
    def vamp(self, audio: AudioLike, *, n: Literal[1] = 1, prompt: PromptLike = ..., sampling: SamplingConfig = ...,
             beats: Beats = ..., follow: Follow = ..., guidance: str = ...,
             report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def vamp(self, audio: AudioLike, *, n: int, prompt: PromptLike = ..., sampling: SamplingConfig = ...,
             beats: Beats = ..., follow: Follow = ..., guidance: str = ...,
             report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def vamp(
        self,
        audio: AudioLike,
        *,
        n: int = 1,
        prompt: PromptLike = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        beats: Beats = None,
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Vary a recording: tokens that the prompt keeps stay, the others are generated.

        >>> model.vamp("song.wav", prompt="beats(after=75ms) | keep(0, 2)", sampling=vampnet.SamplingConfig(seed=1))

        `beats` says where beats are, or how to find them; they are looked for only when a prompt needs them. `follow`:
        controls that the network follows, or words such as "beats,rhythm" for those of the recording; `guidance` says
        how hard ("2", "chords=2"). Raises VampnetError for unusable input, SettingsError where the model hears none.
        """
        source, kept = MemorySource(as_audio(audio)), as_prompt(prompt)
        heard = following(self, follow, guidance)
        return self._run(n, sampling, report, lambda session: vamp(session, source, kept, beats, heard))

    @overload
    def inpaint(self, audio: AudioLike, *, regions: Regions, n: Literal[1] = 1, prompt: PromptLike = ...,
                theme: PromptLike | None = ..., sampling: SamplingConfig = ..., beats: Beats = ...,
                follow: Follow = ..., guidance: str = ...,
                report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def inpaint(self, audio: AudioLike, *, n: int, regions: Regions, prompt: PromptLike = ...,
                theme: PromptLike | None = ..., sampling: SamplingConfig = ..., beats: Beats = ...,
                follow: Follow = ..., guidance: str = ...,
                report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def inpaint(
        self,
        audio: AudioLike,
        *,
        regions: Regions,
        n: int = 1,
        prompt: PromptLike = "nothing",
        theme: PromptLike | None = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(),
        beats: Beats = None,
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Regenerate regions (start and end in seconds; an end of None is the file's); all else stays bit for bit.

        >>> model.inpaint("song.wav", regions=[(3.0, 5.5)])

        Where `prompt` keeps nothing, `theme` is what a region keeps of the bars before it, looped, so that the beat
        goes on; None lets it go its own way. `follow`, as in `vamp`: controls of those bars, or else of
        the region as it was; by default the bars' beats, of a model that hears them ("nothing": none).
        """
        source, kept, own = MemorySource(as_audio(audio)), as_prompt(prompt), as_prompt(theme or "nothing")
        heard = following(self, follow, guidance, carries=True)
        return self._run(
            n, sampling, report, lambda session: inpaint(session, source, regions, kept, beats, own, heard)
        )

    @overload
    def outpaint(self, audio: AudioLike, *, before_s: float = ..., after_s: float = ..., n: Literal[1] = 1,
                 theme: PromptLike | None = ..., sampling: SamplingConfig = ..., follow: Follow = ...,
                 guidance: str = ..., report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def outpaint(self, audio: AudioLike, *, n: int, before_s: float = ..., after_s: float = ...,
                 theme: PromptLike | None = ..., sampling: SamplingConfig = ..., follow: Follow = ...,
                 guidance: str = ..., report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def outpaint(
        self,
        audio: AudioLike,
        *,
        before_s: float = 0.0,
        after_s: float = 0.0,
        n: int = 1,
        theme: PromptLike | None = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(),
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Generate music before and after a recording, in its tempo and key.

        >>> model.outpaint("song.wav", before_s=4, after_s=8)

        `theme` is what new music keeps of the recording's first or last bars, looped; None lets it go its own way.
        `follow`, as in `vamp`: controls of those bars; by default their beats, of a model that hears them.
        """
        source, kept = MemorySource(as_audio(audio)), as_prompt(theme or "nothing")
        heard = following(self, follow, guidance, carries=True)
        task = functools.partial(outpaint, source=source, before_s=before_s, after_s=after_s, theme=kept, follow=heard)
        return self._run(n, sampling, report, task)

    @overload
    def continue_(self, audio: AudioLike, *, seconds: float = ..., n: Literal[1] = 1, theme: PromptLike | None = ...,
                  sampling: SamplingConfig = ..., follow: Follow = ..., guidance: str = ...,
                  report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def continue_(self, audio: AudioLike, *, n: int, seconds: float = ..., theme: PromptLike | None = ...,
                  sampling: SamplingConfig = ..., follow: Follow = ..., guidance: str = ...,
                  report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def continue_(
        self,
        audio: AudioLike,
        *,
        seconds: float = CONTINUE_S,
        n: int = 1,
        theme: PromptLike | None = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(),
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Add music after a recording, in its tempo and key: `outpaint` with `after_s` alone.

        >>> model.continue_("song.wav", seconds=12)
        """
        return self.outpaint(
            audio, after_s=seconds, n=n, theme=theme, sampling=sampling, follow=follow, guidance=guidance, report=report
        )

    @overload
    def generate(self, *, seconds: float | None = ..., like: AudioLike | None = ..., n: Literal[1] = 1,
                 words: ControlWords | str | None = ...,
                 prompt: PromptLike | None = ..., theme: PromptLike | None = ..., sampling: SamplingConfig = ...,
                 follow: Follow = ..., guidance: str = ...,
                 report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def generate(self, *, n: int, seconds: float | None = ..., like: AudioLike | None = ...,
                 words: ControlWords | str | None = ..., prompt: PromptLike | None = ...,
                 theme: PromptLike | None = ..., sampling: SamplingConfig = ...,
                 follow: Follow = ..., guidance: str = ...,
                 report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def generate(
        self,
        *,
        seconds: float | None = None,
        like: AudioLike | None = None,
        words: ControlWords | str | None = None,
        n: int = 1,
        prompt: PromptLike | None = None,
        theme: PromptLike | None = DEFAULT_THEME,
        sampling: SamplingConfig = SamplingConfig(),
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Make new music: from nothing, in the style of a clip, or to words.

        >>> model.generate(seconds=20, like="clip.wav")
        >>> model.generate(words="bpm(96), key(D minor), chords(Dm7 | G7 | Cmaj7 A7), bars(8), style(funk)")

        `prompt` is what is kept of the clip, or of the sketch that is made to the words; `theme` is what music from
        nothing keeps of its own opening, looped. By default 10 s, and with words 8 bars, which loop. `follow`, as in
        `vamp`: controls of the clip, or of what the words say; music from nothing follows those that are given alone.
        """
        heard = following(self, follow, guidance)
        if words is not None:
            said, kept = as_words(words, like), as_prompt(prompt or SKETCH_PROMPT)
            return self._run(
                n, sampling, report, lambda session: generate_to_words(session, said, seconds, kept, heard)
            )
        seconds = NEW_S if seconds is None else seconds
        if like is None:
            own, kept = as_prompt(theme or "nothing"), as_prompt(prompt or "nothing")
            return self._run(n, sampling, report, lambda session: generate(session, seconds, own, kept, heard))
        clip, kept = as_audio(like), as_prompt(prompt or LIKE_PROMPT)
        return self._run(n, sampling, report, lambda session: generate_like(session, clip, seconds, kept, heard))

    @overload
    def loop(self, audio: AudioLike, *, bars: int | None = ..., n: Literal[1] = 1, prompt: PromptLike = ...,
             sampling: SamplingConfig = ..., beats: Beats = ..., follow: Follow = ..., guidance: str = ...,
             report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def loop(self, audio: AudioLike, *, n: int, bars: int | None = ..., prompt: PromptLike = ...,
             sampling: SamplingConfig = ..., beats: Beats = ..., follow: Follow = ..., guidance: str = ...,
             report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def loop(
        self,
        audio: AudioLike,
        *,
        bars: int | None = None,
        n: int = 1,
        prompt: PromptLike = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        beats: Beats = None,
        follow: Follow = None,
        guidance: str = "",
        report: Report | None = None,
    ) -> Variations:
        """Vary a loop so that every variation joins itself and each other; the audio is one turn of it.

        >>> model.loop("loop.wav", n=8)

        `bars` cuts so many bars first, from the first downbeat on. `follow`, as in `vamp`: controls of the loop.
        """
        turn, kept = as_audio(audio), as_prompt(prompt)
        if bars:
            turn, beats = cut_bars(turn, events_of(turn, beats), bars), None
        check_draws(n, sampling)
        heard = following(self, follow, guidance)
        with Workspace(self, sampling, report=report) as space:
            numbers = tuple(range(1, n + 1))
            made = run_all([loop(space, turn, numbers, kept, beats, follow=heard)], self.fill)[0]
        return made[0] if n == 1 else made

    def tap(self, audio: AudioLike, *, config: TapConfig = TapConfig(), seed: int = 0) -> Audio:
        """Turn a tapped or beatboxed rhythm into drums of the same length; another seed gives another kit."""
        return sketch_drums(as_audio(audio), config, seed=seed).audio

    def hum(self, audio: AudioLike, *, config: HumConfig = HumConfig(), seed: int = 0) -> Audio:
        """Turn a hummed line into a lead instrument of the same length."""
        return sketch_lead(as_audio(audio), config, seed=seed).audio

    @overload
    def stretch(self, audio: AudioLike, *, factor: float = ..., n: Literal[1] = 1, sampling: SamplingConfig = ...,
                report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def stretch(self, audio: AudioLike, *, n: int, factor: float = ..., sampling: SamplingConfig = ...,
                report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def stretch(
        self,
        audio: AudioLike,
        *,
        factor: float = STRETCH_FACTOR,
        n: int = 1,
        sampling: SamplingConfig = SamplingConfig(),
        report: Report | None = None,
    ) -> Variations:
        """Make a recording `factor` times as long, 1 to 16: tokens are spread out and the gaps generated.

        >>> model.stretch("song.wav", factor=1.5)
        """
        source = MemorySource(as_audio(audio))
        return self._run(n, sampling, report, lambda session: stretch(session, source, factor))

    @overload
    def telephone(self, audio: AudioLike, *, rounds: int = ..., n: Literal[1] = 1, prompt: PromptLike = ...,
                  sampling: SamplingConfig = ..., beats: Beats = ...,
                  report: Report | None = ...) -> Variation: ...  # fmt: skip
    @overload
    def telephone(self, audio: AudioLike, *, n: int, rounds: int = ..., prompt: PromptLike = ...,
                  sampling: SamplingConfig = ..., beats: Beats = ...,
                  report: Report | None = ...) -> list[Variation]: ...  # fmt: skip
    def telephone(
        self,
        audio: AudioLike,
        *,
        rounds: int = ROUNDS,
        n: int = 1,
        prompt: PromptLike = DEFAULT_PROMPT,
        sampling: SamplingConfig = SamplingConfig(),
        beats: Beats = None,
        report: Report | None = None,
    ) -> Variations:
        """Vary repeatedly: every round's output is the next round's input.

        >>> model.telephone("song.wav", rounds=3)
        """
        source, kept = MemorySource(as_audio(audio)), as_prompt(prompt)
        return self._run(n, sampling, report, lambda session: telephone(session, source, rounds, kept, beats))


def load(
    name: str | os.PathLike[str] = "default",
    *,
    device: str = "auto",
    lora: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    backend: str = "torch",
    precision: str = "auto",
    compat: str = "",
) -> VampNet:
    """Load a model: "default" (embedded), a folder, or OWNER/NAME on the hub.

    A folder or repository is a bundle, or holds the authors' `codec.pth`, `coarse.pth` and `c2f.pth`.

    lora: an adapter file, or several, each with an optional strength: "jazz.safetensors:0.5"; several add up.
    device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    backend: "openvino" has OpenVINO run the networks (`vampnet.models.openvino`).
    precision: "auto", "float32", "bfloat16" or "int8" (docs/guide/speed.md).
    compat: "reference" prepares and cuts audio as the authors' code does (`vampnet.generation.reference_mode`).

    Raises BundleError for a bundle or adapter that is missing, damaged or does not fit, SettingsError for a device,
    backend or precision that is unknown or not there, DependencyError for a backend that is not installed.
    """
    return load_pipeline(name, VampNet, device=device, lora=lora, backend=backend, precision=precision, compat=compat)
