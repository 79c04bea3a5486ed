"""Every command that writes, in a small form: its inputs, its command line, and what belongs to its output."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from tests.support.hub import TOKEN, StandInHub
from tests.support.listening import make_test, rated, result_of
from tests.support.tiny import C2F, COARSE, CODEC, tiny_codec, tone, write_tiny_bundle
from vampnet.audio.files import write
from vampnet.compression.config import CompressionConfig
from vampnet.evaluation.embedding_table import EmbedConfig, write_embeddings
from vampnet.jobs.request import CompressRequest
from vampnet.jobs.runner import run_job
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.tasks.model import load
from vampnet.training.data.token_shards import tokenize_folder

FAST = ["--steps", "1", "--c2f-steps", "1", "--no-domain-warning"]
LOOP = {"steps": 3, "batch_size": 2, "warmup_steps": 1, "decay_steps": 1, "log_every": 1, "checkpoint_every": 2}
LOOP |= {"validate_every": 2, "ema_decay": 0.5}
EXPERIMENT = (
    "name: mine\ntitle: Mine\nview: steps\nabout: Why?\nsampling: {c2f_steps: 1}\n"
    "conditions: [{name: 'steps-{steps}', prompt: periodic(16), vary: {steps: [1, 2]}}]\n"
)
Line = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Command:
    """A command line, made from the folder of inputs and the one of outputs."""

    name: str
    arguments: Line
    seed: Callable[[Path, Path], None] | None = None
    """Puts into the folder of outputs what the command begins with."""
    is_slow: bool = False
    """Takes more than a few seconds; left out of short trials."""
    settled: str = ""
    """What the command says, with exit code 2, where all is done already."""
    loose: tuple[str, ...] = ()
    """Patterns of files that may be there or not: nothing is asked of them."""
    keeps: tuple[str, ...] = ()
    """Patterns of files that stay for the next run where this one fails."""
    growing: tuple[str, ...] = ()
    """Patterns of files that are appended to."""
    skips: bool = False
    """Whether it leaves out inputs that cannot be read, and says so."""
    outlives: bool = False
    """Whether it goes on, and says so, where a process that it started is killed."""
    client: Callable[[Path, bool], None] | None = None
    """A server's client: a thread that gets the folder of outputs, and whether all has to go well."""


def _bundle(line: Line) -> Line:
    return lambda i, o: [*line(i, o), "--bundle", f"{i}/bundle"]


def _task(name: str, *words: str, output: str = "a.wav", source: str = "in.wav") -> Command:
    first = [name] if not source else [name, f"{{i}}/{source}"]

    def arguments(i: Path, o: Path) -> list[str]:
        line = [*first, "-o", f"{{o}}/{output}", "--bundle", "{i}/bundle", *FAST, *words]
        return [word.format(i=i, o=o) for word in line]

    return Command(name, arguments)


def _named(name: str, command: Command) -> Command:
    return dataclasses.replace(command, name=name)


def _train(recipe: str) -> Line:
    return lambda i, o: ["train", f"{i}/{recipe}.yaml", "-o", f"{o}/run", "--device", "cpu"]


def _make_model(i: Path, o: Path) -> list[str]:
    line = ["make-model", f"{i}/albums", "-o", f"{o}/m", "--codec", f"{i}/bundle", "--start-from", f"{i}/bundle"]
    return [*line, "--budget", "10m", "--recipe", f"{i}/make.yaml", "--device", "cpu"]


def _live(i: Path, o: Path) -> list[str]:
    line = ["live", "--simulate", "3", "--model-seconds", "0.5", "--input", f"{i}/in.wav", "--write", f"{o}/a.wav"]
    line += ["--record", f"{o}/show.json", "--bundle", f"{i}/bundle", "--compute", "cpu", "--bars", "1"]
    return [*line, "--steps", "1", "--sets", f"{o}/sets", "--midi-map", f"{o}/map.json"]


