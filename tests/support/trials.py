"""Trials: tests that take minutes, outside `make test`; `make trials` runs them."""

from __future__ import annotations

import os

import pytest

trial = pytest.mark.skipif(not os.environ.get("VAMPNET_TRIALS"), reason="takes minutes: make trials")
