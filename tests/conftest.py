"""Settings for all tests: one thread, so that figures do not depend on the machine; `make test` has a worker a core."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# Each worker has a numba cache of its own: two that fill one at once damage it (vampnet.audio.compiled guards librosa's
# import; other libraries' are not guarded).
_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker is not None and "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = os.path.join(os.path.dirname(os.path.dirname(__file__)), ".pytest_cache", _worker)
