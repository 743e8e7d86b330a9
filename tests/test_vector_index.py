"""Every kind of vector index finds what a plain comparison finds, and keeps nothing by mistake."""

import json
from pathlib import Path

import numpy as np
import pytest

from utils import index_files
from utils.faiss_index import KINDS
from utils.index_files import FORMAT, IndexFileError
from utils.passages import Passage
from utils.vector_index import VectorIndex

DIMENSIONS = 16
# So wide that nothing is left out: every list is read, and the walk keeps every candidate.
EXHAUSTIVE = {"probes": 10_000, "ef_search": 10_000}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def draw_vectors(generator, size, dimensions=DIMENSIONS):
    return unit(generator.normal(size=(size, dimensions)))


def make_passages(size, document="d", first=0):
    return [
        Passage(f"{document}#{n}", f"Text {n}.", document, metadata={"parity": "eo"[n % 2]})
        for n in range(first, first + size)
    ]


def filled(kind, size=100, documents=10, **knobs):
    """An index of documents "0", "1" ... with equally many passages; and all their vectors."""
    index = VectorIndex(DIMENSIONS, kind, **knobs)
    vectors = draw_vectors(np.random.default_rng(3), size)
    each = size // documents
    for number in range(documents):
        part = slice(number * each, (number + 1) * each)
        index.add(make_passages(each, str(number)), vectors[part])
    return index, vectors


def ids(hits):
    return [hit.passage.id for hit in hits]


def state(index):
    return [passage.id for passage in index.passages], index.vectors.tolist()


def brute_force(stored, query, k, where=lambda passage: True):
    """The k best ids and scores of {id: (passage, vector)}, by comparing one by one."""
    scores = {name: float(vector @ query) for name, (p, vector) in stored.items() if where(p)}
    best = sorted(scores, key=lambda name: -scores[name])[:k]
    return best, [scores[name] for name in best]


every_kind = pytest.mark.parametrize("kind", KINDS)


# --- search -----------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_after_any_changes_search_equals_brute_force(kind, seed):
    generator = np.random.default_rng(seed)
    index = VectorIndex(DIMENSIONS, kind, **EXHAUSTIVE)
    stored = {}  # what should be in the index: id -> (passage, vector)
    done = {"add": 0, "update": 0, "delete": 0}
    for step in range(60):
        documents = sorted({passage.document for passage, _ in stored.values()})
        action = generator.choice(["add", "add", "update", "delete"]) if documents else "add"
        document = str(generator.choice(documents)) if action != "add" else f"document {step}"
        if action != "add":
            stored = {name: held for name, held in stored.items() if held[0].document != document}
        if action == "delete":
            index.delete(document)
        else:
            size = int(generator.integers(1, 8))
            passages, vectors = make_passages(size, document), draw_vectors(generator, size)
            stored |= {p.id: (p, v) for p, v in zip(passages, vectors, strict=True)}
            change = (
                index.add if action == "add" else lambda p, v, d=document: index.update(d, p, v)
            )
            change(passages, vectors)
        done[action] += 1

        assert len(index) == len(stored)
        queries = draw_vectors(generator, 2)
        for where in (None, lambda passage: passage.metadata["parity"] == "e"):
            for query, hits in zip(queries, index.search(queries, 5, where), strict=True):
                best, scores = brute_force(stored, query, 5, where or (lambda passage: True))
                assert ids(hits) == best
                assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)
                assert [hit.rank for hit in hits] == list(range(1, len(best) + 1))
                assert all(hit.passage == stored[hit.passage.id][0] for hit in hits)
    assert min(done.values()) > 5


@pytest.fixture(scope="module")
def clustered():
    """Passages, vectors in 40 clusters as texts on 40 subjects have, and queries like them."""
    generator = np.random.default_rng(0)
    centres = draw_vectors(generator, 40, 64)
    subjects = centres[generator.integers(40, size=3100)]
    vectors = unit(subjects + 0.08 * generator.normal(size=subjects.shape))
    return make_passages(3000), vectors[:3000], vectors[3000:]