def _push(i: Path, o: Path) -> list[str]:
    """Pushes to a stand-in for the hub, in a thread of this process."""
    from huggingface_hub import constants

    hub = StandInHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    os.environ |= {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    constants.ENDPOINT = hub.address
    return ["push", f"{i}/licensed", "ann/mine"]


TASKS = (
    _task("vamp"),
    _named("vamp, 2 variations and a plot", _task("vamp", "--variations", "2", "--plot", "{o}/a.png")),
    _named("vamp, a folder", _task("vamp", source="audio", output="many/")),
    _named("vamp, best of 2", _task("vamp", "--best-of", "2", output="a.flac")),
    _task("loop", "--loop-points"),
    _task("generate", "--seconds", "0.5", source="", output="a.ogg"),
    _named("generate, a sketch", _task("generate", "--bpm", "240", "--bars", "1", "--sketch", "keep", source="")),
    _task("tap", source="taps.wav"),
    _task("hum"),
    _task("telephone", "--rounds", "2", output="a.mp3"),
    _task("inpaint", "--region", "0.1:0.3", output="a.flac"),
    _task("outpaint", "--after", "0.5", output="a.aiff"),
    _task("continue", "--seconds", "0.5", output="a.m4a"),
    _task("stretch", "--factor", "1.5"),
)
WRITERS = (
    *TASKS,
    Command("compress", _bundle(lambda i, o: ["compress", f"{i}/in.wav", "-o", f"{o}/a.vamp"])),
    Command("decompress", _bundle(lambda i, o: ["decompress", f"{i}/whole.vamp", "-o", f"{o}/a.wav"])),
    Command("decompress, generating", _bundle(lambda i, o: ["decompress", f"{i}/part.vamp", "-o", f"{o}/a.wav"])),
    Command("tokenize", _bundle(lambda i, o: ["tokenize", f"{i}/audio", "-o", f"{o}/t"]), skips=True),
    Command(
        "bundle",
        lambda i, o: ["bundle", "--codec", f"{i}/bundle", "--coarse", f"{i}/bundle", "-o", f"{o}/b"],
        settled="exists",
    ),
    Command(
        "import-reference",
        lambda i, o: ["import-reference", "--codec", f"{i}/pth/codec.pth", "-o", f"{o}/b"],
        settled="exists",
    ),
    Command("corpus", lambda i, o: ["corpus", f"{o}/c", "--hours", "0.0001", "--workers", "1"], is_slow=True),
    Command(
        "corpus, diverse",
        lambda i, o: ["corpus", f"{o}/c", "--hours", "0.0001", "--workers", "1", "--material", "diverse"],
        is_slow=True,
    ),
    Command(
        "corpus, tokens",
        lambda i, o: ["corpus", f"{o}/c", "--hours", "0.0001", "--workers", "1", "--tokens", f"{i}/bundle"],
        is_slow=True,
    ),
    Command(
        "distance", lambda i, o: ["distance", f"{i}/audio", f"{i}/audio", "--csv", f"{o}/d.csv", "--metric", "mel"]
    ),
    Command("controls", lambda i, o: ["controls", f"{i}/in.wav", "--plot", f"{o}/c.png"]),
    Command(
        "evaluate",
        lambda i, o: [
            *(
                "evaluate",
                f"{i}/bundle",
                "--audio",
                f"{i}/music",
                "--excerpt-s",
                "1",
                "--experiments",
                f"{i}/mine.yaml",
            ),
            *("-o", f"{o}/e", "--workers", "1", "--device", "cpu", "--excerpts", "3", "--batch", "3"),
            *("--embedding", "mel"),
        ],
        is_slow=True,
    ),
    Command(
        "listen create",
        lambda i, o: ["listen", "create", f"{i}/listening/conditions", "-o", f"{o}/l"],
        settled="exists already",
    ),
    Command(
        "listen analyse",
        lambda i, o: ["listen", "analyse", f"{i}/listening/test", f"{i}/listening/results", "-o", f"{o}/r.html"],
    ),
    Command(
        "embed", _bundle(lambda i, o: ["embed", f"{i}/music", "-o", f"{o}/e.parquet", "--device", "cpu"]), skips=True
    ),
    Command("live, simulated", _live),
    Command("push", _push, client=lambda outputs, strict: None),
    Command(
        "make-model",
        _make_model,
        is_slow=True,
        loose=("m/report.*", "m/README.md", "m/config.json"),
        keeps=("m/*",),
    ),
    Command(
        "train-beats",
        lambda i, o: ["train-beats", f"{o}/b", "--pieces", "1", "--steps", "2", "--workers", "1"],
        is_slow=True,
        keeps=("b/examples-*.npz",),
    ),
    Command(
        "train-session",
        lambda i, o: [
            *("train-session", f"{o}/s", "-o", f"{o}/made", "--seconds", "1", "--recipes", f"{i}/session"),
            *("--start-from", "none", "--workers", "0", "--device", "cpu"),
        ],
        lambda i, o: shutil.copytree(i / "pieces", o / "s" / "audio") and None,
        is_slow=True,
        loose=("s/*", "made/*"),
        outlives=True,
    ),
    Command("train, codec", _train("codec"), settled="already trained"),
    Command("train, masked", _train("coarse"), settled="already trained"),
    Command(
        "finetune",
        _bundle(
            lambda i, o: [
                *("finetune", f"{i}/music", "-o", f"{o}/f.safetensors", "--steps", "2", "--encodings", "1"),
                *("--batch-size", "2", "--validate-every", "1", "--device", "cpu"),
            ]
        ),
        is_slow=True,
    ),
)
READERS = (
    Command("info", lambda i, o: ["info", f"{i}/in.wav"]),
    Command("info, a .vamp file", lambda i, o: ["info", f"{i}/whole.vamp"]),
    Command("info, a bundle", lambda i, o: ["info", f"{i}/bundle"]),
    Command("controls, JSON", lambda i, o: ["controls", f"{i}/in.wav", "--json"]),
    Command("distance, JSON", lambda i, o: ["distance", f"{i}/audio", f"{i}/audio", "--metric", "mel", "--json"]),
    Command("similar", lambda i, o: ["similar", f"{i}/music/0.wav", "--in", f"{i}/table.parquet"]),
    Command("guide", lambda i, o: ["guide", "first-vamp"]),
    Command("make-model, a plan", lambda i, o: [*_make_model(i, o), "--plan"], loose=("m/*",), is_slow=True),
    Command("evaluate, a list", lambda i, o: ["evaluate", "default", "--list"]),
    Command("prompts", lambda i, o: ["prompts"]),
    Command("schema", lambda i, o: ["schema"]),
    Command("completion", lambda i, o: ["completion", "bash"]),
    Command("help", lambda i, o: ["--help"]),
    Command("version", lambda i, o: ["--version"]),
)
"""Commands that print alone."""


def make_inputs(folder: Path) -> Path:
    """A tiny bundle, short recordings, and what the training and measuring commands read."""
    bundle = write_tiny_bundle(folder / "bundle")
    write(folder / "in.wav", tone(0.5))
    taps = tone(1.5, level=0.001)
    for start in (8000, 24000, 40000):
        taps.samples[:, start : start + 400] += 0.5
    write(folder / "taps.wav", taps)
    for name, count, seconds in (("audio", 2, 0.5), ("music", 3, 2.5)):
        (folder / name).mkdir()
        for k in range(count):
            write(folder / name / f"{k}.wav", tone(seconds, seed=k))
    model = load(bundle, device="cpu")
    for name, kept in (("whole", CompressionConfig(6, 1)), ("part", CompressionConfig(2, 4))):
        run_job(CompressRequest(input=str(folder / "in.wav"), compression=kept), [folder / f"{name}.vamp"], model=model)
    _make_recipes(folder)
    (folder / "mine.yaml").write_text(EXPERIMENT)
    _make_listening(folder / "listening")
    _make_checkpoint(folder / "pth")
    _make_material(folder)
    return folder


def _make_recipes(folder: Path) -> None:
    save_bundle(folder / "codec", tiny_codec())
    tokenize_folder(folder / "music", folder / "tokens", load_bundle(folder / "codec").codec)
    music, tokens = str(folder / "music"), str(folder / "tokens")
    codec = {"task": "codec", "train_audio": music, "validation_audio": music, "quantize_from_step": 2}
    masked = {"task": "masked", "train_tokens": tokens, "validation_tokens": tokens, "bundle": str(folder / "codec")}
    codec |= {"crop_frames": 20, "loop": LOOP, "codec": dataclasses.asdict(CODEC)}
    masked |= {"crop_frames": 40, "loop": LOOP, "model": dataclasses.asdict(COARSE)}
    for name, recipe in (("codec", codec), ("coarse", masked)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))


