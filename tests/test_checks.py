"""A check says in words what is wrong, and never stops a self-study notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils import progress_page
from utils.checks import Exercise, Mistake, check
from utils.differences import difference
from utils.exercises import all_exercises, find, lesson_exercises
from utils.judging import judge
from utils.work import read_kept, update_kept

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    """The learner's own files go to a temporary folder."""
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path / "work"


def mean_of(values):
    return sum(values) / len(values) if values else 0.0


MEAN = Exercise(
    key="q1_1",
    title="the mean",
    function="mean",
    task="Return the mean of the values; 0 for none.",
    inputs=lambda seed: [([1.0, 2.0, 6.0],), ([5.0],), ([],)],
    reference=mean_of,
    mistakes=(
        Mistake("You return the sum.", sum),
        Mistake("You forget the empty list.", lambda values: sum(values) / len(values)),
        Mistake("You return the middle one.", lambda v: sorted(v)[len(v) // 2] if v else 0.0),
    ),
)
VALUE = Exercise(
    key="q1_2",
    title="a number",
    function="answer",
    task="Write the number.",
    kind="value",
    reference=lambda: 3,
    mistakes=(Mistake("You counted from one.", lambda: 4),),
)


def said(function, exercise: Exercise = MEAN) -> str:
    return judge(exercise, function).message


# -- what a learner reads ---------------------------------------------------------------------


def test_a_right_answer_is_solved():
    result = judge(MEAN, lambda values: float(np.mean(values)) if values else 0)
    assert result.solved
    assert result.message == "solved: the mean"


def test_a_stub_is_not_solved_yet_and_hears_the_task():
    def mean(values):
        raise NotImplementedError("Exercise q1_1")

    assert not judge(MEAN, mean).solved
    assert said(mean) == "not solved yet: Return the mean of the values; 0 for none."


def test_known_mistakes_are_named_by_what_they_do():
    def total(values):  # not the same code as the known mistake, the same behaviour
        result = 0
        for value in values:
            result += value
        return result

    assert said(total) == "not yet: You return the sum."


def test_a_mistake_that_raises_is_known_by_its_error():
    assert said(lambda values: np.sum(values) / float(len(values)) if values else 1 / 0) == (
        "not yet: You forget the empty list."
    )


def test_the_mistake_that_explains_every_output_is_preferred():
    """With 1 value the sum is right; a rule that shows on fewer inputs must not win."""
    inputs = lambda seed: [([1.0, 1.0],), ([2.0, 4.0],)]  # noqa: E731
    narrow = Mistake("narrow", lambda v: 6.0 if v == [2.0, 4.0] else mean_of(v))
    broad = Mistake("broad", sum)
    for mistakes in ((narrow, broad), (broad, narrow)):
        exercise = Exercise("q1_3", "t", "f", "task", mean_of, mistakes, inputs)
        assert said(sum, exercise) == "not yet: broad"


def test_an_unknown_wrong_value_shows_the_first_input_that_differs():
    message = said(lambda values: 3.0)
    assert "`mean([5.0])`" in message
    assert "expected 5.0, but 3.0 came" in message


def test_an_error_shows_its_words_and_the_learners_own_line(tmp_path):
    file = tmp_path / "cell.py"
    file.write_text(
        "import json\ndef mean(values):\n    first = values[0]\n    return json.loads('no')\n"
    )
    namespace: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    message = said(namespace["mean"])
    assert "stops with `JSONDecodeError`: Expecting value" in message
    assert "Your line 4: `return json.loads('no')`" in message


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda values: None, "returns nothing (None). Is a `return` missing?"),
        (lambda values: "3", "expected a number, 3.0, but a text came, '3'"),
        (lambda values: [3.0], "expected a number, 3.0, but a list came"),
        (lambda values: float("nan"), "NaN (not a number) came"),
        (lambda values: (v for v in values), "an object of type generator came"),
        (lambda: 3.0, "is called with 1 arguments, yours takes ()"),
        (3.0, "`mean` is not a function"),
        (lambda values: sys.exit(), "stops with `SystemExit`"),
        (lambda values: values.append(0) or 3.0, "expected 3.0"),
    ],
)
def test_other_ways_to_be_wrong_are_said(function, words):
    result = judge(MEAN, function)
    assert not result.solved
    if words == "expected 3.0":  # the right value, but the input was changed
        words = "changes the data that it was given"
    assert words in result.message


def test_a_list_of_the_wrong_length_is_said():
    double = Exercise(
        "q1_4", "double", "double", "task", lambda v: [2 * x for x in v], (), lambda s: [([1, 2],)]
    )
    assert "expected 2 values, [2, 4], but 1 came, [2]" in said(lambda v: [2], double)
    assert "at position 1: expected 4, but 5 came" in said(lambda v: [2, 5], double)
    assert judge(double, lambda v: 2 * np.array(v)).solved
    assert judge(double, lambda v: tuple(2 * x for x in v)).solved


