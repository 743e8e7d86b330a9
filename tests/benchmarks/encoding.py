"""Encoding: the course's ways against the default call of sentence-transformers.

Two kinds of sentences are encoded, since padding is what differs: those of the installed packages'
documentation, long and short ones mixed as any retriever meets them, and short statements of like
length about invented products. All ways take turns on the same sentences.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from utils import worlds
from utils.chunking import chunk_sentences
from utils.onnx_encoder import load_onnx_encoder
from utils.package_docs import package_docs
from utils.retrieval import embed

TURNS = 4
ALONE = 50  # questions that are encoded one at a time
EXACT = ("embed", "onnx_fp32")  # fp32, so equal to the default call but for rounding

T = TypeVar("T")
Way = Callable[[Sequence[str]], np.ndarray]


def statements(count: int) -> list[str]:
    """Statements about the products of a world that is large enough: 12 to 27 tokens each."""
    world = worlds.make_world(seed=7, families=min(24, 1 + count // 250))
    texts = [
        text
        for product in world.products
        for attribute in worlds.ATTRIBUTES
        for text in worlds.paraphrases(product, attribute)
    ]
    return texts[:count]


def doc_texts(count: int) -> list[str]:
    """Sentences of numpy's and pandas' documentation, drawn at random, with tables and code."""
    documents = package_docs(("numpy", "pandas")).items()
    passages = [p for name, text in documents for p in chunk_sentences(text, size=1, document=name)]
    drawn = np.random.default_rng(0).permutation(len(passages))[:count]
    return [passages[number].text for number in drawn]


def timed(work: Callable[..., T], *arguments: object) -> tuple[float, T]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def compare_encoding(encoder, count: int) -> dict:
    """What the JSON line holds about encoding; `statements` has the same for like lengths."""
    fp32, int8 = load_onnx_encoder("fp32"), load_onnx_encoder("int8")
    ways: dict[str, Way] = {
        "plain": encoder.encode,
        "embed": partial(embed, encoder),
        "onnx_fp32": partial(embed, fp32),
        "onnx_int8": partial(embed, int8),
    }
    like = statements(count)
    one_by_one = {
        name: lambda texts, way=ways[name]: np.vstack([way([text]) for text in texts])
        for name in ("plain", "onnx_fp32")
    }
    took, _ = in_turns(one_by_one, like[:ALONE])
    return {
        **compare_ways(ways, doc_texts(count)),
        "encode_one_speedup": round(took["plain"] / took["onnx_fp32"], 2),
        "statements": {**compare_ways(ways, like), **peak_share(encoder, like)},
    }


def compare_ways(ways: dict[str, Way], sentences: Sequence[str]) -> dict:
    """Speed of every way against the plain one, and how far its vectors are from it."""
    took, vectors = in_turns(ways, sentences)
    speedup = {name: round(took["plain"] / took[name], 2) for name in ways}
    best = max(EXACT, key=speedup.get)
    plain = vectors["plain"]
    return {
        "encode_speedup": speedup[best],
        "encode_way": best,
        "encode_max_abs_diff": max(float(np.abs(vectors[name] - plain).max()) for name in EXACT),
        "embed_speedup": speedup["embed"],
        "onnx_fp32_speedup": speedup["onnx_fp32"],
        "onnx_int8_speedup": speedup["onnx_int8"],
        "onnx_int8_smallest_cosine": round(float((vectors["onnx_int8"] * plain).sum(1).min()), 4),
        "sentences": len(sentences),
        "sentences_per_second": round(len(sentences) / took[best], 1),
    }


def in_turns(
    ways: dict[str, Way], sentences: Sequence[str]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Each way's seconds and vectors for all sentences, part by part."""
    took, parts = dict.fromkeys(ways, 0.0), {name: [] for name in ways}
    for way in ways.values():
        way(sentences[:32])  # all are warm before the clock starts
    for numbers in np.array_split(np.arange(len(sentences)), TURNS):
        part = [sentences[number] for number in numbers]
        for name, way in ways.items():
            duration, vectors = timed(way, part)
            took[name] += duration
            parts[name].append(vectors)
    return took, {name: np.vstack(found) for name, found in parts.items()}


# --- why the default call can't be twice as fast in fp32 ------------------------------------


def peak_share(encoder, sentences: Sequence[str]) -> dict:
    """The default call's matrix products a second, and what share that is of the peak.

    The peak is `torch.mm` alone with the same shapes, in turns with the call. What the share
    leaves to 1 is all that can be saved in fp32 for the same tokens.
    """
    took = {"plain": 0.0, "products": 0.0}
    operations = 0
    for numbers in np.array_split(np.arange(len(sentences)), TURNS):
        part = [sentences[number] for number in numbers]
        batches = padded_tokens(encoder.tokenizer, part)
        took["plain"] += timed(encoder.encode, part)[0]
        for tokens in batches:
            layer = products(encoder, tokens)
            took["products"] += sum(timed(torch.mm, *pair)[0] for pair in layer)
            operations += sum(2 * left.numel() * right.shape[1] for left, right in layer)
    rate = {name: operations / took[name] / 1e9 for name in took}
    return {
        "matmul_gflops": round(rate["plain"], 1),
        "matmul_peak_gflops": round(rate["products"], 1),
        "matmul_peak_share": round(rate["plain"] / rate["products"], 3),
    }


def padded_tokens(tokenizer, sentences: Sequence[str], batch_size: int = 32) -> list[int]:
    """How many tokens each batch of the default call has, padding counted."""
    ordered = sorted(sentences, key=len, reverse=True)  # as the call does
    batches = (ordered[n : n + batch_size] for n in range(0, len(ordered), batch_size))
    return [tokenizer(b, padding=True, return_tensors="np")["input_ids"].size for b in batches]


def products(encoder, tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The factors of all matrix products with weights that so many tokens need.

    In every layer four of them belong to attention and two to the network behind it.
    """
    config = encoder[0].auto_model.config
    width, inner = config.hidden_size, config.intermediate_size
    shapes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    layer = [(torch.ones(tokens, rows), torch.ones(rows, columns)) for rows, columns in shapes]
    return layer * config.num_hidden_layers
