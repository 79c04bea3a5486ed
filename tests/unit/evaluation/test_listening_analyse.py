"""From results to figures: against answers whose analysis is known."""

from __future__ import annotations

import copy
import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.support.listening import make_test, rated, result_of
from vampnet.apps.cli.main import main
from vampnet.errors import ListeningError
from vampnet.evaluation.listening.analyse import analyse
from vampnet.evaluation.listening.choices import AbxAnalysis, PreferenceAnalysis
from vampnet.evaluation.listening.design import ListeningTest, Trial
from vampnet.evaluation.listening.inference import binomial_p, holm, t_interval, wilcoxon_p, wilson_interval
from vampnet.evaluation.listening.mushra import MushraAnalysis, Rating, screen
from vampnet.evaluation.listening.results import check_result, load_results, parse_result


@pytest.fixture(scope="module")
def mushra(tmp_path_factory: pytest.TempPathFactory) -> tuple[ListeningTest, Path]:
    root = tmp_path_factory.mktemp("mushra")
    return make_test(root, "mushra", ask_participant=True, title="Codecs <1>"), root / "test"


def listeners(test: ListeningTest) -> list[dict[str, Any]]:
    """Seven who hear well, one who does not hear the reference, one who likes the anchor."""
    results = []
    for k in range(7):
        scores = {"reference": 100, "fine": 80 + k, "coarse": 40 + 2 * k, "anchor70": 50, "anchor35": 20}
        results.append(result_of(test, k, rated(test, scores), f"p{k}"))
    scores = {"reference": 60, "fine": 61, "coarse": 62, "anchor70": 63, "anchor35": 64}
    results.append(result_of(test, 7, rated(test, scores), "deaf"))
    scores = {"reference": 95, "fine": 93, "coarse": 94, "anchor70": 91, "anchor35": 0}
    return [*results, result_of(test, 8, rated(test, scores), "dull")]


