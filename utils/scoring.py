"""Is the answer right? Exact match and F1 on text, and the choice among four options.

Text is compared as in SQuAD (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250): without
case, punctuation and articles. Options are compared by the log-likelihood that the model gives
them, as lm-evaluation-harness does, with and without division by the option's length.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np


def normalise_answer(text: str) -> str:
    """Lower case, no punctuation, no article, single spaces."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, answer: str) -> float:
    """1.0 if both texts are the same once normalised, else 0.0."""
    return float(normalise_answer(prediction) == normalise_answer(answer))


def f1(prediction: str, answer: str) -> float:
    """Harmonic mean of precision and recall over the words that both texts share; 0 to 1."""
    predicted, expected = normalise_answer(prediction).split(), normalise_answer(answer).split()
    shared = sum((Counter(predicted) & Counter(expected)).values())
    if shared == 0:
        return float(predicted == expected)
    precision, recall = shared / len(predicted), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


def choose(log_likelihoods: Sequence[float], options: Sequence[str] | None = None) -> int:
    """Index of the likeliest option.

    log_likelihoods: shape (m,), natural logarithms. With `options`, each is divided by the option's
    length in bytes first (`acc_norm` of lm-evaluation-harness), so that a long option is not at a
    disadvantage. Raises ValueError if there is nothing to choose from or a value is not a number.
    """
    scores = np.asarray(log_likelihoods, dtype=float)
    if scores.size == 0 or np.isnan(scores).any():
        raise ValueError(f"Cannot choose among these log-likelihoods: {scores.tolist()}")
    if options is not None:
        if len(options) != len(scores):
            raise ValueError(f"{len(scores)} log-likelihoods but {len(options)} options")
        scores = scores / np.array([len(option.encode()) for option in options])
    return int(scores.argmax())
