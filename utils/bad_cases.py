"""Sort wrong answers by what caused them.

The five causes are those of Wang et al. 2023 (https://arxiv.org/abs/2310.07521), as Ovadia et al.
(https://arxiv.org/abs/2312.05934) use them. Each is told apart by something that can be observed,
not by how an answer looks.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.scoring import exact_match

DEFICIT = "domain knowledge deficit"
OUTDATED = "outdated information"
NEVER_MEMORISED = "never memorised"
FORGOTTEN = "forgotten"
REASONING = "reasoning failure"
CAUSES = (DEFICIT, OUTDATED, NEVER_MEMORISED, FORGOTTEN, REASONING)
NOT_BAD = "not a bad case"


@dataclass(frozen=True)
class Observed:
    """What was seen of one question.

    right: the right answer. answer: what the model says. with_facts: what it says when the prompt
    holds all the facts that it needs. former: what was right until it changed ("" if it never did).
    before: what the model said before it was tuned ("" if it wasn't). in_training: whether the fact
    stood in the texts that it learnt from.
    """

    right: str
    answer: str
    with_facts: str = ""
    former: str = ""
    before: str = ""
    in_training: bool = False


def cause(case: Observed) -> str:
    """One of CAUSES, or NOT_BAD when the answer is right; the first rule that applies decides."""
    if exact_match(case.answer, case.right):
        return NOT_BAD
    if case.former and exact_match(case.answer, case.former):
        return OUTDATED
    if case.before and exact_match(case.before, case.right):
        return FORGOTTEN
    if not exact_match(case.with_facts, case.right):
        return REASONING
    return NEVER_MEMORISED if case.in_training else DEFICIT
