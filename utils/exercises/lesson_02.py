"""Exercises of lesson 02: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import math
import random

import numpy as np

from utils.checks import Exercise, Mistake
from utils.chunking import chunk_windows
from utils.ranking import fuse, recall_at_k

# --- 2.1 recall at k ------------------------------------------------------------------------


def _ranked_lists(seed: int) -> list[tuple[list[str], set[str], int]]:
    """Short rankings with the ids that should be found, and k."""
    draw = random.Random(seed)
    fixed = [
        (["a", "b", "c", "d"], {"b"}, 2),
        (["a", "b", "c", "d"], {"b", "d"}, 3),
        (["a", "b", "c", "d"], {"d"}, 3),
        (["c", "a"], {"a"}, 2),
        (["a", "b", "c", "d", "e"], {"a", "b", "f"}, 2),
    ]
    drawn = [
        (draw.sample("abcdefgh", 6), set(draw.sample("abcdefgh", wanted)), k)
        for wanted, k in ((1, 2), (2, 3), (4, 3))
    ]
    return fixed + drawn


def _count_found(ranked_ids: list[str], relevant_ids: set[str], k: int) -> int:
    return len(set(ranked_ids[:k]) & relevant_ids)


RECALL = Exercise(
    key="q2_1",
    title="recall at k",
    function="my_recall_at_k",
    task="Return the share of the relevant ids that are among the first k.",
    inputs=_ranked_lists,
    reference=recall_at_k,
    mistakes=(
        Mistake(
            "You divide by k. That is precision: the share of what you look at that is relevant. "
            "Recall asks how much of what is relevant you found.",
            lambda ranked_ids, relevant_ids, k: _count_found(ranked_ids, relevant_ids, k) / k,
        ),
        Mistake(
            "You look at the whole ranking. Only the first k ids count.",
            lambda ranked_ids, relevant_ids, k: recall_at_k(ranked_ids, relevant_ids, 100),
        ),
        Mistake(
            "You look at one id too few. A slice leaves out its end: how many ids has [:k]?",
            lambda ranked_ids, relevant_ids, k: (
                _count_found(ranked_ids, relevant_ids, k - 1) / len(relevant_ids)
            ),
        ),
        Mistake(
            "You return how many relevant ids you found. "
            "A share also needs to be divided by how many there are.",
            _count_found,
        ),
        Mistake(
            "You return whether anything relevant was found (0 or 1). That is called success at "
            "k. It is the same only while one id is relevant; here there may be more.",
            lambda ranked_ids, relevant_ids, k: float(
                _count_found(ranked_ids, relevant_ids, k) > 0
            ),
        ),
    ),
)

# --- 2.2 nearest vectors by cosine ----------------------------------------------------------


def _vectors(seed: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """A query and a few vectors of unequal length, without ties."""
    draw = np.random.default_rng(seed)
    fixed = [
        # The longest vector points elsewhere: the bare inner product prefers it.
        (np.array([1.0, 0.0]), np.array([[1.0, 0.2], [5.0, 6.0], [-1.0, 0.0], [0.5, 0.4]]), 2),
        (np.array([0.0, 2.0]), np.array([[3.0, 1.0], [0.1, 9.0], [0.2, 1.5]]), 3),
    ]
    drawn = []
    for size, k in ((5, 3), (6, 2)):
        lengths = draw.uniform(0.5, 5, size=(size, 1))
        drawn.append(
            (draw.normal(size=3).round(1), (lengths * draw.normal(size=(size, 3))).round(1), k)
        )
    return fixed + drawn


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    product = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return product / (math.hypot(*a) * math.hypot(*b))


def _by_cosine(query: np.ndarray, vectors: np.ndarray) -> list[int]:
    return sorted(range(len(vectors)), key=lambda row: -_cosine(query, vectors[row]))


NEAREST = Exercise(
    key="q2_2",
    title="the nearest vectors",
    function="my_nearest",
    task="Return the rows of the k vectors with the highest cosine to the query, best first.",
    inputs=_vectors,
    reference=lambda query, vectors, k: _by_cosine(query, vectors)[:k],
    mistakes=(
        Mistake(
            "You compare by the bare inner product, so long vectors win. "
            "The cosine also divides by the lengths of both vectors.",
            lambda query, vectors, k: np.argsort(-(vectors @ query))[:k].tolist(),
        ),
        Mistake(
            "You return the vectors that are least similar. "
            "np.argsort sorts from small to large, and a high cosine is good.",
            lambda query, vectors, k: _by_cosine(query, vectors)[::-1][:k],
        ),
        Mistake(
            "These are the right rows, but the best comes last. Return the best first.",
            lambda query, vectors, k: _by_cosine(query, vectors)[:k][::-1],
        ),
        Mistake(
            "You return the cosines. Return the rows where they stand: positions, not values.",
            lambda query, vectors, k: sorted(
                (_cosine(query, row) for row in vectors), reverse=True
            )[:k],
        ),
        Mistake(
            "You compare by distance, so the length of a vector counts. "
            "The cosine looks at the direction alone.",
            lambda query, vectors, k: np.argsort(np.linalg.norm(vectors - query, axis=1))[
                :k
            ].tolist(),
        ),
    ),
)

# --- 2.3 reciprocal rank fusion -------------------------------------------------------------


def _rankings(seed: int) -> list[tuple[list[list[str]], int]]:
    """Two or three short rankings, and the constant k."""
    draw = random.Random(seed)
    fixed = [
        ([["a", "b"], ["b", "c"]], 60),
        ([["a", "b", "c"], ["c", "a", "b"]], 1),
        ([["a"], []], 60),
    ]
    drawn = [
        ([draw.sample("abcdef", draw.randint(2, 4)) for _ in range(number)], k)
        for number, k in ((2, 60), (3, 10))
    ]
    return fixed + drawn


def _points(rankings: list[list[str]], k: int, first_rank: int = 1) -> dict[str, float]:
    points: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=first_rank):
            points[name] = points.get(name, 0) + 1 / (k + rank)
    return points


def _last_ranking_wins(rankings: list[list[str]], k: int) -> dict[str, float]:
    return {name: 1 / (k + rank) for ids in rankings for rank, name in enumerate(ids, start=1)}


def _only_in_all(rankings: list[list[str]], k: int) -> dict[str, float]:
    return {
        name: points
        for name, points in _points(rankings, k).items()
        if all(name in ranking for ranking in rankings)
    }


def _points_for_rank(rankings: list[list[str]], k: int) -> dict[str, float]:
    points: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            points[name] = points.get(name, 0) + k + rank
    return points


FUSION = Exercise(
    key="q2_3",
    title="reciprocal rank fusion",
    function="my_fuse",
    task="Return a dictionary: each id with the sum of its 1 / (k + rank) over the rankings.",
    inputs=_rankings,
    reference=lambda rankings, k: dict(fuse(rankings, k)),
    tolerance=1e-9,
    mistakes=(
        Mistake(
            "Your ranks start at 0. The best passage has rank 1: look at enumerate's start.",
            lambda rankings, k: _points(rankings, k, first_rank=0),
        ),
        Mistake(
            "You leave k out. A passage gets 1 / (k + rank) points, not 1 / rank.",
            lambda rankings, k: _points(rankings, 0),
        ),
        Mistake(
            "A later ranking overwrites the points of an earlier one. Add them up.",
            _last_ranking_wins,
        ),
        Mistake(
            "You keep only ids that stand in every ranking. "
            "An id that one ranking lacks keeps the points from the others.",
            _only_in_all,
        ),
        Mistake(
            "You add up k + rank, so late places get the most. Each place gives 1 / (k + rank).",
            _points_for_rank,
        ),
    ),
)

# --- 2.4 windows with overlap ---------------------------------------------------------------


def _texts(seed: int) -> list[tuple[list[str], int, int]]:
    """Short lists of words with a window's size and overlap."""
    draw = random.Random(seed)
    fixed = [
        (list("abcdefg"), 3, 1),
        (list("abcdefgh"), 3, 1),
        (list("abcd"), 3, 2),
        (list("abcde"), 2, 0),
        (list("ab"), 5, 2),
    ]
    drawn = [
        (list("abcdefghijklmnop"[: draw.randint(9, 15)]), size, draw.randint(1, size - 1))
        for size in (4, 5)
    ]
    return fixed + drawn