def test_a_list_that_grows_from_call_to_call_is_not_mistaken_for_a_right_one():
    def doubled(values, so_far=[]):  # noqa: B006
        so_far.extend(2 * x for x in values)
        return so_far

    double = Exercise(
        "q1_4", "t", "f", "task", lambda v: [2 * x for x in v], (), lambda s: [([1],), ([2],)]
    )
    assert "expected 1 values, [4], but 2 came, [2, 4]" in said(doubled, double)


def test_an_answer_that_only_sorts_its_input_in_place_is_told_to_copy():
    def largest_first(values):
        values.sort(reverse=True)
        return values

    exercise = Exercise(
        "q1_5", "t", "f", "task", lambda v: sorted(v, reverse=True), (), lambda s: [([1, 3, 2],)]
    )
    assert "changes the data that it was given" in said(largest_first, exercise)


def test_an_answer_cannot_spoil_the_next_call_or_the_reference():
    def clears(values):
        total = mean_of(values)
        values.clear()
        return total

    assert "changes the data" in said(clears)
    assert judge(MEAN, mean_of).solved


def test_a_reference_that_raises_asks_for_the_same_error():
    def root(x):
        if x < 0:
            raise ValueError("no root")
        return x**0.5

    exercise = Exercise("q1_6", "t", "root", "task", root, (), lambda s: [(-1.0,), (4.0,)])
    assert judge(exercise, root).solved
    message = said(lambda x: abs(x) ** 0.5, exercise)
    assert "`root(-1.0)` should raise `ValueError` (no root), but it returned 1.0" in message


def test_what_an_answer_prints_is_not_shown(capsys):
    judge(MEAN, lambda values: print("noise") or 3.0)
    assert "noise" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [(None, "not solved yet"), (..., "not solved yet"), (4, "counted from one"), (9, "expected 3")],
)
def test_a_value_is_judged_like_a_function(answer, words):
    assert words in said(answer, VALUE)
    assert judge(VALUE, 3).solved
    assert judge(VALUE, np.int64(3)).solved


def test_a_comparison_of_ones_own_says_its_own_words():
    exercise = Exercise(
        "q1_7",
        "t",
        "f",
        "task",
        lambda: "any text",
        (),
        compare=lambda expected, got: None if len(got) > 3 else "The text is too short.",
    )
    assert judge(exercise, lambda: "long enough").solved
    assert "The text is too short." in said(lambda: "no", exercise)
    assert not judge(exercise, lambda: 3).solved  # len(3) can't be taken: not equal, no exception


@pytest.mark.parametrize("key", ["2_1", "q2", "lesson"])
def test_a_malformed_key_is_refused(key):
    with pytest.raises(ValueError, match="looks like q2_1"):
        Exercise(key, "t", "f", "task", mean_of, ())


# -- equality ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (0.3, 0.1 + 0.2),
        ([1, 2], np.array([1.0, 2.0])),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (float("nan"), float("nan")),
        ({"a": [1.0]}, {"a": (1,)}),
        ({1, 2}, frozenset({2, 1})),
        (True, 1),
        (float("inf"), float("inf")),
        ("a", "a"),
        (None, None),
    ],
)
def test_equal_results(expected, got):
    assert difference(expected, got) is None


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (0.3, 0.31, "expected 0.3, but 0.31 came"),
        (0.3, float("nan"), "NaN"),
        (float("inf"), 3.0, "expected inf"),
        ("a", "b", "expected 'a', but 'b' came"),
        ([1, "a"], [1, 2], "at position 1: expected a text"),
        ({"a": 1}, {"b": 1}, "the key 'a' is missing"),
        ({"a": 1}, {"a": 1, "b": 2}, "the key 'b' should not be there"),
        ({"a": 1}, {"a": 2}, "under the key 'a': expected 1"),
        ({1, 2}, {1}, "expected {1, 2}, but {1} came"),
        ([1, 2], "12", "expected a list, [1, 2], but a text came"),
        (None, 0, "expected nothing (None)"),
    ],
)
def test_different_results_are_said(expected, got, words):
    assert words in difference(expected, got)


# -- check(), as a notebook calls it -----------------------------------------------------------


def right_answer(answers, right):
    return sum(a == r for a, r in zip(answers, right, strict=True)) / len(right)


def test_check_finds_the_answer_in_the_callers_variables(capsys):
    namespace = {"check": check, "share_right": right_answer}
    exec('check("q0_1")', namespace)
    assert capsys.readouterr().out == "q0_1 solved: the share of right answers\n"


def test_check_says_when_the_cell_was_not_run(capsys):
    check("q0_1", namespace={})
    assert "`share_right` is not defined. Run the exercise's cell first" in capsys.readouterr().out


