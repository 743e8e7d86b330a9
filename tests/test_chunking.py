"""Passages are true slices of their document, of bounded size, cut where it makes sense."""

import numpy as np
import pytest

from utils.chunking import chunk_by_structure, chunk_sentences, chunk_windows
from utils.worlds import attribute_list, make_world, prose_card

TEXT = 'One is here. Dr. Grey said "Two!" Is this three?\nFour costs 3.5 coins, e.g. silver.  '


def test_sentences():
    assert [passage.text for passage in chunk_sentences(TEXT, size=1)] == [
        "One is here.",
        'Dr. Grey said "Two!"',
        "Is this three?",
        "Four costs 3.5 coins, e.g. silver.",
    ]
    assert [p.text for p in chunk_sentences("これは一。これは二。", size=1)] == [
        "これは一。",
        "これは二。",
    ]


def test_sentences_with_overlap():
    texts = [passage.text for passage in chunk_sentences("A. B. C. D. E.", size=3, overlap=1)]
    assert texts == ["A. B. C.", "C. D. E."]


@pytest.mark.parametrize("cut", [chunk_sentences, chunk_windows])
@pytest.mark.parametrize(("size", "overlap"), [(1, 0), (3, 0), (3, 2), (4, 1), (100, 99)])
def test_passages_are_slices_that_cover_the_document(cut, size, overlap):
    text = " ".join(prose_card(product) for product in make_world().products[:4])
    passages = cut(text, size, overlap, document="catalogue")
    covered = np.zeros(len(text), dtype=bool)
    for passage in passages:
        assert text[passage.start : passage.start + len(passage.text)] == passage.text
        assert passage.document == "catalogue"
        covered[passage.start : passage.start + len(passage.text)] = True
    assert all(text[place].isspace() for place in np.flatnonzero(~covered))
    assert len({passage.id for passage in passages}) == len(passages)


def test_windows_by_hand():
    texts = [passage.text for passage in chunk_windows("a b c d e f g", size=3, overlap=1)]
    assert texts == ["a b c", "c d e", "e f g"]
    # The last window is not a mere part of the one before it.
    assert [p.text for p in chunk_windows("a b c d", size=3, overlap=2)] == ["a b c", "b c d"]
    assert [p.text for p in chunk_windows("a b", size=5)] == ["a b"]


def test_windows_of_one_giant_line_and_of_nothing():
    assert len(chunk_windows("word " * 100_000, size=100)) == 1000
    assert [p.text for p in chunk_windows("x" * 50_000, size=100)] == ["x" * 50_000]
    assert chunk_windows("", size=3) == chunk_sentences("  \n ", size=3) == []


@pytest.mark.parametrize("cut", [chunk_sentences, chunk_windows])
@pytest.mark.parametrize(
    ("size", "overlap", "message"), [(0, 0, "size"), (3, 3, "overlap"), (3, -1, "overlap")]
)
def test_cutting_names_bad_sizes(cut, size, overlap, message):
    with pytest.raises(ValueError, match=message):
        cut("a b c", size, overlap)


# --- texts that are hard to cut ---------------------------------------------------------------

