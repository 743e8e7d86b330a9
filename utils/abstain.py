"""When to say "I don't know": risk against coverage, and a threshold chosen on data.

A pipeline that may refuse has two numbers: how many questions it answers (coverage), and how many
of those answers are wrong (risk). A score that tells good answers from bad ones buys a low risk for
a small loss of coverage: selective classification (El-Yaniv & Wiener 2010,
https://jmlr.org/papers/v11/el-yaniv10a.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RiskCoverage:
    """What happens at each threshold; arrays of one length, thresholds falling.

    coverage: share of all questions that are answered. risk: share of wrong ones among those
    answered.
    """

    thresholds: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray


def risk_coverage(scores: Sequence[float], right: Sequence[float]) -> RiskCoverage:
    """Answer the best-scored question only, then the two best, and so on down to all.

    scores: the retriever's best score for each question; right: 1 if the answer would be right, 0
    if not, as for every question that has no answer. Questions with one score are answered
    together. Raises ValueError for no questions or unequal lengths.
    """
    scores, right = np.asarray(scores, dtype=float), np.asarray(right, dtype=float)
    if scores.ndim != 1 or scores.shape != right.shape or not len(scores):
        shapes = f"{scores.shape} and {right.shape}"
        raise ValueError(f"Give one score and one verdict for each question, not {shapes}.")
    order = np.argsort(-scores, kind="stable")
    answered = np.arange(1, len(scores) + 1)
    risk = np.cumsum(1 - right[order]) / answered
    last_of_its_score = np.append(np.diff(scores[order]) != 0, True)
    return RiskCoverage(
        scores[order][last_of_its_score],
        answered[last_of_its_score] / len(scores),
        risk[last_of_its_score],
    )


def choose_threshold(scores: Sequence[float], right: Sequence[float], highest_risk: float) -> float:
    """The threshold that answers most questions while the risk stays at or below `highest_risk`.

    Infinite (refuse everything) where no threshold keeps the bound.
    """
    curve = risk_coverage(scores, right)
    kept = np.flatnonzero(curve.risk <= highest_risk)
    return float(curve.thresholds[kept[-1]]) if len(kept) else float("inf")
