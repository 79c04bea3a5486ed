"""Settings for all tests: one thread each, so that figures do not depend on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vampnet.tasks.model import VampNet

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# Each worker has a numba cache of its own: two that fill one at once damage it (vampnet.audio.compiled guards librosa's
# import; other libraries' are not guarded).
_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker is not None and "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = os.path.join(os.path.dirname(os.path.dirname(__file__)), ".pytest_cache", _worker)


def pytest_xdist_auto_num_workers() -> int:
    """A worker per core, and one more: tests of pages and servers wait for half of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="module")
def short_windows() -> Iterator[None]:
    """Windows of a second, float32: a few seconds of audio go through what minutes would."""
    from tests.support.tiny import in_float32, shorten_windows

    with pytest.MonkeyPatch.context() as patch:
        shorten_windows(patch)
        in_float32(patch)
        yield


@pytest.fixture(scope="module")
def model(short_windows: None, tmp_path_factory: pytest.TempPathFactory) -> VampNet:
    """The tiny model, with short windows."""
    from tests.support.tiny import tiny_vampnet

    return tiny_vampnet(tmp_path_factory.mktemp("bundle") / "b")