def test_statistics_against_known_values() -> None:
    # Student's t of 1..5: 3 +- 2.776 * sqrt(2.5 / 5); Wilson of 8 in 10, and of none.
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((1.0368, 4.9632), abs=1e-4)
    assert all(math.isnan(x) for x in (*t_interval([1.0]), *wilson_interval(0, 0)))
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    # 9 or more of 10 heads: 11 / 1024; 12 of 16 is the usual bar of ABX tests.
    assert binomial_p(9, 10, "greater") == pytest.approx(11 / 1024)
    assert binomial_p(12, 16, "greater") == pytest.approx(0.0384, abs=1e-4)
    assert binomial_p(0, 0, "greater") == 1
    # All six differences of one sign: 2 / 2**6. Zeros say nothing.
    assert wilcoxon_p([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert wilcoxon_p([0, 1, 2, 3, 4, 5, 6, 0]) == pytest.approx(2 / 64) and wilcoxon_p([0, 0]) == 1
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


def test_mushra_scores_and_screening(mushra: tuple[ListeningTest, Path]) -> None:
    test, _ = mushra
    found = analyse(test, listeners(test)).found
    assert isinstance(found, MushraAnalysis)
    assert {entry.listener for entry in found.screening if entry.excluded} == {"deaf", "dull"}
    scores = {score.condition: score for score in found.scores}
    assert [score.condition for score in found.scores] == ["reference", "fine", "anchor70", "coarse", "anchor35"]
    fine = scores["fine"]
    assert (fine.mean, fine.median, fine.n_listeners, fine.n_ratings) == (83, 83, 7, 14)
    half = stats.t.ppf(0.975, 6) * np.std(range(7), ddof=1) / 7**0.5
    assert (fine.t_low, fine.t_high) == pytest.approx((83 - half, 83 + half))
    assert 83 - half < fine.bootstrap_low < 83 < fine.bootstrap_high < 83 + half
    assert {s.condition: s.n_listeners for s in found.scores_of_all}["fine"] == 9
    pair = next(c for c in found.comparisons if {c.one, c.other} == {"fine", "coarse"})
    assert abs(pair.mean_difference) == pytest.approx(37) and pair.p == pytest.approx(2 / 2**7)
    assert pair.p_holm == pytest.approx(10 * 2 / 2**7)  # ten pairs of five conditions, all with this p
    assert found.item_means["one"]["coarse"] == pytest.approx(46)


def test_screening_takes_more_than_15_percent_and_spares_weak_anchors() -> None:
    def ratings(listener: str, low: int, high: int, n: int = 20) -> list[Rating]:
        rows = [Rating(listener, f"t{k}", f"i{k}", "reference", 80 if k < low else 90, 1) for k in range(n)]
        return rows + [Rating(listener, f"t{k}", f"i{k}", "anchor70", 91 if k < high else 90, 1) for k in range(n)]

    found = screen([*ratings("a", 3, 0), *ratings("b", 4, 0), *ratings("c", 0, 3), *ratings("d", 0, 4)])
    # Items 0 to 2 are rated high by two of four listeners: they do not count, so neither c nor d is above 15 %.
    assert [entry.excluded for entry in found] == [False, True, False, False]
    found = screen([*ratings("a", 3, 0), *ratings("d", 0, 4)])
    assert [entry.excluded for entry in found] == [False, True]


def test_one_listener_has_no_interval(mushra: tuple[ListeningTest, Path]) -> None:
    test, _ = mushra
    analysis = analyse(test, listeners(test)[:1])
    text = json.dumps(analysis.to_json(), allow_nan=False)
    assert '"t_low": null' in text


def test_abx(tmp_path: Path) -> None:
    test = make_test(tmp_path, "abx")

    def answer(correct: dict[str, int]) -> Any:
        seen: dict[str, int] = {}

        def one(trial: Trial, order: list[str]) -> dict[str, Any]:
            pair = next(c for c in (test.by_id[id_].condition for id_ in order) if c != "reference")
            seen[pair] = seen.get(pair, 0) + 1
            x = order[seen[pair] % 2]
            return {"x": x, "answer": x if seen[pair] <= correct[pair] else order[order.index(x) - 1]}

        return one

    # Eight trials a pair and listener: fine 5 and 4 correct, coarse 8 and 7.
    results = [
        result_of(test, k, answer(c)) for k, c in enumerate(({"fine": 5, "coarse": 8}, {"fine": 4, "coarse": 7}))
    ]
    found = analyse(test, results).found
    assert isinstance(found, AbxAnalysis)
    coarse, fine = found.pairs
    assert (coarse.one, coarse.other, fine.other) == ("reference", "coarse", "fine")
    assert (coarse.pooled.n_correct, coarse.pooled.n_trials, fine.pooled.n_correct) == (15, 16, 9)
    assert coarse.pooled.p == pytest.approx(17 / 2**16) and coarse.pooled.p_holm == pytest.approx(34 / 2**16)
    assert [count.p for count in coarse.listeners] == pytest.approx([1 / 256, 9 / 256])
    assert (coarse.pooled.wilson_low, coarse.pooled.wilson_high) == pytest.approx(wilson_interval(15, 16))


def test_preference(tmp_path: Path) -> None:
    test = make_test(tmp_path, "preference")

    def answer(k: int) -> Any:
        def one(trial: Trial, order: list[str]) -> dict[str, Any]:
            names = [test.by_id[id_].condition for id_ in order]
            if "fine" in names:
                return {"answer": order[names.index("fine")]}
            return {"answer": None if k % 2 else order[0]}  # coarse against reference

        return one

    found = analyse(test, [result_of(test, k, answer(k)) for k in range(6)]).found
    assert isinstance(found, PreferenceAnalysis)
    pairs = {(pair.one.condition, pair.other.condition): pair for pair in found.pairs}
    fine = pairs["coarse", "fine"]
    assert (fine.one.n_chosen, fine.other.n_chosen, fine.n_none) == (0, 12, 0)
    assert fine.p_trials == pytest.approx(2 / 2**12) and fine.p_listeners == pytest.approx(2 / 2**6)
    assert (fine.n_listeners_one, fine.n_listeners_other) == (0, 6)
    assert fine.p_listeners_holm == pytest.approx(3 * 2 / 2**6)
    assert pairs["reference", "coarse"].n_none == 6
    assert (found.overall[0].condition, found.overall[0].share) == ("fine", 1.0)


def broken(result: dict[str, Any], place: list[Any], value: Any) -> dict[str, Any]:
    copied = copy.deepcopy(result)
    inner: Any = copied
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copied


BAD_PLACES: list[tuple[list[Any], Any, str]] = [
    (["format"], "x", "format is 'x'"),
    (["version"], 2, "version is 2"),
    (["test"], "0" * 16, "the id of this test"),
    (["submission"], "A" * 32, "32 hexadecimal"),
    (["submission"], 7, "32 hexadecimal"),
    (["seed"], -1, "seed is -1"),
    (["seed"], True, "seed is True"),
    (["participant"], "=cmd()", "letters, digits"),
    (["participant"], "x" * 65, "at most 64"),
    (["started"], "yesterday", "started"),
    (["resumed"], 1.5, "resumed is 1.5"),
    (["extra"], 1, "wrong keys: \\['extra'\\]"),
    (["trials"], {}, "a list"),
    (["trials"], [], "2 are missing"),
    (["trials", 1, "id"], "t001", "each once"),
    (["trials", 0, "id"], ["t001"], "each once"),
    (["trials", 0, "order", 0], "0" * 12, "the stimuli of the trial"),
    (["trials", 0, "order", 0], [1], "the stimuli of the trial"),
    (["trials", 0, "ratings", 2], 101, "0 to 100"),
    (["trials", 0, "ratings", 2], 50.5, "0 to 100"),
    (["trials", 0, "ratings"], [1], "5 whole numbers"),
    (["trials", 0, "plays", 0], 0, "at least 1"),
    (["trials", 0, "seconds"], -1, "seconds"),
    (["trials", 0, "reference_plays"], "1", "reference_plays"),
    (["trials", 0, "x"], None, "wrong keys"),
]


def test_results_are_checked_in_every_part(mushra: tuple[ListeningTest, Path]) -> None:
    test, _ = mushra
    good = listeners(test)[0]
    check_result(test, good)
    for place, value, message in BAD_PLACES:
        with pytest.raises(ListeningError, match=message):
            check_result(test, broken(good, place, value))
    for nothing in (None, [], "x", 1):
        with pytest.raises(ListeningError, match="must be an object"):
            check_result(test, nothing)
    for text in ("{", "NaN", '{"a": 1, "a": 1}', "[" * 100000, b"\xff"):
        with pytest.raises(ListeningError, match="not JSON"):
            parse_result(text)
    with pytest.raises(ListeningError, match="seconds is infinite"):
        check_result(test, parse_result(json.dumps(good).replace('"seconds": 9', '"seconds": 1e999')))


def test_answers_of_choices_are_checked(tmp_path: Path) -> None:
    test = make_test(tmp_path, "preference", items=("one",), allow_tie=False)
    good = result_of(test, 1, lambda trial, order: {"answer": order[0]})
    check_result(test, good)
    for value in (None, "A", test.trials[1].stimuli):
        with pytest.raises(ListeningError, match="one of the two stimuli"):
            check_result(test, broken(good, ["trials", 0, "answer"], value))
    with pytest.raises(ListeningError, match="at most 0 letters"):
        check_result(test, broken(good, ["participant"], "Ann"))


def test_report_of_a_folder(
    mushra: tuple[ListeningTest, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test, folder = mushra
    results = tmp_path / "results"
    results.mkdir()
    for k, result in enumerate(listeners(test)):
        (results / f"{k}.json").write_text(json.dumps(result))
    (results / "again.json").write_text(json.dumps(listeners(test)[0]))
    (results / "other.json").write_text(json.dumps(broken(listeners(test)[0], ["resumed"], 3)))
    (results / "bad.json").write_text("{}")
    report = tmp_path / "report.html"
    assert main(["listen", "analyse", str(folder), str(results), "-o", str(report)]) == 0
    out, err = capsys.readouterr()
    assert "9 results of 9 listeners" in out and "bad.json: result has the wrong keys" in err
    assert "other.json: submission 00000000 is there already, with other answers" in err
    page = report.read_text(encoding="utf-8")
    assert "<svg" in page and "Codecs &lt;1&gt;" in page and "Codecs <1>" not in page and "bad.json" in page
    assert "http://" not in page.replace("http://www.w3.org/", "") and "https://" not in page
    figures = json.loads(report.with_suffix(".json").read_text())
    assert figures["scores"][1]["mean"] == 83 and len(figures["refused"]) == 2
    with report.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * 2 * 5 and {row["condition"] for row in rows} == set(test.conditions)
    assert main(["listen", "analyse", str(folder), str(results / "3.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_results"] == 1


def test_what_cannot_be_analysed(
    mushra: tuple[ListeningTest, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test, folder = mushra
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([str(folder), str(tmp_path / "none")], "no such file or folder"),
        ([str(folder), str(tmp_path / "empty")], "no results of this test"),
        ([str(tmp_path), str(tmp_path / "empty")], "no listening test in it"),
        ([str(folder), str(tmp_path / "empty"), "-o", "x.pdf"], ".html file"),
    ):
        assert main(["listen", "analyse", *arguments]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "x.sqlite").write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(ListeningError, match="not a database of results"):
        load_results(test, tmp_path / "x.sqlite")
