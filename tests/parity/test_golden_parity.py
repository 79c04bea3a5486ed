"""The parity table (`python -m tests.parity`): every golden array is inside its tolerance or left out with a reason."""

from __future__ import annotations

from tests.parity.parity import rows, unaccounted
from tests.support.golden import golden_array, golden_mask, requires_golden
from vampnet.prompts.masks import regions_keep


@requires_golden
def test_every_golden_array_is_inside_its_tolerance() -> None:
    done = list(rows())
    assert not [row for row in done if not row.inside]
    assert not unaccounted(done)


@requires_golden
def test_an_onset_in_the_first_frames_counts() -> None:
    """The authors lose it (a negative start of a slice); the default opens what lies inside."""
    first = int(golden_array("mask/onset_frames_backtracked")[0])
    assert first == 1
    assert golden_mask("mask/onset_w4")[: first + 4].all()
    assert regions_keep(173, [(first - 4, first + 4)])[: first + 4].all()