def test_check_says_when_there_is_no_such_exercise(capsys):
    check("q0_77", namespace={})
    assert "There is no exercise 'q0_77'. There are: q0_1" in capsys.readouterr().out


def test_under_nbgrader_a_wrong_answer_raises_with_the_same_words(monkeypatch, work):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AssertionError, match="q0_1 not yet: .*percentage"):
        check("q0_1", namespace={"share_right": lambda a, r: 100 * right_answer(a, r)})
    check("q0_1", namespace={"share_right": right_answer})
    assert not work.exists()  # a grader keeps nothing


def test_the_variable_that_stands_for_nbgrader_is_the_one_that_it_sets():
    import nbgrader.converters.autograde as autograde

    assert "NBGRADER_EXECUTION='autograde'" in Path(autograde.__file__).read_text("utf-8")


def test_in_a_notebook_the_words_come_as_html_with_the_same_plain_text():
    code = (
        "from IPython.testing.globalipapp import start_ipython\n"
        "shell = start_ipython()\n"
        "from IPython.utils.capture import capture_output\n"
        "shell.run_cell('from utils.checks import check')\n"
        "shell.run_cell('def share_right(a, r):\\n    return missing_name if 0 < len(a) else 0')\n"
        "with capture_output() as caught:\n"
        "    shell.run_cell('check(\"q0_1\")')\n"
        "import json; print(json.dumps(caught.outputs[0].data))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    data = json.loads(done.stdout.splitlines()[-1])
    assert "stops with `NameError`" in data["text/plain"]
    assert "Your line 2: `return missing_name if 0 < len(a) else 0`" in data["text/plain"]
    assert "<strong>q0_1 not yet</strong>:" in data["text/html"]
    assert "<code>return missing_name if 0 &lt; len(a) else 0</code>" in data["text/html"]


# -- progress ------------------------------------------------------------------------------------


def test_progress_is_kept_and_solved_stays_solved(work, capsys):
    check("q0_1", namespace={"share_right": right_answer})
    check("q0_1", namespace={"share_right": len})
    kept = json.loads((work / "progress.json").read_text("utf-8"))
    assert kept["q0_1"] == {"solved": True, "tries": 2}
    capsys.readouterr()
    progress_page.progress()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("00"))
    assert line.split() == ["00", "1", "of", "1", "none"]


def test_a_damaged_file_is_kept_aside_not_lost(work, capsys):
    work.mkdir()
    (work / "progress.json").write_text('{"q0_1": {"sol', encoding="utf-8")
    check("q0_1", namespace={"share_right": right_answer})
    assert "is kept as" in capsys.readouterr().out
    assert (work / "progress.damaged-1.json").read_text("utf-8") == '{"q0_1": {"sol'
    assert read_kept("progress.json")["q0_1"]["solved"]


def test_a_second_damaged_file_does_not_overwrite_the_first(work):
    work.mkdir()
    for text in ("one", "two"):
        (work / "progress.json").write_text(text, encoding="utf-8")
        assert read_kept("progress.json") == {}
    assert (work / "progress.damaged-1.json").read_text("utf-8") == "one"
    assert (work / "progress.damaged-2.json").read_text("utf-8") == "two"


def test_where_nothing_can_be_kept_the_check_still_answers(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path / "file"))
    check("q0_1", namespace={"share_right": right_answer})
    out = capsys.readouterr().out
    assert "q0_1 solved" in out
    assert "INSIDE_OUTSIDE_WORK to another folder" in out


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(work, monkeypatch):
    assert update_kept("progress.json", lambda kept: kept.update(a=1)) == ""

    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.work.os.replace", no_space)
    assert "No space left" in update_kept("progress.json", lambda kept: kept.update(b=2))
    assert read_kept("progress.json") == {"a": 1}
    assert {path.name for path in work.iterdir()} <= {"progress.json", ".progress.json.lock"}


def test_writers_at_the_same_time_lose_nothing(work):
    code = (
        "import sys; from utils.work import update_kept\n"
        "for number in range(25):\n"
        "    entry = {f'{sys.argv[1]}{number}': 1}\n"
        "    problem = update_kept('progress.json', lambda kept: kept.update(entry))\n"
        "    assert not problem, problem\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(read_kept("progress.json")) == 75


# -- the registry ------------------------------------------------------------------------------


def test_the_registry_finds_each_exercise_by_its_key():
    keys = [exercise.key for exercise in all_exercises()]
    assert "q0_1" in keys
    assert len(keys) == len(set(keys))
    for exercise in all_exercises():
        assert find(exercise.key) is exercise
        assert exercise in lesson_exercises(exercise.lesson)


def test_checks_and_widgets_load_nothing_heavy():
    code = (
        "import sys, utils.checks, utils.widgets, utils.exercises\n"
        "utils.exercises.all_exercises()\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'faiss', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
