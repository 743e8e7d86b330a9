"""Learner notebooks are what their sources say, and faulty sources are refused in words."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from lessons.source import build as builder
from lessons.source.build import SourceError, build, differences, main
from lessons.source.student import INSTRUCTOR, Variant, clear_solution, fold_hints
from tests.example_lesson import SOURCE

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example's source in `source/` and its notebook beside."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "00_example.py").write_text(SOURCE, encoding="utf-8")
    assert run(tmp_path) == 0
    return tmp_path


def run(folder: Path, *options: str) -> int:
    return main([*options, "--sources", str(folder / "source"), "--notebooks", str(folder)])


def made(folder: Path, source: str = SOURCE, variant: Variant | None = None):
    path = folder / "00_made.py"
    path.write_text(source, encoding="utf-8")
    text = build(path, variant or Variant(), measured=folder / "none.json")
    return nbformat.reads(text, as_version=4)


def cell(notebook, id: str):
    return next(cell for cell in notebook.cells if cell.id == id)


# -- the course's own notebooks --------------------------------------------------------------


def test_every_notebook_is_what_its_source_says():
    found = differences()
    assert not found, "\n".join([*found, "Edit the source, then run: make notebooks"])


def test_a_build_gives_the_same_bytes_in_another_process():
    sources = builder.lesson_sources()
    assert sources, "there are no lessons"
    code = (
        "import sys; from pathlib import Path; from lessons.source.build import build;"
        "sys.stdout.buffer.write(build(Path(sys.argv[1])).encode())"
    )
    command = [sys.executable, "-c", code, str(sources[0])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode() == build(sources[0])


# -- comparing ---------------------------------------------------------------------------------


def test_an_untouched_folder_passes_the_comparison(folder, capsys):
    assert run(folder, "--check") == 0
    assert "what its source says" in capsys.readouterr().out


def test_an_edited_notebook_is_named(folder, capsys):
    path = folder / "00_example.ipynb"
    path.write_text(path.read_text("utf-8").replace("Text.", "Test."), encoding="utf-8")
    assert run(folder, "--check") == 1
    said = capsys.readouterr().out
    assert "00_example.ipynb differs" in said
    assert "cell 1" in said
    assert "make notebooks" in said


def test_a_stale_notebook_is_named_and_building_mends_it(folder, capsys):
    source = folder / "source" / "00_example.py"
    source.write_text(SOURCE.replace("Nowhere.", "Somewhere."), encoding="utf-8")
    assert run(folder, "--check") == 1
    assert "00_example.ipynb differs" in capsys.readouterr().out
    assert run(folder) == 0
    assert run(folder, "--check") == 0


@pytest.mark.parametrize("fault", ["missing", "without a source", "no notebook", "outputs"])
def test_other_differences_are_named(folder, capsys, fault):
    path = folder / "00_example.ipynb"
    words = {"missing": "is missing", "without a source": "has no source"}.get(fault, "differs")
    if fault == "missing":
        path.unlink()
    elif fault == "without a source":
        shutil.copy(path, folder / "01_stray.ipynb")
    elif fault == "no notebook":
        path.write_text("half a fi", encoding="utf-8")
    else:
        notebook = json.loads(path.read_text("utf-8"))
        notebook["cells"][2]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": ["ran"]}
        ]
        path.write_text(json.dumps(notebook), encoding="utf-8")
    assert run(folder, "--check") == 1
    said = capsys.readouterr().out
    assert words in said
    assert ("01_stray.ipynb" if fault == "without a source" else "00_example.ipynb") in said


def test_a_faulty_source_leaves_the_notebooks_as_they_were(folder, capsys):
    before = (folder / "00_example.ipynb").read_bytes()
    broken = SOURCE.replace("### END SOLUTION", "", 1)
    (folder / "source" / "00_example.py").write_text(broken, encoding="utf-8")
    assert run(folder) == 1
    assert "END SOLUTION" in capsys.readouterr().err
    assert (folder / "00_example.ipynb").read_bytes() == before


def test_an_unknown_lesson_is_said(folder, capsys):
    assert run(folder, "07") == 1
    assert "There is no lesson 07. There are: 00_example." in capsys.readouterr().err


# -- the learner's version ---------------------------------------------------------------------


def test_the_learner_gets_a_stub_that_says_what_to_do(tmp_path):
    source = cell(made(tmp_path), "q0_1").source
    assert (
        "    if answers:\n        raise NotImplementedError("
        '"Exercise q0_1: divide the right answers by the questions.")'
    ) in source
    assert "zip" not in source
    compile(source, "stub", "exec")


def test_a_long_task_gives_a_stub_of_short_lines_that_still_compiles(tmp_path):
    task = 'look at every "question" ' * 9
    source = SOURCE.replace("divide the right answers by the questions", task)
    stub = cell(made(tmp_path, source), "q0_1").source
    assert max(len(line) for line in stub.split("\n")) <= 100
    namespace: dict = {}
    exec(stub, namespace)
    with pytest.raises(NotImplementedError, match=re.escape(task.strip())):
        namespace["share_right"](["a"], ["a"])


def test_an_answer_that_is_a_value_gets_none_so_that_the_notebook_runs():
    source = "### BEGIN SOLUTION: the best\nbest = 3\nworst = best - 1\n### END SOLUTION"
    cleared = clear_solution(source, "code", "q1_1", Variant())
    assert cleared == "best = None  # the best\nworst = None  # the best"


def test_a_top_level_solution_without_a_value_is_refused():
    source = "### BEGIN SOLUTION\nprint(3)\n### END SOLUTION"
    with pytest.raises(SourceError, match="inside a function"):
        clear_solution(source, "code", "q1_1", Variant())


def test_nothing_that_is_for_graders_reaches_a_learner(tmp_path):
    text = nbformat.writes(made(tmp_path))
    assert "secret of the grader" not in text
    assert "secret of the marker" not in text
    assert not re.search("(BEGIN|END) (SOLUTION|HIDDEN|MARK)", text)


def test_hints_unfold_one_inside_the_other():
    folded = fold_hints("Hint: first\nstill first\n\nHint: second")
    assert folded.index("Hint 1") < folded.index("still first") < folded.index("Hint 2")
    assert folded.endswith("</details>\n\n</details>")


def test_the_worked_solution_follows_check_and_hints_and_runs(tmp_path):
    sources = [cell.source for cell in made(tmp_path).cells]
    place = next(i for i, text in enumerate(sources) if "Worked solution" in text)
    assert "Hint 1" in sources[place - 1]
    assert 'check("q0_1")' in sources[place - 2]
    namespace: dict = {}
    exec(re.search(r"```python\n(.*)\n```", sources[place], re.DOTALL)[1], namespace)
    assert namespace["share_right"](["a", "b"], ["a", "c"]) == 0.5


def test_an_answer_in_words_is_followed_by_what_a_good_one_says(tmp_path):
    notebook = made(tmp_path)
    place = notebook.cells.index(cell(notebook, "q0_2"))
    assert "Write your answer here" in notebook.cells[place].source
    assert "Because it is so." in notebook.cells[place + 1].source


def test_a_class_may_leave_out_worked_solutions_and_hints(tmp_path):
    variant = Variant(worked_solutions=False, hints=False)
    text = nbformat.writes(made(tmp_path, variant=variant))
    assert "<details>" not in text
    assert "sum(answer" not in text
    assert "Because it is so." not in text


def test_metadata_is_complete_and_cells_have_ids_that_stay(tmp_path):
    notebook = made(tmp_path)
    assert cell(notebook, "q0_1_check").metadata["nbgrader"] == {
        "grade": True,
        "grade_id": "q0_1_check",
        "locked": True,
        "points": 1,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }
    changed = made(tmp_path, SOURCE.replace("Nowhere.", "Somewhere."))
    assert [c.id for c in changed.cells[:-1]] == [c.id for c in notebook.cells[:-1]]
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)


def test_cells_with_the_same_text_have_different_ids(tmp_path):
    twice = SOURCE.replace(
        "# %% [markdown]\n# ### Exercise 0.1",
        "# %%\n1\n\n# %%\n1\n\n# %% [markdown]\n# ### Exercise 0.1",
    )
    ids = [c.id for c in made(tmp_path, twice).cells]
    assert len(set(ids)) == len(ids)


def test_measured_minutes_and_memory_are_rounded_up(tmp_path):
    table = tmp_path / "lessons.json"
    row = {"lesson": "00_example", "minutes": 1.2, "peak_gb": 1.1, "passed": True}
    table.write_text(json.dumps([row]), encoding="utf-8")
    path = tmp_path / "00_example.py"
    path.write_text(SOURCE, encoding="utf-8")
    text = build(path, measured=table)
    assert "Less than 2 minutes of computing and less than 1.5 GB" in text
    assert "table of the README" in build(path, measured=tmp_path / "none.json")


def test_the_stub_stands_where_nbgrader_puts_its_own(tmp_path):
    """nbgrader's own preprocessors on the instructor's version give the same learner's cell."""
    instructor = made(tmp_path, variant=INSTRUCTOR)
    stub = "# YOUR CODE HERE\nraise NotImplementedError()"
    ours = made(
        tmp_path,
        variant=Variant(worked_solutions=False, code_stub=stub, text_stub="YOUR ANSWER HERE"),
    )
    theirs, _ = ClearSolutions().preprocess(instructor, {})
    theirs, _ = ClearHiddenTests().preprocess(theirs, {})
    assert [c.source for c in theirs.cells] == [c.source for c in ours.cells]