def recall(found, exact):
    shares = [len(set(ids(a)) & set(ids(b))) / len(b) for a, b in zip(found, exact, strict=True)]
    return np.mean(shares)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_short_cuts_with_their_default_knobs_lose_little(kind, clustered):
    passages, vectors, queries = clustered
    flat, index = VectorIndex(64), VectorIndex(64, kind)
    flat.add(passages, vectors)
    index.add(passages, vectors)
    exact = flat.search(queries, 10)
    assert recall(index.search(queries, 10), exact) >= 0.95
    # The knobs reach FAISS: with the smallest ones something is missed.
    hasty = VectorIndex(64, kind, probes=1, ef_search=1, neighbours=2, ef_construction=2)
    hasty.add(passages, vectors)
    assert recall(hasty.search(queries, 10), exact) < 0.95


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_recall_survives_deletions(kind, clustered):
    passages, vectors, queries = clustered
    passages = [Passage(p.id, p.text, str(n % 5)) for n, p in enumerate(passages)]
    indexes = [VectorIndex(64), VectorIndex(64, kind)]
    for index in indexes:
        index.add(passages, vectors)
        index.delete("1")
        index.delete("3")
    exact, found = (index.search(queries, 10) for index in indexes)
    assert recall(found, exact) >= 0.95


