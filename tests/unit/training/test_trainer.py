"""Training: exact resume, schedules, masks of the objective, recipes, tokens, export."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.support.tiny import C2F, COARSE, CODEC, tiny_codec, tone
from vampnet.audio.files import write
from vampnet.errors import BundleError, CorpusError, SettingsError
from vampnet.models.bundle import load_bundle, save_bundle
from vampnet.models.transformer import MaskedTransformer
from vampnet.prompts.masks import gamma
from vampnet.training.data.token_dataset import join, open_tokens
from vampnet.training.data.token_shards import tokenize_folder
from vampnet.training.data.wave_dataset import open_waves
from vampnet.training.export import codec_of_run, model_of, write_bundle
from vampnet.training.initialization import begin_as_neighbours
from vampnet.training.masked_objective import draw_fixed_rate_keep, draw_keep, masked_loss
from vampnet.training.recipe import (
    SHIPPED,
    MaskedRecipe,
    TrainerConfig,
    find_recipe,
    parse_recipe,
    read_recipe,
    recipe_to_dict,
)
from vampnet.training.share import BatchShare
from vampnet.training.train import make_objective, train
from vampnet.training.trainer import learning_rate

LOOP = {"steps": 6, "batch_size": 2, "warmup_steps": 2, "decay_steps": 2, "log_every": 1, "checkpoint_every": 2}
LOOP |= {"validate_every": 100, "ema_decay": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio, a codec bundle and token shards."""
    root = tmp_path_factory.mktemp("data")
    (root / "audio").mkdir()
    for k in range(3):
        write(root / "audio" / f"{k}.flac", tone(4.0 + k, channels=1 + k % 2, seed=k))
    (root / "audio" / "broken.flac").write_bytes(b"fLaC nothing more")
    save_bundle(root / "codec", tiny_codec())
    tokenize_folder(root / "audio", root / "tokens", load_bundle(root / "codec").codec)
    return root


def codec_recipe(root: Path, path: Path) -> Path:
    audio = str(root / "audio")
    data = {"task": "codec", "train_audio": audio, "validation_audio": audio, "crop_frames": 20, "loop": LOOP}
    data |= {"quantize_from_step": 3, "codec": dataclasses.asdict(CODEC)}
    path.write_text(yaml.safe_dump(data))
    return path


def masked_recipe(root: Path, path: Path, model: str = "coarse") -> Path:
    tokens = str(root / "tokens")
    data = {"task": "masked", "train_tokens": tokens, "validation_tokens": tokens, "bundle": str(root / "codec")}
    config = {**dataclasses.asdict(COARSE if model == "coarse" else C2F), "dropout": 0.1}
    muon = {"optimizer": "muon"} if model == "c2f" else {}
    path.write_text(yaml.safe_dump({**data, "crop_frames": 40, "model": config, "loop": LOOP | muon}))
    return path


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.mark.parametrize("kind", ["codec", "coarse", "c2f"])
def test_killed_run_resumes_to_the_same_losses(folder: Path, tmp_path: Path, kind: str) -> None:
    recipe = tmp_path / "r.yaml"
    recipe = codec_recipe(folder, recipe) if kind == "codec" else masked_recipe(folder, recipe, kind)
    train(recipe, tmp_path / "whole", device="cpu")
    # Killed: stopped in the middle without a chance to save; what is on disk is the last checkpoint.
    data = yaml.safe_load(recipe.read_text())
    killed = tmp_path / "killed"

    class Killed(Exception):
        pass

    def kill_at(step: int, original=torch.optim.AdamW.step):
        count = [0]

        def stepped(self, *arguments, **keywords):
            count[0] += 1
            if count[0] > step:
                raise Killed
            return original(self, *arguments, **keywords)

        return stepped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", kill_at(5))
        with pytest.raises(Killed):
            train(recipe, killed, device="cpu")
    assert data["loop"]["checkpoint_every"] == 2 and max(losses(killed)) == 5
    train(recipe, killed, device="cpu")
    resumed, whole = losses(killed), losses(tmp_path / "whole")
    if kind == "codec":
        # k-means, which sets the quantiser at step 3, turns the last bit of a matrix product into another cluster, so
        # even two uninterrupted runs agree only roughly from there on; before it they agree to the bit.
        assert {s: resumed[s] for s in (1, 2, 3)} == {s: whole[s] for s in (1, 2, 3)}
        assert all(resumed[s] == pytest.approx(whole[s], rel=0.02) for s in whole)
        return
    assert resumed == whole
    states = [torch.load(run / "last.ckpt", weights_only=True) for run in (killed, tmp_path / "whole")]
    for name in ("model", "average"):
        assert all(torch.equal(states[0][name][k], states[1][name][k]) for k in states[0][name])


