"""The benchmarks run with small numbers; what they measure is for a quiet machine to say."""

from __future__ import annotations

import json

import numpy as np

from tests.benchmarks import encoding, retrieval

SPEEDUPS = {"encode_speedup", "embed_speedup", "onnx_fp32_speedup", "onnx_int8_speedup"}


def test_searching_and_encoding(capsys):
    retrieval.main(["--vectors", "2000", "--sentences", "60", "--queries", "8"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0.5 < result["ann_recall_at_10"] <= 1
    assert {result[kind]["recall_at_10"] for kind in ("ivf", "hnsw")} >= {
        result["ann_recall_at_10"]
    }
    assert result["vectors"] == 2000 and result["ann_speedup"] > 0
    assert result["encode_one_speedup"] > 0
    for part in (result, result["statements"]):
        assert all(part[name] > 0 for name in SPEEDUPS)
        assert part["encode_way"] in encoding.EXACT
        assert 0 < part["encode_max_abs_diff"] < 1e-3
        assert 0.9 < part["onnx_int8_smallest_cosine"] < 1
        assert part["sentences"] == 60
    assert 0 < result["statements"]["matmul_peak_share"] < 2  # rounding of a busy machine


def test_turns_keep_the_order_of_the_sentences():
    texts = [str(number) for number in range(7)]
    ways = {"plain": lambda part: np.array([[float(text)] for text in part])}
    took, vectors = encoding.in_turns(ways, texts)
    assert vectors["plain"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6] and took["plain"] > 0


def test_padding_counts_as_tokens(encoder):
    """Two texts of 3 and 5 tokens, the ends included, make a batch of 10."""
    assert encoding.padded_tokens(encoder.tokenizer, ["lamp", "a red lamp"]) == [10]
    assert encoding.padded_tokens(encoder.tokenizer, ["lamp", "a red lamp"], 1) == [5, 3]


def test_the_products_are_those_of_the_encoders_weights(encoder):
    """Each weight matrix of the six layers meets every token once."""
    layers = encoder[0].auto_model.encoder.parameters()
    weights = sum(tensor.numel() for tensor in layers if tensor.ndim == 2)
    pairs = encoding.products(encoder, tokens=10)
    assert sum(right.numel() for _, right in pairs) == weights
    assert {left.shape[0] for left, _ in pairs} == {10}


def test_the_sentences_are_as_many_as_asked_for_and_the_same_each_time():
    for texts in (encoding.statements, encoding.doc_texts):
        assert len(texts(40)) == 40 and texts(40) == texts(40)
