"""Passages with their vectors: add, update, delete, search, save, load.

FAISS does the searching, by one of three kinds of index: `utils.faiss_index` says what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from utils import index_files
from utils.faiss_index import (
    IndexSettings,
    build_index,
    has_outgrown,
    search_all,
    search_near,
    select,
)
from utils.passages import (
    Filter,
    Hit,
    Passage,
    check_document,
    check_edit,
    check_filter,
    check_k,
    check_new,
    rank_hits,
)


class VectorIndex:
    """Passages by their vectors; the vectors have length 1, so inner product is cosine.

    The passage of FAISS's row number n is the n-th of a list. Deleting only marks rows, for all
    kinds alike. HNSW could not do otherwise: its vectors are the crossings of the paths through
    the graph, and without one of them others could no longer be reached. When more than half of
    the rows are marked, the index is built again without them.
    """

    def __init__(
        self,
        dimensions: int,
        kind: str = "flat",
        *,
        lists: int | None = None,
        probes: int = 8,
        neighbours: int = 16,
        ef_search: int = 64,
        ef_construction: int = 80,
    ) -> None:
        """Make an empty index; `utils.faiss_index.IndexSettings` explains kind and knobs.

        Raises ValueError for an unknown kind, and for a number that is too small.
        """
        self.settings = IndexSettings(
            dimensions, kind, lists, probes, neighbours, ef_search, ef_construction
        )
        self._build([], np.zeros((0, dimensions), dtype=np.float32))

    def __len__(self) -> int:
        """How many passages can be found."""
        return int(self._alive.sum())

    @property
    def passages(self) -> list[Passage]:
        """The passages that can be found, in the order in which they came."""
        return [row for row, alive in zip(self._rows, self._alive, strict=True) if alive]

    @property
    def vectors(self) -> np.ndarray:
        """A copy of the passages' vectors: float32, shape (passages, dimensions)."""
        return self._index.reconstruct_n(0, len(self._rows))[self._alive]

    def add(self, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Add passages with their vectors, shape (passages, dimensions).

        Raises ValueError, and changes nothing, for no passage, an id that is there already, and
        vectors that don't fit: their number, their dimensions, NaN, or not of length 1.
        """
        passages = check_new(passages, {passage.id for passage in self.passages})
        vectors = self._checked(vectors)
        _check_numbers(passages, vectors)
        if has_outgrown(self._index, self.settings, len(self) + len(passages)):
            self._build(self.passages + passages, np.vstack([self.vectors, vectors]))
        else:
            self._index.add(vectors)
            self._rows = self._rows + passages
            self._alive = np.append(self._alive, np.full(len(passages), True))

    def update(self, document: str, passages: Sequence[Passage], vectors: np.ndarray) -> None:
        """Put these passages in the place of all that the document had before.

        Raises LookupError for an unknown document, and ValueError as `add` does or for a passage
        of another document; then nothing is changed.
        """
        passages = check_edit(document, passages, self.passages)
        vectors = self._checked(vectors)
        _check_numbers(passages, vectors)  # whatever is wrong shows before anything is deleted
        self.delete(document)
        self.add(passages, vectors)

    def delete(self, document: str) -> None:
        """Delete all passages of a document. Raises LookupError if there is no such document."""
        check_document(document, self.passages)
        self._alive &= np.array([passage.document != document for passage in self._rows])
        if len(self) < len(self._rows) / 2:
            self._build(self.passages, self.vectors)

    def search(self, vectors: np.ndarray, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """For each query vector its ``k`` nearest passages, best first; scores are cosines.

        vectors: shape (queries, dimensions). where: a function that says of a passage whether it
        may be found; with it the search is exact in every kind. There are fewer than ``k`` hits
        only where fewer passages may be found. Raises ValueError for k below 1 and for vectors
        that don't fit.
        """
        vectors, k = self._checked(vectors), check_k(k)
        keep = self._alive if where is None else self._fitting(where)
        k = min(k, int(keep.sum()))
        if k == 0 or len(vectors) == 0:
            return [[] for _ in vectors]
        # To ask `where` of every passage takes about as long as to compare with every vector, so a
        # short cut would save little; and it misses most where a filter leaves little.
        search = search_near if where is None else search_all
        scores, rows = search(self._index, self.settings, vectors, k, select(keep))
        short = (rows < 0).any(axis=1)  # the probed lists, or the walk, held too few that count
        if short.any():
            scores[short], rows[short] = search_all(
                self._index, self.settings, vectors[short], k, select(keep)
            )
        return [
            rank_hits([self._rows[row] for row in query_rows], query_scores)
            for query_rows, query_scores in zip(rows, scores, strict=True)
        ]

    def save(self, folder: str | Path) -> Path:
        """Write the index as a folder, whole or not at all; an index already there is replaced.

        What was deleted isn't written. Raises FileExistsError for a folder of something else.
        """
        if not self._alive.all():
            self._build(self.passages, self.vectors)
        return index_files.write(folder, asdict(self.settings), self._rows, self._index)

    @classmethod
    def load(cls, folder: str | Path) -> VectorIndex:
        """Read what `save` wrote. Raises IndexFileError where it is missing, damaged or older."""
        settings, passages, faiss_index = index_files.read(folder)
        index = cls(**settings)
        index._index, index._rows = faiss_index, passages
        index._alive = np.full(len(passages), True)
        return index

    def _build(self, passages: list[Passage], vectors: np.ndarray) -> None:
        """Start anew with these passages only."""
        self._index = build_index(self.settings, vectors)
        self._rows = passages
        self._alive = np.full(len(passages), True)

    def _fitting(self, where: Filter) -> np.ndarray:
        """For each row whether it is alive and `where` agrees."""
        check_filter(where)
        pairs = zip(self._rows, self._alive, strict=True)
        return np.array([alive and bool(where(row)) for row, alive in pairs], dtype=bool)

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        dimensions = self.settings.dimensions
        if vectors.ndim != 2 or vectors.shape[1] != dimensions:
            raise ValueError(
                f"The vectors have shape {vectors.shape}; it must be (texts, {dimensions})."
            )
        if not np.isfinite(vectors).all():
            raise ValueError("A vector holds NaN or infinity.")
        if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01):
            raise ValueError("The vectors must have length 1: divide each by its length.")
        return vectors


def _check_numbers(passages: Sequence[Passage], vectors: np.ndarray) -> None:
    if len(passages) != len(vectors):
        raise ValueError(f"There are {len(passages)} passages, but {len(vectors)} vectors.")
