"""Retrievers find what they should, in one form, and answer bad input with a clear message."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from utils.retrieval import (
    CHARACTERS_READ,
    TOKENS_AT_ONCE,
    DenseRetriever,
    Hit,
    HybridRetriever,
    IndexFileError,
    LexicalRetriever,
    Passage,
    embed,
    evaluate,
    fuse,
    recall_at_k,
    reciprocal_rank,
    tokenise,
)
from utils.world_needs import NEEDS, need_questions
from utils.worlds import make_world, prose_card, questions

CARDS = [
    Passage("K340", "The Velbrin K340 is a lantern. It comes in teal."),
    Passage("K340 Lite", "The Velbrin K340 Lite is a lantern. It comes in navy."),
    Passage("K430", "The Velbrin K430 is a lantern. It comes in ivory."),
    Passage("kettle", "A kettle of copper boils water for tea.", metadata={"kind": "kettle"}),
]


ODD_QUESTIONS = [
    "ランタンは何色ですか",
    "какого цвета фонарь",
    "ما لون المصباح؟",  # written from right to left
    "\u202eteal\u202c",  # and turned round by invisible signs
    "?!",
    "🏮",
    "👩\u200d👩\u200d👧",
    "\u200b",  # a space without width is no white space to Python
    "\x00",
    "\x00 teal",
    "lantern " * 1250,
    "x" * 10_000,
]


class CountingEncoder:
    """Stands in for a sentence encoder where meaning does not matter: counts letters."""

    def __init__(self):
        self.batches = []

    def get_embedding_dimension(self):
        return 26

    def encode(self, texts, **options):
        self.batches.append(list(texts))
        counts = np.array([[t.lower().count(chr(97 + i)) for i in range(26)] for t in texts]) + 0.1
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


def retrievers(cards=CARDS):
    dense, lexical = DenseRetriever(CountingEncoder(), cards), LexicalRetriever(cards)
    hybrid = HybridRetriever(DenseRetriever(CountingEncoder(), cards), LexicalRetriever(cards))
    return [dense, lexical, hybrid]


def ids(hits):
    return [hit.passage.id for hit in hits]


# --- one form for all -----------------------------------------------------------------------


@pytest.mark.parametrize("retriever", retrievers(), ids=lambda r: type(r).__name__)
class TestEveryRetriever:
    def test_hits_come_best_first_with_ranks_from_one(self, retriever):
        results = retriever.search(["Velbrin lantern teal", "copper kettle"], k=3)
        assert len(results) == 2
        for hits in results:
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            assert all(isinstance(score, float) for score in scores)
            assert len(set(ids(hits))) == len(hits) <= 3

    def test_a_passage_finds_itself(self, retriever):
        results = retriever.search([card.text for card in CARDS], k=1)
        assert [ids(hits) for hits in results] == [[card.id] for card in CARDS]

    def test_k_beyond_the_corpus_gives_what_there_is(self, retriever):
        (hits,) = retriever.search(["Velbrin lantern of copper"], k=1000)
        assert sorted(ids(hits)) == sorted(card.id for card in CARDS)

    def test_no_questions_no_answers(self, retriever):
        assert retriever.search([], k=3) == []

    @pytest.mark.parametrize(
        ("queries", "k", "error", "message"),
        [
            (["teal"], 0, ValueError, "at least 1"),
            (["teal"], -2, ValueError, "at least 1"),
            (["teal", "  "], 1, ValueError, "number 2 is empty"),
            ([""], 1, ValueError, "number 1 is empty"),
            (["teal", "\u00a0\n"], 1, ValueError, "number 2 is empty"),
            ("teal", 1, TypeError, r"\[question\]"),
            (["teal", None], 1, TypeError, "number 2 must be a text; it is None"),
            ([float("nan")], 1, TypeError, "number 1 must be a text; it is nan"),
            ([b"teal"], 1, TypeError, "number 1 must be a text"),
            ([["teal"]], 1, TypeError, "number 1 must be a text"),
            (["teal \ud800"], 1, ValueError, "half of a character, .* at place 5"),
            (["teal"], 2.5, TypeError, "k is 2.5; it must be a whole number"),
            (["teal"], "3", TypeError, "k is '3'; it must be a whole number"),
            (["teal"], None, TypeError, "k is None"),
        ],
    )
    def test_bad_search_is_named(self, retriever, queries, k, error, message):
        with pytest.raises(error, match=message):
            retriever.search(queries, k=k)

    def test_odd_questions_do_no_harm(self, retriever):
        found = retriever.search(ODD_QUESTIONS, k=2)
        assert len(found) == len(ODD_QUESTIONS)
        assert "K340" in ids(retriever.search(["teal " * 2000], k=4)[0])

    def test_questions_and_k_may_come_from_numpy_pandas_or_a_generator(self, retriever):
        asked = ["Velbrin lantern teal", "copper kettle"]
        expected = retriever.search(asked, k=2)
        assert retriever.search((question for question in asked), k=np.int64(2)) == expected
        assert retriever.search(np.array(asked), k=2) == expected
        assert retriever.search(pd.Series(asked, index=[7, 3]), k=2) == expected

    def test_search_prints_nothing(self, retriever, capfd):
        retriever.search(["teal"], k=1)
        captured = capfd.readouterr()
        assert captured.out == captured.err == ""

    def test_a_filter_leaves_what_fits_and_still_gives_k(self, retriever):
        asked = ["Velbrin lantern of copper"]
        (hits,) = retriever.search(asked, k=2, where=lambda passage: "K340" in passage.id)
        assert sorted(ids(hits)) == ["K340", "K340 Lite"]
        assert [hit.rank for hit in hits] == [1, 2]
        (hits,) = retriever.search(asked, k=9, where=lambda p: p.metadata.get("kind") == "kettle")
        assert ids(hits) == ["kettle"]
        assert retriever.search(asked, k=2, where=lambda passage: False) == [[]]
        with pytest.raises(TypeError, match="function"):
            retriever.search(asked, k=2, where={"kind": "kettle"})


every_maker = pytest.mark.parametrize(
    "make",
    [
        lambda passages: DenseRetriever(CountingEncoder(), passages),
        lambda passages: DenseRetriever(CountingEncoder(), passages, index="hnsw"),
        LexicalRetriever,
        lambda passages: HybridRetriever(
            DenseRetriever(CountingEncoder(), passages), LexicalRetriever(passages)
        ),
    ],
    ids=["dense", "hnsw", "lexical", "hybrid"],
)


@every_maker
@pytest.mark.parametrize(
    ("passages", "error", "message"),
    [
        ([], ValueError, "no passages"),
        ([*CARDS[:2], Passage("K340", "Another text.")], ValueError, "'K340'"),
        (CARDS[0], TypeError, r"\[passage\]"),
        ("a lantern", TypeError, r"\[passage\]"),
        (["a lantern"], TypeError, "'a lantern' is no passage"),
        ([("a", "a lantern")], TypeError, "is no passage"),
        ([Passage(7, "a lantern")], TypeError, "id of a passage must be a text; it is 7"),
        ([Passage("a", None)], TypeError, "text of passage 'a' must be a text; it is None"),
        ([Passage("a", b"lamp")], TypeError, "text of passage 'a' must be a text"),
        ([Passage("a", "lamp \udce9")], ValueError, "text of passage 'a' holds half of a char"),
    ],
)
def test_a_bad_corpus_is_named(make, passages, error, message):
    with pytest.raises(error, match=message):
        make(passages)


@every_maker
@pytest.mark.parametrize("bad", [CARDS[0], Passage(7, "x"), Passage("a", "\ud800"), "text"])
def test_a_bad_addition_is_named_and_changes_nothing(make, bad):
    retriever = make(CARDS)
    with pytest.raises((TypeError, ValueError)):
        retriever.add([Passage("new", "A new lantern."), bad])
    assert retriever.passages == CARDS


def test_what_is_wrong_shows_before_the_long_work_of_embedding():
    encoder = CountingEncoder()
    retriever = DenseRetriever(encoder, GUIDE)
    encoder.batches.clear()
    for change in (
        lambda: retriever.add(GUIDE),
        lambda: retriever.update("guide", SHEET),
        lambda: retriever.update("leaflet", SHEET),
    ):
        with pytest.raises((LookupError, ValueError)):
            change()
    assert encoder.batches == []


@pytest.mark.parametrize("number", range(3), ids=["dense", "lexical", "hybrid"])
def test_passages_may_come_from_a_generator(number):
    retriever = retrievers(GUIDE)[number]
    retriever.add(passage for passage in SHEET)
    retriever.update("guide", (passage for passage in GUIDE[:1]))
    assert {passage.id for passage in retriever.passages} == {"guide#1", "sheet#1"}


def test_one_passage_is_a_corpus_too():
    dense, lexical = DenseRetriever(CountingEncoder(), CARDS[:1]), LexicalRetriever(CARDS[:1])
    for retriever in (dense, lexical, HybridRetriever(dense, lexical)):
        assert ids(retriever.search(["teal"], k=5)[0]) == ["K340"]


def test_hybrid_refuses_two_different_corpora():
    with pytest.raises(ValueError, match="same passages"):
        HybridRetriever(DenseRetriever(CountingEncoder(), CARDS), LexicalRetriever(CARDS[:2]))


# --- documents that change ------------------------------------------------------------------

GUIDE = [
    Passage("guide#1", "The lantern glows teal.", "guide"),
    Passage("guide#2", "The lantern has a handle of walnut.", "guide"),
]
SHEET = [Passage("sheet#1", "A kettle of copper.", "sheet")]


@pytest.mark.parametrize("number", range(3), ids=["dense", "lexical", "hybrid"])
class TestChanges:
    def everything(self, retriever):
        """What a question that fits all passages finds."""
        (hits,) = retriever.search(["the lantern of copper and walnut in teal and zinc"], k=100)
        return {hit.passage for hit in hits}

    def test_what_is_added_is_found(self, number):
        retriever = retrievers(GUIDE)[number]
        retriever.add(SHEET)
        assert self.everything(retriever) == set(GUIDE + SHEET) == set(retriever.passages)
        assert ids(retriever.search([SHEET[0].text], k=1)[0]) == ["sheet#1"]

    def test_an_edit_leaves_nothing_of_the_old_text(self, number):
        retriever = retrievers(GUIDE + SHEET)[number]
        new = [Passage("guide#1", "The lantern is of zinc.", "guide")]
        retriever.update("guide", new)
        assert self.everything(retriever) == set(new + SHEET) == set(retriever.passages)
        assert ids(retriever.search(["zinc"], k=1)[0]) == ["guide#1"]

    def test_what_is_deleted_is_gone_to_the_last(self, number):
        retriever = retrievers(GUIDE + SHEET)[number]
        retriever.delete("guide")
        assert self.everything(retriever) == set(SHEET)
        retriever.delete("sheet")
        assert self.everything(retriever) == set() == set(retriever.passages)
        retriever.add(GUIDE)
        assert self.everything(retriever) == set(GUIDE)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda r: r.add([]), ValueError, "no passages"),
            (lambda r: r.add(SHEET), ValueError, "'sheet#1'"),
            (lambda r: r.delete("leaflet"), LookupError, "'leaflet'"),
            (lambda r: r.update("leaflet", SHEET), LookupError, "'leaflet'"),
            (lambda r: r.update("guide", SHEET), ValueError, "belongs to 'sheet'"),
            (lambda r: r.update("guide", []), ValueError, "no passages"),
        ],
    )
    def test_a_bad_change_is_named_and_changes_nothing(self, number, change, error, message):
        retriever = retrievers(GUIDE + SHEET)[number]
        with pytest.raises(error, match=message):
            change(retriever)
        assert self.everything(retriever) == set(GUIDE + SHEET)


def test_a_hybrid_stays_whole_when_embedding_fails():
    class FailingEncoder(CountingEncoder):
        def encode(self, texts, **options):
            if any("zinc" in text for text in texts):
                raise MemoryError("too much zinc")
            return super().encode(texts, **options)

    hybrid = HybridRetriever(DenseRetriever(FailingEncoder(), GUIDE), LexicalRetriever(GUIDE))
    with pytest.raises(MemoryError):
        hybrid.add([Passage("z", "zinc", "z")])
    assert hybrid.dense.passages == hybrid.lexical.passages == GUIDE


def test_hard_texts_are_passages_too():
    cards = [
        Passage("giant", "copper " * 140_000),
        Passage("one word", "x" * 1_000_000),
        Passage("Chinese", "这盏灯是蓝色的。"),
        Passage("Russian", "Лампа светит десять часов."),
        Passage("Arabic", "المصباح أزرق ويضيء عشر ساعات."),
        Passage("Hindi", "दीपक नीला है और दस घंटे जलता है।"),
        Passage("NUL", "zinc\x00 and \x00walnut"),
        Passage("emoji", "🏮🏮"),
    ]
    asked = {
        "copper": "giant",
        "什么灯是蓝色的": "Chinese",
        "Сколько светит лампа": "Russian",
        "ما لون المصباح؟": "Arabic",
        "नीला क्या है?": "Hindi",
        "zinc": "NUL",
    }
    dense, lexical, hybrid = retrievers(cards)
    assert len(dense.search(list(asked), k=9)[0]) == len(cards)
    assert ids(hybrid.search(list(asked), k=1)[0]) == ["giant"]
    assert [ids(hits) for hits in lexical.search(list(asked), k=1)] == [[n] for n in asked.values()]


# --- by meaning -----------------------------------------------------------------------------


def test_embedding_keeps_the_order_of_texts_and_sorts_batches_by_length():
    encoder = CountingEncoder()
    texts = ["z" * n for n in (9, 1, 5, 3, 7)] + ["ab"]
    vectors = embed(encoder, texts, batch_size=2)
    assert [len(text) for batch in encoder.batches for text in batch] == [9, 7, 5, 3, 2, 1]
    expected = np.vstack([CountingEncoder().encode([text])[0] for text in texts])
    np.testing.assert_array_equal(vectors, expected)
    assert vectors.dtype == np.float32


def test_batches_are_bounded_by_their_tokens_with_padding():
    class WordEncoder(CountingEncoder):
        def tokenizer(self, texts, truncation):
            return {"input_ids": [text.split()[:256] for text in texts]}

    encoder = WordEncoder()
    blanks, table, book = "a" + " " * 500 + "b", "1 " * 200, "word " * 2000
    embed(encoder, [blanks, book, table] + ["two words"] * 600, batch_size=300)
    assert encoder.batches[0][:3] == [book, table, blanks]  # not by characters
    assert [len(batch) for batch in encoder.batches] == [4, 300, 299]
    for batch in encoder.batches:
        longest = max(len(text.split()[:256]) for text in batch)
        assert longest * len(batch) <= TOKENS_AT_ONCE


def test_a_text_that_fills_a_batch_alone_is_read_too():
    encoder = CountingEncoder()
    embed(encoder, ["x" * 3000, "y" * 2000, "z"])
    assert [[len(text) for text in batch] for batch in encoder.batches] == [[3000], [2000], [1]]


def test_embedding_names_bad_input():
    assert embed(CountingEncoder(), []).shape == (0, 26)
    with pytest.raises(TypeError, match=r"\[text\]"):
        embed(CountingEncoder(), "one text")
    with pytest.raises(TypeError, match="Text number 2 must be a text; it is 3"):
        embed(CountingEncoder(), ["a", 3])
    with pytest.raises(ValueError, match="Text number 1 holds half of a character"):
        embed(CountingEncoder(), ["\ud800"])
    with pytest.raises(ValueError, match="batch_size"):
        embed(CountingEncoder(), ["a"], batch_size=0)


def test_of_a_giant_text_the_encoder_gets_the_beginning():
    encoder = CountingEncoder()
    embed(encoder, ["a", "x" * 5_000_000])
    assert [len(text) for batch in encoder.batches for text in batch] == [CHARACTERS_READ, 1]


def test_hard_texts_have_real_vectors_too(encoder):
    giant = "copper lamp " * 100_000
    beginning = giant[: len(giant) // 100]
    vectors = embed(encoder, [giant, beginning, "", "\x00", "🏮", "x" * 1_000_000, *ODD_QUESTIONS])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)  # both are longer than it reads


def test_flat_index_agrees_with_numpy():
    retriever = DenseRetriever(CountingEncoder(), CARDS)
    query = "a teal lantern, please"
    cosines = retriever.vectors @ embed(CountingEncoder(), [query])[0]
    (hits,) = retriever.search([query], k=4)
    assert ids(hits) == [CARDS[number].id for number in np.argsort(-cosines)]
    assert [hit.score for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_short_cuts_find_the_same_in_a_small_corpus(index):
    passages = [Passage(p.name, prose_card(p), p.name) for p in make_world().products[:40]]
    asked = [passage.text[:60] for passage in passages]
    flat = DenseRetriever(CountingEncoder(), passages)
    short = DenseRetriever(CountingEncoder(), passages, index=index, probes=8, ef_search=64)
    assert short.index.settings.kind == index
    for a, b in zip(flat.search(asked, 5), short.search(asked, 5), strict=True):
        assert [hit.score for hit in a] == pytest.approx([hit.score for hit in b], abs=1e-5)


def test_a_saved_retriever_is_the_same_with_its_encoder_only(tmp_path):
    retriever = DenseRetriever(CountingEncoder(), CARDS)
    folder = retriever.save(tmp_path / "index")
    asked = ["Velbrin lantern teal", "tea"]
    encoder = CountingEncoder()
    loaded = DenseRetriever.load(folder, encoder)
    assert sum(len(batch) for batch in encoder.batches) == 1  # one passage is embedded, not all
    assert loaded.passages == CARDS
    assert loaded.search(asked, 4) == retriever.search(asked, 4)

    class Backwards(CountingEncoder):
        def encode(self, texts, **options):
            return super().encode(texts, **options)[:, ::-1]

    class Short(CountingEncoder):
        def get_embedding_dimension(self):
            return 5

    for other in (Backwards(), Short()):
        with pytest.raises(ValueError, match="did not make the saved vectors"):
            DenseRetriever.load(folder, other)
    (folder / "passages.json").write_text("{", encoding="utf-8")
    with pytest.raises(IndexFileError, match="Build the index again"):
        DenseRetriever.load(folder, CountingEncoder())


def test_real_vectors_have_length_one_and_do_not_depend_on_batches(encoder):
    texts = [card.text for card in CARDS] + ["short", "A much longer text. " * 40]
    together = embed(encoder, texts)
    alone = np.vstack([embed(encoder, [text]) for text in texts])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_real_vectors_carry_meaning_without_shared_words(encoder):
    question = "What heats a hot drink?"
    assert not set(tokenise(question)) & set(tokenise(CARDS[3].text))
    assert ids(DenseRetriever(encoder, CARDS).search([question], k=1)[0]) == ["kettle"]
    assert LexicalRetriever(CARDS).search([question], k=1) == [[]]


# --- by words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("the Velbrin K340 in teal", "model:k340"),
        ("Is the K340 Lite's case teal?", "model:k340 lite"),
        ("the K-340 Pro Max.", "model:k-340 pro max"),
        ("from the K340. Walnut is used", "model:k340"),
        ("lasts 28 hours", None),
        ("in Brunholm", None),
    ],
)
def test_tokenise_keeps_model_names_whole(text, model):
    assert [word for word in tokenise(text) if word.startswith("model:")] == [model] * bool(model)


def test_tokenise_keeps_codes_and_suffixes_and_drops_stop_words():
    assert tokenise("What is the K340 Lite?") == ["k340", "lite", "model:k340 lite"]
    assert tokenise("What is it?") == []


def test_tokenise_takes_chinese_and_japanese_characters_for_words():
    assert tokenise("蓝灯 K340。") == ["蓝", "灯", "k340", "model:k340"]
    assert tokenise("Лампа, 램프") == ["лампа", "램프"]


def test_tokenise_keeps_a_letter_and_its_marks_together():
    assert tokenise("दीपक नीला है।") == ["दीपक", "नीला", "है"]
    assert tokenise("שָׁלוֹם, السَّلَامُ") == ["שָׁלוֹם", "السَّلَامُ"]
    # é as one sign and as two, letters of double width, a capital that becomes two signs
    assert tokenise("cafe\u0301") == tokenise("caf\u00e9") == ["caf\u00e9"]
    assert tokenise("Ｋ３４０ Lite") == tokenise("K340 Lite")
    assert len(tokenise("İstanbul")) == 1


def test_names_that_begin_alike_are_told_apart():
    results = LexicalRetriever(CARDS).search(
        ["What colour is the Velbrin K340?", "What colour is the Velbrin K340 Lite?"], k=1
    )
    assert [ids(hits) for hits in results] == [["K340"], ["K340 Lite"]]


def test_without_model_names_they_are_not():
    plain = LexicalRetriever(CARDS[1::-1], tokenise=lambda text: text.lower().strip("?.").split())
    (hits,) = plain.search(["velbrin k340"], k=2)
    assert hits[0].score == pytest.approx(hits[1].score, rel=0.2)


def test_a_passage_without_a_shared_word_is_no_hit():
    lexical = LexicalRetriever(CARDS)
    assert ids(lexical.search(["copper"], k=4)[0]) == ["kettle"]
    assert lexical.search(["umbrella", "of the"], k=4) == [[], []]


def test_equal_scores_keep_the_order_of_the_corpus():
    same = [Passage(name, "one text for all") for name in "cab"]
    assert ids(LexicalRetriever(same).search(["text"], k=3)[0]) == ["c", "a", "b"]


def test_bm25_scores_by_hand():
    # Lucene's form of BM25 with k1 = 1.5 and b = 0.75, two texts of 2 and 4 words.
    passages = [Passage("1", "red lamp"), Passage("2", "red red blue blue")]
    lexical = LexicalRetriever(passages, tokenise=str.split)
    (hits,) = lexical.search(["blue"], k=2)
    idf = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    length = 1 - 0.75 + 0.75 * 4 / 3
    assert hits[0].score == pytest.approx(idf * 2 / (2 + 1.5 * length), rel=1e-5)


def test_corpus_without_words_is_named():
    with pytest.raises(ValueError, match="No passage contains a word"):
        LexicalRetriever([Passage("1", "..."), Passage("2", "")])


def test_wordless_passage_among_others_is_never_found():
    lexical = LexicalRetriever([Passage("1", "..."), Passage("2", "teal lamp")])
    assert ids(lexical.search(["teal lamp"], k=2)[0]) == ["2"]


# --- merging and scoring --------------------------------------------------------------------


def test_fusion_by_hand():
    fused = fuse([["a", "b"], ["b", "c"]], k=60)
    assert [name for name, _ in fused] == ["b", "a", "c"]
    assert [points for _, points in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_fusion_of_one_or_none_and_of_equals():
    assert [name for name, _ in fuse([["c", "a", "b"]])] == ["c", "a", "b"]
    assert fuse([]) == fuse([[], []]) == []
    assert [name for name, _ in fuse([["b", "a"], ["a", "b"]])] == ["b", "a"]
    with pytest.raises(ValueError, match="twice"):
        fuse([["a", "a"]])


def test_scores_by_hand():
    assert recall_at_k(["a", "b", "c"], {"b", "c", "d"}, k=2) == pytest.approx(1 / 3)
    assert recall_at_k([], {"a"}, k=1) == 0
    assert reciprocal_rank(["a", "b", "c"], {"b", "c"}) == 0.5
    assert reciprocal_rank(["a"], {"b"}) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["a"], set(), 1), ValueError, "undefined"),
        ((["a"], {"a"}, 0), ValueError, "at least 1"),
        ((["a"], "a", 1), TypeError, "not one text"),
    ],
)
def test_scores_name_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        recall_at_k(*arguments)


def run_of(*rankings):
    return [
        [Hit(Passage(name, name), 1.0, rank) for rank, name in enumerate(ranking, start=1)]
        for ranking in rankings
    ]


def test_evaluate_agrees_with_the_simple_functions():
    generator = np.random.default_rng(0)
    rankings = [list(generator.permutation(list("abcdefgh"))) for _ in range(30)]
    relevant = [set(generator.choice(list("abcdefgh"), size=2, replace=False)) for _ in rankings]
    scores = evaluate(run_of(*rankings), relevant, ["R@3", "RR", "nDCG@3"])
    pairs = list(zip(rankings, relevant, strict=True))
    np.testing.assert_allclose(scores["R@3"], [recall_at_k(r, w, 3) for r, w in pairs])
    np.testing.assert_allclose(scores["RR"], [reciprocal_rank(r, w) for r, w in pairs])
    first = [(rank, 1 / np.log2(rank + 1)) for rank in (1, 2, 3)]
    ideal = 1 + 1 / np.log2(3)
    ndcg = [sum(gain for rank, gain in first if r[rank - 1] in w) / ideal for r, w in pairs]
    np.testing.assert_allclose(scores["nDCG@3"], ndcg)


def test_evaluate_keeps_the_order_of_equal_scores_and_counts_empty_results():
    scores = evaluate(run_of("ba", "ab", ""), [{"b"}, {"b"}, {"b"}], ["R@1", "RR"])
    assert list(scores["R@1"]) == [1, 0, 0]
    assert list(scores["RR"]) == [1, 0.5, 0]
    assert list(evaluate(run_of(""), [{"b"}])["RR"]) == [0]
    with pytest.raises(ValueError, match="2 queries, but 1"):
        evaluate(run_of("a", "b"), [{"a"}])


# --- on the catalogue -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def catalogue():
    world = make_world()
    passages = [Passage(p.name, prose_card(p), p.name) for p in world.products]
    held_out = questions(world, "held_out")
    return passages, [q.text for q in held_out], [{q.product} for q in held_out]


def test_lexical_search_finds_nearly_every_card_of_the_catalogue(catalogue):
    passages, texts, relevant = catalogue
    scores = evaluate(LexicalRetriever(passages).search(texts, 2), relevant, ["R@1", "R@2"])
    assert scores["R@1"].mean() >= 0.97
    assert scores["R@2"].mean() >= 0.99


def test_dense_search_confuses_near_identical_names(catalogue, encoder):
    passages, texts, relevant = catalogue
    dense = DenseRetriever(encoder, passages)
    found = dense.search(texts, 5)
    scores = evaluate(found, relevant, ["R@1", "R@5"])
    assert scores["R@1"].mean() < 0.7
    assert scores["R@5"].mean() >= 0.95
    hybrid = HybridRetriever(dense, LexicalRetriever(passages)).search(texts, 5)
    assert evaluate(hybrid, relevant, ["R@5"])["R@5"].mean() >= 0.98


def test_needs_share_no_word_with_the_cards_that_answer_them():
    kinds = set()
    for seed in range(12):
        world = make_world(seed=seed, families=24)
        card_words: dict[str, set[str]] = {}
        for product in world.products:
            card_words.setdefault(product.family, set()).update(tokenise(prose_card(product)))
            kinds.add(product.kind)
        for need in need_questions(world):
            assert tokenise(need.text), need.text
            assert not card_words[need.family] & set(tokenise(need.text)), need.text
    assert kinds == set(NEEDS)


def test_needs_belong_to_the_cards_of_one_family():
    world = make_world()
    needs = need_questions(world)
    family_of = {product.name: product.family for product in world.products}
    assert len({need.text for need in needs}) == len(needs) == 36
    for need in needs:
        assert {family_of[name] for name in need.products} == {need.family}
        assert len(need.products) == 5


def test_only_meaning_finds_what_is_asked_for_without_a_name(encoder):
    world = make_world()
    passages = [Passage(p.name, prose_card(p), p.name) for p in world.products]
    needs = need_questions(world)
    texts, relevant = [need.text for need in needs], [set(need.products) for need in needs]
    dense, lexical = DenseRetriever(encoder, passages), LexicalRetriever(passages)
    first = {}
    for retriever in (dense, lexical, HybridRetriever(dense, lexical)):
        scores = evaluate(retriever.search(texts, 5), relevant, ["Success@1"])
        first[type(retriever).__name__] = scores["Success@1"].mean()
    assert first["DenseRetriever"] > 0.6
    assert first["LexicalRetriever"] < 0.1
    assert first["HybridRetriever"] > 0.6


def test_import_is_light():
    code = "import sys, utils.retrieval; print([m for m in ('torch', 'faiss', 'bm25s', "
    code += "'ir_measures', 'sentence_transformers') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed.stderr
