"""Rankings of passages: merge them, and score them.

A ranking is a list of ids, best first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.passages import Hit


def fuse(rankings: Iterable[Sequence[str]], k: int = 60) -> list[tuple[str, float]]:
    """Merge rankings by reciprocal rank: each gives an id ``1 / (k + rank)`` points.

    ``rankings``: lists of ids, best first. Returns (id, points), best first. ``k`` softens the
    lead of first places; 60 is the value of Cormack, Clarke & Buettcher, SIGIR 2009. Only ranks
    count, so scores on different scales (cosine, BM25) need no tuning.

    >>> [name for name, _ in fuse([["a", "b", "c"], ["b", "c", "a"]])]
    ['b', 'a', 'c']
    """
    points: dict[str, float] = {}
    for ranking in rankings:
        if len(set(ranking)) < len(ranking):
            raise ValueError("A ranking names an id twice; each may stand in it once.")
        for rank, name in enumerate(ranking, start=1):
            points[name] = points.get(name, 0.0) + 1 / (k + rank)
    # Python's sort keeps the order of equals: whoever was named first stays first.
    return sorted(points.items(), key=lambda item: -item[1])


def recall_at_k(ranked_ids: Sequence[str], relevant_ids: Collection[str], k: int) -> float:
    """The share of the relevant passages that are among the first ``k`` (0 to 1)."""
    relevant = _checked_relevant(relevant_ids)
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    return len(relevant.intersection(ranked_ids[:k])) / len(relevant)


def reciprocal_rank(ranked_ids: Sequence[str], relevant_ids: Collection[str]) -> float:
    """1 / the rank of the first relevant passage, and 0 where none was found.

    Its mean over many queries is MRR, the mean reciprocal rank.
    """
    relevant = _checked_relevant(relevant_ids)
    for rank, name in enumerate(ranked_ids, start=1):
        if name in relevant:
            return 1 / rank
    return 0.0


def evaluate(
    run: Sequence[Sequence[Hit]],
    relevant: Sequence[Collection[str]],
    measures: Sequence[str] = ("R@1", "RR"),
) -> dict[str, np.ndarray]:
    """Score every query with ir-measures (MacAvaney et al. 2022).

    ``run``: what `search` returned. ``relevant``: for each query the ids that should be found.
    ``measures``: names that ir-measures knows, such as "R@5" (recall), "RR" or "nDCG@10".
    Returns for each name an array with one value (0 to 1) per query, ready for `stats.bootstrap`.
    """
    import ir_measures

    if len(run) != len(relevant):
        raise ValueError(f"The run has {len(run)} queries, but {len(relevant)} have relevant ids.")
    wanted = {ir_measures.parse_measure(name): name for name in measures}
    judged = [
        ir_measures.Qrel(str(number), name, 1)
        for number, names in enumerate(relevant)
        for name in _checked_relevant(names)
    ]
    # The rank and not the score orders a run, so that equal scores keep their order.
    found = [
        ir_measures.ScoredDoc(str(number), hit.passage.id, -float(hit.rank))
        for number, hits in enumerate(run)
        for hit in hits
    ]
    values = {name: np.zeros(len(run)) for name in measures}
    if found:
        for metric in ir_measures.iter_calc(list(wanted), judged, found):
            values[wanted[metric.measure]][int(metric.query_id)] = metric.value
    return values


def _checked_relevant(relevant_ids: Collection[str]) -> set[str]:
    if isinstance(relevant_ids, str):
        raise TypeError("relevant_ids must be a set or list of ids, not one text.")
    if not relevant_ids:
        raise ValueError("No relevant id was given: recall is undefined without one.")
    return set(relevant_ids)
