"""Many processes that import librosa for the first time at once leave a cache that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.trials import trial

ROOT = Path(__file__).parents[2]
PROGRAM = """
import numpy as np
from vampnet.beats.librosa_tracker import onset_times
print(len(onset_times(np.abs(np.sin(np.arange(400.0) / 9)).astype(np.float32))) > 0)
"""


@trial
def test_processes_that_fill_the_cache_at_once_do_not_damage_it(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM]
    at_once = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in at_once] == ["True\n"] * 3
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "True\n"
