"""A whole evaluation on a tiny model: outputs, measures, the runner's cache, analysis and report."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tests.support.tiny import tone, write_tiny_bundle
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, write
from vampnet.audio.loudness import measure
from vampnet.errors import DependencyError, SettingsError
from vampnet.evaluation.embeddings.builtin import MelStatistics
from vampnet.evaluation.experiments import runner
from vampnet.evaluation.experiments.analysis import (
    Statistic,
    analyse,
    choose,
    matched_diversity,
    mean_of,
    piece_weights,
)
from vampnet.evaluation.experiments.conditions import (
    ConditionOutputs,
    generate_batch,
    opus_missing,
    run_condition,
    through_opus,
)
from vampnet.evaluation.experiments.config import EvaluationConfig
from vampnet.evaluation.experiments.evaluate import evaluate
from vampnet.evaluation.experiments.excerpts import choose_excerpts
from vampnet.evaluation.experiments.experiment import Condition, Experiment, parse_experiment
from vampnet.evaluation.experiments.measures import METRICS, analyse_excerpts, embed, measure_outputs
from vampnet.evaluation.experiments.runner import REFERENCE, RunResult, condition_key, run
from vampnet.evaluation.metrics.frechet import Moments
from vampnet.generation.config import SamplingConfig
from vampnet.prompts.parts import Periodic
from vampnet.tasks.model import VampNet, load

FAST = SamplingConfig(steps=2, c2f_steps=1)
CONDITIONS = (
    Condition("p4", prompt="periodic(4)", sampling=FAST),
    Condition("two", prompt="periodic(4)", variations=2, sampling=FAST),
    Condition("codec", kind="codec"),
)


def experiment(*conditions: Condition, view: str = "prompts") -> Experiment:
    return Experiment("tiny", "Tiny", view, "", conditions or CONDITIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluation")
    write_tiny_bundle(root / "bundle")
    (root / "audio").mkdir()
    for k in range(2):
        samples = tone(2.5, seed=k).samples * (1 + np.sin(2 * np.pi * (2 + k) * np.arange(110250) / 44100)).astype("f")
        write(root / "audio" / f"{k}.wav", Audio(samples, 44100))
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> VampNet:
    return load(folder / "bundle", device="cpu")


@pytest.fixture(scope="module")
def batch(model: VampNet) -> tuple[np.ndarray, torch.Tensor]:
    audio_BS = np.concatenate([tone(1.5, seed=k).samples for k in range(2)])
    with torch.no_grad():
        return audio_BS, model.codec.encode(torch.from_numpy(audio_BS)).int()


def settings(folder: Path, name: str, **changes: Any) -> EvaluationConfig:
    given: dict[str, Any] = {"embeddings": ("mel",), "workers": 1, "batch": 2, "examples": 1, "device": "cpu"}
    return EvaluationConfig(str(folder / "bundle"), str(folder / name), **(given | changes))


@pytest.fixture(scope="module")
def result(folder: Path) -> RunResult:
    excerpts = choose_excerpts(folder / "audio", 3, 1.0, 0)
    return run([experiment()], excerpts, settings(folder, "out"))


# --- outputs ---------------------------------------------------------------------------------------------------------


def test_a_batch_gives_what_each_gives_alone(model: VampNet, batch: tuple[np.ndarray, torch.Tensor]) -> None:
    codes_BCT = batch[1]
    keeps = [model.keep(Periodic(p), codes_BCT.shape[2], 0)[None].expand(2, -1, -1) for p in (3, 5)]
    both = generate_batch(model, codes_BCT, keeps, FAST, [[1, 2], [3, 4]])
    for item, seeds in enumerate(([1, 2], [3, 4])):
        for k, seed in enumerate(seeds):
            alone = generate_batch(model, codes_BCT[item][None], [keeps[item][k : k + 1]], FAST, [[seed]])
            assert torch.equal(both[item][k], alone[0, 0])  # in bfloat16 too: batches that round otherwise are not made
        kept = keeps[item]
        assert (both[item][kept] == codes_BCT[item].expand(2, -1, -1)[kept]).all()


def test_kinds_of_conditions(model: VampNet, batch: tuple[np.ndarray, torch.Tensor]) -> None:
    audio_BS, codes_BCT = batch
    rhythms = analyse_excerpts(audio_BS, codes_BCT, 44100).rhythms

    def made(condition: Condition) -> ConditionOutputs:
        return run_condition(condition, model, audio_BS, codes_BCT, rhythms, [0, 1])

    codec, noisy = made(Condition("c", kind="codec")), made(Condition("n", kind="noise", noise_share=0.5))
    assert codec.codes_BACT is not None and (codec.codes_BACT[:, 0] == codes_BCT).all()
    assert noisy.keep_BACT is not None and noisy.keep_BACT.float().mean() == pytest.approx(0.5, abs=0.05)
    assert codec.bits_B == pytest.approx(codes_BCT[0].numel() * 6)  # codebooks of 64
    kept_coarse = made(Condition("k", prompt="everything", sampling=FAST))
    assert kept_coarse.codes_BACT is not None and (kept_coarse.codes_BACT[:, 0, :2] == codes_BCT[:, :2]).all()
    assert kept_coarse.bits_B == pytest.approx(2 * codes_BCT.shape[2] * 6)
    for outputs in (codec, noisy, kept_coarse):
        assert outputs.audio_BAS.shape == (2, 1, audio_BS.shape[1])
        # The correction of level stops at 12 dB, which a random codec may need more of.
        level = abs(measure(outputs.audio_BAS[0], 44100) - measure(audio_BS[:1], 44100))
        assert level < 0.1 or np.isinf(level) or level > 0


@pytest.mark.skipif(bool(opus_missing()), reason=opus_missing())
def test_opus_gets_better_with_its_rate() -> None:
    mono = tone(2.0).samples[0]
    low, high = (through_opus(mono, 44100, kbps) for kbps in (8, 64))
    assert len(low[0]) == len(mono) and low[1] < high[1]
    error = [float(np.square(samples - mono).mean()) for samples, _ in (low, high)]
    assert error[1] < 0.3 * error[0] and error[1] < 0.05 * float(np.square(mono).mean())


# --- measures --------------------------------------------------------------------------------------------------------


def test_the_input_itself_scores_best(batch: tuple[np.ndarray, torch.Tensor]) -> None:
    audio_BS, codes_BCT = batch
    reference = analyse_excerpts(audio_BS, codes_BCT, 44100)
    nothing = torch.zeros(2, 1, *codes_BCT.shape[1:], dtype=torch.bool)
    same = ConditionOutputs(audio_BS[:, None], codes_BCT[:, None], nothing, np.zeros(2))
    found = measure_outputs(same, reference, 44100, 2)
    assert set(found) == {m.name for m in METRICS}
    assert found["mel"] == pytest.approx(0) and found["tokens"] == pytest.approx(1)
    assert found["chroma"] == pytest.approx(1, abs=1e-6) and np.isnan(found["diversity"]).all()
    other = measure_outputs(ConditionOutputs(audio_BS[::-1, None].copy(), None, None, np.zeros(2)), reference, 44100, 2)
    assert (other["mel"] > 0.001).all() and np.isnan(other["tokens"]).all()


def test_packed_moments_are_those_of_the_vectors() -> None:
    embedding = MelStatistics()
    audio_AS = tone(4.0).samples * np.linspace(0.1, 1, 4 * 44100, dtype=np.float32)
    packed, whole = embed(audio_AS, 44100, embedding), Moments.of(embedding.vectors(torch.from_numpy(audio_AS))[0])
    assert packed.n == whole.n and np.allclose(packed.mean_D, whole.mean_D)
    assert np.allclose(packed.moments.scatter_DD, whole.scatter_DD, atol=1e-5)
    assert packed.factor_YD.shape[0] == whole.n < embedding.dim


# --- runner ----------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_done_again(folder: Path, result: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(
        runner, "run_task", lambda task, settings: done.append(task.condition.name) or real(task, settings)
    )
    excerpts, changed = list(result.excerpts), Condition("p5", prompt="periodic(5)", sampling=FAST)
    again = run([experiment()], excerpts, settings(folder, "out"))
    assert done == []
    key = condition_key(CONDITIONS[0])
    assert (again.results[key].metrics["mel"] == result.results[key].metrics["mel"]).all()
    renamed = Condition("other-name", prompt="periodic(4)", sampling=FAST)
    run([experiment(renamed, changed)], excerpts, settings(folder, "out"))
    assert done == ["p5", "p5"]
    Path(folder / "out" / "cache").joinpath(*_one_result(folder)).unlink()
    run([experiment()], excerpts, settings(folder, "out"))
    assert len(done) == 3


real = runner.run_task


def _one_result(folder: Path) -> tuple[str, str]:
    """A result of the condition "codec" of the shared run."""
    batches = runner._plan(
        {condition_key(CONDITIONS[2]): CONDITIONS[2]},
        choose_excerpts(folder / "audio", 3, 1.0, 0),
        settings(folder, "out"),
        _base(folder),
    )
    path = Path(batches[0][1].path)
    return path.parent.name, path.name


def _base(folder: Path) -> dict[str, Any]:
    s = settings(folder, "out")
    return {
        "bundle": runner.bundle_digest(s.bundle, s.lora),
        "code": runner.code_digest(),
        "embeddings": list(s.embeddings),
        "dtype": str(runner.inference_dtype(torch.device("cpu"))),
        "backend": s.backend,
        "seed": s.seed,
        "examples": s.examples,
    }


def test_batches_are_prepared_ahead_and_done_ordered(folder: Path) -> None:
    excerpts = choose_excerpts(folder / "audio", 4, 1.0, 0)
    wanted = {condition_key(c): c for c in CONDITIONS}
    batches = runner._plan(wanted, excerpts, settings(folder, "x", batch=1), _base(folder))
    order = [(t.first, t.condition.name if t.condition else "") for t in runner._order_tasks(batches, 2)]
    assert order[:4] == [(0, ""), (1, ""), (2, ""), (0, "two")]  # the longest condition first
    assert sorted(order) == sorted((t.first, t.condition.name if t.condition else "") for b in batches for t in b)
    assert [first for first, name in order if name] == sorted(first for first, name in order if name)


def test_when_the_time_is_up_whole_batches_count(
    folder: Path, result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr(runner.time, "monotonic", lambda: next(clock))
    own = settings(folder, "short", batch=1, minutes=0.7)  # 42 s, and each look at the clock takes 10
    some = run([experiment(CONDITIONS[2])], result.excerpts, own)
    assert 0 < len(some.excerpts) < 3 and some.excerpts == result.excerpts[: len(some.excerpts)]
    key = condition_key(CONDITIONS[2])
    assert some.results[key].metrics["mel"] == pytest.approx(result.results[key].metrics["mel"][: len(some.excerpts)])
    with pytest.raises(SettingsError, match="not one batch of 3"):
        run([experiment()], result.excerpts, settings(folder, "none", batch=3, minutes=0.1))


def test_figures_do_not_depend_on_the_batch(folder: Path, result: RunResult) -> None:
    alone = run([experiment(CONDITIONS[2])], result.excerpts, settings(folder, "single", batch=3))
    key = condition_key(CONDITIONS[2])
    for name in ("mel", "chroma", "rate"):
        assert np.allclose(
            alone.results[key].metrics[name], result.results[key].metrics[name], rtol=1e-4, equal_nan=True
        )


def test_the_inputs_are_their_own_reference(result: RunResult) -> None:
    assert result.results[REFERENCE].metrics["mel"] == pytest.approx(0)
    assert (result.results[condition_key(CONDITIONS[1])].metrics["diversity"] > 0).all()


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="batch is 0"):
        EvaluationConfig("default", "x", batch=0)
    with pytest.raises(SettingsError, match="examples is 3"):
        EvaluationConfig("default", "x", batch=2, examples=3)


# --- analysis --------------------------------------------------------------------------------------------------------


def test_excerpts_of_a_piece_are_drawn_together(result: RunResult) -> None:
    weights_RE, n_pieces = piece_weights(result, 30, 0)
    pieces = [e.digest for e in result.excerpts]
    assert n_pieces == 2 and weights_RE.shape == (30, 3)
    twins = [k for k, digest in enumerate(pieces) if pieces.count(digest) == 2]
    assert (weights_RE[:, twins[0]] == weights_RE[:, twins[1]]).all()
    found = mean_of(np.array([1.0, np.nan, 3.0, 5.0]), np.array([[1, 1, 1, 1], [2, 0, 0, 2]], dtype=float))
    assert found.value == 3.0 and found.draws_R.tolist() == [3.0, 3.0]


def test_an_interval_needs_draws_that_say_something() -> None:
    draws = np.random.default_rng(0).standard_normal(200)
    interval = Statistic(5.0, 4.0 + draws).interval()
    assert interval.low < 5 < interval.high and (interval.low + interval.high) / 2 == pytest.approx(5, abs=0.3)
    assert np.isnan(Statistic(np.nan, draws).interval().low)
    assert Statistic(2.0, np.full(30, 2.0)).interval().low == 2.0


def test_matched_diversity_compares_with_the_temperature_curve(result: RunResult) -> None:
    x = parse_experiment(
        {
            "name": "s", "title": "S", "view": "sampler",
            "conditions": [
                {"name": "t{temperature}", "variations": 2, "vary": {"temperature": [0.5, 1.0, 1.5]}},
                {"name": "top-p", "variations": 2, "sampling": {"top_p": 0.5}},
            ],
        },
        "here",
    )  # fmt: skip
    analysis = analyse([experiment()], result, n_resamples=20)
    assert any(warning.startswith("2 pieces") for warning in analysis.warnings)
    real_scores = analysis.scores["tiny"]["two"]

    def scores(name: str, diversity: float, fad: float) -> Any:
        import dataclasses

        flat = np.random.default_rng(1).standard_normal(50) * 1e-3
        sets = dataclasses.replace(real_scores.sets[0], fad=Statistic(fad, fad + flat))
        return dataclasses.replace(
            real_scores, name=name, metrics={"diversity": Statistic(diversity, np.full(50, diversity))}, sets=(sets,)
        )

    table = {"t0.5": (0.1, 9.0), "t1.0": (0.2, 5.0), "t1.5": (0.3, 7.0), "top-p": (0.25, 5.5)}
    ranking = matched_diversity(x, {name: scores(name, *pair) for name, pair in table.items()}, 0)
    assert ranking[0].name == "top-p" and ranking[0].excess.value == pytest.approx(-0.5)
    assert [m.on_curve for m in ranking] == [False, True, True, True]
    assert choose(ranking).name == "top-p" and "0.5" in choose(ranking).reason
    assert choose(ranking[1:]).name == "t1.0" and "no setting" in choose(ranking[1:]).reason


# --- report ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_report_that_needs_nothing_else(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\ntitle: Mine <1>\nview: steps\nabout: Why?\nsampling: {c2f_steps: 1}\n"
        "conditions: [{name: 'steps-{steps}', prompt: periodic(16), vary: {steps: [1, 2]}}]\n"
    )
    arguments = ["evaluate", str(folder / "bundle"), "--audio", str(folder / "audio"), "--excerpt-s", "1"]
    arguments += ["--experiments", str(recipe), "-o", str(tmp_path / "out"), "--workers", "1", "--device", "cpu"]
    assert main([*arguments, "--excerpts", "3", "--batch", "3", "--embedding", "mel"]) == 0
    assert "1. FAD falls" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Mine &lt;1&gt;" in page and "not tested" in page and "<svg" in page and "Mine <1>" not in page
    assert not re.findall(r"(?:src|href)=['\"](?!data:|#)[^'\"]+", page)
    clips = [base64.b64decode(code) for code in re.findall(r"data:audio/mpeg;base64,([^']+)", page)]
    assert len(clips) == 3 * 2 and soundfile.info(io.BytesIO(clips[0])).duration == pytest.approx(1, abs=0.1)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text())))
    assert [row["condition"] for row in rows] == ["steps-1", "steps-2"] and float(rows[0]["mel"]) > 0
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert data["excerpts"]["n"] == 3 and data["excerpts"]["pieces"] == 2
    assert data["experiments"][0]["conditions"][0]["rates"]["period"] == 16


def test_python_gets_what_the_command_writes(folder: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    evaluation = evaluate(
        folder / "audio",
        settings(folder, "python", batch=3),
        experiments=[experiment(CONDITIONS[2])],
        n_excerpts=2,
        excerpt_s=1.0,
        progress=lambda stage, done, total: seen.append(stage),
    )
    assert [row["name"] for row in evaluation.data["experiments"][0]["conditions"]] == ["codec"]
    assert evaluation.data["excerpts"]["n"] == len(evaluation.run.excerpts) == 2
    assert evaluation.data["excerpts"]["folder"] == str(folder / "audio")
    assert folder / "python" / "results.json" in evaluation.paths and all(p.is_file() for p in evaluation.paths)
    assert {"evaluate", "analyse"} <= set(seen)


def test_missing_libraries_are_named_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mir_eval", None)  # as if it were not installed
    with pytest.raises(DependencyError, match=r"beat and key measures need mir_eval.*pip install 'vampnet\[eval\]'"):
        evaluate(folder / "no such folder", settings(folder, "never"))
    assert not (folder / "never").exists()


def test_no_experiments_is_an_error(folder: Path) -> None:
    with pytest.raises(SettingsError, match="no experiments are named"):
        evaluate(folder / "audio", settings(folder, "never"), experiments=[])


def test_mistakes_come_before_the_work(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(folder / "bundle"), "--audio", str(folder / "audio"), "-o", str(tmp_path / "out")]
    for more, words in (
        (["--experiments", "stepps"], "no such experiment"),
        (["--excerpts", "99"], "hold 0"),
        (["--excerpts", "2", "--excerpt-s", "1", "--training", str(folder / "audio")], "in the training music"),
        (["--excerpts", "2", "--excerpt-s", "1", "--embedding", "nothing", "--workers", "1"], "embedding is 'nothing'"),
    ):
        assert main([*arguments, *more]) == 2
        assert words in capsys.readouterr().err
    assert main(["evaluate", "default", "--experiments", "steps", "--list"]) == 0
    assert "steps-72" in capsys.readouterr().out
