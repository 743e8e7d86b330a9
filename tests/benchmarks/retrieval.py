"""Searching and encoding: the short cuts against the plain way.

`python -m tests.benchmarks.retrieval` prints one JSON line last:

- `ann_speedup`: queries a second of an approximate index / those of the flat one, over the same
  vectors, one query at a time as a chat asks them; `ann_recall_at_10`: the share of flat's ten
  nearest that it finds. Each kind is asked in turns with the flat one; the faster one whose recall
  is at least 0.95 is reported, both stand beside it.
- `encode_speedup`: seconds of sentence-transformers' own default call / seconds of the faster of
  the course's two exact ways (`encode_way`: `utils.retrieval.embed` with the same encoder, or with
  its ONNX file in fp32), on sentences of the packages' documentation; `encode_max_abs_diff`: the
  largest difference to the default call in any number of any vector. Both ways stand beside it,
  and int8 with its smallest cosine; `encode_one_speedup` is of one question at a time.
  `statements` holds the same for short sentences of like length, where no padding can be saved:
  `matmul_peak_share` there says how much of the processor's peak the default call reaches.

The vectors are those of real sentences about invented products, each with noisy copies around it:
real ones would take a quarter of an hour to encode.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from tests.benchmarks.encoding import compare_encoding, statements, timed
from utils.faiss_index import IndexSettings, build_index, search_all, search_near
from utils.models import load_encoder
from utils.retrieval import embed

K = 10
NOISE = 0.4  # length of what is added to a vector of length 1
TURNS = 4
RECALL_WANTED = 0.95


def crowd(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` vectors of length 1 around the given ones: float32, shape (count, dimensions)."""
    centres = vectors[rng.integers(len(vectors), size=count)]
    noise = rng.standard_normal(centres.shape, dtype=np.float32)
    noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    near = centres + noise
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


def compare_indexes(vectors: np.ndarray, queries: np.ndarray) -> dict:
    """Recall and speed of IVF and HNSW against flat, one query at a time."""
    settings = {kind: IndexSettings(vectors.shape[1], kind) for kind in ("flat", "ivf", "hnsw")}
    built = {kind: build_index(settings[kind], vectors) for kind in settings}

    def ask(kind: str, part: np.ndarray) -> np.ndarray:
        search = search_all if kind == "flat" else search_near
        rows = [search(built[kind], settings[kind], query[None], K, None)[1][0] for query in part]
        return np.array(rows)

    exact = ask("flat", queries)
    found = {}
    for kind in ("ivf", "hnsw"):
        rows = ask(kind, queries)
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, exact, strict=True)])
        took = {"flat": 0.0, kind: 0.0}
        for part in np.array_split(queries, TURNS):
            for one in took:
                took[one] += timed(ask, one, part)[0]
        found[kind] = {
            "recall_at_10": round(float(recall), 4),
            "speedup": round(took["flat"] / took[kind], 1),
            "queries_per_second": round(len(queries) / took[kind], 1),
        }
    good = [one for one in found.values() if one["recall_at_10"] >= RECALL_WANTED]
    best = max(good or found.values(), key=lambda one: one["speedup"])
    return {
        "ann_recall_at_10": best["recall_at_10"],
        "ann_speedup": best["speedup"],
        "vectors": len(vectors),
        **found,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--sentences", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args(arguments)
    encoder = load_encoder()
    encoding = compare_encoding(encoder, options.sentences)
    rng = np.random.default_rng(0)
    around = embed(encoder, statements(options.sentences))
    vectors = crowd(around, options.vectors, rng)
    queries = crowd(around, options.queries, rng)
    print(json.dumps({**compare_indexes(vectors, queries), **encoding}))


if __name__ == "__main__":
    main()
