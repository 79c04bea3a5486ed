"""Modules of the studio's page in a real browser: what is played, to the sample; prompts as text and as controls."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyloudnorm
import pytest

from vampnet.prompts.grammar import parse_prompt
from vampnet.prompts.presets import PRESETS


@pytest.fixture(scope="module")
def page(browser: Any, studio: tuple[str, Any]) -> Iterator[Any]:
    context = browser.new_context(bypass_csp=True)
    opened = context.new_page()
    opened.goto(f"{studio[0]}/studio/icon.svg")
    yield opened
    context.close()


PLAYED = """async ([kind]) => {
  const {Player} = await import('/studio/js/player.js')
  const rate = 44100, n = 30871, start = 7001, end = 25013, length = end - start
  const context = new OfflineAudioContext(1, 3 * rate, rate), player = new Player(context)
  const make = (factor, size = n) => {
    const buffer = context.createBuffer(1, size, rate), samples = buffer.getChannelData(0)
    for (let k = 0; k < size; k++) samples[k] = 0.5 * Math.sin(k * k * factor)
    return buffer
  }
  const A = make(1e-3), B = make(2e-3), C = make(3e-3), long = make(2e-3, 2 * n)
  const at = (buffer, k) => k >= 0 && k < buffer.length ? buffer.getChannelData(0)[k] : 0
  const fade = Math.ceil(0.0105 * rate)
  player.setSide('A', A)
  let expected, later = null
  if (kind === 'ab') {
    player.setSide('B', B)
    player.setRange(0, n / rate, true)
    player.play(0, 441 / rate)
    later = [1.0, () => player.setMix(1)]
    const turn = rate
    expected = (k) => k < 441 ? 0 : k < turn ? at(A, (k - 441) % n)
      : k < turn + fade + 128 ? null : at(B, (k - 441) % n)
  } else if (kind === 'swap') {
    player.setSide('B', B)
    player.setMix(1)
    player.setRange(start / rate, end / rate, true)
    player.play(start / rate, 0)
    later = [1.1, () => player.setSide('B', C, {when: 'end'})]
    const edge = Math.ceil((1.1 * rate) / length) * length
    expected = (k) => at(k < edge ? B : C, start + k % length)
  } else if (kind === 'now') {
    player.setSide('B', B)
    player.setMix(1)
    player.setRange(0, n / rate, true)
    player.play(0, 0)
    later = [1.0, () => player.setSide('B', C)]
    const turn = Math.round(1.03 * rate)
    expected = (k) => k < turn - 128 ? at(B, k % n) : k < turn + fade + 256 ? null : at(C, k % n)
  } else if (kind === 'range') {
    player.setRange(0, n / rate, true)
    player.play(0, 0)
    later = [0.3, () => player.setRange(start / rate, end / rate)]
    expected = (k) => at(A, k < end ? k : start + (k - end) % length)
  } else if (kind === 'before') {
    player.setSide('B', long, {at: -1000 / rate})
    player.setRange(-1000 / rate, (2 * n - 1000) / rate, true)
    player.play(-1000 / rate, 0)
    later = [1.9, () => player.setMix(1)]
    const turn = Math.round(1.9 * rate)
    expected = (k) => k < turn - 128 ? at(A, k % (2 * n) - 1000)
      : k < turn + fade + 256 ? null : at(long, k % (2 * n))
  } else if (kind === 'wet') {
    player.setSide('B', B)
    player.setMix(0.25)
    player.setRange(0, n / rate, true)
    player.play(0, 0)
    expected = (k) => 0.75 * at(A, k % n) + 0.25 * at(B, k % n)
  }
  if (later) context.suspend(later[0]).then(() => { later[1](); context.resume() })
  const heard = (await context.startRendering()).getChannelData(0)
  let worst = 0, compared = 0
  for (let k = 0; k < heard.length; k++) {
    const wanted = expected(k)
    if (wanted === null) continue
    compared += 1
    worst = Math.max(worst, Math.abs(heard[k] - wanted))
  }
  return {worst, compared}
}"""


@pytest.mark.parametrize("kind", ["ab", "swap", "now", "range", "before", "wet"])
def test_what_is_heard_is_exact_to_the_sample(page: Any, kind: str) -> None:
    """A/B at the same position, gapless loops, a swap at the loop's end and at once, another range, dry and wet."""
    found = page.evaluate(PLAYED, [kind])
    assert found["compared"] > 130_000
    assert found["worst"] < (1e-6 if kind == "wet" else 1e-9), found


