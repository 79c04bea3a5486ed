"""The choice of excerpts, and that none was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import tone
from vampnet.audio.files import Audio, write
from vampnet.errors import AudioError, CorpusError
from vampnet.evaluation.experiments.excerpts import (
    EvaluationExcerpt,
    check_disjoint,
    choose_excerpts,
    excerpts_digest,
    read_excerpt,
)
from vampnet.models.weights import sha256_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pieces of 3.5 s, one with a silent second, one too short, and an index."""
    root = tmp_path_factory.mktemp("music")
    lines = []
    for k, length_s in enumerate((3.5, 3.5, 3.5, 0.5)):
        samples = tone(length_s, 16000, channels=2, seed=k).samples
        if k == 1:
            samples[:, 16000:32000] = 0
        write(root / f"{k}.wav", Audio(samples, 16000))
        lines.append(json.dumps({"file": f"{k}.wav", "split": "test", "seed": 5, "index": k, "composer": f"c{k}"}))
    (root / "index.jsonl").write_text("\n".join(lines))
    return root


def test_one_of_each_piece_first_and_more_only_add(folder: Path) -> None:
    few, more = (choose_excerpts(folder, n, 1.0, seed=0) for n in (3, 8))
    assert more[:3] == few and len({e.path for e in few}) == 3
    assert len({(e.path, e.start_s) for e in more}) == 8 and all(e.start_s in (0, 1, 2) for e in more)
    assert ("1.wav", 1.0) not in {(Path(e.path).name, e.start_s) for e in more}  # silent
    assert choose_excerpts(folder, 3, 1.0, seed=0) == few != choose_excerpts(folder, 3, 1.0, seed=1)


def test_too_few_is_an_error_unless_what_there_is_will_do(folder: Path) -> None:
    assert len(choose_excerpts(folder, 100, 1.0, seed=0, at_most=True)) == 8
    with pytest.raises(CorpusError, match="100 excerpts of 1 s are asked for, but its 4 files hold 8"):
        choose_excerpts(folder, 100, 1.0, seed=0)


def test_read_is_the_stretch_as_mono(folder: Path) -> None:
    excerpt = choose_excerpts(folder, 1, 1.0, seed=0)[0]
    number = int(Path(excerpt.path).stem)
    whole = tone(3.5, 16000, channels=2, seed=number).samples.mean(axis=0)
    start = round(excerpt.start_s * 16000)
    samples, rate_hz = read_excerpt(excerpt)
    assert rate_hz == 16000 and np.allclose(samples[0], whole[start : start + 16000], atol=1e-4)
    assert read_excerpt(excerpt, 8000)[0].shape == (1, 8000)
    with pytest.raises(AudioError, match="cannot be read any more"):
        read_excerpt(EvaluationExcerpt("/nowhere/a.wav", "", 0.0, 1.0))


def test_digest_names_content_not_place(folder: Path, tmp_path: Path) -> None:
    one = choose_excerpts(folder, 2, 1.0, seed=0)
    for e in one:
        (tmp_path / Path(e.path).name).write_bytes(Path(e.path).read_bytes())
    moved = [EvaluationExcerpt(str(tmp_path / Path(e.path).name), e.digest, e.start_s, e.length_s) for e in one]
    assert excerpts_digest(moved) == excerpts_digest(one) != excerpts_digest(one[:1])


def test_music_that_was_trained_on_is_refused(folder: Path, tmp_path: Path) -> None:
    chosen = choose_excerpts(folder, 3, 1.0, seed=0)
    first = Path(chosen[0].path)
    (tmp_path / "renamed.wav").write_bytes(first.read_bytes())
    with pytest.raises(CorpusError, match=f"{first.name} .sha256"):
        check_disjoint(chosen, tmp_path)
    hashes = tmp_path / "hashes.txt"
    hashes.write_text(sha256_of(first) + "\n")
    with pytest.raises(CorpusError, match="sha256"):
        check_disjoint(chosen, hashes)
    line = {"file": "other.flac", "split": "test", "seed": 5, "index": int(first.stem)}
    (tmp_path / "index.jsonl").write_text(json.dumps(line))
    with pytest.raises(CorpusError, match=f"seed:test/5/{first.stem}"):
        check_disjoint(chosen, tmp_path / "index.jsonl")
    (tmp_path / "index.jsonl").write_text(json.dumps({"file": "other.flac", "artist": f"c{first.stem}"}))
    with pytest.raises(CorpusError, match=f"artist:c{first.stem}"):
        check_disjoint(chosen, tmp_path / "index.jsonl")


def test_what_was_compared_is_said(folder: Path, tmp_path: Path) -> None:
    chosen = choose_excerpts(folder, 3, 1.0, seed=0)
    (tmp_path / "index.jsonl").write_text(json.dumps({"file": "x.flac", "split": "train", "seed": 5, "index": 0}))
    found = check_disjoint(chosen, tmp_path / "index.jsonl")
    assert found.compared == ("seed",) and "3 pieces against 1" in str(found)
    assert str(check_disjoint(chosen, None)).startswith("not checked")
    with pytest.raises(CorpusError, match="no such list"):
        check_disjoint(chosen, tmp_path / "nothing")