def test_decoder_learns_alone_on_a_codec_that_is_given(folder: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(codec_recipe(folder, tmp_path / "r.yaml").read_text())
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**data, "learn": "decoder"}))
    train(tmp_path / "r.yaml", tmp_path / "run", device="cpu", start_from=folder / "codec")
    given, made = load_bundle(folder / "codec").codec, codec_of_run(tmp_path / "run")[0]
    before, after = given.state_dict(), made.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    assert given.id == made.id  # tokens keep their meaning
    with pytest.raises(SettingsError, match="--start-from"):
        train(tmp_path / "r.yaml", tmp_path / "alone", device="cpu")


def test_finished_run_says_so(folder: Path, tmp_path: Path) -> None:
    recipe = masked_recipe(folder, tmp_path / "r.yaml")
    train(recipe, tmp_path / "run", device="cpu")
    with pytest.raises(SettingsError, match="already trained for 6 steps"):
        train(recipe, tmp_path / "run", device="cpu")


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "another"])
def test_a_damaged_checkpoint_is_one_line_with_the_way_out(folder: Path, tmp_path: Path, how: str) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "last.ckpt"
    torch.save({"step": 3, "average": {"module.a": torch.arange(100.0)}, "recipe": {}, "task": {}, "model": {}}, path)
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[data.index(torch.arange(100.0).numpy().tobytes()) + 5] ^= 1
    path.write_bytes({"cut": data[:-30], "text": b"hello"}.get(how, data))
    for work in (
        lambda: train(masked_recipe(folder, tmp_path / "r.yaml"), tmp_path / "run", device="cpu"),
        lambda: write_bundle(tmp_path / "b", folder / "codec", tmp_path / "run"),
    ):
        with pytest.raises((BundleError, SettingsError)) as caught:
            work()
        assert "\n" not in str(caught.value)
        assert how == "another" or "delete it to begin again" in str(caught.value)


def test_steps_of_the_run_that_one_began_with_count_too(folder: Path, tmp_path: Path) -> None:
    recipe = masked_recipe(folder, tmp_path / "r.yaml")
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "prompted_share": 1.0}))
    train(recipe, tmp_path / "run", steps=2, device="cpu")
    train(recipe, tmp_path / "again", steps=3, device="cpu", start_from=tmp_path / "run")
    assert model_of(tmp_path / "again", "coarse")[1] == 5
    write_bundle(tmp_path / "bundle", folder / "codec", tmp_path / "again")
    train(recipe, tmp_path / "third", steps=1, device="cpu", start_from=tmp_path / "bundle")
    assert model_of(tmp_path / "third", "coarse")[1] == 6


def test_finer_distances_begin_with_what_the_model_knew(folder: Path, tmp_path: Path) -> None:
    """A recipe may tell more distances apart than the weights that it starts from; all else has to agree."""
    recipe = masked_recipe(folder, tmp_path / "r.yaml")
    train(recipe, tmp_path / "run", steps=2, device="cpu")
    data = yaml.safe_load(recipe.read_text())
    data["model"] |= {"n_buckets": 400, "max_distance": 400}
    data["loop"] |= {"learning_rate": 1e-9}
    recipe.write_text(yaml.safe_dump(data))
    train(recipe, tmp_path / "finer", steps=1, device="cpu", start_from=tmp_path / "run")
    before, after = (model_of(tmp_path / run, "coarse")[0] for run in ("run", "finer"))
    assert after.position_bias.table_NH.shape[0] == 400
    with torch.no_grad():
        said, known = after.position_bias(300), before.position_bias(300)
    assert torch.allclose(said, known, atol=1e-6) and known.std() > 1e-3
    for name, other in (("wider", {"dim": 2 * data["model"].get("dim", COARSE.dim)}), ("coarser", {"n_buckets": 8})):
        recipe.write_text(yaml.safe_dump({**data, "model": data["model"] | other}))
        with pytest.raises(BundleError, match="network is another one"):
            train(recipe, tmp_path / name, steps=1, device="cpu", start_from=tmp_path / "run")


