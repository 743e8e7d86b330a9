"""Exercises of lesson 06: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random

import numpy as np

from utils.checks import Exercise, Mistake

IGNORED = -100

# -- 6.1: the labels of an example


def _token_ids(seed: int) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer as token ids; 0 is a real token too."""
    draw = random.Random(seed)
    fixed = [([7, 3, 9], [5, 2]), ([4], [6, 8, 1]), ([0, 3, 0], [0, 2])]
    sizes = ((5, 1), (6, 3))
    drawn = [
        ([draw.randrange(1, 99) for _ in range(m)], [draw.randrange(1, 99) for _ in range(n)])
        for m, n in sizes
    ]
    return fixed + drawn


def _labels(prompt: list[int], answer: list[int]) -> list[int]:
    token_ids = np.array(prompt + answer)
    token_ids[: len(prompt)] = IGNORED
    return token_ids.tolist()


def _labels_shifted(prompt: list[int], answer: list[int]) -> list[int]:
    return _labels(prompt, answer)[1:] + [IGNORED]


# -- 6.2: how many parameters an adapter has


def _layer_shapes(seed: int) -> list[tuple[list[tuple[int, int]], int, int]]:
    """Shapes (outputs, inputs) of the adapted matrices of one layer, the rank, and the layers."""
    draw = random.Random(seed)
    fixed = [([(6, 4)], 2, 1), ([(6, 4), (3, 6)], 2, 5)]
    shapes = [(draw.randrange(5, 60), draw.randrange(5, 60)) for _ in range(3)]
    return [*fixed, (shapes, draw.randrange(2, 5), draw.randrange(2, 12))]


def _adapter_parameters(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    pairs = [(np.zeros((rank, inputs)), np.zeros((outputs, rank))) for outputs, inputs in shapes]
    return layers * sum(a.size + b.size for a, b in pairs)


def _counts_whole_matrices(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    return layers * sum(outputs * inputs for outputs, inputs in shapes)


def _counts_one_of_the_pair(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    return layers * sum(rank * inputs for _, inputs in shapes)


def _multiplies_by_rank(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    return layers * sum(rank * outputs * inputs for outputs, inputs in shapes)


# -- 6.4: merging by hand


def _matrices(seed: int) -> list[tuple]:
    """Small W (outputs, inputs), A (rank, inputs), B (outputs, rank), alpha and rank."""
    draw = np.random.default_rng(seed)
    tiny = (np.eye(2), np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]), 6, 2)
    w, a, b = (draw.integers(-3, 4, size).astype(float) for size in ((3, 2), (2, 2), (3, 2)))
    return [tiny, (w, a, b, 4, 2), (w + 1, a[:1], b[:, :1], 3, 1)]


def _merged(w: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float, rank: int) -> np.ndarray:
    return w + np.einsum("or,ri->oi", b, a) * (alpha / rank)


EXERCISES = (
    Exercise(
        key="q6_1",
        title="what is read and what is learnt",
        function="build_labels",
        task="Return one label for each token of prompt + answer: IGNORED, or the token itself.",
        inputs=_token_ids,
        reference=_labels,
        mistakes=(
            Mistake(
                "You label the prompt too, so the model also learns to ask the questions. "
                "Which tokens should it only read?",
                lambda prompt, answer: prompt + answer,
            ),
            Mistake(
                "The prompt has no labels at all. There must be one label for each token of "
                "prompt + answer, or the two lists don't lie side by side.",
                lambda prompt, answer: list(answer),
            ),
            Mistake(
                "You mark the prompt with 0. That is the id of a real token; the loss leaves out "
                "-100 alone.",
                lambda prompt, answer: [0] * len(prompt) + answer,
            ),
            Mistake(
                "You moved the labels by one place. Each label stands at its own token; the loss "
                "does the moving.",
                _labels_shifted,
            ),
            Mistake(
                "You ignore the answer and learn the prompt: it is the other way round.",
                lambda prompt, answer: prompt + [IGNORED] * len(answer),
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q6_2",
        title="how large an adapter is",
        function="adapter_parameters",
        task="Return how many numbers A and B hold, over all matrices and all layers.",
        inputs=_layer_shapes,
        reference=_adapter_parameters,
        mistakes=(
            Mistake(
                "You count the matrices themselves. They stay frozen: count A and B.",
                _counts_whole_matrices,
            ),
            Mistake(
                "You count A alone. B belongs to it: it has a row for each output.",
                _counts_one_of_the_pair,
            ),
            Mistake(
                "You multiply outputs by inputs. A is rank x inputs, B is outputs x rank: no "
                "matrix of an adapter is as large as outputs x inputs.",
                _multiplies_by_rank,
            ),
            Mistake(
                "You count one layer. Every adapted layer has pairs of its own.",
                lambda shapes, rank, layers: _adapter_parameters(shapes, rank, 1),
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q6_4",
        title="merged by hand",
        function="merge_by_hand",
        task="Return W with the adapter written into it, an array of the shape of W.",
        inputs=_matrices,
        reference=_merged,
        mistakes=(
            Mistake(
                "You add B A without its weight. LoRA multiplies it by alpha / rank.",
                lambda w, a, b, alpha, rank: w + b @ a,
            ),
            Mistake(
                "You multiply A by B. The input meets A first, so A stands on the right: B A.",
                lambda w, a, b, alpha, rank: w + alpha / rank * (a @ b),
            ),
            Mistake(
                "Your weight is rank / alpha. It is alpha / rank.",
                lambda w, a, b, alpha, rank: w + rank / alpha * (b @ a),
            ),
            Mistake(
                "You return the correction alone. Add it to W.",
                lambda w, a, b, alpha, rank: alpha / rank * (b @ a),
            ),
            Mistake(
                "You multiply element by element with `*`. Use `@`, the matrix product.",
                lambda w, a, b, alpha, rank: w + alpha / rank * (b * a),
            ),
        ),
        points=2,
    ),
)
