"""Searching and encoding: the short cuts against the plain way.

`python -m tests.benchmarks.retrieval` prints one JSON line last:

- `ann_speedup`: queries a second of an approximate index / those of the flat one, over the same
  vectors, one query at a time as a chat asks them; `ann_recall_at_10`: the share of flat's ten
  nearest that it finds. Each kind is asked in turns with the flat one; the faster one whose recall
  is at least 0.95 is reported, both stand beside it.
- `encode_speedup`: seconds of sentence-transformers' own default call / seconds of
  `utils.retrieval.embed` on the same sentences; `encode_max_abs_diff`: the largest difference
  between the two in any number of any vector.

The vectors are those of real sentences about invented products, each with noisy copies around it:
real ones would take a quarter of an hour to encode.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import numpy as np

from utils import worlds
from utils.faiss_index import IndexSettings, build_index, search_all, search_near
from utils.models import load_encoder
from utils.retrieval import embed

K = 10
COPIES = 50  # vectors around each sentence's own
NOISE = 0.4  # length of what is added to a vector of length 1
TURNS = 4
RECALL_WANTED = 0.95


def real_sentences(count: int) -> list[str]:
    """Statements about the products of a world that is large enough."""
    world = worlds.make_world(seed=7, families=min(24, 1 + count // 250))
    texts = [
        text
        for product in world.products
        for attribute in worlds.ATTRIBUTES
        for text in worlds.paraphrases(product, attribute)
    ]
    return texts[:count]


def crowd(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` vectors of length 1 around the given ones: float32, shape (count, dimensions)."""
    centres = vectors[rng.integers(len(vectors), size=count)]
    noise = rng.standard_normal(centres.shape, dtype=np.float32)
    noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    near = centres + noise
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
                took[one] += seconds(lambda one=one, part=part: ask(one, part))
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


def compare_encoding(encoder, sentences: Sequence[str]) -> dict:
    """The course's way to encode sentences against the library's default call."""
    embed(encoder, sentences[:64])  # both are warm before the clock starts
    took, plain, ours = {"plain": 0.0, "ours": 0.0}, [], []
    for part in np.array_split(np.array(sentences), TURNS):
        part = part.tolist()
        took["plain"] += seconds(lambda part=part: plain.append(encoder.encode(part)))
        took["ours"] += seconds(lambda part=part: ours.append(embed(encoder, part)))
    difference = np.abs(np.vstack(plain) - np.vstack(ours)).max()
    return {
        "encode_speedup": round(took["plain"] / took["ours"], 2),
        "encode_max_abs_diff": float(difference),
        "sentences": len(sentences),
        "sentences_per_second": round(len(sentences) / took["ours"], 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--sentences", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args(arguments)
    encoder = load_encoder()
    sentences = real_sentences(options.sentences)
    encoding = compare_encoding(encoder, sentences)
    rng = np.random.default_rng(0)
    around = embed(encoder, sentences)
    vectors = crowd(around, options.vectors, rng)
    queries = crowd(around, options.queries, rng)
    print(json.dumps({**compare_indexes(vectors, queries), **encoding}))


if __name__ == "__main__":
    main()