def test_training_lowers_the_loss(folder: Path, tmp_path: Path) -> None:
    recipe = masked_recipe(folder, tmp_path / "r.yaml")
    data = yaml.safe_load(recipe.read_text())
    data["loop"] |= {"steps": 60, "learning_rate": 3e-3, "batch_size": 4}
    recipe.write_text(yaml.safe_dump(data))
    train(recipe, tmp_path / "run", device="cpu")
    curve = losses(tmp_path / "run")
    first, last = np.mean([curve[s] for s in range(1, 6)]), np.mean([curve[s] for s in range(56, 61)])
    assert last < 0.9 * first


def test_runs_become_a_bundle(folder: Path, tmp_path: Path) -> None:
    for kind in ("coarse", "c2f"):
        train(masked_recipe(folder, tmp_path / f"{kind}.yaml", kind), tmp_path / kind, device="cpu")
    write_bundle(tmp_path / "bundle", folder / "codec", tmp_path / "coarse", tmp_path / "c2f")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.coarse is not None and bundle.c2f is not None and bundle.config["about"]["coarse_steps"] == 6
    save_bundle(tmp_path / "other", tiny_codec(seed=9))
    with pytest.raises(BundleError, match="another codec"):
        write_bundle(tmp_path / "mixed", tmp_path / "other", tmp_path / "coarse")


def test_the_mask_schedule_is_that_of_the_recipe(folder: Path, tmp_path: Path) -> None:
    recipe = read_recipe(masked_recipe(folder, tmp_path / "recipe.yaml"))
    assert isinstance(recipe, MaskedRecipe)
    tasks = [make_objective(dataclasses.replace(recipe, mask_schedule=schedule)) for schedule in ("cosine", "uniform")]
    cosine, uniform = (task.loss(task.module, 0, BatchShare())["loss"] for task in tasks)
    assert cosine != uniform  # the same weights, crops and random numbers, other masks
    with pytest.raises(SettingsError, match="mask_schedule is 'linear'; known: cosine, uniform"):
        dataclasses.replace(recipe, mask_schedule="linear")


def test_masks_of_the_objective() -> None:
    codes = torch.zeros(64, 6, 200, dtype=torch.int64)
    mask = ~draw_keep(codes.shape, 2, torch.Generator().manual_seed(0))
    assert not mask[:, :2].any()
    shares = mask[:, 2:].float().mean((1, 2)).sort().values
    expected = gamma(1 - (torch.arange(64) + 0.5) / 64).sort().values
    assert (shares - expected).abs().max() < 0.06  # stratified: the shares follow gamma of evenly spread r
    uniform = ~draw_keep(codes.shape, 2, torch.Generator().manual_seed(0), schedule="uniform")
    spread = (torch.arange(64) + 0.5) / 64
    assert (uniform[:, 2:].float().mean((1, 2)).sort().values - spread).abs().max() < 0.06
    fixed = ~draw_fixed_rate_keep(codes, 2, 0.3, torch.Generator().manual_seed(0))
    assert fixed[:, 2:].float().mean().item() == pytest.approx(0.3, abs=0.01) and not fixed[:, :2].any()


