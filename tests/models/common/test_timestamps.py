"""Moments, written and read."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.common.timestamps import from_timestamp, to_timestamp

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""Of the years 1 and 9999."""


@given(st.sampled_from((FIRST, -1, 0, LAST)) | st.integers(FIRST, LAST))
def test_every_moment_that_can_be_written_is_read_again(moment_ms: int) -> None:
    assert from_timestamp(to_timestamp(moment_ms)) == moment_ms
