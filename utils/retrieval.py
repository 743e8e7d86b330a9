"""Find the passages that a question needs: by meaning, by words, and by both.

Three retrievers share one call, ``search(queries, k)``, which returns for each query a list of
hits, best first:

* `DenseRetriever` compares meanings: texts become vectors, and FAISS finds the nearest.
* `LexicalRetriever` compares words: BM25 (Robertson & Zaragoza 2009) by the library bm25s.
* `HybridRetriever` merges the two rankings (Cormack, Clarke & Buettcher 2009).

Cutting documents into passages is in `utils.chunking`, merging and scoring rankings in
`utils.ranking`; both can be imported from here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from utils.chunking import Passage, chunk_sentences, chunk_windows
from utils.ranking import evaluate, fuse, recall_at_k, reciprocal_rank

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["DenseRetriever", "Hit", "HybridRetriever", "LexicalRetriever", "Passage"]
__all__ += ["chunk_sentences", "chunk_windows", "embed", "evaluate", "fuse", "import_faiss"]
__all__ += ["recall_at_k", "reciprocal_rank", "tokenise"]

SMALLEST_POOL = 50  # passages that each retriever hands to fusion, at least


@dataclass(frozen=True)
class Hit:
    """A passage that was found; ``rank`` counts from 1, a higher ``score`` is better."""

    passage: Passage
    score: float
    rank: int


# --- by meaning -----------------------------------------------------------------------------


def embed(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    batch_size: int = 64,
    progress: bool = False,
) -> np.ndarray:
    """One vector of length 1 for each text: float32, shape (texts, dimensions).

    Texts of similar length share a batch, so little is wasted on padding. The encoder reads only
    the first part of a long text (256 tokens for the course's own): cut long documents first.
    """
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts; for one text write [text].")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
    vectors = np.zeros((len(texts), encoder.get_embedding_dimension()), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc="embedding", unit="batch", disable=not progress):
        batch = order[start : start + batch_size]
        vectors[batch] = encoder.encode(
            [texts[number] for number in batch],
            batch_size=batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
    return vectors


class DenseRetriever:
    """Finds passages whose vectors point the way the query's does (cosine similarity)."""

    def __init__(self, encoder: SentenceTransformer, passages: Sequence[Passage]) -> None:
        """Embed and index the passages. Raises ValueError for none, or for one id used twice."""
        self.encoder = encoder
        self.passages = _checked_passages(passages)
        self.vectors = embed(encoder, [passage.text for passage in self.passages])
        # Inner product of vectors of length 1 is the cosine. "Flat": compares with every passage.
        self.index = import_faiss().IndexFlatIP(self.vectors.shape[1])
        self.index.add(self.vectors)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its ``k`` nearest passages (all of them where there are fewer)."""
        _check_search(queries, k)
        if not queries:
            return []
        k = min(k, len(self.passages))
        scores, numbers = self.index.search(embed(self.encoder, queries), k)
        return [
            _hits(self.passages, row_numbers, row_scores)
            for row_numbers, row_scores in zip(numbers, scores, strict=True)
        ]


def import_faiss() -> Any:
    """The module ``faiss``, made safe to use beside torch.

    On macOS both bring an OpenMP library of their own, and the second one to start ends the
    process ("OMP: Error #15"). The usual remedy is to allow both, and one thread for FAISS.
    """
    if sys.platform == "darwin":
        os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    import faiss

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    return faiss


# --- by words -------------------------------------------------------------------------------

WORD = re.compile(r"\w+")
# "K340", "K-340 Lite": a code with a digit, and capitalised words that directly follow it.
MODEL = re.compile(r"\b[A-Z]+-?\d[\w-]*(?: [A-Z][a-z]+\b)*")


def tokenise(text: str) -> list[str]:
    """The words that BM25 counts: lower case, no stop words, and whole model names beside them.

    "K340 Lite" gives "k340", "lite" and "model:k340 lite", "K340" gives "k340" and "model:k340".
    Without the last, a question about the K340 would fit the cards of the K340 Lite and the
    K340 Plus as well as its own.

    >>> tokenise("What is the Velbrin K340 Lite made of?")
    ['velbrin', 'k340', 'lite', 'made', 'model:k340 lite']
    """
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words = [word for word in WORD.findall(text.lower()) if word not in STOPWORDS_EN_PLUS]
    return words + ["model:" + name.lower() for name in MODEL.findall(text)]


class LexicalRetriever:
    """Finds passages that share words with the query; rare words count more (BM25)."""

    def __init__(
        self, passages: Sequence[Passage], tokenise: Callable[[str], list[str]] = tokenise
    ) -> None:
        """Count the passages' words. Raises ValueError for none, or for one id used twice.

        ``tokenise`` turns a text into a list of words.
        """
        import bm25s

        self.passages = _checked_passages(passages)
        self.tokenise = tokenise
        words = [tokenise(passage.text) for passage in self.passages]
        if not any(words):
            raise ValueError("No passage contains a word: there is nothing to search.")
        self.index = bm25s.BM25()
        self.index.index(words, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its ``k`` best passages.

        A passage that shares no word with the query is no hit, so there may be fewer than ``k``,
        or none. Of passages with equal scores the one that came first in the corpus is first.
        """
        _check_search(queries, k)
        results = []
        for query in queries:
            words = self.tokenise(query)
            scores = self.index.get_scores(words) if words else np.zeros(len(self.passages))
            best = np.argsort(-scores, kind="stable")[:k]
            best = best[scores[best] > 0]
            results.append(_hits(self.passages, best, scores[best]))
        return results


# --- by both --------------------------------------------------------------------------------


class HybridRetriever:
    """Merges what a dense and a lexical retriever find in the same passages."""

    def __init__(self, dense: DenseRetriever, lexical: LexicalRetriever) -> None:
        self.dense = dense
        self.lexical = lexical
        self.passages = dense.passages
        self._by_id = {passage.id: passage for passage in dense.passages}
        if self._by_id.keys() != {passage.id for passage in lexical.passages}:
            raise ValueError("The two retrievers must hold the same passages.")

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query the ``k`` best of both rankings; a hit's score is its points."""
        _check_search(queries, k)
        pool = max(k, SMALLEST_POOL)
        results = []
        for both in zip(
            self.dense.search(queries, pool), self.lexical.search(queries, pool), strict=True
        ):
            fused = fuse([hit.passage.id for hit in hits] for hits in both)[:k]
            results.append(
                [
                    Hit(self._by_id[name], points, rank)
                    for rank, (name, points) in enumerate(fused, start=1)
                ]
            )
        return results


# --- checks of what comes in ----------------------------------------------------------------


def _checked_passages(passages: Sequence[Passage]) -> list[Passage]:
    passages = list(passages)
    if not passages:
        raise ValueError("There are no passages: a retriever needs at least one.")
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise ValueError(f"Two passages have the id {passage.id!r}; ids must differ.")
        seen.add(passage.id)
    return passages


def _check_search(queries: Sequence[str], k: int) -> None:
    if isinstance(queries, str):
        raise TypeError("queries must be a list of questions; for one question write [question].")
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least 1 passage.")
    for number, query in enumerate(queries):
        if not query.strip():
            raise ValueError(f"Question number {number + 1} is empty.")


def _hits(
    passages: Sequence[Passage], numbers: Iterable[int], scores: Iterable[float]
) -> list[Hit]:
    return [
        Hit(passages[number], float(score), rank)
        for rank, (number, score) in enumerate(zip(numbers, scores, strict=True), start=1)
    ]
