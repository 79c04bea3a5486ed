"""Bundles to the hub and back, against a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hub import TOKEN, running_hub
from tests.support.tiny import tiny_codec, tiny_models
from vampnet.errors import BundleError
from vampnet.models.bundle import save_bundle
from vampnet.models.sharing import push_bundle

BOTH_WAYS = """
import sys
from vampnet.apps.cli.main import main
assert main(["push", sys.argv[1], "ann/mine", "--message", "first"]) == 0
import vampnet
print(vampnet.load("ann/mine", device="cpu").bundle.weight_digests()["coarse.safetensors"])
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    codec = tiny_codec()
    save_bundle(tmp_path / "b", codec, *tiny_models(codec), card="# Mine\n\n- **Licence**: CC0\n")
    (tmp_path / "b" / ".work").mkdir()
    (tmp_path / "b" / ".work" / "secret.wav").write_bytes(b"not to be shared")
    return tmp_path / "b"


def run(code: str, *arguments: str, address: str, home: Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **settings}, timeout=300,
    )  # fmt: skip


def test_pushed_and_loaded_again(bundle: Path, tmp_path: Path) -> None:
    with running_hub() as hub:
        done = run(BOTH_WAYS, str(bundle), address=hub.address, home=tmp_path / "home")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] in (bundle / "config.json").read_text()
        files = hub.repositories["ann/mine"]
    assert set(files) == {"README.md", "config.json", "codec.safetensors", "coarse.safetensors", "c2f.safetensors"}
    assert files["README.md"] == (bundle / "README.md").read_bytes()
    assert hub.messages == ["first"]


def test_who_is_not_logged_in_is_told_how(bundle: Path, tmp_path: Path) -> None:
    code = "import sys; from vampnet.apps.cli.main import main; sys.exit(main(['push', sys.argv[1], 'ann/mine']))"
    with running_hub() as hub:
        done = run(code, str(bundle), address=hub.address, home=tmp_path / "home", token="hf_other")
    assert done.returncode == 2 and "hf auth login" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("card", "name", "words"),
    [
        ("", "ann/mine", "no model card"),
        ("- **Licence**: not stated", "ann/mine", "states no licence"),
        ("fine", "mine", "OWNER/NAME"),
        ("fine", "../x/y", "OWNER/NAME"),
    ],
)
def test_what_must_not_be_pushed(bundle: Path, card: str, name: str, words: str) -> None:
    (bundle / "README.md").write_text(card)
    with pytest.raises(BundleError, match=words):
        push_bundle(bundle, name)
