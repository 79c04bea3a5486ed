"""The parity table (`python -m tests.parity`): every golden array is inside its tolerance or left out with a reason."""

from __future__ import annotations

from tests.golden import requires_golden
from tests.parity import rows, unaccounted


@requires_golden
def test_every_golden_array_is_inside_its_tolerance() -> None:
    done = list(rows())
    assert not [row for row in done if not row.inside]
    assert not unaccounted(done)