def test_loudness_is_that_of_bs_1770(page: Any) -> None:
    noise = np.random.default_rng(0)
    for rate, channels, seconds in ((44100, 2, 6.0), (48000, 1, 3.0), (32000, 2, 4.0)):
        n = int(rate * seconds)
        envelope = np.where(np.arange(n) > n // 2, 1.0, 0.02)[:, None]
        sound = (noise.normal(0, 0.1, (n, channels)).cumsum(0) * 0.01 + noise.normal(0, 0.05, (n, channels))) * envelope
        sound = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        found = page.evaluate(
            """async ([rate, data]) => {
              const {loudnessOf} = await import('/studio/js/loudness.js')
              const length = atob(data[0]).length / 2
              const buffer = new AudioBuffer({length, numberOfChannels: data.length, sampleRate: rate})
              data.forEach((text, k) => {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
                buffer.copyToChannel(Float32Array.from(new Int16Array(bytes.buffer), (x) => x / 32768), k)
              })
              return loudnessOf(buffer)
            }""",
            [rate, [base64.b64encode(samples.tobytes()).decode() for samples in sound.T]],
        )
        assert found == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(sound / 32768), abs=0.1)
    silent = """async () => (await import('/studio/js/loudness.js')).loudnessOf(
        new AudioBuffer({length: 4410, sampleRate: 44100}))"""
    assert page.evaluate(silent) is None


ROUND = """async ([texts, presets]) => {
  const {controlsOf, textOf} = await import('/studio/js/prompt.js')
  return texts.map((text) => {
    const controls = controlsOf(text, presets)
    return controls && [textOf(controls), controls]
  })
}"""


def test_controls_and_text_of_prompts_make_each_other(page: Any) -> None:
    presets = {preset.name: preset.prompt for preset in PRESETS}
    texts = [
        *presets, *presets.values(),
        "periodic(5, 3)", "periodic(5, width=3) | onsets(after=0.02) & codebooks(4)",
        "(periodic(5, width=3) | onsets(after=20ms)) & codebooks(4) & drop(0.25)",
        "random(0.5)", "everything & drop(0.5)",
        "beats(0, 100ms, 2, downbeats) & codebooks(2)", "prefix(1.5) | suffix(750ms)",
    ]  # fmt: skip
    for text, made in zip(texts, page.evaluate(ROUND, [texts, presets]), strict=True):
        if text in ("keep-the-downbeats", presets["keep-the-downbeats"]) or ("onsets" in text and text[0] != "("):
            assert made is None or "onsets" not in text or parse_prompt(made[0]) == parse_prompt(text)
            continue
        assert made is not None, text
        assert parse_prompt(made[0]) == parse_prompt(text), (text, made)
    richer = ["keep(1, 2)", "beats(before=20ms)", "periodic(4, offset=2)", "periodic(3) & periodic(5)", "nonsense(", "",
              "beats(after=1b)"]  # fmt: skip
    assert page.evaluate(ROUND, [richer, presets]) == [None] * len(richer)


def test_every_control_changes_the_text_and_comes_back_from_it(page: Any) -> None:
    found = page.evaluate("""async () => {
      const {CONTROLS, controlsOf, textOf} = await import('/studio/js/prompt.js')
      const made = []
      for (const [part, fields] of Object.entries(CONTROLS)) {
        for (const [field, spec] of Object.entries(fields)) {
          for (const value of spec.choices ?? [spec.range[0], spec.range[1], spec.range[0] + spec.range[2]]) {
            const values = Object.fromEntries(Object.entries(fields).map(([name, {start}]) => [name, start]))
            values[field] = value
            const text = textOf({periodic: {period: 7, width: 1}, [part]: values})
            made.push([text, value, controlsOf(text)?.[part]?.[field]])
          }
        }
      }
      return made
    }""")
    assert len(found) > 30 and len({text for text, *_ in found}) > 25
    for text, put, back in found:
        parse_prompt(text)
        assert back == put, text


