"""Fine-tuning on a little music: LoRA adapters for the coarse and the coarse-to-fine model of a bundle.

The files are split as wholes into training and held-out ones, so that no crop of a held-out file was seen. Each model
is trained until its held-out cross-entropy stops falling; the best weights count. Everything made on the way stays in
a working folder, from which an interrupted run goes on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vampnet.audio.files import Audio, read, write
from vampnet.audio.folders import audio_files_in
from vampnet.codec.base import Codec
from vampnet.device import select_device
from vampnet.errors import BundleError, SettingsError, require
from vampnet.models.bundle import load_bundle
from vampnet.models.format import Bundle
from vampnet.models.lora import Adapter, apply_adapter, read_adapter, write_adapter
from vampnet.models.transformer import MaskedTransformer
from vampnet.storage import locked, make_folder, read_json, sha256_of_file, write_whole
from vampnet.training.data.token_dataset import TokenSet, join, open_tokens
from vampnet.training.data.token_shards import TokenizeReport, make_shard, tokenize, tokenize_folder
from vampnet.training.finetune_config import FinetuneConfig
from vampnet.training.recipe import MaskedRecipe, TrainerConfig, recipe_to_dict
from vampnet.training.trainer import Trainer
from vampnet.training.validation import MONITOR, Change, HeldOutObjective, file_nats, split, subset, without_short

CROP_S = {"coarse": 5.0, "c2f": 3.0}
"""Length of a training crop of each model, seconds."""
MIN_FILE_S = 1.0
"""Shorter files are left out: a crop would be many repeats of them."""
SAMPLE_S = 10.0
"""Length of the excerpt that is vamped without and with the adapters, seconds."""
Vamp = Callable[[Bundle, Audio], Audio]
"""Vamps an excerpt with the models of a bundle, at the defaults."""
Say = Callable[[str], None]
"""Receives lines about the progress."""
Watch = Callable[[str, int, int], None]
"""Receives how far a stage is ("encode", "coarse", "c2f", "samples"): files or steps done, and their number at most."""


@dataclass(frozen=True)
class FinetuneReport:
    """Result of fine-tuning, per model ("coarse", "c2f").

    Without held-out files (a single file was given) the changes are those of the training file.
    """

    changes: dict[str, Change]
    """Cross-entropy per held-out file, before and after."""
    steps: dict[str, int]
    """The step whose weights were kept; 0 means that nothing was gained."""
    train_files: tuple[str, ...]
    held_out_files: tuple[str, ...]
    left_out: tuple[str, ...]
    """Files that cannot be used, each with its cause."""
    train_s: float
    """Music trained on, seconds."""
    held_out_s: float


@dataclass(frozen=True)
class _Data:
    """Tokens of a folder, split."""

    train: TokenSet
    """All encodings of the training files."""
    plain: TokenSet
    """Their first encoding: each file once."""
    held_out: TokenSet | None
    left_out: tuple[str, ...]


def finetune(
    audio_folder: str | Path,
    output: str | Path,
    bundle: str | Path = "default",
    settings: FinetuneConfig = FinetuneConfig(),  # noqa: B008  (frozen)
    folder: str | Path | None = None,
    device: str = "auto",
    say: Say | None = None,
    vamp: Vamp | None = None,
    watch: Watch | None = None,
) -> FinetuneReport:
    """Train adapters on a folder of audio and write them to `output` (safetensors).

    `folder` is the working folder (tokens, runs, report.json, samples); by default `output` with the ending .run.
    `say` receives lines about the progress, `watch` every file that is encoded and every step; what it raises ends the
    run, which can be resumed. `vamp` makes audio examples, with and without the adapters.

    Raises CorpusError for a folder without usable audio, SettingsError for a working folder of another run,
    DependencyError without the extra `train`.
    """
    say = say or (lambda line: None)
    loaded = load_bundle(bundle)
    if loaded.coarse is None or loaded.c2f is None:
        raise BundleError(f"{bundle}: holds only a codec; there is nothing to fine-tune")
    work = Path(folder) if folder is not None else Path(f"{output}.run")
    _check_places(Path(audio_folder), Path(output), work)
    described = {
        "settings": dataclasses.asdict(settings),
        "codec_id": loaded.codec.id,
        "base": loaded.weight_digests(),
        "music": _digests(Path(audio_folder)),
    }
    with locked(work, SettingsError, "working folder", str(work)):
        _claim(work, described)
        return _finetune(Path(audio_folder), Path(output), bundle, loaded, settings, work, device, say, vamp, watch)


def _finetune(
    audio_folder: Path,
    output: Path,
    bundle: str | Path,
    loaded: Bundle,
    settings: FinetuneConfig,
    work: Path,
    device: str,
    say: Say,
    vamp: Vamp | None,
    watch: Watch | None,
) -> FinetuneReport:
    """The work of `finetune`, once everything is checked and the working folder is held."""
    models = {"coarse": loaded.coarse, "c2f": loaded.c2f}
    data = _prepare(audio_folder, work, loaded, settings, watch)
    factors, changes, steps = {}, {}, {}
    for part, model in models.items():
        assert model is not None
        recipe = _recipe(model, part, loaded, settings)
        changes[part], steps[part] = _train(model, recipe, data, work / part, settings, device, say, watch)
        factors |= {f"{part}.{name}": pair for name, pair in extract(model).items()}
    held_out, per_s = data.held_out, loaded.codec.frames_per_s
    report = FinetuneReport(
        changes,
        steps,
        tuple(dict.fromkeys(data.train.names)),
        held_out.names if held_out else (),
        data.left_out,
        data.plain.n_frames / per_s,
        held_out.n_frames / per_s if held_out else 0.0,
    )
    adapter = Adapter(factors, settings.alpha / settings.rank, loaded.codec.id, _about(loaded, settings, report))
    write_adapter(output, adapter)
    write_whole(work / "report.json", json.dumps(dataclasses.asdict(report), indent=1) + "\n", SettingsError)
    if vamp is not None:
        if watch is not None:
            watch("samples", 0, 1)
        write_samples(work / "samples", audio_folder / (held_out or data.train).names[0], bundle, adapter, vamp)
    return report


def _prepare(audio_folder: Path, work: Path, loaded: Bundle, settings: FinetuneConfig, watch: Watch | None) -> _Data:
    """Encode the folder, once plainly and, of the training files, once more per further encoding."""
    counted = _count_files(audio_folder, settings.encodings, watch)
    done = _encode(audio_folder, work / "tokens", loaded.codec, 0, counted)
    min_frames = math.ceil(MIN_FILE_S * loaded.codec.frames_per_s)
    usable, short = without_short(open_tokens(work / "tokens"), min_frames)
    train, held_out = split(usable, settings.held_out, settings.seed)
    sets = [train]
    for turn in range(1, settings.encodings):
        _encode(audio_folder, work / f"tokens-{turn}", loaded.codec, turn, counted)
        tokens = open_tokens(work / f"tokens-{turn}")
        sets.append(subset(tokens, [k for k, name in enumerate(tokens.names) if name in set(train.names)]))
    too_short = tuple(f"{name}: shorter than {MIN_FILE_S:g} s" for name in short)
    return _Data(join(sets), train, held_out, (*done.skipped, *too_short))


def _count_files(audio_folder: Path, encodings: int, watch: Watch | None) -> Callable[[], None] | None:
    """Called before each file that is encoded, it tells how many have been; None where no one listens."""
    if watch is None:
        return None
    begun, n_files = itertools.count(), encodings * len(audio_files_in(audio_folder))
    return lambda: watch("encode", next(begun), n_files)


def _encode(
    audio_folder: Path, folder: Path, codec: Codec, turn: int, advance: Callable[[], None] | None
) -> TokenizeReport:
    """The tokens of a folder in one way of encoding."""
    if advance is None:
        return tokenize_folder(audio_folder, folder, codec, turn)
    return tokenize(
        audio_folder, folder, codec, turn=turn, run=lambda tasks: (make_shard(task, codec, advance) for task in tasks)
    )


def _train(
    model: MaskedTransformer,
    recipe: MaskedRecipe,
    data: _Data,
    folder: Path,
    settings: FinetuneConfig,
    device: str,
    say: Say,
    watch: Watch | None,
) -> tuple[Change, int]:
    """Adapt a model in place, and leave it with its best adapters: the change per file and the step that was kept."""
    judged = data.held_out or data.plain
    model.to(select_device(device))
    before = file_nats(model, judged, recipe.crop_frames)
    adapt(model, settings)
    patience = settings.patience if data.held_out else 0
    run = Trainer(
        HeldOutObjective(model, recipe, data.train, judged),
        recipe.loop,
        folder,
        recipe_to_dict(recipe),
        device,
        monitor=f"validation/{MONITOR}",
        patience=patience,
        on_log=lambda line: say(f"{folder.name}: {_progress(line, settings.steps)}"),
        on_step=None if watch is None else lambda step: watch(folder.name, step, settings.steps),
    )
    run.train()
    assert run.best is not None
    model.load_state_dict(run.best_weights())
    after = file_nats(model, judged, recipe.crop_frames)
    return Change(judged.names, tuple(before), tuple(after)), run.best[1]


def _progress(line: dict[str, float], steps: int) -> str:
    """A line of the training log in words."""
    where = f"step {line['step']} of at most {steps}"
    if f"validation/{MONITOR}" in line:
        return f"{where}, held-out cross-entropy {line[f'validation/{MONITOR}']:.3f} nats"
    return f"{where}, training loss {line['loss']:.3f}, {line['steps_per_s']:.2f} steps per second"


def _about(loaded: Bundle, settings: FinetuneConfig, report: FinetuneReport) -> dict[str, Any]:
    """Metadata of the adapter file: base weights, settings, licence."""
    licence = loaded.config.get("about", {}).get("licence")
    return {
        "base": {f"{part}.safetensors": loaded.weight_digests()[f"{part}.safetensors"] for part in ("coarse", "c2f")},
        "rank": settings.rank,
        "targets": settings.target_names,
        "settings": dataclasses.asdict(settings),
        "nats_before": {part: change.means[0] for part, change in report.changes.items()},
        "nats_after": {part: change.means[1] for part, change in report.changes.items()},
        "licence": "Made from the base weights, whose licence binds it too: "
        + (str(licence) if licence else "see the card of the bundle.")
        + " The music it was trained on may bring terms of its own.",
    }


def _check_places(audio_folder: Path, output: Path, work: Path) -> None:
    """SettingsError where writing would destroy something, or put the run's own samples among the music."""
    if output.suffix != ".safetensors":
        raise SettingsError(f"output is {output}, but an adapter's name must end in .safetensors")
    if output.exists():
        try:
            read_adapter(output)
        except BundleError:
            raise SettingsError(f"{output}: exists and is no adapter; choose another output") from None
    if work.resolve().is_relative_to(audio_folder.resolve()):
        raise SettingsError(
            f"{work}: the working folder lies inside the folder of audio, which would take in its samples; write the "
            "output elsewhere, or name another --run"
        )


