"""A few hundred damaged files of every format: each is refused, or read as it is written."""

import pytest

from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.trial import count

COUNT = 200


@pytest.mark.parametrize("what", SUBJECTS)
def test_a_damaged_file_is_refused_in_words_or_read_as_it_is(what):
    counts, faults = count(what, range(COUNT), seed=1)
    assert not faults, "\n".join(faults[:3])
    assert counts["refused"] > COUNT // 20 or what == "metrics.jsonl"  # which loses a row