def test_painted_strokes_cover_each_other(page: Any) -> None:
    """What was painted last counts, cell by cell."""
    found = page.evaluate("""async () => {
      const {withStroke} = await import('/studio/js/request.js')
      let seed = 7, strokes = []
      const draw = (n) => (seed = (seed * 48271) % 2147483647) % n
      const grid = Array.from({length: 9}, () => Array(40).fill(''))
      for (let k = 0; k < 60; k++) {
        const from = 1 + draw(9), to = Math.min(9, from + draw(4))
        const start = draw(36), end = Math.min(40, start + 1 + draw(9))
        const stroke = {kind: draw(2) ? 'keep' : 'new', from, to, start, end}
        strokes = withStroke(strokes, stroke)
        for (let book = from; book <= to; book++) for (let t = start; t < end; t++) grid[book - 1][t] = stroke.kind
      }
      const made = Array.from({length: 9}, () => Array(40).fill(''))
      for (const {kind, from, to, start, end} of strokes) {
        for (let book = from; book <= to; book++) {
          for (let t = start; t < end; t++) made[book - 1][t] += made[book - 1][t] === kind ? '' : kind
        }
      }
      return [grid, made]
    }""")
    assert found[0] == found[1]


def test_the_mask_of_many_frames_is_drawn_as_shares(page: Any) -> None:
    """Kept, half kept and new stretches of an hour differ, and what has not changed is not drawn again."""
    found = page.evaluate("""async () => {
      const {drawMask} = await import('/studio/js/draw.js')
      const canvas = document.createElementNS('http://www.w3.org/1999/xhtml', 'canvas')
      Object.defineProperties(canvas, {clientWidth: {value: 300}, clientHeight: {value: 80}})
      const rate = 50, frames = 3600 * rate, bits = (book, frame) => {
        const third = Math.floor((3 * frame) / frames)
        return third === 0 ? 1 : third === 1 ? frame % 2 : book === 0 ? 1 : 0
      }
      const mask = {bits, n_frames: frames, n_codebooks: 4, frames_per_s: rate, mask: ''}
      const palette = {keep: 'rgb(0, 0, 255)', veil: 'rgb(255, 0, 0)'}
      const draw = (view) => drawMask(canvas, view, mask, 0, palette)
      draw({start: 0, end: 3600})
      const context = canvas.getContext('2d')
      const at = (x, y) => [...context.getImageData(x * canvas.width / 300, y * canvas.height / 80, 1, 1).data]
      const seen = [at(50, 10), at(150, 10), at(250, 10), at(250, 70)]
      context.clearRect(0, 0, 300, 80)
      draw({start: 0, end: 3600})
      const again = at(50, 10)
      draw({start: 0, end: 10})
      return [...seen, again, at(150, 10)]
    }""")
    kept, half, new, coarsest, again, near = found
    assert kept[2] > 200 and kept[0] == 0 and 20 < kept[3] < 200
    assert half[0] > 40 and half[2] > 40 and new[:3] == [255, 0, 0] and coarsest == kept
    assert again == [0, 0, 0, 0] and near[2] > 200


def test_the_policy_lets_the_page_run_and_nothing_else(browser: Any, studio: tuple[str, Any]) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{studio[0]}/studio/")
    page.wait_for_selector("main")
    refused = page.evaluate("""() => new Promise((resolve) => {
      addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective))
      const script = document.createElement('script')
      script.textContent = 'window.ran = true'
      document.head.append(script)
    })""")
    assert refused == "script-src-elem" and page.evaluate("window.ran") is None
    context.close()
