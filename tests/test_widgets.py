"""A guess is kept before the run and shown beside the result, with and without widgets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from utils.number_line import describe, number, number_line
from utils.stats import Interval
from utils.widgets import keep_guess, load_predictions, predict, predict_choice, reveal, say

ROOT = Path(__file__).resolve().parent.parent
MEASURED = Interval(0.713, 0.65, 0.771, n=300)


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The learner's own files go to a temporary folder."""
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def in_notebook(*cells: str) -> list[dict]:
    """Run cells in an IPython shell of its own; the data of everything that was displayed."""
    code = (
        "import json, sys\n"
        "from IPython.testing.globalipapp import start_ipython\n"
        "from IPython.utils.capture import capture_output\n"
        "shell = start_ipython()\n"
        "shown = []\n"
        "for cell in json.loads(sys.argv[1]):\n"
        "    with capture_output() as caught:\n"
        "        done = shell.run_cell(cell)\n"
        "    assert done.success, (cell, caught.stdout)\n"
        "    shown += [output.data for output in caught.outputs]\n"
        "print(json.dumps(shown))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(["from utils.widgets import *", *cells])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# -- guess and result ---------------------------------------------------------------------------


def test_the_result_stands_beside_the_guess(capsys):
    predict("l02_recall", "How many?")
    keep_guess("l02_recall", 40)
    capsys.readouterr()
    reveal("l02_recall", MEASURED)
    assert capsys.readouterr().out == (
        "You predicted 40 %. Measured: 71.3 %, with an interval from 65 to 77.1 (n = 300). "
        "Your guess was 31.3 percentage points too low.\n"
    )


def test_without_a_guess_the_result_is_shown_alone(capsys):
    predict("l02_recall", "How many?")
    reveal("l02_recall", MEASURED)
    out = capsys.readouterr().out
    assert "Measured: 71.3 %" in out
    assert "You made no prediction." in out


def test_a_result_of_a_question_that_was_never_asked_is_shown(capsys):
    reveal("l09_unknown", 12.5)
    assert "Measured: 12.5 %. You made no prediction." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (70.0, "Your guess lies in the interval."),
        (90.0, "Your guess was 18.7 percentage points too high."),
        (0.0, "Your guess was 71.3 percentage points too low."),
    ],
)
def test_the_distance_is_said_in_percentage_points(guess, words):
    assert describe(guess, 71.3, 65.0, 77.1, "%").endswith(words)


def test_other_units_are_not_turned_into_percent(capsys):
    predict("l02_speed", "How fast?", 0, 50, unit="ms")
    keep_guess("l02_speed", 10)
    capsys.readouterr()
    reveal("l02_speed", 12.34)
    assert capsys.readouterr().out == (
        "You predicted 10 ms. Measured: 12.3 ms. Your guess was 2.34 ms too low.\n"
    )
    reveal("l02_speed", Interval(0.02, 0.01, 0.03, n=5))
    assert "Measured: 0.02 ms" in capsys.readouterr().out


def test_a_choice_is_compared_in_words(capsys):
    predict_choice("l01_winner", "Which one?", ["inside", "outside"])
    keep_guess("l01_winner", "inside")
    capsys.readouterr()
    reveal("l01_winner", "outside")
    assert "You predicted: inside. Measured: outside. That is not as you predicted." in (
        capsys.readouterr().out
    )
    reveal("l01_winner", "inside")
    assert "That is as you predicted." in capsys.readouterr().out


def test_a_guess_made_after_the_result_is_told_apart(capsys):
    predict("l02_recall", "How many?")
    keep_guess("l02_recall", 40)
    reveal("l02_recall", MEASURED)
    assert not load_predictions()["l02_recall"]["after_result"]
    assert "after the result" not in capsys.readouterr().out
    keep_guess("l02_recall", 71)
    reveal("l02_recall", MEASURED)
    assert "made after the result had been shown" in capsys.readouterr().out


# -- what is kept -------------------------------------------------------------------------------


def test_a_guess_is_kept_with_its_question_and_asking_again_keeps_it():
    predict("l02_recall", "How many?")
    assert load_predictions() == {}
    assert keep_guess("l02_recall", 40) == "Kept: 40 %."
    predict("l02_recall", "How many, in words mended since?")
    kept = load_predictions()["l02_recall"]
    assert kept["guess"] == 40
    assert kept["question"] == "How many, in words mended since?"


def test_a_guess_outside_the_question_is_refused_and_the_old_one_stays():
    predict("l02_recall", "How many?")
    keep_guess("l02_recall", 40)
    with pytest.raises(ValueError, match="not between 0 and 100"):
        keep_guess("l02_recall", 140)
    predict_choice("l01_winner", "Which one?", ["inside", "outside"])
    with pytest.raises(ValueError, match="none of the options"):
        keep_guess("l01_winner", "neither")
    assert list(load_predictions()) == ["l02_recall"]


def test_a_damaged_file_is_kept_aside_and_the_guess_is_kept(work, capsys):
    work.mkdir()
    (work / "predictions.json").write_text('{"l02_rec', encoding="utf-8")
    predict("l02_recall", "How many?")
    assert "predictions.damaged-1.json" in capsys.readouterr().out
    assert (work / "predictions.damaged-1.json").read_text("utf-8") == '{"l02_rec'
    keep_guess("l02_recall", 40)
    assert load_predictions()["l02_recall"]["guess"] == 40


def test_where_nothing_can_be_kept_the_lesson_goes_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path / "file"))
    predict("l02_recall", "How many?")
    assert "Make that folder writable" in keep_guess("l02_recall", 40)
    reveal("l02_recall", MEASURED)
    assert "Measured: 71.3 %" in capsys.readouterr().out


