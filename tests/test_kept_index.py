"""An index is made once, and made again only where it must be."""

import numpy as np
import pytest

from tests.test_retrieval import CARDS, CountingEncoder
from utils import index_files
from utils.kept_index import make_or_load
from utils.retrieval import Passage


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "indexes"


def read_texts(passages, encoder=None):
    """How many texts the encoder had to read, and the retriever."""
    encoder = encoder or CountingEncoder()
    retriever = make_or_load("cards", encoder, passages)
    return sum(len(batch) for batch in encoder.batches), retriever


def test_it_is_made_once(cache):
    number, made = read_texts(CARDS)
    assert number == len(CARDS)
    number, loaded = read_texts(tuple(CARDS))
    assert number == 1  # to see that the encoder is the same
    assert loaded.passages == made.passages == CARDS
    np.testing.assert_array_equal(loaded.vectors, made.vectors)
    asked = ["teal", "copper kettle"]
    assert loaded.search(asked, 3) == made.search(asked, 3)
    assert [path.name for path in cache.iterdir()] == ["cards"]


def test_other_passages_are_embedded_and_take_the_place_of_the_old(cache):
    read_texts(CARDS)
    changed = [*CARDS[:3], Passage("kettle", "A kettle of zinc.")]
    for _ in range(2):
        _, retriever = read_texts(changed)
        assert retriever.passages == changed
    assert read_texts(changed)[0] == 1
    assert [path.name for path in cache.iterdir()] == ["cards"]


def test_another_encoder_embeds_anew():
    class Backwards(CountingEncoder):
        def encode(self, texts, **options):
            return super().encode(texts, **options)[:, ::-1]

    _, forwards = read_texts(CARDS)
    number, backwards = read_texts(CARDS, Backwards())
    assert number == 1 + len(CARDS)
    np.testing.assert_array_equal(backwards.vectors, forwards.vectors[:, ::-1])


@pytest.mark.parametrize("name", ["manifest.json", "passages.json", "vectors.faiss"])
def test_a_damaged_one_is_made_anew(cache, name):
    read_texts(CARDS)
    (cache / "cards" / name).write_bytes(b"damaged")
    assert read_texts(CARDS)[0] == len(CARDS)
    assert read_texts(CARDS)[0] == 1


def test_where_nothing_can_be_kept_the_index_is_there_all_the_same(cache, monkeypatch, capsys):
    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(index_files, "_write_json", full)
    _, retriever = read_texts(CARDS)
    assert retriever.passages == CARDS
    assert "could not be kept" in capsys.readouterr().out
    assert list(cache.iterdir()) == []


def test_what_is_wrong_with_the_passages_is_said():
    with pytest.raises(ValueError, match="no passages"):
        make_or_load("cards", CountingEncoder(), [])
    with pytest.raises(TypeError, match="is no passage"):
        make_or_load("cards", CountingEncoder(), ["text"])


def test_progress_is_shown_where_it_is_wanted(capsys):
    make_or_load("cards", CountingEncoder(), CARDS)
    assert capsys.readouterr().err == ""
    make_or_load("others", CountingEncoder(), CARDS, progress=True)
    assert "embedding" in capsys.readouterr().err