# -- faulty sources ----------------------------------------------------------------------------

FAULTS = {
    "solution never ends": (
        ("        ### END SOLUTION\n", ""),
        "each BEGIN SOLUTION needs one END SOLUTION",
    ),
    "solution never begins": (
        ("### BEGIN SOLUTION: divide", "### divide"),
        "each BEGIN SOLUTION needs one END SOLUTION",
    ),
    "mark scheme never ends": (("# ### END MARK SCHEME\n", ""), "needs one END MARK SCHEME"),
    "hidden tests never end": (("### END HIDDEN TESTS\n", ""), "needs one END HIDDEN TESTS"),
    "same grade id twice": (("q0_2", "q0_1"), 'grade_id "q0_1" is used 2 times'),
    "check without exercise": (("q0_1_check", "q0_7_check"), "no solution cell q0_7"),
    "exercise without check": (
        ('"grade_id": "q0_1_check", "grade": true, ', '"grade_id": "q0_1_check", '),
        "no check cell",
    ),
    "check of another key": (('check("q0_1")', 'check("q0_3")'), 'must hold check("q0_1")'),
    "no points": ((', "points": 1', ""), 'needs "points"'),
    "another lesson's key": (("q0_2", "q5_2"), "write q0_N"),
    "no heading of the exercise": (("### Exercise 0.1", "### Exercise"), '"### Exercise 0.1: ..."'),
    "solution without metadata": (
        (' nbgrader={"grade_id": "q0_1", "solution": true}', ""),
        "a solution in a cell without",
    ),
    "frame heading missing": (
        ("## Where to read on", "## More"),
        '"## Where to read on" is missing',
    ),
    "title missing": (("# # Lesson 00: ", "# # "), "# Lesson 00: Title"),
    "hints without Hint:": (("# Hint: `zip`", "# `zip`"), 'paragraphs that begin with "Hint:"'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_source_is_refused_with_what_to_mend(tmp_path, name):
    (old, new), words = FAULTS[name]
    assert old in SOURCE
    with pytest.raises(SourceError) as caught:
        made(tmp_path, SOURCE.replace(old, new))
    assert words in str(caught.value)
    assert "00_made.py" in str(caught.value)


def test_all_problems_are_listed_at_once(tmp_path):
    source = SOURCE.replace("## Where to read on", "## More").replace(', "points": 1', "")
    with pytest.raises(SourceError) as caught:
        made(tmp_path, source)
    assert "Where to read on" in str(caught.value)
    assert "points" in str(caught.value)