@every_kind
@pytest.mark.parametrize("every", [150, 20, 5])
def test_a_filter_still_gives_k_and_the_right_ones(kind, every, clustered):
    passages, vectors, queries = clustered
    index = VectorIndex(64, kind)
    index.add(passages, vectors)
    # What is left lies in one corner, as a filter by subject leaves it; many queries lie elsewhere.
    corner = np.argsort(vectors[:, 0])[: 3000 // every]
    wanted = {f"d#{n}" for n in corner}
    stored = {p.id: (p, v) for p, v in zip(passages, vectors, strict=True)}
    found = index.search(queries[:20], 10, lambda passage: passage.id in wanted)
    for query, hits in zip(queries[:20], found, strict=True):
        assert ids(hits) == brute_force(stored, query, 10, lambda p: p.id in wanted)[0]
        assert len(hits) == 10


@every_kind
def test_k_beyond_the_corpus_gives_all_of_it_also_after_deletions(kind):
    index, vectors = filled(kind, size=400, probes=1)
    assert [len(hits) for hits in index.search(vectors[:3], 1000)] == [400] * 3
    for document in "0123":
        index.delete(document)
    for hits in index.search(vectors[:3], 1000):
        assert sorted(ids(hits)) == sorted(passage.id for passage in index.passages)
        assert len(hits) == 240
    assert ids(index.search(vectors[:1], 1000, lambda p: p.id == "7#3")[0]) == ["7#3"]
    assert index.search(vectors[:2], 5, lambda passage: False) == [[], []]


@every_kind
def test_an_empty_index_finds_nothing(kind):
    index = VectorIndex(DIMENSIONS, kind)
    query = draw_vectors(np.random.default_rng(0), 2)
    assert index.search(query, 3) == [[], []]
    assert len(index) == 0
    index.add(make_passages(3), draw_vectors(np.random.default_rng(1), 3))
    assert index.search(np.zeros((0, DIMENSIONS)), 3) == []
    index.delete("d")
    assert index.search(query, 3) == [[], []]
    assert index.vectors.shape == (0, DIMENSIONS)
    index.add(make_passages(3), draw_vectors(np.random.default_rng(1), 3))
    assert [len(hits) for hits in index.search(query, 9)] == [3, 3]


@every_kind
def test_equal_vectors_are_all_found(kind):
    index = VectorIndex(DIMENSIONS, kind)
    same = np.tile(unit(np.ones((1, DIMENSIONS))), (200, 1))
    index.add(make_passages(200), same)
    (hits,) = index.search(same[:1], 200)
    assert len(set(ids(hits))) == 200


def test_few_vectors_make_few_lists_and_more_come_as_it_grows():
    index = VectorIndex(DIMENSIONS, "ivf", lists=64)
    vectors = draw_vectors(np.random.default_rng(0), 39 * 80)
    lists = []
    for number in range(80):
        part = slice(39 * number, 39 * (number + 1))
        index.add(make_passages(39, str(number)), vectors[part])
        lists.append(index._index.nlist)
    assert lists[0] == 1 and lists[-1] == 64
    assert all(count <= number for number, count in enumerate(lists, start=1))
    assert len(set(lists)) == 7  # 1, 2, 4 ... 64: trained seven times, and not eighty
    np.testing.assert_array_equal(index.vectors, vectors)


@every_kind
def test_nothing_is_printed(kind, capfd):
    index, vectors = filled(kind, size=30, documents=3)
    index.search(vectors, 3)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


# --- change -----------------------------------------------------------------------------------


@every_kind
def test_an_edit_leaves_nothing_of_the_old_text(kind):
    index, vectors = filled(kind)
    old = [passage for passage in index.passages if passage.document == "4"]
    # The new text takes over two of the ids; the vectors are others.
    new = [Passage("4#0", "New.", "4"), Passage("4#1", "Newer.", "4"), Passage("4#n", "N.", "4")]
    new_vectors = draw_vectors(np.random.default_rng(9), 3)
    index.update("4", new, new_vectors)
    assert len(index) == 93
    for hits in index.search(vectors, 1000) + index.search(vectors, 1000, lambda p: True):
        found = [hit.passage for hit in hits]
        assert len(found) == 93
        assert not set(found) & set(old)
        assert set(new) <= set(found)
    assert [hits[0].passage for hits in index.search(new_vectors, 1)] == new
    index.delete("5")  # and what follows does not bring it back
    assert not {hit.passage for hit in index.search(vectors, 100)[40]} & set(old)


@every_kind
def test_deleting_most_of_it_builds_it_again(kind):
    index, vectors = filled(kind)
    for document in "01234":
        index.delete(document)
    assert index._index.ntotal == 100  # half of it is marked
    index.delete("5")
    assert index._index.ntotal == len(index) == 40
    np.testing.assert_array_equal(index.vectors, vectors[60:])
    assert [ids(hits) for hits in index.search(vectors[60:], 1)] == [[p.id] for p in index.passages]


@every_kind
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda i, v: i.add([], v[:0]), ValueError, "no passages"),
        (lambda i, v: i.add(make_passages(1, "2"), v[:1]), ValueError, "'2#0'"),
        (lambda i, v: i.add(make_passages(1, "x") * 2, v[:2]), ValueError, "'x#0'"),
        (lambda i, v: i.add(make_passages(3, "x"), v[:2]), ValueError, "3 passages, but 2"),
        (lambda i, v: i.add(make_passages(2, "x"), v[:2, :7]), ValueError, r"\(2, 7\)"),
        (lambda i, v: i.add(make_passages(1, "x"), v[0]), ValueError, r"\(16,\)"),
        (lambda i, v: i.add(make_passages(2, "x"), v[:2] * np.nan), ValueError, "NaN"),
        (lambda i, v: i.add(make_passages(2, "x"), v[:2] * 3), ValueError, "length 1"),
        (lambda i, v: i.add(make_passages(2, "x"), v[:2] * 0), ValueError, "length 1"),
        (lambda i, v: i.delete("unknown"), LookupError, "'unknown'"),
        (lambda i, v: i.delete(""), LookupError, "no document"),
        (lambda i, v: i.update("x", make_passages(1, "x"), v[:1]), LookupError, "'x'"),
        (lambda i, v: i.update("2", make_passages(1, "3"), v[:1]), ValueError, "belongs to '3'"),
        (lambda i, v: i.update("2", [Passage("3#0", "", "2")], v[:1]), ValueError, "'3#0'"),
        (lambda i, v: i.update("2", [], v[:0]), ValueError, "no passages"),
        (lambda i, v: i.update("2", make_passages(1, "2"), v[:1] * np.nan), ValueError, "NaN"),
        (lambda i, v: i.update("2", make_passages(1, "2"), v[:2]), ValueError, "but 2"),
        (lambda i, v: i.add([Passage(7, "x")], v[:1]), TypeError, "id of a passage .* it is 7"),
        (lambda i, v: i.add(["x"], v[:1]), TypeError, "'x' is no passage"),
        (lambda i, v: i.add(make_passages(1, "x")[0], v[:1]), TypeError, r"\[passage\]"),
        (lambda i, v: i.add([Passage("x", "\ud800")], v[:1]), ValueError, "half of a character"),
        (lambda i, v: i.add(make_passages(1, "x"), None), ValueError, "shape"),
        (lambda i, v: i.update("2", ["x"], v[:1]), TypeError, "'x' is no passage"),
    ],
)
def test_a_bad_change_is_named_and_changes_nothing(kind, change, error, message):
    index, vectors = filled(kind)
    before = state(index)
    with pytest.raises(error, match=message):
        change(index, vectors)
    assert state(index) == before
    assert len(index.search(vectors[:1], 1000)[0]) == 100


