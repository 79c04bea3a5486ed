"""Bundles on the Hugging Face hub: `load("OWNER/NAME")` reads what `push_bundle` wrote."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vampnet.errors import BundleError
from vampnet.models.bundle import find_bundle, load_bundle
from vampnet.storage import cause

SHARED = ("config.json", "*.safetensors", "README.md", "report.html", "report.json")
"""Files of a bundle that are uploaded; work and everything else stays."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def push_bundle(
    bundle: str | os.PathLike[str],
    repository: str,
    *,
    private: bool = False,
    message: str = "",
    token: str | None = None,
) -> str:
    """Upload a bundle to the hub and return its address.

    repository: OWNER/NAME; made if it is not there. The token is that of `hf auth login` or HF_TOKEN.

    Raises BundleError for a damaged bundle, one whose card is empty or states no licence, a name that is none, and what
    the hub refuses.
    """
    if not _NAME.fullmatch(repository):
        raise BundleError(f"repository is {repository!r}, but must be OWNER/NAME")
    folder = find_bundle(bundle)
    load_bundle(folder, verify=True)
    _check_card(folder)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(library_name="vampnet")
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=list(SHARED),
            commit_message=message or f"vampnet bundle {folder.name}",
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        hint = "; log in with `hf auth login`, or set HF_TOKEN" if "401" in str(error) else ""
        raise BundleError(f"{repository}: the hub refused it ({cause(error)}){hint}") from None
    return str(made)


def _check_card(folder: Path) -> None:
    """A bundle that others load needs to say what it is and what they may do with it."""
    path = folder / "README.md"
    card = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not card.strip():
        raise BundleError(f"{folder}: has no model card; write README.md before you share it")
    if re.search(r"\*\*Licence\*\*: not stated", card):
        raise BundleError(f"{folder}: its card states no licence; make it with --licence, or edit README.md")
