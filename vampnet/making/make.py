"""From a folder of audio to a bundle with a report: what `vampnet make-model` does.

OUT is the bundle. Work lies in OUT/.work: what the scan found, the tokens of each file, and one folder per selection of
music and settings with the training runs and the time spent. Whatever stops the command, the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vampnet.audio.files import Audio, write
from vampnet.codec.base import Codec
from vampnet.errors import BundleError, SettingsError
from vampnet.making import judging
from vampnet.making.clock import WorkState
from vampnet.making.config import MakingConfig
from vampnet.making.memorisation import describe
from vampnet.making.recipes import PARTS, layered_recipe, part_recipe
from vampnet.making.report import model_card, summary, write_report
from vampnet.making.scan import Inventory, scan
from vampnet.making.tokens import TokenStore, encode_all
from vampnet.making.training import PartData, PartTraining, TrainedPart, format_time, new_model
from vampnet.models.bundle import load_bundle, load_codec, save_bundle
from vampnet.models.format import Bundle
from vampnet.models.transformer import MaskedTransformer
from vampnet.storage import locked, make_folder, read_json, write_whole
from vampnet.tasks.model import VampNet
from vampnet.training.data.token_dataset import TokenSet, join
from vampnet.training.recipe import MaskedRecipe
from vampnet.training.validation import subset

WORK = ".work"
ENCODING_SHARE = 0.4
"""Most of the budget that encoding may take; files that are left are encoded by a run with a larger one."""
VERSIONS_SHARE = 0.15
"""Every file is encoded in up to three versions (channels, frame starts) while all of them take no more than this."""
REPORT_SHARE, MIN_REPORT_S, MAX_REPORT_S = 0.15, 30.0, 900.0
COARSE_SHARE = 0.6
"""Share of the training time that the coarse network gets."""
MAX_EXCERPTS = 12
FROM_NOTHING = 4
EXAMPLES_FROM_S = 1200.0
"""Budget from which examples are made during training too."""

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]


@dataclass
class Making:
    """One `make-model`: folders, settings, and what is known so far."""

    music: Path
    output: Path
    settings: MakingConfig
    budget_s: float
    changes: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    say: Say = print
    progress: Progress = lambda what, done, of: None

    def __post_init__(self) -> None:
        self.work = self.output / WORK
        self.recipe = layered_recipe(self.settings.size, self.settings.recipe, self.changes)
        self._check_places()

    # What there is -----------------------------------------------------------------------------------------------

    def scan(self) -> Inventory:
        """Look at the music; what was decoded once is remembered."""
        make_folder(self.work, SettingsError)
        path = self.work / "scanned.json"
        known = read_json(path, SettingsError) if path.exists() else {}
        known = known if isinstance(known, dict) else {}
        try:
            found = scan(
                self.music,
                self.settings.held_out,
                self.settings.seed,
                known,
                lambda done, of: self.progress("reading", done, of),
            )
        finally:
            write_whole(path, json.dumps(known) + "\n", SettingsError)
        return found

    def codec(self) -> Codec:
        """The codec of the settings."""
        return load_codec(self.settings.codec)

    def before(self, codec: Codec) -> Bundle | None:
        """The bundle to begin with or to compare with; None where it reads other tokens. BundleError if it must fit."""
        bundle = load_bundle(self.settings.start_from)
        if bundle.codec.id == codec.id and bundle.coarse is not None:
            return bundle
        if self.settings.size == "tiny":
            raise BundleError(
                f"--size tiny trains the networks of {self.settings.start_from} on, which read tokens of its own "
                f"codec; with --codec {self.settings.codec} choose --size small"
            )
        return None

    # What is done ------------------------------------------------------------------------------------------------

    def make(self) -> dict[str, Any]:
        """Do all that is not done yet. Returns the facts of the report."""
        make_folder(self.work, SettingsError)
        with locked(self.work, SettingsError, "working folder"):
            inventory = self.scan()
            codec = self.codec()
            before = self.before(codec)
            run = make_folder(self.work / self._key(inventory, codec), SettingsError)
            state = WorkState(run, self.budget_s)
            try:
                return self._make(inventory, codec, before, run, state)
            finally:
                state.save()

    def _make(
        self, inventory: Inventory, codec: Codec, before: Bundle | None, run: Path, state: WorkState
    ) -> dict[str, Any]:
        for line in inventory.describe():
            self.say(line)
        codec = codec.to(torch.device("cpu"))
        data = self._tokens(inventory, codec, run, state)
        report_s = min(max(REPORT_SHARE * self.budget_s, MIN_REPORT_S), MAX_REPORT_S)
        trained: dict[str, TrainedPart] = {}
        recipes: dict[str, MaskedRecipe] = {}
        parts = self._parts(codec)
        for part in parts:
            recipes[part], training = self._training(part, codec, before, data, run)
            share = 1.0 if part == parts[-1] else COARSE_SHARE
            steps, stop_at_s = self._steps(part, training, state, report_s, share)
            self.say(f"{part}: {steps} steps")
            example = self._example(inventory, before, run) if self.budget_s >= EXAMPLES_FROM_S else None
            trained[part] = training.train(steps, state, stop_at_s, self.say, example)
        made = self._write_bundle(codec, trained, "", {})
        return self._report(inventory, made, before, trained, recipes, data, state, report_s)

    def plan(self) -> list[str]:
        """Plan of `make`, with times that were measured on a few steps, and the disk that it takes."""
        inventory, codec = self.scan(), self.codec()
        before = self.before(codec)
        lines = [*inventory.describe(), f"budget {format_time(self.budget_s)}"]
        store, seconds = TokenStore(self.work / "tokens", codec), 3600 * inventory.hours()
        todo_s = sum(one.seconds for one in inventory.files if not store.has(one, 0))
        encode_s = todo_s / judging.encoding_speed(codec)
        lines.append(f"encode: {format_time(encode_s)} for {format_time(todo_s)} of music that is not encoded yet")
        left_s = self.budget_s - min(encode_s, ENCODING_SHARE * self.budget_s)
        report_s = min(max(REPORT_SHARE * self.budget_s, MIN_REPORT_S), MAX_REPORT_S)
        left_s = max(left_s - report_s, 0.0)
        disk = 6 * seconds * codec.frames_per_s * codec.n_codebooks
        parts, data = self._parts(codec), _noise(codec)
        for part in parts:
            own_s = left_s * (1.0 if part == parts[-1] else COARSE_SHARE)
            left_s -= own_s
            _, training = self._training(part, codec, before, data, self.work / "plan")
            step_s, look_s = training.time_step()
            stated = self.recipe[part].get("loop", {}).get("steps")
            steps = int(stated) if stated else training.steps_within(own_s, step_s, look_s)
            disk += training.checkpoint_bytes()
            size = training.n_parameters() / 1e6
            lines.append(
                f"{part}: {size:.1f} M parameters, {steps} steps in {format_time(steps * step_s)} ({step_s:.2f} s each)"
            )
        shutil.rmtree(self.work / "plan", ignore_errors=True)
        lines += [f"report: {format_time(report_s)}", f"disk: about {disk / 1e6:.0f} MB in {self.output}"]
        return lines

    def _tokens(self, inventory: Inventory, codec: Codec, run: Path, state: WorkState) -> PartData:
        store, may_s = TokenStore(self.work / "tokens", codec), ENCODING_SHARE * self.budget_s
        files = [*inventory.held_out, *inventory.train]

        def may_go_on() -> bool:
            state.tick()
            return state.spent_s < may_s

        def tell(done: int, of: int) -> None:
            self.progress("encoding", done, of)

        before_s = state.spent_s
        missing = [one for one in files if not store.has(one, 0)]
        left = encode_all(store, self.music, files, 1, may_go_on, tell)
        state["not_encoded"] = left
        if left:
            self.say(f"the budget leaves {left} of {len(files)} files for a run with more time")
        if "turns" not in state:
            took_s = (state.spent_s - before_s) * len(files) / max(len(missing) - left, 1) if missing else 0.0
            state["turns"] = 1 + sum(n * took_s <= VERSIONS_SHARE * self.budget_s for n in (1, 2))
        turns = int(state["turns"])
        encode_all(store, self.music, inventory.train, turns, may_go_on, tell)
        train = store.write_set(run / "train", inventory.train, turns)
        if self.settings.render:
            train = join([train, self._composed(run)])
        if inventory.held_out:
            return PartData(train, store.write_set(run / "held-out", inventory.held_out, 1))
        return _split_in_time(train, codec.frames_per_s)

    def _composed(self, run: Path) -> TokenSet:
        from vampnet.training.data.token_corpus import write_token_corpus
        from vampnet.training.data.token_dataset import open_tokens

        folder = self.work / "composed"
        write_token_corpus(folder, self.settings.render, self.settings.codec, seed=self.settings.seed)
        return open_tokens(folder)

    def _parts(self, codec: Codec) -> tuple[str, ...]:
        return PARTS if codec.n_codebooks > 4 else PARTS[:1]

    def _training(
        self, part: str, codec: Codec, before: Bundle | None, data: PartData, run: Path
    ) -> tuple[MaskedRecipe, PartTraining]:
        old = getattr(before, part) if before is not None and self.settings.size == "tiny" else None
        recipe = part_recipe(part, self.recipe[part], codec, old.config if old is not None else None)
        recipe = replace(recipe, loop=replace(recipe.loop, seed=self.settings.seed))
        model = old if old is not None else new_model(recipe, data, codec.codebooks())
        return recipe, PartTraining(part, model, recipe, data, run / part, self.device)

    def _steps(
        self, part: str, training: PartTraining, state: WorkState, report_s: float, share: float
    ) -> tuple[int, float]:
        """Steps of a network, decided once per budget, and the spent time at which it has to stop."""
        stated = self.recipe[part].get("loop", {}).get("steps")
        if stated is not None:
            return int(stated), float("inf")
        plan = state.get(f"plan_{part}")
        if plan is None or plan["budget_s"] != self.budget_s:
            done = plan["steps"] if plan is not None else 0
            step_s, look_s = training.time_step()
            own_s = max(state.left_s - report_s, 0.0) * share
            steps = done + training.steps_within(own_s, step_s, look_s)
            plan = {"budget_s": self.budget_s, "steps": steps, "step_s": step_s, "look_s": look_s}
            plan["stop_at_s"] = state.spent_s + own_s
            state[f"plan_{part}"] = plan
        return int(plan["steps"]), float(plan["stop_at_s"])

    def _example(self, inventory: Inventory, before: Bundle | None, run: Path) -> Any:
        excerpts = judging.take_excerpts(self.music, inventory.held_out or inventory.files, 1)
        if before is None or not excerpts:
            return None
        folder = make_folder(run / "examples", SettingsError)

        def make(part: str, network: MaskedTransformer, step: int) -> tuple[torch.Tensor, int]:
            vamp = VampNet(replace(before, **{part: network}), self.device).vamp(excerpts[0][1]).audio
            write(folder / f"{part}-{step:06d}.wav", vamp)
            return torch.from_numpy(vamp.samples.mean(axis=0)), vamp.sample_rate_hz

        return make

    def _write_bundle(
        self, codec: Codec, trained: Mapping[str, TrainedPart], card: str, about: dict[str, Any]
    ) -> Bundle:
        """The bundle in its place; its files appear one by one, config.json with their digests last."""
        scratch = self.work / "bundle"
        models = {part: one.model.to("cpu") for part, one in trained.items()}
        save_bundle(scratch, codec, models.get("coarse"), models.get("c2f"), "int8", card, about, overwrite=True)
        names = sorted((path.name for path in scratch.iterdir()), key=lambda name: name == "config.json")
        for name in names:
            try:
                os.replace(scratch / name, self.output / name)
            except OSError as error:
                raise BundleError(f"cannot write {self.output / name}: {error.strerror}") from None
        shutil.rmtree(scratch, ignore_errors=True)
        return load_bundle(self.output)

    def _report(
        self,
        inventory: Inventory,
        made: Bundle,
        before: Bundle | None,
        trained: Mapping[str, TrainedPart],
        recipes: Mapping[str, MaskedRecipe],
        data: PartData,
        state: WorkState,
        report_s: float,
    ) -> dict[str, Any]:
        self.say("report: figures on held-out music")
        nats = {
            part: judging.judge_nats(part, one, before, data.held_out, recipes[part].crop_frames)
            for part, one in trained.items()
        }
        n_excerpts = min(max(int(report_s / 40), 2), MAX_EXCERPTS)
        excerpts = judging.take_excerpts(self.music, inventory.held_out or inventory.files, n_excerpts)
        audios = [audio for _, audio in excerpts]
        model = VampNet(made, self.device)
        outputs = judging.make_outputs(model, audios, FROM_NOTHING, data.train)
        state.tick()
        rows = {"held-out music through the codec": [judging.through_codec(model, audio) for audio in audios]}
        rows["vamps by this model"] = outputs.vamps
        if before is not None:
            old = VampNet(before, self.device)
            rows[f"vamps by {self.settings.start_from}"] = judging.make_outputs(old, audios, 0, data.train).vamps
        scale = judging.nearest_of_held_out(data.held_out, data.train, made.codec.frames_per_s, FROM_NOTHING)
        facts = {
            "name": self.output.name,
            "licence": self.settings.licence,
            "data": [*inventory.describe()[:2], *self._data_lines(state, data, made)],
            "nats": nats,
            "more": {part: judging.foresee(found) for part, found in nats.items()},
            "fad": {name: judging.fad_of(audios, made_audio, "default") for name, made_audio in rows.items()},
            "n_excerpts": len(audios),
            "memory": describe(outputs.nearest, scale),
            "nearest": [vars(one) for one in sorted(outputs.nearest, key=lambda one: -one.share)[:5]],
            "made": self._made_lines(trained),
            "left_out": list(inventory.left_out),
            "spent_s": state.spent_s,
            "held_out_files": [one.name for one in inventory.held_out],
        }
        files = self._write_examples({"held out": audios, **rows, "from nothing": outputs.from_nothing})
        about = {"coarse_steps": trained["coarse"].steps, "licence": self.settings.licence}
        self._write_bundle(made.codec, trained, model_card(facts), about)
        write_report(self.output, facts, files)
        for line in summary(facts):
            self.say(line)
        return facts

    def _write_examples(self, rows: Mapping[str, list[Audio]]) -> dict[str, list[Path]]:
        folder, files = make_folder(self.work / "examples", SettingsError), dict[str, list[Path]]()
        for name, audios in rows.items():
            files[name] = []
            for number, audio in enumerate(audios[:4], start=1):
                path = folder / f"{name.replace(' ', '-').replace(os.sep, '-')}-{number}.wav"
                write(path, audio)
                files[name].append(path)
        return files

    def _data_lines(self, state: WorkState, data: PartData, made: Bundle) -> list[str]:
        hours = data.train.n_frames / made.codec.frames_per_s / 3600
        lines = [f"{hours:.2f} h of tokens to train on, {int(state['turns'])} version(s) of each file"]
        if int(state["not_encoded"]):
            lines.append(f"{int(state['not_encoded'])} files were not encoded for lack of time")
        if self.settings.render:
            lines.append(f"{self.settings.render:g} h of composed music beside them")
        return lines

    def _made_lines(self, trained: Mapping[str, TrainedPart]) -> list[str]:
        settings = self.settings
        how = f"trained on from {settings.start_from}" if settings.size == "tiny" else "trained from random weights"
        steps = ", ".join(f"{part} {one.steps} steps (kept: {one.best_step})" for part, one in trained.items())
        return [f"size {settings.size}, codec {settings.codec}, {how}", steps, f"budget {format_time(self.budget_s)}"]

    # Places ------------------------------------------------------------------------------------------------------

    def _key(self, inventory: Inventory, codec: Codec) -> str:
        """A name for this selection of music and settings."""
        facts = {
            "settings": self.settings.identity(),
            "recipe": self.recipe,
            "codec": codec.id,
            "files": [(one.name, one.digest, one.held_out) for one in inventory.files],
        }
        return "run-" + hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def _check_places(self) -> None:
        if not self.music.is_dir():
            raise SettingsError(f"{self.music}: no such folder of audio")
        if self.output.resolve().is_relative_to(self.music.resolve()):
            raise SettingsError(f"{self.output}: lies inside the folder of music, which would take in its examples")
        if not self.output.exists():
            return
        if not self.output.is_dir():
            raise SettingsError(f"{self.output}: is a file; name a folder for the bundle")
        if any(self.output.iterdir()) and not self.work.is_dir():
            raise SettingsError(f"{self.output}: exists and was not made by make-model; choose another name with -o")


def _split_in_time(tokens: TokenSet, frames_per_s: float) -> PartData:
    """A single recording: its last part held out, ten seconds before it left out."""
    pieces = tokens.pieces.copy()
    held = pieces[:1].copy()
    n_frames = int(pieces[0, 2])
    n_held = max(int(0.15 * n_frames), 1)
    gap = min(int(10 * frames_per_s), n_frames // 10)
    held[0, 1] += n_frames - n_held
    held[0, 2] = n_held
    pieces[:, 2] = [max(int(length) - int(length * n_held / n_frames) - gap, 1) for length in pieces[:, 2]]
    train = replace(tokens, pieces=pieces)
    return PartData(train, replace(subset(tokens, [0]), pieces=held))


def _noise(codec: Codec) -> PartData:
    """Random tokens, on which steps are timed before anything is encoded."""
    n_frames, rng = 4096, np.random.default_rng(0)
    codes_TC = rng.integers(0, codec.codebook_size, (n_frames, codec.n_codebooks)).astype(np.uint16)
    tokens = TokenSet(codec.id, codec.n_codebooks, (codes_TC,), np.array([[0, 0, n_frames]]), ("noise",))
    return PartData(tokens, tokens)