MEGABYTE = 1_000_000
GIANT_LINES = {
    "words": "word " * (MEGABYTE // 5),
    "one word": "x" * MEGABYTE,
    "stops": "." * MEGABYTE,
    "quotes after a stop": "." + "'" * MEGABYTE,
    "spaces in a heading": "# a" + " " * MEGABYTE + "b",
    "hashes": "# " + "# " * (MEGABYTE // 2),
    "Chinese": "灯" * (MEGABYTE // 3),
    "key": "- key: " + "value " * (MEGABYTE // 6),
    "NUL": "\x00" * MEGABYTE,
    "emoji": "👩\u200d👧 " * (MEGABYTE // 4),
    "Arabic": "ضوء؟ " * (MEGABYTE // 5),
    "half characters": "a\ud800 " * (MEGABYTE // 3),
}


@pytest.mark.parametrize("name", GIANT_LINES)
def test_one_giant_line_is_cut_without_loss(name):
    text = GIANT_LINES[name]
    written = "".join(text.split())
    for passages in (
        chunk_windows(text, size=100),
        chunk_sentences(text, size=3),
        chunk_by_structure(text, longest=100),
    ):
        assert "".join("".join(passage.text.split()) for passage in passages) == written


def test_a_line_without_a_sentence_end_is_one_sentence_but_structure_cuts_it():
    text = GIANT_LINES["words"]
    assert [passage.text for passage in chunk_sentences(text, size=1)] == [text.strip()]
    assert {len(p.text.split()) for p in chunk_by_structure(text, longest=100)} == {100}


def test_chinese_and_japanese_characters_count_as_words():
    texts = [p.text for p in chunk_windows("这盏灯是蓝色的。它亮十小时。", size=4, overlap=1)]
    assert texts == ["这盏灯是", "是蓝色的。", "的。它亮十", "十小时。"]
    assert [p.text for p in chunk_windows("型号K340 Lite很轻", size=3)] == ["型号K340", "Lite很轻"]
    assert len(chunk_windows("ランタン" * 100, size=100)) == 4


def test_sentences_of_other_scripts():
    for text, count in (
        ("दीपक नीला है। वह जलता है।", 2),
        ("ما لون المصباح؟ المصباح أزرق.", 2),
        ("چراغ نیلا ہے۔ وہ جلتا ہے۔", 2),
        ("Лампа синяя. Она горит.", 2),
    ):
        assert len(chunk_sentences(text, size=1)) == count


@pytest.mark.parametrize("cut", [chunk_sentences, chunk_windows, chunk_by_structure])
@pytest.mark.parametrize("document", [None, b"bytes", ["a", "list"], 7])
def test_what_is_no_text_is_named(cut, document):
    with pytest.raises(TypeError, match=f"one text; it is of the kind {type(document).__name__}"):
        cut(document, 3)


def test_scripts_with_spaces_are_cut_at_them():
    for text in ("Лампа светит десять часов", "램프는 열 시간 켜진다", "Η λάμπα φωτίζει πολύ"):
        (passage,) = chunk_windows(text, size=4)
        assert passage.text == text
        assert len(chunk_windows(text, size=1)) == 4


# --- structure --------------------------------------------------------------------------------

MANUAL = """The manual of a maker.

# Kettles
All boil water. All are of copper.
## Care
Rinse it. Dry it.

Never use sand.
```
# no heading, but code
```
# Lamps #
### Deep
Bright.
"""


def body(passage):
    """A passage's text without the heading in front."""
    return passage.text.removeprefix(passage.metadata.get("heading", "")).removeprefix("\n")


def test_sections_with_their_headings():
    passages = chunk_by_structure(MANUAL, document="manual")
    assert [(passage.metadata.get("heading"), body(passage)) for passage in passages] == [
        (None, "The manual of a maker."),
        ("Kettles", "All boil water. All are of copper."),
        (
            "Kettles > Care",
            "Rinse it. Dry it.\n\nNever use sand.\n```\n# no heading, but code\n```",
        ),
        ("Lamps > Deep", "Bright."),
    ]
    assert passages[0].metadata == {}
    assert passages[1].text == "Kettles\nAll boil water. All are of copper."
    assert [passage.id for passage in passages] == [f"manual#{n}" for n in (1, 2, 3, 4)]
    for passage in passages:
        assert MANUAL[passage.start :].startswith(body(passage))
        assert passage.document == "manual"


def test_a_deeper_heading_ends_with_its_section():
    text = "# A\na\n### B\nb\n## C\nc\n# D\nd"
    headings = [passage.metadata["heading"] for passage in chunk_by_structure(text)]
    assert headings == ["A", "A > B", "A > C", "D"]


def test_windows_line_ends_change_nothing():
    unix, windows = chunk_by_structure(MANUAL), chunk_by_structure(MANUAL.replace("\n", "\r\n"))
    assert [p.text.replace("\r\n", "\n") for p in windows] == [p.text for p in unix]


def test_signs_that_are_no_heading():
    for text in ("#hashtag is one word", "####### seven", "one # two", "# " + "long " * 100):
        (passage,) = chunk_by_structure(text)
        assert (passage.text, passage.metadata) == (text.strip(), {})
    assert chunk_by_structure("# Alone\n## And alone\n") == chunk_by_structure("") == []


def test_every_record_is_a_passage():
    products = make_world().products[:6]
    text = "# Catalogue\n\n" + "\n\n".join(attribute_list(product) for product in products)
    passages = chunk_by_structure(text)
    assert [body(passage) for passage in passages] == [attribute_list(p) for p in products]
    assert all(text[passage.start :].startswith(body(passage)) for passage in passages)


def test_records_part_the_prose_around_them():
    text = "Before. More.\n\nName: lamp\nColour: teal\n\nAfter: one line.\n\nThe end."
    assert [passage.text for passage in chunk_by_structure(text)] == [
        "Before. More.",
        "Name: lamp\nColour: teal",
        "After: one line.\n\nThe end.",
    ]


def test_long_sections_are_cut_between_sentences_and_long_records_between_lines():
    prose = "One two three. Four five. Six seven eight nine. Ten."
    assert [p.text for p in chunk_by_structure(prose, longest=5)] == [
        "One two three. Four five.",
        "Six seven eight nine. Ten.",
    ]
    record = "lamp\n- colour: sea green\n- age: 2\n- made in: Brunholm"
    assert [p.text for p in chunk_by_structure(record, longest=6)] == [
        "lamp\n- colour: sea green",
        "- age: 2",
        "- made in: Brunholm",
    ]
    headed = chunk_by_structure("# Title\n" + prose, longest=5)
    assert [p.text.split("\n")[0] for p in headed] == ["Title", "Title"]


@pytest.mark.parametrize("longest", [1, 7, 40, 10_000])
def test_structure_loses_no_word_and_keeps_its_bound(longest):
    products = make_world().products[:8]
    parts = [f"## {p.name}\n{prose_card(p)}\n\n{attribute_list(p)}" for p in products]
    passages = chunk_by_structure("\n".join(parts), longest)
    words = [word for passage in passages for word in body(passage).split()]
    expected = [
        word for p in products for word in (prose_card(p) + " " + attribute_list(p)).split()
    ]
    assert words == expected
    assert max(len(body(passage).split()) for passage in passages) <= longest
    assert len({passage.id for passage in passages}) == len(passages)


def test_structure_names_a_bad_bound():
    with pytest.raises(ValueError, match="longest"):
        chunk_by_structure("a", longest=0)