@pytest.mark.parametrize("n_dims", [8, 32])  # codebooks that have room in the model, and others that have not
def test_initial_weights_guess_a_token_from_its_neighbours(n_dims: int) -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = MaskedTransformer(dataclasses.replace(C2F, dim=64, codebook_dim=n_dims)).eval()
    falling = torch.arange(1.0, n_dims + 1) ** -0.5  # entries differ in some directions more than in others
    model.set_codebooks(300 * torch.randn(6, 64, n_dims, generator=generator) * falling)  # whatever their scale
    # Two sounds, each 20 frames long; one frame inside each is asked for.
    codes = torch.randint(64, (4, 6, 2), generator=generator).repeat_interleave(20, dim=2)
    keep = torch.ones_like(codes, dtype=torch.bool)
    keep[:, 2:, [9, 31]] = False

    def hits() -> float:
        with torch.no_grad():
            return float(masked_loss(model, codes, keep, 2, 64)[2].float().mean())

    before = hits()
    begin_as_neighbours(model)
    assert before < 0.1 and hits() > 0.25  # chance: 0.016
    with pytest.raises(SettingsError, match="at least 6"):
        begin_as_neighbours(MaskedTransformer(dataclasses.replace(C2F, dim=4)))


def test_loss_counts_masked_tokens_alone() -> None:
    codes = torch.randint(8, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    keep = torch.ones_like(codes, dtype=torch.bool)
    keep[0, 1, 2] = keep[1, 2, 4] = False
    seen = []

    def network(masked: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        seen.append(masked)
        assert torch.equal(chosen, ~keep[:, 1:])
        logits = torch.zeros(2, 8)
        logits[0, codes[0, 1, 2]] = 50.0  # sure and right at one of the two
        return logits

    loss, nats, hits = masked_loss(network, codes, keep, 1, 8)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx((0 + np.log(8)) / 2, abs=1e-4)
    assert len(nats) == 2 and bool(hits[0]) and (seen[0] == 8).sum() == 2


def test_learning_rates() -> None:
    stable = TrainerConfig(steps=100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    assert learning_rate(stable, 0) == pytest.approx(0.1) and learning_rate(stable, 50) == 1.0
    assert learning_rate(stable, 90) == pytest.approx(0.5) and learning_rate(stable, 99) == pytest.approx(0.05)
    noam = TrainerConfig(steps=100, learning_rate=1.0, warmup_steps=10, schedule="noam")
    assert learning_rate(noam, 4) == pytest.approx(0.5) and learning_rate(noam, 39) == pytest.approx(0.5)


def test_shipped_recipes_go_by_their_names(tmp_path: Path) -> None:
    assert find_recipe("default-coarse") == SHIPPED / "default-coarse.yaml"
    assert find_recipe("accelerator/c2f") == SHIPPED / "accelerator" / "c2f.yaml"
    assert find_recipe(tmp_path / "mine.yaml") == tmp_path / "mine.yaml"  # reading it says that it is not there
    with pytest.raises(SettingsError, match="default-coarse"):
        find_recipe("defalt-coarse")


def test_shipped_recipes_parse_and_round_trip() -> None:
    recipes = sorted(SHIPPED.glob("*.yaml"))
    assert len(recipes) >= 5  # codec, and coarse and c2f each of the default and of the paper
    for path in recipes:
        recipe = read_recipe(path)
        assert parse_recipe(recipe_to_dict(recipe), "again") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: codec\n", "missing setting train_audio"),
        ("task: singing\n", "one of codec, masked"),
        ("task: codec\ntrain_audio: a\nvalidation_audio: b\nflavour: 1\n", "unknown setting flavour"),
        ("task: codec\ntrain_audio: a\nvalidation_audio: b\nloop: {stepz: 1}\n", "unknown setting stepz"),
        ("task: codec\ntrain_audio: a\nvalidation_audio: b\nloop: {steps: many}\n", "must be a whole number"),
        ("task: [", "not valid YAML"),
    ],
)
def test_bad_recipes_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_recipe(tmp_path / "r.yaml")
    assert "r.yaml" in str(caught.value)


def test_token_shards(folder: Path, tmp_path: Path) -> None:
    codec = load_bundle(folder / "codec").codec
    report = tokenize_folder(folder / "audio", tmp_path / "t", codec)
    assert report.n_files == 3 and len(report.skipped) == 1 and "broken.flac" in report.skipped[0]
    assert report.audio_s == pytest.approx(15.0, abs=0.1)
    again = tokenize_folder(folder / "audio", tmp_path / "t", codec)
    assert again.audio_s_per_s == 0 and again.audio_s == report.audio_s
    data = open_tokens(tmp_path / "t")
    assert data.codec_id == codec.id and data.names == ("0.flac", "1.flac", "2.flac")
    batch = data.batch((1, 2), 3, 50)
    assert batch.shape == (3, CODEC.n_codebooks, 50) and torch.equal(batch, data.batch((1, 2), 3, 50))
    assert data.batch((1,), 1, 2000).shape == (1, CODEC.n_codebooks, 2000)  # longer than any piece: repeated
    assert (data.unigram() <= np.log(CODEC.codebook_size) + 1e-9).all()


def test_tokens_know_the_beats_that_the_index_of_their_folder_says(folder: Path, tmp_path: Path) -> None:
    codec = load_bundle(folder / "codec").codec
    shutil.copytree(folder / "audio", tmp_path / "audio")
    line = {"file": "1.flac", "beats": [0.5, 1.0, 1.5]}
    (tmp_path / "audio" / "index.jsonl").write_text(json.dumps(line) + "\n" + json.dumps({"file": "2.flac"}) + "\n{")
    tokenize_folder(tmp_path / "audio", tmp_path / "t", codec)
    data = join([open_tokens(folder / "tokens"), open_tokens(tmp_path / "t")])
    assert [len(beats) for beats in data.beats] == [0, 0, 0, 0, 3, 0]
    assert data.beats[4] == pytest.approx(np.array([0.5, 1.0, 1.5]) * 44100 / 768, abs=0.01)
    places = data.places((4,), 40, 60)
    for (piece, first, _), beats in zip(places.tolist(), data.batch_beats((4,), 40, 60), strict=True):
        assert np.array_equal(beats, data.beats[piece] - first)
    codes_TC = data.shards[data.pieces[places[0, 0], 0]][data.pieces[places[0, 0], 1] + places[0, 1] :][:60]
    assert np.array_equal(data.batch((4,), 40, 60)[0].T.numpy(), codes_TC)  # the same crops
    assert all(len(beats) == 0 for beats in data.batch_beats((4,), 9, 4000))  # pieces repeated without regard to beats
    later = tokenize_folder(tmp_path / "audio", tmp_path / "t2", codec, turn=1)
    assert later.n_files == 3
    moved = open_tokens(tmp_path / "t2").beats[1]
    assert moved == pytest.approx((np.array([0.5, 1.0, 1.5]) * 44100 - 256) / 768, abs=0.01)


def test_tokens_of_another_codec_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="come from codec"):
        tokenize_folder(folder / "audio", folder / "tokens", tiny_codec(seed=3))
    save_bundle(tmp_path / "codec", tiny_codec(seed=3))
    recipe = masked_recipe(folder, tmp_path / "r.yaml")
    recipe.write_text(recipe.read_text().replace(str(folder / "codec"), str(tmp_path / "codec")))
    with pytest.raises(CorpusError, match="tokens of codec"):
        train(recipe, tmp_path / "run", device="cpu")


def test_damaged_shard_is_named(folder: Path, tmp_path: Path) -> None:
    codec = load_bundle(folder / "codec").codec
    tokenize_folder(folder / "audio", tmp_path / "t", codec)
    shard = tmp_path / "t" / "shard-00000.u16"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(CorpusError, match="damaged shard"):
        open_tokens(tmp_path / "t")
    with pytest.raises(CorpusError, match="no token shards"):
        open_tokens(tmp_path)


def test_wave_cache_follows_the_folder(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(1.0))
    first = open_waves(tmp_path, 44100)
    assert first.n_files == 1 and first.starts[-1] == 44100
    write(tmp_path / "b.wav", tone(2.0, rate_hz=22050))
    assert open_waves(tmp_path, 44100).starts[-1] == 3 * 44100
    batch = first.batch((3,), 4, 60000, 6.0)
    assert batch.shape == (4, 60000) and torch.equal(batch, first.batch((3,), 4, 60000, 6.0))
    with pytest.raises(CorpusError, match="no audio files"):
        open_waves(folder / "codec", 44100)