@every_kind
@pytest.mark.parametrize(
    ("search", "error", "message"),
    [
        (lambda i, v: i.search(v[:1], 0), ValueError, "at least 1"),
        (lambda i, v: i.search(v[:1], 2.5), TypeError, "k is 2.5; it must be a whole number"),
        (lambda i, v: i.search(v[:1], None), TypeError, "k is None"),
        (lambda i, v: i.search(v[:1, :5], 3), ValueError, r"\(1, 5\)"),
        (lambda i, v: i.search(v[:1] * np.inf, 3), ValueError, "NaN or infinity"),
        (lambda i, v: i.search(v[:1], 3, {"parity": "e"}), TypeError, "function"),
    ],
)
def test_a_bad_search_is_named(kind, search, error, message):
    with pytest.raises(error, match=message):
        search(*filled(kind))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tree"}, "flat, ivf, hnsw"),
        ({"kind": "ivf", "lists": 0}, "lists is 0"),
        ({"kind": "ivf", "probes": -1}, "probes is -1"),
        ({"kind": "hnsw", "neighbours": 1}, "neighbours is 1"),
        ({"dimensions": 0}, "dimensions is 0"),
        ({"kind": "ivf", "probes": 2.5}, "probes is 2.5; it must be a whole number"),
        ({"kind": "ivf", "lists": "8"}, "lists is '8'; it must be a whole number"),
        ({"kind": "hnsw", "ef_search": None}, "ef_search is None"),
        ({"kind": None}, "flat, ivf, hnsw"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        VectorIndex(**{"dimensions": 8} | arguments)


@every_kind
def test_knobs_and_k_may_be_numbers_of_numpy(kind, tmp_path):
    index, vectors = filled(kind, probes=np.int64(3), ef_search=np.int32(20), lists=np.int64(2))
    assert len(index.search(vectors[:1], np.int64(4))[0]) == 4
    loaded = VectorIndex.load(index.save(tmp_path / "index"))
    assert loaded.settings == index.settings


# --- files ------------------------------------------------------------------------------------


@every_kind
def test_a_saved_index_finds_the_same_and_can_be_changed(kind, tmp_path):
    index, vectors = filled(kind, size=400, lists=8, probes=2, ef_search=20)
    index.delete("3")
    folder = index.save(tmp_path / "désert" / "index")
    loaded = VectorIndex.load(folder)
    assert loaded.settings == index.settings
    assert state(loaded) == state(index)
    assert loaded.passages == index.passages
    assert loaded.search(vectors, 7) == index.search(vectors, 7)
    loaded.delete("4")
    loaded.add(make_passages(2, "x"), vectors[160:162])
    assert ids(loaded.search(vectors[161:162], 1)[0]) == ["x#1"]
    assert [path.name for path in folder.parent.iterdir()] == ["index"]


@every_kind
def test_what_was_deleted_is_not_written(kind, tmp_path):
    index, vectors = filled(kind)
    index.delete("3")
    index.save(tmp_path / "index")
    for file in (tmp_path / "index").iterdir():
        content = file.read_bytes()
        assert b"3#7" not in content
        assert not any(vector.tobytes() in content for vector in vectors[30:40])
    held = (tmp_path / "index" / "vectors.faiss").read_bytes()
    assert all(vector.tobytes() in held for vector in vectors[40:])


@every_kind
def test_an_empty_index_can_be_saved(kind, tmp_path):
    loaded = VectorIndex.load(VectorIndex(DIMENSIONS, kind).save(tmp_path / "index"))
    loaded.add(make_passages(3), draw_vectors(np.random.default_rng(1), 3))
    assert len(loaded) == 3


def test_saving_again_replaces_and_a_foreign_folder_is_left_alone(tmp_path):
    index, _ = filled("flat")
    index.save(tmp_path / "index")
    index.delete("1")
    index.save(tmp_path / "index")
    assert len(VectorIndex.load(tmp_path / "index")) == 90
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("Dear", encoding="utf-8")
    for taken in (mine, mine / "letter.txt"):
        with pytest.raises(FileExistsError, match="another name"):
            index.save(taken)
    assert (mine / "letter.txt").read_text(encoding="utf-8") == "Dear"


@pytest.mark.parametrize(
    ("owner", "name"), [(index_files, "_write_json"), (index_files, "_sha256"), (Path, "rename")]
)
def test_a_save_that_fails_leaves_the_old_index_whole(tmp_path, monkeypatch, owner, name):
    index, _ = filled("flat")
    index.save(tmp_path / "index")
    index.delete("1")
    ordinary = getattr(owner, name)

    def fail(*arguments):
        if name == "rename" and arguments[0].name != "new":
            return ordinary(*arguments)  # only what would put the new index in place fails
        raise OSError("no space left")

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match="no space"):
        index.save(tmp_path / "index")
    monkeypatch.undo()
    assert len(VectorIndex.load(tmp_path / "index")) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("metadata", [{"day": np.datetime64("2024-01-01")}, None])
