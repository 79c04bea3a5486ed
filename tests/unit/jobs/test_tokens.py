"""Jobs that go on from the tokens of an earlier output: what is kept stays the same token, whatever the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny import in_float32, shorten_windows, tiny_vampnet, tone
from vampnet.audio.files import read, write
from vampnet.audio.samples import Audio
from vampnet.errors import SettingsError, VampFileError
from vampnet.generation.token_file import TokenFacts, read_tokens, write_tokens
from vampnet.jobs.check import output_paths
from vampnet.jobs.data_folder import tokens_path
from vampnet.jobs.preview import make_preview
from vampnet.jobs.request import request_from_json
from vampnet.jobs.result import JobResult
from vampnet.jobs.runner import run_job
from vampnet.tasks.model import VampNet, load
from vampnet.tasks.preview import CodecGrid
from vampnet.tasks.task import Session

FAST = {"steps": 1, "c2f_steps": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    patch = pytest.MonkeyPatch()
    in_float32(patch)
    made = tiny_vampnet(tmp_path_factory.mktemp("tiny"))
    patch.undo()
    return made


def run(model: VampNet, target: Path, source: Path, seed: int = 1, **fields: Any) -> JobResult:
    """A job that keeps its tokens, from the tokens of its input where there are any."""
    tokens = {"tokens": str(tokens_path(source))} if tokens_path(source).exists() else {}
    data = {"task": "vamp", "input": str(source), "sampling": {**FAST, "seed": seed}, "output": {"tokens": True}}
    request = request_from_json({**data, **tokens, **fields})
    return run_job(request, output_paths(target, request), model=model)


def codes_of(output: Path) -> np.ndarray:
    return read_tokens(tokens_path(output))[1]


def five_generations(model: VampNet, folder: Path, audio: Audio) -> None:
    """Vamp a vamp of a vamp ...: the frames that the prompt keeps are the same tokens in all of them."""
    source = folder / "in.wav"
    write(source, audio)
    made = []
    for generation in range(5):
        output = folder / f"{generation}.wav"
        run(model, output, source, seed=generation, prompt="periodic(3)")
        made.append(codes_of(output))
        source = output
    kept = slice(0, None, 3)
    for codes in made[1:]:
        np.testing.assert_array_equal(codes[:, :, kept], made[0][:, :, kept])
        assert (codes != made[0]).any()
    assert read(source).samples.shape == audio.samples.shape


def test_kept_tokens_are_the_same_after_five_generations(tmp_path: Path, model: VampNet) -> None:
    five_generations(model, tmp_path, tone(1.0, 32000, channels=2))


def test_kept_tokens_of_the_embedded_model_are_the_same_after_five_generations(tmp_path: Path) -> None:
    five_generations(load("default", device="cpu"), tmp_path, tone(0.5))


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 1), (32000, 2)])
def test_every_task_goes_on_from_tokens(tmp_path: Path, model: VampNet, rate_hz: int, channels: int) -> None:
    """vamp -> inpaint -> outpaint -> stretch -> telephone -> loop -> vamp, each from the one before."""
    hop, per_s = model.codec.hop, model.codec.frames_per_s
    start = tmp_path / "in.wav"
    write(start, tone(1.5, rate_hz, channels))
    first = tmp_path / "first.wav"
    run(model, first, start)
    codes = codes_of(first)

    filled = tmp_path / "filled.wav"
    run(model, filled, first, task="inpaint", regions=[[0.5, 0.8], [1.1, None]])
    after = codes_of(filled)
    assert after.shape == codes.shape
    kept = np.ones(codes.shape[2], bool)
    for begin, end in ((0.5, 0.8), (1.1, 1.5)):
        kept[int(np.ceil(begin * per_s)) : int(np.ceil(end * per_s))] = False
    np.testing.assert_array_equal(after[:, :, kept], codes[:, :, kept])
    assert (after[:, :, ~kept] != codes[:, :, ~kept]).any()
    old, new = read(first), read(filled)
    n = int(0.5 * rate_hz)
    np.testing.assert_array_equal(old.samples[:, :n], new.samples[:, :n])  # outside, the sound is left alone

    longer = tmp_path / "longer.wav"
    run(model, longer, filled, task="outpaint", before_s=0.3, after_s=0.4)
    wide = codes_of(longer)
    n_before = round(0.3 * per_s)
    n_whole = int(1.5 * per_s)
    np.testing.assert_array_equal(wide[:, :, n_before : n_before + n_whole], after[:, :, :n_whole])
    sound = read(longer)
    place = round(n_before * hop * rate_hz / model.codec.sample_rate_hz)
    assert sound.n_samples == place + round(1.9 * rate_hz)
    np.testing.assert_array_equal(sound.samples[:, place + n // 4 : place + n], new.samples[:, n // 4 : n])
    assert abs(wide.shape[2] - sound.duration_s * per_s) < 1.01

    slow = tmp_path / "slow.wav"
    run(model, slow, longer, task="stretch", factor=2.0)
    np.testing.assert_array_equal(codes_of(slow)[:, :, : 2 * wide.shape[2] : 2], wide)

    again = tmp_path / "again.wav"
    run(model, again, slow, task="telephone", rounds=1, prompt="periodic(2)")
    spread = codes_of(again)
    np.testing.assert_array_equal(spread[:, :, ::2], codes_of(slow)[:, :, : spread.shape[2] : 2])

    turn = tmp_path / "turn.wav"
    run(model, turn, again, task="loop", prompt="periodic(2)", variations=2)
    for number in (1, 2):
        looped = codes_of(tmp_path / f"turn-{number}.wav")
        np.testing.assert_array_equal(looped[:, :, ::2], spread[:, :, : looped.shape[2] : 2])
    last = tmp_path / "last.wav"
    run(model, last, tmp_path / "turn-2.wav", prompt="periodic(2)")
    n_both = min(looped.shape[2], codes_of(last).shape[2])
    np.testing.assert_array_equal(codes_of(last)[:, :, :n_both:2], looped[:, :, :n_both:2])
    assert read(last).n_samples == read(again).n_samples


def test_sound_and_tokens_agree(tmp_path: Path, model: VampNet) -> None:
    """What is decoded from the tokens of an output, at the level they state, is the output, passages filled in too."""
    start, first, filled = (tmp_path / f"{name}.wav" for name in ("in", "first", "filled"))
    rate_hz = model.codec.sample_rate_hz
    write(start, tone(1.0, rate_hz))
    run(model, first, start, output={"tokens": True, "subtype": "FLOAT"})
    run(model, filled, first, task="inpaint", regions=[[0.4, 0.6]], output={"tokens": True, "subtype": "FLOAT"})
    import torch

    for output, tolerance in ((first, 1e-4), (filled, 0.05)):
        facts, codes = read_tokens(tokens_path(output))
        decoded = model.codec.decode(torch.from_numpy(codes).long())[0, : facts.n_samples].numpy() / facts.gain
        sound = read(output).samples[0]
        inner = slice(int(0.43 * rate_hz), int(0.57 * rate_hz))  # without the crossfades
        error = np.abs(decoded - sound)[inner if output is filled else slice(None)]
        assert error.max() <= tolerance * np.abs(sound).max() + 1e-4, output


def test_jobs_that_name_no_tokens_are_as_before(tmp_path: Path, model: VampNet) -> None:
    """Keeping tokens changes the sound of no task that makes all of them."""
    start = tmp_path / "in.wav"
    write(start, tone(1.0))
    cases: tuple[dict[str, Any], ...] = ({}, {"task": "loop"}, {"task": "stretch"}, {"task": "telephone", "rounds": 2})
    for number, fields in enumerate(cases):
        plain, kept = tmp_path / f"plain-{number}.wav", tmp_path / f"kept-{number}.wav"
        run(model, plain, start, output={}, **fields)
        run(model, kept, start, **fields)
        assert plain.read_bytes() == kept.read_bytes()
        assert tokens_path(kept).exists() and not tokens_path(plain).exists()


def test_long_music_from_nothing_has_all_its_tokens(
    tmp_path: Path, model: VampNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_windows(monkeypatch)
    monkeypatch.setattr("vampnet.tasks.generate.OPENING_S", 0.5)
    output = tmp_path / "new.wav"
    request = request_from_json({"task": "generate", "seconds": 0.9, "sampling": FAST, "output": {"tokens": True}})
    run_job(request, [output], model=model)
    assert codes_of(output).shape[2] == int(np.ceil(0.9 * model.codec.frames_per_s))


def test_tokens_of_other_audio_are_refused(tmp_path: Path, model: VampNet) -> None:
    start, first = tmp_path / "in.wav", tmp_path / "first.wav"
    write(start, tone(0.5))
    run(model, first, start)
    tokens = str(tokens_path(first))
    write(tmp_path / "other.wav", tone(0.6))
    base = {"task": "vamp", "sampling": FAST, "tokens": tokens}
    for data, says in (
        ({**base, "input": str(tmp_path / "other.wav")}, "but the input has"),
        ({**base, "input": str(first), "task": "loop", "bars": 1}, "leave the tokens out"),
        ({**base, "input": str(first), "compat": "reference"}, "leave the tokens out"),
    ):
        with pytest.raises(SettingsError, match=says):
            run_job(request_from_json(data), [tmp_path / "out.wav"], model=model)
    facts, codes = read_tokens(tokens)
    write_tokens(Path(tokens), codes, TokenFacts("0" * 16, facts.sample_rate_hz, facts.n_samples, facts.gain, False))
    with pytest.raises(SettingsError, match="was made with codec"):
        run_job(request_from_json({**base, "input": str(first)}), [tmp_path / "out.wav"], model=model)
    for content in (b"", b"{}", Path(tokens).read_bytes()[:40]):
        Path(tokens).write_bytes(content)
        with pytest.raises(VampFileError, match="cannot read the tokens"):
            run_job(request_from_json({**base, "input": str(first)}), [tmp_path / "out.wav"], model=model)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "(periodic(5) | paint(1-2@3f:9f)) & drop(0.3)"},
        {"task": "loop", "prompt": "random(0.4)", "variations": 3, "variation": 2},
        {"task": "inpaint", "regions": [[0.2, 0.4], [0.7, None]], "prompt": "periodic(2)"},
        {"task": "outpaint", "before_s": 0.2, "after_s": 0.3, "theme": "nothing"},
        {"task": "stretch", "factor": 1.5},
        {"task": "telephone", "rounds": 1, "prompt": "codebooks(2)"},
    ],
    ids=str,
)
def test_previews_show_what_the_job_keeps(
    tmp_path: Path, model: VampNet, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    """The masks of a preview are those that the job hands to generation, one by one."""
    used: list[np.ndarray] = []
    generate, generate_codes = Session.generate, Session.generate_codes

    def noted(session: Session, tokens: Any, keep_CT: Any, **more: Any) -> Any:
        used.append(keep_CT.numpy().copy())
        return generate(session, tokens, keep_CT, **more)

    def noted_codes(session: Session, codes: Any, keep_CT: Any, **more: Any) -> Any:
        used.append(keep_CT.numpy().copy())
        return generate_codes(session, codes, keep_CT, **more)

    start = tmp_path / "in.wav"
    write(start, tone(1.0, 32000))
    for tokens in (False, True):
        used.clear()
        data = {"task": "vamp", "input": str(start), "sampling": {**FAST, "seed": 5}, "output": {"tokens": tokens}}
        request = request_from_json({**data, **fields})
        monkeypatch.setattr(Session, "generate", noted)
        monkeypatch.setattr(Session, "generate_codes", noted_codes)
        run_job(request, output_paths(tmp_path / "out.wav", request)[:1], model=model)
        monkeypatch.undo()
        codec = model.codec
        shown = make_preview(request, CodecGrid(codec.n_codebooks, codec.sample_rate_hz, codec.hop), None)
        mask = shown.keep_CT.numpy()
        if request.task == "loop":
            outside = slice(mask.shape[1] // 4, -(mask.shape[1] // 4))  # the seam is shared by all variations
            np.testing.assert_array_equal(mask[:, outside], used[-1][:, outside])
        elif request.task in ("vamp", "stretch", "telephone"):
            np.testing.assert_array_equal(mask, used[0])
        else:
            for keep in used:
                assert any(np.array_equal(mask[:, k : k + keep.shape[1]] | keep, keep) for k in range(mask.shape[1]))
            assert shown.start_s <= 0
