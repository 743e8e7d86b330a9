"""The encoder in ONNX Runtime: the original's vectors, near ones in int8, and clear errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils import onnx_encoder
from utils.environment import ROOT
from utils.onnx_encoder import load_onnx_encoder, weight_bytes
from utils.package_docs import doc_sentences, package_docs
from utils.pinned import WeightsError, cache_folder
from utils.retrieval import DenseRetriever, Passage, embed

ODD_TEXTS = [
    "",
    " ",
    "\x00",
    "🏮",
    "Which lantern is teal?",
    "Лампа светит десять часов.",
    "这盏灯是蓝色的。",
    "مصباح نحاسي",
    "A much longer text. " * 20,
    "copper lamp " * 200,  # 400 tokens: more than the encoder reads
    "x" * 5000,
]


@pytest.fixture(scope="module")
def fp32():
    return load_onnx_encoder("fp32")


@pytest.fixture(scope="module")
def int8():
    return load_onnx_encoder("int8")


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """300 sentences of statsmodels' documentation, which no one here wrote."""
    found = doc_sentences(package_docs(["statsmodels"]))
    numbers = np.random.default_rng(0).choice(len(found), 300, replace=False)
    return [found[number].text for number in numbers]


# --- the vectors ----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_fp32_gives_the_vectors_of_the_original(encoder, fp32, batch_size):
    original = encoder.encode(ODD_TEXTS, batch_size=1, normalize_embeddings=True)
    vectors = fp32.encode(ODD_TEXTS, batch_size=batch_size)
    assert vectors.dtype == np.float32 and vectors.shape == (len(ODD_TEXTS), 384)
    np.testing.assert_allclose(vectors, original, atol=1e-5)


def test_only_the_first_256_tokens_are_read(fp32):
    first = "copper lamp " * 127  # 254 words, and one token before and behind them
    longer, shorter = first + "teal kettle " * 50, "copper lamp " * 126
    vectors = fp32.encode([first, longer, shorter])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


def test_embed_and_the_retriever_take_it_as_any_encoder(encoder, fp32):
    passages = [Passage(str(number), text) for number, text in enumerate(ODD_TEXTS[4:9])]
    texts = [passage.text for passage in passages]
    np.testing.assert_allclose(embed(fp32, texts), embed(encoder, texts), atol=1e-5)
    hits = DenseRetriever(fp32, passages).search(texts, k=1)
    assert [found[0].passage for found in hits] == passages
    assert embed(fp32, []).shape == (0, 384)


def test_an_index_moves_between_the_original_and_fp32(encoder, fp32, tmp_path):
    passages = [Passage("1", "A lantern of copper."), Passage("2", "A kettle of zinc.")]
    folder = DenseRetriever(encoder, passages).save(tmp_path / "index")
    (hits,) = DenseRetriever.load(folder, fp32).search(["a copper lantern"], k=1)
    assert hits[0].passage == passages[0]


def test_int8_gives_near_vectors_and_mostly_the_same_neighbours(encoder, int8, sentences):
    exact, near = embed(encoder, sentences), embed(int8, sentences)
    np.testing.assert_allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
    cosines = (exact * near).sum(axis=1)
    assert cosines.min() > 0.9 and 0.98 < cosines.mean() < 0.9999  # 1 would be no int8
    first = [(v @ v.T - 2 * np.eye(len(v))).argmax(axis=1) for v in (exact, near)]
    assert np.mean(first[0] == first[1]) > 0.8


def test_int8_is_a_quarter_of_the_size(encoder, fp32, int8):
    assert weight_bytes(fp32) == pytest.approx(weight_bytes(encoder), rel=0.02)
    assert weight_bytes(fp32) / weight_bytes(int8) == pytest.approx(4, rel=0.1)
    assert weight_bytes(int8) == os.path.getsize(int8.path)


def test_other_threads_give_the_same_vectors(fp32):
    alone = load_onnx_encoder("fp32", threads=1).encode(ODD_TEXTS)
    np.testing.assert_allclose(alone, fp32.encode(ODD_TEXTS), atol=1e-5)


# --- what can go wrong ----------------------------------------------------------------------


def test_bad_arguments_are_named(fp32):
    with pytest.raises(ValueError, match="no precision 'int4'; choose fp32 or int8"):
        load_onnx_encoder("int4")
    with pytest.raises(ValueError, match="threads is 0"):
        load_onnx_encoder(threads=0)
    with pytest.raises(ValueError, match="batch_size is 0"):
        fp32.encode(["a"], batch_size=0)
    with pytest.raises(TypeError, match=r"\[text\]"):
        fp32.encode("one text")


@pytest.mark.parametrize("package", onnx_encoder.PACKAGES)
def test_a_missing_package_says_what_to_install(package, monkeypatch):
    real = onnx_encoder.importlib.util.find_spec

    def find_spec(name):
        return None if name == package else real(name)

    monkeypatch.setattr(onnx_encoder.importlib.util, "find_spec", find_spec)
    with pytest.raises(ImportError, match=f"needs {package}\\. `make lab` installs"):
        load_onnx_encoder()


def keep_encoder(monkeypatch, cache: Path) -> Path:
    """Move the cache to an empty folder that holds the original only; returns the ONNX folder."""
    (cache / onnx_encoder.ENCODER_FOLDER).symlink_to(cache_folder() / onnx_encoder.ENCODER_FOLDER)
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(cache))
    return cache / onnx_encoder.FOLDER


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "no tokenizer"])
def test_damaged_files_say_which_folder_to_delete(fp32, monkeypatch, tmp_path, damage):
    made = fp32.path.parent
    folder = keep_encoder(monkeypatch, tmp_path)
    folder.mkdir()
    for path in made.iterdir():
        if not (damage == "no tokenizer" and path.name == "tokenizer.json"):
            (folder / path.name).symlink_to(path)
    if damage != "no tokenizer":
        (folder / "int8.onnx").unlink()
    if damage in ("cut", "empty"):
        whole = (made / "int8.onnx").read_bytes()
        (folder / "int8.onnx").write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    with pytest.raises(WeightsError, match=f"{folder}(.|\n)*Delete that folder"):
        load_onnx_encoder("int8")


def test_an_export_that_fails_leaves_nothing_and_the_next_one_is_whole(monkeypatch, tmp_path):
    folder = keep_encoder(monkeypatch, tmp_path)

    def fail(encoder, built):
        built.mkdir()
        (built / "fp32.onnx").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(onnx_encoder, "_export", fail)
        with pytest.raises(KeyboardInterrupt):
            load_onnx_encoder()
    assert not folder.exists() and not list(tmp_path.rglob("*.onnx"))
    command = [sys.executable, "-m", "utils.onnx_encoder"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == second.returncode == 0, first.stderr
    assert "about ten seconds" in first.stdout and "ten seconds" not in second.stdout
    assert "arning" not in first.stderr + first.stdout
    assert {path.name for path in folder.iterdir()} >= {"fp32.onnx", "int8.onnx", "tokenizer.json"}
    assert load_onnx_encoder().encode(["a lantern"]).shape == (1, 384)