@pytest.mark.parametrize(("low", "high"), [(5, 5), (6, 5)])
def test_an_empty_range_is_refused(low, high):
    with pytest.raises(ValueError, match="must be less than"):
        predict("l02_recall", "How many?", low, high)


def test_one_option_is_no_choice():
    with pytest.raises(ValueError, match="two different options"):
        predict_choice("l01_winner", "Which one?", ["inside", "inside"])


# -- in a notebook --------------------------------------------------------------------------------


def test_a_notebook_gets_a_widget_and_the_question_in_plain_text():
    shown = in_notebook('predict("l02_recall", "How many <b>?")')
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert shown[0]["text/plain"].startswith("How many <b>?\n")
    assert "keep_guess('l02_recall', 50)" in shown[0]["text/plain"]


def test_a_choice_gets_a_widget_and_its_options_in_plain_text():
    shown = in_notebook('predict_choice("l01_winner", "Which?", ["inside", "outside"])')
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert "Options: inside; outside" in shown[0]["text/plain"]


FIND_WIDGETS = (
    "import ipywidgets\n"
    "all_of = lambda kind: [w for w in ipywidgets.Widget._widget_types and "
    "ipywidgets.widgets.widget._instances.values() if isinstance(w, kind)]\n"
)


def test_moving_the_slider_keeps_the_guess_and_says_so():
    shown = in_notebook(
        'predict("l02_recall", "How many?")',
        FIND_WIDGETS,
        "[slider] = all_of(ipywidgets.FloatSlider)\n[box] = all_of(ipywidgets.BoundedFloatText)",
        "slider.value = 30",
        "assert box.value == 30",
        "assert any('Kept: 30 %' in w.value for w in all_of(ipywidgets.HTML))",
        'reveal("l02_recall", 71.3)',
    )
    assert load_predictions()["l02_recall"]["guess"] == 30
    assert shown[-1]["text/plain"].startswith("You predicted 30 %. Measured: 71.3 %.")


def test_typing_a_number_keeps_it_and_the_button_keeps_the_middle():
    in_notebook(
        'predict("l02_typed", "How many?")\npredict("l02_button", "How many?")',
        FIND_WIDGETS,
        "typed, middle = all_of(ipywidgets.BoundedFloatText)\ntyped.value = 71.5",
        "all_of(ipywidgets.Button)[1].click()",
    )
    kept = {key: entry["guess"] for key, entry in load_predictions().items()}
    assert kept == {"l02_typed": 71.5, "l02_button": 50}


def test_nothing_is_kept_when_nobody_touches_the_widget():
    in_notebook('predict("l02_recall", "How many?")')
    assert load_predictions() == {}


def test_a_kept_guess_is_there_again_after_a_restart():
    in_notebook('predict("l02_recall", "How many?")', 'keep_guess("l02_recall", 30)')
    in_notebook(
        'predict("l02_recall", "How many?")',
        FIND_WIDGETS,
        "assert all_of(ipywidgets.FloatSlider)[0].value == 30",
        "assert any('Kept earlier: 30 %' in w.value for w in all_of(ipywidgets.HTML))",
    )


def test_a_choice_made_with_a_button_is_kept():
    in_notebook(
        'predict_choice("l01_winner", "Which?", ["inside", "outside"])',
        FIND_WIDGETS,
        "all_of(ipywidgets.RadioButtons)[0].value = 'outside'",
    )
    assert load_predictions()["l01_winner"]["guess"] == "outside"


def test_reveal_draws_a_line_with_alternative_text_and_a_sentence():
    in_notebook('predict("l02_recall", "How many?")', 'keep_guess("l02_recall", 30)')
    shown = in_notebook(
        'from utils.stats import Interval\nreveal("l02_recall", Interval(0.7, 0.6, 0.8, n=9))'
    )
    html = shown[-1]["text/html"]
    svg = ElementTree.fromstring(re.search("<svg.*</svg>", html)[0])
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == shown[-1]["text/plain"]
    words = [text.text for text in svg.iter("text")]
    assert "your guess: 30 %" in words
    assert "measured: 70 %" in words
    assert f"<p>{shown[-1]['text/plain']}</p>" in html


def test_say_shows_markdown_with_the_same_plain_text(capsys):
    assert in_notebook('say("**71 %** of them")')[-1] == {
        "text/plain": "**71 %** of them",
        "text/markdown": "**71 %** of them",
    }
    say("**71 %** of them")
    assert capsys.readouterr().out == "**71 %** of them\n"


# -- the drawing ----------------------------------------------------------------------------------


def test_guess_and_result_stand_at_their_places():
    svg = ElementTree.fromstring(number_line(0, 50, 25, 75, "%", (0, 100), "alt").replace("&", ""))
    circle = svg.find("circle")
    line, interval = svg.findall("line")
    middle = (float(line.get("x1")) + float(line.get("x2"))) / 2
    assert float(circle.get("cx")) == pytest.approx(middle)
    width = float(line.get("x2")) - float(line.get("x1"))
    assert float(interval.get("x2")) - float(interval.get("x1")) == pytest.approx(width / 2)
    assert svg.find("path").get("d").startswith(f"M{float(line.get('x1'))} ")


def test_the_line_grows_for_a_result_outside_the_asked_range():
    svg = ElementTree.fromstring(number_line(10, 250, 250, 250, "ms", (0, 100), "alt"))
    words = [text.text for text in svg.iter("text")]
    assert "250 ms" in words
    assert "0" in words


@pytest.mark.parametrize(
    ("value", "words"),
    [(71.34, "71.3"), (40.0, "40"), (0.0421, "0.0421"), (12300.4, "12,300"), (-3.25, "-3.25")],
)
def test_numbers_have_as_many_digits_as_help(value, words):
    assert number(value) == words
