"""The notebooks in examples/ run from top to bottom, here with short settings in the place of theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHORT = {
    "first_vamp": 'RECORDING = "loop.wav"\nSTEPS = 1',
    "prompts_seen_and_heard": 'RECORDING = "loop.wav"\nPROMPTS = ["periodic(7)", "beats(after=75ms)"]\nSTEPS = 1',
    "finetune_in_ten_minutes": 'MUSIC = "music"\nMINUTES = 1\nSTEPS = 1\nSAMPLING_STEPS = 1',
    "evaluate_a_prompt": 'MUSIC = "music"\nEXCERPTS = 2\nSECONDS = 1.0\nPROMPTS = ["periodic(7)", "subtle"]\nSTEPS = 1',
}
"""Notebook -> its cell of settings in the test."""
NEEDED = {"prompts_seen_and_heard": "matplotlib", "finetune_in_ten_minutes": "peft", "evaluate_a_prompt": "matplotlib"}


def test_all_notebooks_are_tried_and_hold_no_outputs() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(SHORT)
    for path in EXAMPLES.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), f"{path.name}: clear the outputs"


@pytest.mark.parametrize("name", sorted(SHORT))
def test_notebook_runs_from_top_to_bottom(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(NEEDED.get(name, "numpy"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    samples, rate_hz = soundfile.read(EXAMPLES / "loop.wav", always_2d=True)
    soundfile.write(tmp_path / "loop.wav", samples[: 2 * rate_hz], rate_hz)
    (tmp_path / "music").mkdir()
    for k in range(2):
        part = np.ascontiguousarray(samples[k * 4 * rate_hz : (k + 1) * 4 * rate_hz, :1])
        soundfile.write(tmp_path / "music" / f"{k}.wav", part, rate_hz)
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    (settings,) = [cell for cell in notebook.cells if "settings" in cell.metadata.get("tags", ())]
    assert set(_names(SHORT[name])) == set(_names(settings.source)), "the notebook's settings have changed"
    settings.source = SHORT[name]
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    kinds = {kind for output in said for kind in output.get("data", ())}
    assert "text/html" in kinds or name == "evaluate_a_prompt", "nothing that plays was shown"
    shutil.rmtree(tmp_path / "music")


def _names(source: str) -> list[str]:
    """Names that a cell of settings gives values to."""
    return [line.split(" = ")[0] for line in source.splitlines() if " = " in line]
