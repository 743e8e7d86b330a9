"""The progress page: what is solved, tried and open, and where to go on."""

from __future__ import annotations

import json

import pytest

from utils import progress_page
from utils.exercises import all_exercises
from utils.progress_page import OPEN, SOLVED, TRIED, as_html, as_text, lesson_titles, read_steps


@pytest.fixture
def keep(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path))

    def write(kept: object) -> None:
        (tmp_path / "progress.json").write_text(json.dumps(kept))

    return write


def test_signs_tell_solved_tried_and_open(keep):
    keep({"q2_1": {"solved": True, "tries": 3}, "q2_2": {"solved": False, "tries": 1}})
    steps = {step.number: step for step in read_steps()}
    assert len(steps) == len(all_exercises())
    assert [steps[number].sign for number in ("2.1", "2.2", "2.3")] == [SOLVED, TRIED, OPEN]
    assert steps["2.1"].words == "2.1 recall at k: solved, 3 tries"
    assert steps["2.2"].words == "2.2 the nearest vectors: tried, 1 try"
    assert steps["2.3"].words == "2.3 reciprocal rank fusion: open"


def test_it_says_where_to_go_on(keep):
    first = all_exercises()[0]
    assert f"Next: exercise 0.1, {first.title}, in lesson 00." in as_text(read_steps())
    keep({"q2_1": {"solved": True, "tries": 1}})
    text = as_text(read_steps())
    assert "Next: exercise 2.2, the nearest vectors, in lesson 02." in text
    assert "02      1 of 4  2.2, 2.3, 2.4" in text
    keep({exercise.key: {"solved": True, "tries": 1} for exercise in all_exercises()})
    text = as_text(read_steps())
    assert "Every exercise is solved." in text and "02      4 of 4  none" in text
    keep({e.key: {"solved": True} for e in all_exercises() if e.key != "q1_2"})
    assert "Next: exercise 1.2" in as_text(read_steps())


def test_the_page_links_to_every_lesson_and_is_read_aloud(keep):
    keep({"q1_1": {"solved": True, "tries": 1}})
    page = as_html(read_steps(), lesson_titles())
    for lesson in {exercise.lesson for exercise in all_exercises()}:
        assert f'<a href="{lesson:02d}_' in page
    count = len(all_exercises())
    assert f'<progress max="{count}" value="1"' in page and f"1 of {count} exercises" in page
    assert page.count("aria-label=") == count


@pytest.mark.parametrize("damaged", [{"q2_1": 3}, {"q2_1": {"solved": "yes", "tries": "many"}}])
def test_an_entry_that_is_damaged_counts_as_open(keep, damaged):
    keep(damaged)
    assert all(step.sign == OPEN for step in read_steps())


def test_a_title_with_html_is_shown_as_text(keep, tmp_path):
    keep({})
    cells = [{"source": "# <script>x</script>\nmore"}]
    (tmp_path / "02_a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "03_b.ipynb").write_text("no notebook")
    titles = lesson_titles(tmp_path)
    assert titles[3] == ("03_b.ipynb", "03_b")
    page = as_html(read_steps(), titles)
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "Lesson 01" in page


def test_it_is_shown_as_text_outside_a_notebook(keep, capsys):
    keep({})
    progress_page.progress()
    assert capsys.readouterr().out.startswith("lesson  solved  still open\n00      0 of 1  0.1\n")
