"""Flat, IVF and HNSW: how FAISS's three indexes are made and asked.

* *flat* compares a query with every vector: exact, and slow where there are millions.
* *IVF*, an inverted file: k-means sorts the vectors into ``lists``, and a search reads only the
  ``probes`` lists nearest to the query (Sivic & Zisserman 2003; Jégou, Douze & Schmid 2011).
* *HNSW*, a graph: each vector is linked to ``neighbours`` near ones or more, and a search walks
  from neighbour to neighbour (Malkov & Yashunin 2016, https://arxiv.org/abs/1603.09320).

The last two trade a little recall for time. FAISS: Douze et al. 2024,
https://arxiv.org/abs/2401.08281. Which passage has which vector is in `utils.vector_index`.
"""

from __future__ import annotations

import operator
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = ("flat", "ivf", "hnsw")
# FAISS's rule of thumb: k-means needs at least 39 vectors for each list to place it well.
VECTORS_PER_LIST = 39


@dataclass(frozen=True)
class IndexSettings:
    """The kind of an index, its vectors' dimensions, and its knobs.

    kind: "flat", "ivf" or "hnsw".
    lists, probes: for IVF. By default there are as many lists as the square root of the number of
    vectors. There is never more than one for 39 vectors, so a small collection has no more lists
    than probes and is searched exactly.
    neighbours, ef_search, ef_construction: for HNSW. How many vectors each one is linked to (M in
    the paper), and how many candidates are kept while searching and while linking.
    """

    dimensions: int
    kind: str = "flat"
    lists: int | None = None
    probes: int = 8
    neighbours: int = 16
    ef_search: int = 64
    ef_construction: int = 80

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown kind, and for a number too small or not whole."""
        if self.kind not in KINDS:
            raise ValueError(f"There is no index of kind {self.kind!r}; choose {', '.join(KINDS)}.")
        for name, value in list(vars(self).items()):
            if name == "kind" or (name == "lists" and value is None):
                continue
            least = 2 if name == "neighbours" else 1  # FAISS can't make a graph of single links
            try:
                whole = operator.index(value)  # of numpy's numbers too, which FAISS does not take
            except TypeError:
                raise ValueError(f"{name} is {value!r}; it must be a whole number.") from None
            if whole < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}.")
            object.__setattr__(self, name, whole)


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


def build_index(settings: IndexSettings, vectors: np.ndarray) -> Any:
    """A FAISS index of these vectors (float32, length 1, shape (vectors, dimensions)).

    Its numbers for the vectors are their rows.
    """
    index = _empty_index(settings, len(vectors))
    if len(vectors):
        index.train(vectors)  # finds the lists of IVF; the other kinds learn nothing
        index.add(vectors)
    return index


def _empty_index(settings: IndexSettings, size: int) -> Any:
    faiss = import_faiss()
    # Inner product of vectors of length 1 is the cosine.
    if settings.kind == "hnsw":
        index = faiss.IndexHNSWFlat(
            settings.dimensions, settings.neighbours, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = settings.ef_construction
        return index
    flat = faiss.IndexFlatIP(settings.dimensions)
    if settings.kind == "flat":
        return flat
    index = faiss.IndexIVFFlat(
        flat, settings.dimensions, lists_for(settings, size), faiss.METRIC_INNER_PRODUCT
    )
    index.cp.spherical = True  # the lists' centres have length 1, as the vectors have
    index.cp.min_points_per_centroid = 1  # no warning where there is but one list
    return index


def lists_for(settings: IndexSettings, size: int) -> int:
    """How many lists IVF makes for so many vectors."""
    wanted = settings.lists or int(size**0.5)
    return max(1, min(wanted, size // VECTORS_PER_LIST))


def has_outgrown(index: Any, settings: IndexSettings, size: int) -> bool:
    """Whether IVF's lists, placed when there were fewer vectors, should be placed anew."""
    if settings.kind != "ivf":
        return False
    # Twice the lists, and not one more: else every few passages would start k-means again.
    return not index.is_trained or lists_for(settings, size) >= 2 * index.nlist


def select(keep: np.ndarray) -> Any:
    """What tells FAISS, while it searches, which rows may be found; None if all may.

    To drop hits after the search instead would leave fewer than k.
    """
    if keep.all():
        return None
    return import_faiss().IDSelectorBitmap(np.packbits(keep, bitorder="little"))


def search_near(
    index: Any, settings: IndexSettings, vectors: np.ndarray, k: int, selector: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows as this kind of index finds them, exact only if flat.

    Returns (scores, rows), best first, each of shape (queries, k); row -1 means: none found.
    """
    faiss = import_faiss()
    if settings.kind == "ivf":
        parameters = faiss.SearchParametersIVF(nprobe=settings.probes, sel=selector)
    elif settings.kind == "hnsw":
        parameters = faiss.SearchParametersHNSW(efSearch=max(k, settings.ef_search), sel=selector)
    else:
        parameters = faiss.SearchParameters(sel=selector)
    return index.search(vectors, k, params=parameters)


def search_all(
    index: Any, settings: IndexSettings, vectors: np.ndarray, k: int, selector: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows by comparing with every selected vector; returns what `search_near` does."""
    faiss = import_faiss()
    if settings.kind == "ivf":
        every_list = faiss.SearchParametersIVF(nprobe=index.nlist, sel=selector)
        return index.search(vectors, k, params=every_list)
    if settings.kind == "hnsw":
        index = faiss.downcast_index(index.storage)  # the vectors below the graph: a flat index
    return index.search(vectors, k, params=faiss.SearchParameters(sel=selector))
