"""The recorder of previews stands in for a session: what tasks may ask of one, they may ask of the other."""

from __future__ import annotations

import inspect

import pytest

from vampnet.tasks.preview import MaskRecorder
from vampnet.tasks.task import Session


@pytest.mark.parametrize("name", sorted(set(vars(MaskRecorder)) & set(vars(Session))))
def test_methods_take_what_those_of_a_session_take(name: str) -> None:
    theirs, ours = getattr(Session, name), getattr(MaskRecorder, name)
    if not callable(theirs) or name == "__init__":
        return
    wanted, given = inspect.signature(theirs).parameters, inspect.signature(ours).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in given.values())
    assert takes_all or set(wanted) <= set(given), f"{name} lacks {set(wanted) - set(given)}"
