"""The ledger of a pipeline: was the answer's place found, and was the answer right?

Each question falls into one of four cells. Two of them are losses, and each has a culprit: "found,
wrong" is lost by the reader, "missed, wrong" by the search. What to mend first can be read off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ledger:
    """How many questions fell into each cell."""

    found_right: int
    found_wrong: int
    missed_right: int
    missed_wrong: int

    def __len__(self) -> int:
        return self.found_right + self.found_wrong + self.missed_right + self.missed_wrong

    @property
    def culprit(self) -> str:
        """Who loses more answers: "reader", "search", or "neither" where both lose as many."""
        if self.found_wrong == self.missed_wrong:
            return "neither"
        return "reader" if self.found_wrong > self.missed_wrong else "search"

    def table(self) -> str:
        """The four cells as a table in Markdown."""
        return (
            "| | answer right | answer wrong |\n| --- | ---: | ---: |\n"
            f"| found | {self.found_right} | {self.found_wrong} |\n"
            f"| missed | {self.missed_right} | {self.missed_wrong} |"
        )


def make_ledger(found: Sequence[float], right: Sequence[float]) -> Ledger:
    """Count the four cells; both lists hold 1 or 0 (or True, False) for each question.

    Raises ValueError for unequal lengths and for anything but 1 and 0.
    """
    if len(found) != len(right):
        raise ValueError(f"There are {len(found)} places, but {len(right)} answers.")
    cells = [(float(f), float(r)) for f, r in zip(found, right, strict=True)]
    if not {value for cell in cells for value in cell} <= {0.0, 1.0}:
        raise ValueError("A place is found or missed, an answer right or wrong: 1 or 0 only.")
    return Ledger(*(cells.count(cell) for cell in ((1, 1), (1, 0), (0, 1), (0, 0))))