def _make_material(folder: Path) -> None:
    """What make-model, push, similar and training sessions begin with."""
    for k in range(4):
        (folder / "albums" / f"album-{k % 2}").mkdir(parents=True, exist_ok=True)
        write(folder / "albums" / f"album-{k % 2}" / f"{k}.wav", tone(2.5 + k, seed=k))
    few = {"crop_s": 0.6, "loop": {"steps": 3, "batch_size": 2, "learning_rate": 0.02}}
    (folder / "make.yaml").write_text(json.dumps({"coarse": few, "c2f": few}))
    shutil.copytree(folder / "bundle", folder / "licensed")
    (folder / "licensed" / "README.md").write_text("# Mine\n\n- **Licence**: CC0\n")
    write_embeddings(
        sorted((folder / "music").iterdir()), folder / "table.parquet", EmbedConfig(bundle=str(folder / "bundle"))
    )
    (folder / "pieces").mkdir()
    for kind, count in (("validation", 2), ("diverse", 3), ("music", 3)):
        for k in range(count):
            samples = tone(3.0 + 0.4 * k, seed=k).samples[0] * 32767
            np.save(folder / "pieces" / f"{kind}-{k:06d}.npy", samples.astype(np.int16))
    (folder / "session").mkdir()
    loop = LOOP | {"steps": 10**6, "validate_every": 10**6, "checkpoint_every": 10**6, "decay_steps": 4 * 10**5}
    nowhere = dict.fromkeys(("train_audio", "validation_audio"), "-")
    codec = {"task": "codec", **nowhere, "crop_frames": 20, "codec": dataclasses.asdict(CODEC), "loop": loop}
    nowhere = dict.fromkeys(("train_tokens", "validation_tokens", "bundle"), "-")
    masked = {"task": "masked", **nowhere, "crop_frames": 40, "loop": loop}
    recipes = {"codec": codec | {"quantize_from_step": 2}, "decoder": codec | {"learn": "decoder"}}
    recipes |= {name: masked | {"model": dataclasses.asdict(c)} for name, c in (("coarse", COARSE), ("c2f", C2F))}
    for name, recipe in recipes.items():
        (folder / "session" / f"{name}.yaml").write_text(yaml.safe_dump(recipe))


def _make_listening(folder: Path) -> None:
    test = make_test(folder, "mushra")
    (folder / "results").mkdir()
    for number in range(3):
        scores = {stimulus.condition: 20 + 10 * number for stimulus in test.stimuli}
        result = result_of(test, number + 1, rated(test, scores))
        (folder / "results" / f"{number}.json").write_text(json.dumps(result))


def _make_checkpoint(folder: Path) -> None:
    from tests.unit.codec.test_dac import BRANCHED, original_file, small_codec

    folder.mkdir()
    torch.manual_seed(0)
    original_file(folder / "codec.pth", small_codec(dataclasses.replace(BRANCHED, codebook_size=32)))