def _claim(folder: Path, described: dict[str, Any]) -> None:
    """Mark a working folder as that of these settings and weights; SettingsError if it is of others."""
    make_folder(folder, SettingsError)
    path = folder / "settings.json"
    if path.exists() and read_json(path, SettingsError) != json.loads(json.dumps(described)):
        raise SettingsError(
            f"{folder}: holds a run with other settings, another model or other music; delete it, or name a new --run"
        )
    write_whole(path, json.dumps(described, indent=1) + "\n", SettingsError)


def _digests(audio_folder: Path) -> dict[str, str]:
    """SHA-256 of each file of music by its name in the folder."""
    files = audio_files_in(audio_folder)
    return {str(path.relative_to(audio_folder)): sha256_of_file(path, SettingsError) for path in files}


def write_samples(folder: Path, path: Path, bundle: str | Path, adapter: Adapter, vamp: Vamp) -> None:
    """Ten seconds of a file, and its vamp (defaults, seed 0) without and with the adapter, as WAV."""
    make_folder(folder, SettingsError)
    audio = read(path)
    length = int(SAMPLE_S * audio.sample_rate_hz)
    start = max((audio.samples.shape[1] - length) // 2, 0)
    excerpt = Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)
    loaded = load_bundle(bundle)
    write(folder / "original.wav", excerpt)
    write(folder / "before.wav", vamp(loaded, excerpt))
    apply_adapter(loaded, adapter)
    write(folder / "after.wav", vamp(loaded, excerpt))


def adapt(model: nn.Module, settings: FinetuneConfig) -> None:
    """Put adapters into a model, in place; they alone are trainable afterwards."""
    require("peft", "adapters for fine-tuning")
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(settings.seed)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=settings.target_names)  # type: ignore[arg-type]
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def extract(model: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Layer -> (A, B) of an adapted model."""
    found = {}
    for name, module in model.named_modules():
        sides = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
        if all(isinstance(side, nn.ModuleDict) and "default" in side for side in sides):
            a_YI, b_OY = (side["default"].weight.detach() for side in sides)  # type: ignore[union-attr,index]
            found[name] = (a_YI, b_OY)
    return found


def _recipe(model: MaskedTransformer, part: str, bundle: Bundle, settings: FinetuneConfig) -> MaskedRecipe:
    loop = TrainerConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=min(20, settings.steps),
        decay_steps=settings.steps,
        weight_decay=0.0,
        ema_decay=0.9,
        seed=settings.seed,
        log_every=25,
        validate_every=settings.validate_every,
        checkpoint_every=min(settings.validate_every, 25),
    )
    crop_frames = round(CROP_S[part] * bundle.codec.frames_per_s)
    return MaskedRecipe("", "", str(bundle.folder), model.config, loop, crop_frames)
