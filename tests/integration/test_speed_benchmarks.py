"""Benchmarks of speed: the eager loop computes what the networks do, and benchmarks/gpu.py runs on any device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.generation.eager import EagerNetwork, fill_eagerly
from benchmarks.generation.speed_table import CODEC_OF, EAGER, INTEGER, OPENVINO, passes, shown, with_sums
from tests.support.tiny import tiny_codec, tiny_models


@pytest.mark.parametrize("part", [0, 1], ids=["coarse", "c2f"])
def test_the_eager_network_has_the_same_logits_and_its_loop_fills_all(part: int) -> None:
    model = tiny_models(tiny_codec())[part]
    codes_BCT, keep_BCT = gpu.material(model, 20, 2, torch.device("cpu"))
    masked_BCT = codes_BCT.masked_fill(~keep_BCT, model.config.mask_token)
    with torch.no_grad():
        expected = model(masked_BCT).flatten(1, 2)
    assert torch.allclose(EagerNetwork(model)(masked_BCT), expected, atol=1e-5)
    n_given = model.config.n_conditioning_codebooks
    keep_BCT[:, :n_given] = True
    for steps in (1, 4):
        torch.manual_seed(0)
        made_BCT = fill_eagerly(EagerNetwork(model), codes_BCT, keep_BCT, steps)
        assert torch.equal(made_BCT[keep_BCT], codes_BCT[keep_BCT])
        assert int(made_BCT.max()) < model.config.vocab_size and (made_BCT != codes_BCT).any()


def test_the_script_measures_a_device_and_leaves_out_what_would_be_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SECONDS": 1.0, "STEPS": (2,), "CHECKED_FRAMES": 20}.items():
        monkeypatch.setattr(gpu, name, value)
    quick = ["--device", "cpu", "--sizes", "tiny", "--repeats", "1", "--batches", "1", "2"]
    gpu.main([*quick, "-o", str(tmp_path / "gpu.md")])
    figures = json.loads((tmp_path / "gpu.json").read_text())
    same = figures["tiny, same tokens"]
    assert all(row["1 step"] == "100.00%" for name, row in same.items() if "float32" in name) and len(same) >= 2
    rows = figures["tiny"]
    assert {"coarse pass, eager float32, batch 1", "coarse pass, float32, batch 1"} < rows.keys()
    vamps = [row for name, row in rows.items() if name.startswith("vamp, 2 steps")]
    assert len(vamps) == 2 and all(float(row["times real time"]) > 0 for row in vamps)
    assert all(float(row["ms"]) > 0 for row in rows.values())
    assert "| coarse pass, eager float32, batch 1 |" in (tmp_path / "gpu.md").read_text()
    gpu.main([*quick, "--minutes", "0", "-o", str(tmp_path / "late.md")])
    late = json.loads((tmp_path / "late.json").read_text())["tiny"]
    assert late.keys() == rows.keys() and all(row["ms"] == "left out: time" for row in late.values())


def test_the_table_sums_the_parts_of_a_vamp() -> None:
    found = passes(gpu.TINY[1], 20, 1)
    assert set(found) >= {EAGER, INTEGER} and set(found) <= set(CODEC_OF) and all(s > 0 for s in found.values())
    parts = {"coarse pass": 2.0, "c2f pass": 0.5, "encode": 3.0, "decode": 5.0}
    figures = {name: dict(parts) for name in CODEC_OF} | {INTEGER: {"coarse pass": 1.0, "c2f pass": 0.5}}
    for name in (OPENVINO, INTEGER):
        figures[name].pop("encode", None)
    made = with_sums(figures)
    assert made[EAGER]["vamp, 36 steps"] - made[EAGER]["vamp, 12 steps"] == pytest.approx(24 * 2.0)
    assert made[EAGER]["vamp, 12 steps"] - made[INTEGER]["vamp, 12 steps"] == pytest.approx(12 * 1.0)
    assert "| 1.00 (2.00) |" in shown(made)
