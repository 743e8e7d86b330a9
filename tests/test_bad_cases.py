"""Each cause of a bad answer has its own trace, and the first rule that applies decides."""

from __future__ import annotations

import pytest

from utils.bad_cases import (
    CAUSES,
    DEFICIT,
    FORGOTTEN,
    NEVER_MEMORISED,
    NOT_BAD,
    OUTDATED,
    REASONING,
    Observed,
    cause,
)

READ = {"right": "teal", "with_facts": "teal"}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Observed(answer="Teal.", **READ), NOT_BAD),
        (Observed(answer="amber", **READ), DEFICIT),
        (Observed(answer="amber", in_training=True, **READ), NEVER_MEMORISED),
        (Observed(answer="amber", former="Amber", **READ), OUTDATED),
        (Observed(answer="ivory", former="amber", **READ), DEFICIT),
        (Observed(answer="amber", before="Teal", in_training=True, **READ), FORGOTTEN),
        (Observed(answer="amber", before="ivory", in_training=True, **READ), NEVER_MEMORISED),
        (Observed(right="teal", answer="amber", with_facts="amber"), REASONING),
        (Observed(right="teal", answer="amber", with_facts="amber", former="amber"), OUTDATED),
        (Observed(right="teal", answer="amber", with_facts="ivory", before="teal"), FORGOTTEN),
    ],
)
def test_the_first_trace_that_is_there_decides(case, expected):
    assert cause(case) == expected


def test_an_empty_answer_matches_no_missing_observation():
    assert cause(Observed(answer="", **READ)) == DEFICIT


def test_there_are_five_causes():
    assert len(set(CAUSES)) == 5
    assert NOT_BAD not in CAUSES
