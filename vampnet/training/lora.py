"""Fine-tuning on a little music: LoRA adapters for the coarse and the coarse-to-fine model of a bundle.

The files are split as wholes into training and held-out ones, so that no crop of a held-out file was seen. Each model
is trained until its held-out cross-entropy stops falling; the best weights count. Everything made on the way stays in
a working folder, from which an interrupted run goes on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vampnet.adapters import Adapter, apply_adapter, write_adapter
from vampnet.audio import Audio, read, write
from vampnet.checkpoint import Bundle, load_bundle
from vampnet.config import FinetuneSettings
from vampnet.data.dataset import TokenSet, open_tokens
from vampnet.data.tokens import tokenize_folder
from vampnet.errors import BundleError, CorpusError, DependencyError, SettingsError
from vampnet.model import MaskedTransformer
from vampnet.pipeline import Vampnet
from vampnet.training.loop import Run
from vampnet.training.masked import MaskedTask
from vampnet.training.recipe import LoopSettings, MaskedRecipe, recipe_to_dict

CROP_S = {"coarse": 5.0, "c2f": 3.0}
"""Length of a training crop of each model, seconds."""
SAMPLE_S = 10.0
"""Length of the excerpt that is vamped without and with the adapters, seconds."""
MONITOR = "nats"
"""The held-out figure that has to fall: cross-entropy over all mask rates and predicted codebooks."""


@dataclass(frozen=True)
class FinetuneReport:
    """What fine-tuning did to each model: held-out nats before and after, and the step that was kept.

    Without held-out files (a single file was given) the figures are those of the training file.
    """

    before: dict[str, float]
    after: dict[str, float]
    steps: dict[str, int]
    train_files: tuple[str, ...]
    held_out_files: tuple[str, ...]


def finetune(
    audio_folder: str | Path,
    output: str | Path,
    bundle: str | Path = "default",
    settings: FinetuneSettings = FinetuneSettings(),  # noqa: B008  (frozen)
    folder: str | Path | None = None,
    device: str = "auto",
) -> FinetuneReport:
    """Train adapters on a folder of audio and write them to `output` (safetensors).

    `folder` is the working folder (tokens, runs, report.json); by default `output` with the ending .run. Raises
    CorpusError for a folder without usable audio, DependencyError without the extra `train`.
    """
    loaded = load_bundle(bundle)
    if loaded.coarse is None or loaded.c2f is None:
        raise BundleError(f"{bundle}: holds only a codec; there is nothing to fine-tune")
    work = Path(folder) if folder is not None else Path(f"{output}.run")
    _claim(
        work, {"settings": dataclasses.asdict(settings), "codec_id": loaded.codec.id, "base": loaded.config["sha256"]}
    )
    tokenize_folder(audio_folder, work / "tokens", loaded.codec)
    train, held_out = split(open_tokens(work / "tokens"), settings.held_out, settings.seed)
    factors, before, after, steps = {}, {}, {}, {}
    for part, model in (("coarse", loaded.coarse), ("c2f", loaded.c2f)):
        adapt(model, settings)
        task = MaskedTask(_recipe(model, part, loaded, settings), train, held_out or train, loaded.codec.codebooks())
        task.module = model
        run = _run(task, work / part, settings, device, stop_early=held_out is not None)
        run.train()
        assert run.first is not None and run.best is not None
        before[part], (after[part], steps[part]) = run.first, run.best
        model.load_state_dict(run.best_weights())
        factors |= {f"{part}.{name}": pair for name, pair in extract(model).items()}
    report = FinetuneReport(before, after, steps, tuple(train.names), tuple(held_out.names if held_out else ()))
    base = {f"{part}.safetensors": loaded.config["sha256"][f"{part}.safetensors"] for part in ("coarse", "c2f")}
    about = {"base": base, "settings": dataclasses.asdict(settings), "nats_before": before, "nats_after": after}
    adapter = Adapter(factors, settings.alpha / settings.rank, loaded.codec.id, about)
    write_adapter(output, adapter)
    (work / "report.json").write_text(json.dumps(dataclasses.asdict(report), indent=1) + "\n")
    write_samples(work / "samples", Path(audio_folder) / (held_out or train).names[0], bundle, adapter, device)
    return report


def _claim(folder: Path, described: dict[str, Any]) -> None:
    """Mark a working folder as that of these settings and weights; SettingsError if it is of others."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    if path.exists() and json.loads(path.read_text()) != described:
        raise SettingsError(
            f"{folder}: holds a run with other settings or another model; delete it, or name a new --run"
        )
    path.write_text(json.dumps(described, indent=1) + "\n")


def write_samples(folder: Path, path: Path, bundle: str | Path, adapter: Adapter, device: str) -> None:
    """Ten seconds of a file, and its vamp (defaults, seed 0) without and with the adapter, as WAV."""
    folder.mkdir(parents=True, exist_ok=True)
    audio = read(path)
    length = int(SAMPLE_S * audio.sample_rate_hz)
    start = max((audio.samples.shape[1] - length) // 2, 0)
    excerpt = Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)
    loaded = load_bundle(bundle)
    write(folder / "original.wav", excerpt)
    write(folder / "before.wav", Vampnet(loaded, device).vamp(excerpt).audio)
    apply_adapter(loaded, adapter)
    write(folder / "after.wav", Vampnet(loaded, device).vamp(excerpt).audio)


def split(tokens: TokenSet, share: float, seed: int) -> tuple[TokenSet, TokenSet | None]:
    """Training and held-out pieces, whole files each, about `share` of the frames held out.

    Raises CorpusError when there is nothing to train on. A single file cannot be split: held-out is None then.
    """
    n_pieces = len(tokens.pieces)
    if tokens.n_frames == 0:
        raise CorpusError("the folder holds no audio to train on")
    if n_pieces == 1:
        return tokens, None
    order = np.random.default_rng(seed).permutation(n_pieces)
    ends = np.cumsum(tokens.pieces[order, 2])
    n_held_out = min(1 + int(np.searchsorted(ends, share * ends[-1])), n_pieces - 1)
    return _subset(tokens, sorted(order[n_held_out:])), _subset(tokens, sorted(order[:n_held_out]))


def _subset(tokens: TokenSet, chosen: Sequence[int]) -> TokenSet:
    return dataclasses.replace(tokens, pieces=tokens.pieces[list(chosen)], names=tuple(tokens.names[k] for k in chosen))


def adapt(model: nn.Module, settings: FinetuneSettings) -> None:
    """Put adapters into a model, in place; they alone are trainable afterwards."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise DependencyError("fine-tuning needs the extra `train`: pip install 'vampnet[train]'") from None
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
            a_RI, b_OR = (side["default"].weight.detach() for side in sides)  # type: ignore[union-attr,index]
            found[name] = (a_RI, b_OR)
    return found


def _recipe(model: MaskedTransformer, part: str, bundle: Bundle, settings: FinetuneSettings) -> MaskedRecipe:
    loop = LoopSettings(
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
        checkpoint_every=settings.validate_every,
    )
    crop_frames = round(CROP_S[part] * bundle.codec.frames_per_s)
    return MaskedRecipe("", "", str(bundle.folder), model.config, loop, crop_frames)


def _run(task: MaskedTask, folder: Path, settings: FinetuneSettings, device: str, stop_early: bool) -> Run:
    recipe: dict[str, Any] = recipe_to_dict(task.recipe)
    patience = settings.patience if stop_early else 0
    return Run(task, task.recipe.loop, folder, recipe, device, monitor=f"validation/{MONITOR}", patience=patience)
