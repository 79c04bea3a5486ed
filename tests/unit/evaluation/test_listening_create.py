"""Making a listening test: its audio, its trials, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.listening import RATE_HZ, TONES_HZ, make_test, tone_of, write_conditions
from vampnet.apps.cli.main import main
from vampnet.audio.files import Audio, write
from vampnet.audio.loudness import measure
from vampnet.errors import AudioError, ListeningError, SettingsError
from vampnet.evaluation.listening.create import create_test
from vampnet.evaluation.listening.design import ANCHORS_HZ, ListeningConfig, load_test
from vampnet.evaluation.listening.stimuli import find_items, low_pass, prepare, true_peak


def decoded(folder: Path, stimulus: str) -> tuple[np.ndarray, int]:
    script = (folder / "audio" / f"{stimulus}.js").read_text()
    match = re.fullmatch(r'vampnetAudio\("(\w+)","(.+)"\);\n', script)
    assert match is not None and match[1] == stimulus
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(match[2])), always_2d=True)
    return samples.T, rate


@pytest.mark.parametrize("cutoff_hz", sorted(ANCHORS_HZ.values()))
def test_anchors_meet_the_recommendation(cutoff_hz: float) -> None:
    for rate_hz in (44100, 48000):
        impulse = np.zeros((1, 16384), np.float32)
        impulse[0, 8192] = 1
        filtered = low_pass(impulse, rate_hz, cutoff_hz)[0].astype(np.float64)
        gain_db = 20 * np.log10(np.abs(np.fft.rfft(filtered)) + 1e-12)
        hz = np.fft.rfftfreq(16384, 1 / rate_hz)
        assert np.abs(gain_db[hz <= cutoff_hz]).max() < 0.02
        assert gain_db[hz >= cutoff_hz * 4.0 / 3.5].max() < -59
        assert np.argmax(filtered) == 8192  # no delay
    with pytest.raises(ListeningError, match=r"16000 Hz, the files have 16000|8000 Hz, the files have 8000"):
        low_pass(impulse, 16000 if cutoff_hz == 7000 else 8000, cutoff_hz)


def test_loudness_is_matched_and_no_peak_clips(tmp_path: Path) -> None:
    found = find_items(write_conditions(tmp_path / "c"))
    prepared, rate_hz, target = prepare(found, ListeningConfig(loudness_lufs=-30))
    assert (rate_hz, target) == (RATE_HZ, -30)
    for entry in prepared:
        if entry.condition not in ANCHORS_HZ:
            assert measure(entry.samples, rate_hz) == pytest.approx(-30, abs=0.05), entry.condition
    # A click among quiet noise reaches full scale long before -10 LUFS: all others go down with it.
    rng = np.random.default_rng(0)
    click = (0.01 * rng.standard_normal((1, RATE_HZ))).astype(np.float32)
    click[0, 20000] = 0.9
    write(tmp_path / "c" / "fine" / "one.wav", Audio(click[:, : round(0.6 * RATE_HZ)], RATE_HZ))
    prepared, _, target = prepare(find_items(tmp_path / "c"), ListeningConfig(loudness_lufs=-10))
    peaks = [true_peak(entry.samples, rate_hz) for entry in prepared if entry.condition not in ANCHORS_HZ]
    assert max(peaks) == pytest.approx(10 ** (-1 / 20), rel=1e-3) and target < -25


def test_anchors_do_not_clip_either(tmp_path: Path) -> None:
    # A square wave loses its overtones and with them what held its peaks down.
    samples = np.sign(tone_of(3000, level=1).samples) * np.float32(0.5)
    samples[:, 900:] *= 0.01
    square = Audio(samples, RATE_HZ)
    for name in ("reference", "other"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "one.wav", square)
    prepared, rate_hz, _ = prepare(find_items(tmp_path), ListeningConfig(loudness_lufs=-10))
    peaks = {entry.condition: true_peak(entry.samples, rate_hz) for entry in prepared}
    assert max(peaks.values()) == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert peaks["reference"] < peaks["anchor35"]
    write(tmp_path / "other" / "one.wav", Audio(3 * square.samples, RATE_HZ), subtype="FLOAT")
    with pytest.raises(ListeningError, match=r"other/one has a peak of 1\.50"):
        prepare(find_items(tmp_path), ListeningConfig(match_loudness=False))


def test_anchor_has_the_gain_of_the_reference(tmp_path: Path) -> None:
    prepared, _, _ = prepare(find_items(write_conditions(tmp_path / "c")), ListeningConfig())
    gains = {entry.condition: entry.gain_db for entry in prepared if entry.item == "one"}
    assert gains["anchor35"] == gains["anchor70"] == gains["reference"] != gains["fine"]


def test_levels_can_stay(tmp_path: Path) -> None:
    test = make_test(tmp_path, "preference", match_loudness=False)
    assert {stimulus.gain_db for stimulus in test.stimuli} == {0}
    quiet, loud = (next(s.id for s in test.stimuli if s.condition == name) for name in ("reference", "fine"))
    ratio = np.abs(decoded(tmp_path / "test", loud)[0]).max() / np.abs(decoded(tmp_path / "test", quiet)[0]).max()
    assert ratio == pytest.approx(3, rel=1e-3)


def test_rates_and_channels_are_brought_together(tmp_path: Path) -> None:
    folder = write_conditions(tmp_path / "c", ("one",))
    write(folder / "fine" / "one.wav", tone_of(600, 0.62, rate_hz=48000, channels=2))
    test = create_test(folder, tmp_path / "test", ListeningConfig()).test
    shapes = {decoded(tmp_path / "test", s.id)[0].shape for s in test.stimuli}
    assert test.sample_rate_hz == 48000 and shapes == {(2, 28800)}  # the shortest: 0.6 s


def test_mushra_holds_the_hidden_reference_and_anchors(tmp_path: Path) -> None:
    test = make_test(tmp_path, "mushra")
    assert test == load_test(tmp_path / "test")
    assert test.conditions == ("coarse", "fine", "reference", "anchor35", "anchor70")
    for trial in test.trials:
        shown = [test.by_id[id_] for id_ in trial.stimuli]
        assert sorted(s.condition for s in shown) == sorted(test.conditions)
        assert {s.item for s in shown} == {trial.item} and test.by_id[str(trial.reference)].condition == "reference"
    plain = create_test(tmp_path / "conditions", tmp_path / "plain", ListeningConfig(anchors=False)).test
    assert len(plain.trials[0].stimuli) == 3 and plain.id != test.id


def test_pairs_and_repeats(tmp_path: Path) -> None:
    abx = make_test(tmp_path, "abx")
    pairs = [{abx.by_id[id_].condition for id_ in trial.stimuli} for trial in abx.trials]
    assert len(pairs) == 2 * 2 * 4 and all("reference" in pair for pair in pairs)  # items, others, repeats
    assert len({trial.id for trial in abx.trials}) == 16
    for settings, n in ((ListeningConfig(kind="preference"), 6), (ListeningConfig(kind="abx", repeats=1), 4)):
        assert len(create_test(tmp_path / "conditions", tmp_path / f"{n}", settings).test.trials) == n


def test_training_item_is_not_scored(tmp_path: Path) -> None:
    test = make_test(tmp_path, "preference", training="two")
    assert test.training.item == "two" and {trial.item for trial in test.trials} == {"one"}
    with pytest.raises(ListeningError, match="items are: one, two"):
        create_test(tmp_path / "conditions", tmp_path / "x", ListeningConfig(training="three"))


def test_page_is_blind_and_self_contained(tmp_path: Path) -> None:
    test = make_test(tmp_path, "mushra", items=("secretname",), title="</script><b>A & B {{STYLE}}")
    page = (tmp_path / "test" / "index.html").read_text(encoding="utf-8")
    for word in ("secretname", '"coarse"', "anchor35", *(s.sha256 for s in test.stimuli)):
        assert word not in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", page.split("<script>")[0]) and "https://" not in page
    assert page.count("</script>") == 1 and "&lt;/script&gt;" in page and "<title>&lt;/script" in page
    assert sorted(p.name for p in (tmp_path / "test").iterdir()) == ["audio", "index.html", "test.json"]
    assert json.loads((tmp_path / "test" / "test.json").read_text())["settings"]["title"].endswith("{{STYLE}}")


def test_refusals(tmp_path: Path) -> None:
    folder = write_conditions(tmp_path / "c")

    def refused(match: str, error: type[Exception] = ListeningError, **settings: object) -> None:
        with pytest.raises(error, match=match):
            create_test(folder, tmp_path / "t", ListeningConfig(**settings))  # type: ignore[arg-type]
        assert not (tmp_path / "t").exists() and not list(tmp_path.glob(".t-*"))

    refused("kind is 'x'", SettingsError, kind="x")
    refused("repeats is -1", SettingsError, repeats=-1)
    refused("bits is 8", SettingsError, bits=8)
    refused("submit_url is 'ftp", SettingsError, submit_url="ftp://x")
    refused("at least 0.5", start_s=0.3)
    write(folder / "fine" / "one.wav", tone_of(600, 0.8))
    refused("one: 0.60 s in .*, 0.80 s in fine")
    write(folder / "fine" / "one.wav", tone_of(600, 61, rate_hz=8000))
    refused("longer than 60 s")
    (folder / "fine" / "one.wav").write_bytes(b"nothing")
    refused("not an audio file", AudioError)
    (folder / "fine" / "one.wav").unlink()
    refused("missing: fine/one")
    write(folder / "fine" / "one.flac", tone_of(600))
    write(folder / "fine" / "one.wav", tone_of(600))
    refused("same stem")
    (folder / "fine" / "one.flac").unlink()
    (folder / "reference").rename(folder / "original")
    refused("needs a folder named 'reference', there are: coarse, fine, original", kind="mushra")
    (folder / "original").rename(folder / "anchor35")
    refused("kept for the anchor", kind="abx")
    with pytest.raises(ListeningError, match="0 folders with audio"):
        find_items(tmp_path / "c" / "fine")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_conditions(tmp_path / "c")
    arguments = ["listen", "create", str(folder), "-o", str(tmp_path / "t"), "--kind", "preference"]
    assert main([*arguments, "--allow-tie", "false", "--start-s", "0.05", "--length-s", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "preference, 6 trials" in out and "loudness -23.0 LUFS" in out
    test = load_test(tmp_path / "t")
    assert test.settings.allow_tie is False and test.trials[0].duration_s == 0.5
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert set(TONES_HZ) == set(test.conditions)