def _windows(words: list[str], size: int, overlap: int) -> list[list[str]]:
    return [passage.text.split() for passage in chunk_windows(" ".join(words), size, overlap)]


def _sliced(words: list[str], starts: range, size: int) -> list[list[str]]:
    return [words[start : start + size] for start in starts]


WINDOWS = Exercise(
    key="q2_4",
    title="windows with overlap",
    function="my_windows",
    task="Return the windows as lists of words; stop at the one that reaches the last word.",
    inputs=_texts,
    reference=_windows,
    mistakes=(
        Mistake(
            "Your windows don't overlap. "
            "The next one starts `overlap` words before the end of this one.",
            lambda words, size, overlap: _windows(words, size, 0),
        ),
        Mistake(
            "Your last window is only a part of the one before it. "
            "Stop once a window has reached the last word.",
            lambda words, size, overlap: _sliced(words, range(0, len(words), size - overlap), size),
        ),
        Mistake(
            "The end of the text is lost: no window holds the last words. "
            "The last window may be shorter than `size`.",
            lambda words, size, overlap: _sliced(
                words, range(0, len(words) - size + 1, size - overlap), size
            ),
        ),
        Mistake(
            "You move on by `overlap` words. "
            "That many words are shared; how many new ones does each window bring?",
            lambda words, size, overlap: _sliced(words, range(0, len(words), overlap), size),
        ),
        Mistake(
            "You return each window as one text. Return a list of words for each.",
            lambda words, size, overlap: [
                " ".join(window) for window in _windows(words, size, overlap)
            ],
        ),
    ),
)

EXERCISES = (RECALL, NEAREST, FUSION, WINDOWS)
