"""Listening tests in a real browser, by keyboard, from the first page to the analysed result.

Every condition is a tone of its own, so what is heard can be compared with what the result says was heard.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.listening import TONES_HZ, make_test
from vampnet.apps.cli.main import main
from vampnet.evaluation.listening.design import ListeningTest
from vampnet.evaluation.listening.results import load_results
from vampnet.evaluation.listening.serve import ListeningServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# Lets a test hear: all that goes to the speakers goes to an analyser as well.
EAR = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode && this.context instanceof AudioContext) {
    if (!window.ear) {
      window.ear = this.context.createAnalyser();
      window.ear.fftSize = 2048;
      window.ear.smoothingTimeConstant = 0;
    }
    connect.call(this, window.ear);
  }
  return connect.call(this, target, ...rest);
};
window.heardHz = () => {
  const bins = new Float32Array(window.ear.frequencyBinCount);
  window.ear.getFloatFrequencyData(bins);
  const peak = bins.indexOf(Math.max(...bins));
  return bins[peak] < -60 ? 0 : (peak * window.ear.context.sampleRate) / window.ear.fftSize;
};
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1000, "height": 800}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(20000)
    opened.add_init_script(EAR)
    opened.problems = []
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("console", lambda message: opened.problems.append(message.text) if message.type == "error" else None)
    yield opened
    assert opened.problems == []
    context.close()


def begin(page: Any, url: str) -> None:
    """To the first trial, training included, by keyboard alone."""
    page.goto(url)
    page.keyboard.press("Enter")
    assert page.inner_text("h1") == "Listening test"  # not without consent
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector(".transport")
    page.keyboard.press("Space")
    hear(page)
    page.keyboard.press("Enter")
    page.wait_for_selector(".callout")


def hear(page: Any) -> float:
    """The frequency that is heard, once it stays the same."""
    before = 0.0
    for _ in range(200):
        now = page.evaluate("window.ear ? heardHz() : 0")
        if now and now == before:
            return now
        before = now
        page.wait_for_timeout(25)
    raise AssertionError("nothing is heard")


def listen(page: Any, label: str) -> str:
    """Play one stimulus by its key; the name of the condition that is heard."""
    page.keyboard.press(label)
    page.wait_for_timeout(90)  # cross-fade and a new analysis window
    hz = hear(page)
    return min(TONES_HZ, key=lambda name: abs(TONES_HZ[name] - hz))


def finish_on_file(page: Any, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    with page.expect_download() as started:
        page.click("text=Download my answers")
    started.value.save_as(folder / started.value.suggested_filename)
    return json.loads((folder / started.value.suggested_filename).read_text())


def condition(test: ListeningTest, id_: str) -> str:
    return test.by_id[id_].condition


def test_mushra_from_a_folder(page: Any, tmp_path: Path) -> None:
    test = make_test(tmp_path, "mushra")
    begin(page, (tmp_path / "test" / "index.html").as_uri() + "?seed=7")
    rate_all(page, {})
    page.keyboard.press("Enter")
    heard = []
    for number in (1, 2):
        page.wait_for_selector(f"#step:has-text('{number} of 2')")
        page.wait_for_selector("button[data-label=A]")
        assert listen(page, "r") == "reference"
        if number == 1:
            interrupt(page)
        heard.append(rate_all(page, {"reference": 100, "fine": 80, "coarse": 35}))
        page.keyboard.press("Enter")
    page.wait_for_selector("text=Thank you")
    result = finish_on_file(page, tmp_path / "results")
    assert (result["seed"], result["resumed"], result["participant"]) == (7, 1, "")
    for trial, sounds in zip(result["trials"], heard, strict=True):
        names = [condition(test, id_) for id_ in trial["order"]]
        assert [name.replace("anchor35", "reference").replace("anchor70", "reference") for name in names] == sounds
        expected = {"reference": 100, "anchor35": 100, "anchor70": 100, "fine": 80, "coarse": 35}
        assert trial["ratings"] == [expected[name] for name in names] and min(trial["plays"]) >= 1
    report = tmp_path / "report.html"
    assert main(["listen", "analyse", str(tmp_path / "test"), str(tmp_path / "results"), "-o", str(report)]) == 0
    scores = {
        row["condition"]: row["mean"] for row in json.loads(report.with_suffix(".json").read_text())["scores_of_all"]
    }
    assert scores == {"reference": 100, "anchor35": 100, "anchor70": 100, "fine": 80, "coarse": 35}


def rate_all(page: Any, scores: dict[str, int]) -> list[str]:
    """Hear A to E and rate what is heard, by keyboard; the conditions in that order."""
    heard = []
    for label in "abcde":
        assert page.is_disabled(".next")
        heard.append(listen(page, label))
        score = scores.get(heard[-1], 100)
        page.keyboard.press("End")
        for _ in range((100 - score) // 10):
            page.keyboard.press("Shift+ArrowDown")
        for _ in range((100 - score) % 10):
            page.keyboard.press("ArrowLeft")
    assert page.is_enabled(".next")
    return heard


def interrupt(page: Any) -> None:
    """A reload in the middle of a trial loses nothing."""
    listen(page, "b")
    page.keyboard.press("End")
    order = page.evaluate("localStorage.length")
    page.reload()
    page.wait_for_selector("button[data-label=B]")
    assert page.inner_text("#step").startswith("1 of 2") and order == 1
    assert (
        page.input_value("[aria-label='Rating of B']") == "100"
        and page.input_value("[aria-label='Rating of A']") == "50"
    )
    assert [node.inner_text() for node in page.query_selector_all(".value")] == ["–", "100", "–", "–", "–"]


def test_abx_through_the_server(page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = make_test(tmp_path, "abx", items=("one",), repeats=2, ask_participant=True)
    database = tmp_path / "results.sqlite"
    with ListeningServer(tmp_path / "test", database, port=0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        begin_with_id(page, server.url + "?seed=11")
        correct = {"coarse": 0, "fine": 0}
        for number in range(5):  # training first
            page.wait_for_selector("button[data-label=X]")
            sounds = [listen(page, label) for label in "abx"]
            # Hears the coarse one always, and takes the fine one for A.
            right = "1" if sounds[2] == sounds[0] else "2"
            answer = right if "coarse" in sounds else "1"
            page.keyboard.press(answer)
            if number:
                correct["coarse" if "coarse" in sounds else "fine"] += answer == right
            page.keyboard.press("Enter")
        page.wait_for_selector("text=Your answers have arrived")
        assert server.store.count() == 1
        page.reload()  # what was sent is not sent again
        page.wait_for_selector("text=Your answers have arrived")
        server.shutdown()
    (result,), refused = load_results(test, database)
    assert result["participant"] == "Ann-1" and refused == []
    assert main(["listen", "analyse", str(tmp_path / "test"), str(database), "--json"]) == 0
    pairs = {pair["other"]: pair["pooled"] for pair in json.loads(capsys.readouterr().out)["pairs"]}
    assert {name: pooled["n_correct"] for name, pooled in pairs.items()} == correct and correct["coarse"] == 2
    assert pairs["coarse"]["p"] == 1 / 4 and pairs["fine"]["n_trials"] == 2


def begin_with_id(page: Any, url: str) -> None:
    page.goto(url)
    page.fill("#participant", " =Ann-1<>")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector(".transport")
    page.keyboard.press("Enter")


def test_preference_when_the_server_is_away_at_first(
    page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    test = make_test(tmp_path, "preference", items=("one",), submit_url=f"http://127.0.0.1:{port}/results")
    begin(page, (tmp_path / "test" / "index.html").as_uri())
    for _ in range(4):  # training first
        page.wait_for_selector("button[data-label=B]")
        sounds = [listen(page, label) for label in "ab"]
        # Fine is better than reference, which is as good as coarse.
        page.keyboard.press("2" if "fine" not in sounds else "13"[sounds.index("fine")])
        page.keyboard.press("Enter")
    page.wait_for_selector("text=could not be sent")
    assert [text for text in page.problems if "ERR_CONNECTION_REFUSED" not in text] == []
    page.problems.clear()
    result = finish_on_file(page, tmp_path / "results")
    database = tmp_path / "results.sqlite"
    with ListeningServer(tmp_path / "test", database, port=port, allow_origin="null") as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        page.click("text=Send again")
        page.wait_for_selector("text=Your answers have arrived")
        server.shutdown()
    assert load_results(test, database) == ([result], []) == load_results(test, tmp_path / "results")
    assert main(["listen", "analyse", str(tmp_path / "test"), str(database), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    chosen = {share["condition"]: share["n_chosen"] for share in found["overall"]}
    assert chosen == {"fine": 2, "reference": 0, "coarse": 0} and len(result["trials"]) == 3
    none = {
        frozenset((pair["one"]["condition"], pair["other"]["condition"])): pair["n_none"] for pair in found["pairs"]
    }
    assert none[frozenset(("reference", "coarse"))] == 1 and sum(none.values()) == 1


SWITCH = """async () => {
  const context = new OfflineAudioContext(1, 44100, 44100);
  const noise = context.createBuffer(1, 22050, 44100);
  const samples = noise.getChannelData(0);
  for (let k = 0; k < samples.length; k += 1) samples[k] = Math.sin(k * k);
  const player = new vampnetListening.Player(context);
  player.load(new Map([["A", noise], ["B", noise]]));
  player.setRegion(0.0, 0.5);
  player.play("A");
  for (const at of [0.2, 0.203, 0.7]) context.suspend(at).then(() => {
    player.play(at === 0.203 ? "A" : "B");
    context.resume();
  });
  const out = (await context.startRendering()).getChannelData(0);
  const first = out.findIndex((x) => x !== 0);
  let error = 0;
  // One sample before the first that is not zero: the fade begins at zero. The loop's ends are faded and left out.
  for (let k = 2000; k < 40000; k += 1) {
    const at = (k - first + 1) % 22050;
    if (at > 300 && at < 21750) error = Math.max(error, Math.abs(out[k] - samples[at]));
  }
  return { first, error };
}"""


def test_switching_is_exact_to_the_sample(page: Any, tmp_path: Path) -> None:
    make_test(tmp_path, "abx", items=("one",))
    page.goto((tmp_path / "test" / "index.html").as_uri())
    # Twice the same noise: if both did not run in step, or a switch left a gap, it would not come out unchanged.
    found = page.evaluate(SWITCH)
    assert found["error"] < 1e-5 and abs(found["first"] - 0.03 * 44100) < 130  # started ahead by 30 ms
    starts = page.evaluate(
        "() => { const r = vampnetListening.randomOf; return [...Array(2000).keys()].map((k) => r(k)() < 0.5 ? 1 : 0)"
        ".reduce((a, b) => a + b) }"
    )
    assert 880 < starts < 1120  # neighbouring seeds are as good as any


def test_a_browser_that_stores_nothing_says_so(page: Any, tmp_path: Path) -> None:
    make_test(tmp_path, "abx", items=("one",))
    page.add_init_script("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }")
    page.goto((tmp_path / "test" / "index.html").as_uri())
    assert "stores nothing" in page.inner_text("main")
    page.check("#consent")
    page.keyboard.press("Enter")
    page.wait_for_selector(".transport")


def test_loop_region_by_keys_and_pointer(page: Any, tmp_path: Path) -> None:
    make_test(tmp_path, "preference", items=("one",), repeats=1)
    page.goto((tmp_path / "test" / "index.html").as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector(".handle.start")
    page.focus(".handle.start")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".times") == "Loop 0.1 to 0.6 s"
    page.keyboard.press("0")
    assert page.inner_text(".times") == "Loop 0.0 to 0.6 s"
    box = page.query_selector(".track").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 20, steps=4)
    page.mouse.up()
    text = page.inner_text(".times")
    assert text == "Loop 0.1 to 0.6 s" and page.is_enabled("text=Whole")