def test_metadata_that_cannot_be_saved_is_named_and_leaves_the_old_index(metadata, tmp_path):
    index, vectors = filled("flat")
    index.save(tmp_path / "index")
    index.update("2", [Passage("x", "text", "2", metadata=metadata)], vectors[:1])
    with pytest.raises(TypeError, match="metadata can't be saved .* use texts"):
        index.save(tmp_path / "index")
    assert len(VectorIndex.load(tmp_path / "index")) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@every_kind
def test_hard_texts_come_back_as_they_were(kind, tmp_path):
    texts = ["灯\x00 \u2028\r\n🏮", "المصباح", "x" * 2_000_000, "", "\u202e\u200b"]
    passages = [Passage(f"é {n}\x00", text, "d") for n, text in enumerate(texts)]
    index = VectorIndex(DIMENSIONS, kind)
    index.add(passages, draw_vectors(np.random.default_rng(0), len(texts)))
    assert VectorIndex.load(index.save(tmp_path / "灯")).passages == passages


FILES = ("manifest.json", "passages.json", "vectors.faiss")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped": flip_a_bit,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "emptied": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(b"\xff\x00[]" * 50),
    "other JSON": lambda path: path.write_text("[1]"),
}


@every_kind
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_refused(kind, name, damage, tmp_path):
    index, _ = filled(kind)
    folder = index.save(tmp_path / "index")
    assert len(VectorIndex.load(folder)) == 100
    DAMAGES[damage](folder / name)
    with pytest.raises(IndexFileError, match="Build the index again"):
        VectorIndex.load(folder)


def test_an_older_or_missing_index_is_refused(tmp_path):
    index, _ = filled("flat")
    folder = index.save(tmp_path / "index")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for version in (FORMAT - 1, FORMAT + 1):
        changed = json.dumps(manifest | {"format": version})
        (folder / "manifest.json").write_text(changed, encoding="utf-8")
        with pytest.raises(IndexFileError, match=f"form {version}.*Build the index again"):
            VectorIndex.load(folder)
    for nowhere in (tmp_path / "nowhere", folder / "manifest.json"):
        with pytest.raises(IndexFileError, match="Build the index again"):
            VectorIndex.load(nowhere)


def test_an_index_that_this_faiss_cannot_read_is_refused(tmp_path):
    folder = filled("flat")[0].save(tmp_path / "index")
    (folder / "vectors.faiss").write_bytes(b"ZZZZ" + bytes(100))  # intact, of an unknown kind
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["sha256"]["vectors.faiss"] = index_files._sha256(folder / "vectors.faiss")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(IndexFileError, match="FAISS"):
        VectorIndex.load(folder)
