"""Tokens that a worker remembers: the same bytes as without, made once; changed files are other files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.audio.files import write
from vampnet.audio.sources import FileSource, MemorySource
from vampnet.generation.config import SamplingConfig
from vampnet.generation.progress import Progress
from vampnet.generation.token_memory import TokenMemory
from vampnet.jobs.engine import ModelEngine
from vampnet.jobs.request import InpaintRequest, LoopRequest, OutputConfig, Request, VampRequest
from vampnet.jobs.runner import run_job
from vampnet.models.choice import ModelChoice

FAST = SamplingConfig(steps=2, c2f_steps=1, seed=5)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ModelEngine:
    made = ModelEngine()
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("tiny"))
    made.load(VampRequest(model=ModelChoice(bundle=str(bundle), device="cpu")))
    return made


def run(engine: ModelEngine, request: Request, output: Path) -> tuple[bytes, list[Progress]]:
    """The bytes of a job's only output, and the progress that was told."""
    told = list[Progress]()
    engine.run(request, [output], resume=False, report=told.append, cancelled=lambda: False)
    return output.read_bytes(), told


def test_an_input_is_encoded_once(engine: ModelEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vamps and fills of one file, in turns, are those of a worker without a memory; a changed file is encoded anew."""
    assert engine._model is not None
    encodings, codec = [], engine._model.codec
    encode = codec.encode_blocks
    monkeypatch.setattr(codec, "encode_blocks", lambda blocks: encodings.append(1) or encode(blocks))
    source = tmp_path / "tone.wav"
    write(source, tone(2.0, channels=2))
    keep = OutputConfig(tokens=True)
    requests = [
        VampRequest(input=str(source), sampling=FAST),
        InpaintRequest(input=str(source), regions=((0.5, 1.0),), theme="nothing", sampling=FAST, output=keep),
        VampRequest(input=str(source), prompt="nothing", sampling=FAST),
    ]
    made = [run(engine, request, tmp_path / f"{k}.wav")[0] for k, request in enumerate(requests)]
    assert len(encodings) == 1
    engine._model.memory, memory = None, engine._model.memory
    plain = [run(engine, request, tmp_path / f"{k}.wav")[0] for k, request in enumerate(requests)]
    engine._model.memory = memory
    assert made == plain and len(encodings) == 4
    write(source, tone(2.0, channels=2, seed=1))
    run(engine, requests[0], tmp_path / "other.wav")
    assert len(encodings) == 5


def test_takes_of_a_loop_in_jobs_of_their_own_join_each_other(engine: ModelEngine, tmp_path: Path) -> None:
    """Variation by variation they are those of one job, in any order; the seam is made once where it comes first."""
    source = tmp_path / "loop.wav"
    write(source, tone(2.1))
    request = LoopRequest(input=str(source), prompt="nothing", sampling=FAST, variations=3)
    together = [tmp_path / f"all-{k}.wav" for k in (1, 2, 3)]
    run_job(request, together, model=engine._model)
    expected = [path.read_bytes() for path in together]
    assert engine._model is not None
    engine._model.memory = TokenMemory()
    steps = []
    for number in (2, 1, 3):
        single = LoopRequest(
            input=str(source), prompt="nothing", sampling=FAST, variations=3, variation=number,
            output=OutputConfig(tokens=True),
        )  # fmt: skip
        made, told = run(engine, single, tmp_path / f"{number}.wav")
        assert made == expected[number - 1]
        steps.append(sum(progress.stage == "coarse" for progress in told))
    assert steps[2] < steps[1] < steps[0]
    seeds = SamplingConfig(steps=2, c2f_steps=1, seed=6)
    other = LoopRequest(input=str(source), prompt="nothing", sampling=seeds, variations=3, variation=2)
    assert run(engine, other, tmp_path / "other.wav")[0] != expected[2]  # the same seed, but another seam


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    memory, begun = TokenMemory(max_bytes=900), list[str]()

    def encode(name: str, n_frames: int) -> Iterator[torch.Tensor]:
        begun.append(name)
        yield torch.full((1, 2, n_frames), len(name), dtype=torch.int32)

    sources = {}
    for name in ("a", "bb", "ccc"):
        write(tmp_path / f"{name}.wav", tone(0.1))
        sources[name] = FileSource(tmp_path / f"{name}.wav")

    def look(name: str, n_frames: int = 50) -> list[int]:
        return [int(part[0, 0, 0]) for part in memory.blocks(sources[name], n_frames, lambda: encode(name, n_frames))]

    assert [look(name) for name in ("a", "bb", "a", "ccc", "a")] == [[1], [2], [1], [3], [1]]
    assert begun == ["a", "bb", "ccc"]
    assert look("bb") == [2] and begun[-1] == "bb"  # it was let go for the third
    assert look("ccc", 1000) == [3] and look("ccc", 1000) == [3]
    assert begun.count("ccc") == 3  # too long to be held
    for _ in range(2):
        next(memory.blocks(sources["a"], 51, lambda: encode("a", 50)))  # one that was not read to its end is not held
    silence = MemorySource(tone(0.1))
    assert [len(list(memory.blocks(silence, 1, lambda: encode("memory", 1)))) for _ in range(2)] == [1, 1]
    assert begun.count("memory") == 2
