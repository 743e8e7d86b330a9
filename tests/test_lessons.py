"""Every lesson keeps the course's frame and runs from top to bottom as a learner gets it."""

from __future__ import annotations

import ast
import re
import sys
import time
from pathlib import Path

import nbformat
import pytest

from lessons.source.build import LESSONS, lesson_sources, read_source
from lessons.source.student import full_metadata
from tests.run_lessons import (
    MEMORY_LIMIT_GB,
    LessonRun,
    find_notebooks,
    main,
    read_rows,
    run_lesson,
    table_markdown,
    table_text,
    verdict,
    write_rows,
)
from utils.exercises import lesson_exercises

SOURCES = {path.stem: path for path in lesson_sources()}
MOST_CELLS = 45
FIRST_CODE = 'import sys\n\nsys.path.insert(0, "..")'

# -- the sources ------------------------------------------------------------------------------


def code_cells(lesson: str) -> list[str]:
    cells = read_source(SOURCES[lesson]).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def calls(lesson: str, *names: str) -> list[ast.Call]:
    """The calls of functions with these names, in the lesson's order."""
    found = []
    for source in code_cells(lesson):
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        nodes.sort(key=lambda node: (node.lineno, node.col_offset))
        found += [n for n in nodes if isinstance(n.func, ast.Name) and n.func.id in names]
    return found


def constant_key(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) else None


def test_there_are_lessons():
    assert "00_start_here" in SOURCES


@pytest.mark.parametrize("lesson", SOURCES)
def test_a_lesson_is_no_longer_than_a_sitting(lesson):
    assert len(read_source(SOURCES[lesson]).cells) <= MOST_CELLS


@pytest.mark.parametrize("lesson", SOURCES)
def test_the_first_code_cell_finds_the_helpers(lesson):
    assert code_cells(lesson)[0].startswith(FIRST_CODE)


@pytest.mark.parametrize("lesson", SOURCES)
def test_every_figure_is_shown_with_alternative_text(lesson):
    assert not any("plt.show(" in source for source in code_cells(lesson))
    for call in calls(lesson, "show"):
        alt = [keyword.value for keyword in call.keywords if keyword.arg == "alt"]
        assert alt, f"line {call.lineno}: show(figure, alt=...)"
        assert not (isinstance(alt[0], ast.Constant) and len(str(alt[0].value)) < 20), (
            f"line {call.lineno}: the alternative text says too little"
        )


@pytest.mark.parametrize("lesson", SOURCES)
def test_no_measured_share_is_typed_by_hand(lesson):
    """A number in a text outlives the run that it came from; cells compute and `say` it."""
    typed = []
    for cell in read_source(SOURCES[lesson]).cells:
        if cell.cell_type != "markdown" or "published" in cell.metadata.get("tags", []):
            continue
        prose = re.sub(r"`[^`]*`|95 % (confidence )?intervals?|\b100 %", "", cell.source)
        typed += re.findall(r"[^\n]*\d\s?(?:%|per cent|percent)[^\n]*", prose)
    assert not typed


@pytest.mark.parametrize("lesson", SOURCES)
def test_every_prediction_is_made_before_its_result_is_shown(lesson):
    asked: list[str] = []
    revealed: list[str] = []
    for call in calls(lesson, "predict", "predict_choice", "reveal"):
        key = constant_key(call)
        if key is None:  # asked in a loop: the fourteen claims, revealed in the last lesson
            continue
        if call.func.id == "reveal":
            assert key in asked, f"{key} is revealed but was not asked before"
            revealed.append(key)
        else:
            asked.append(key)
            assert key.startswith((f"l{lesson[:2]}_", "claim_")), key
    assert len(set(asked)) == len(asked)
    assert {key for key in asked if not key.startswith("claim_")} == set(revealed)


@pytest.mark.parametrize("lesson", [name for name in SOURCES if name[:2] != "00"])
def test_a_lesson_has_three_exercises_one_of_them_in_words(lesson):
    cells = read_source(SOURCES[lesson]).cells
    exercises = [cell for cell in cells if full_metadata(cell).get("solution")]
    assert len(exercises) >= 3
    assert any(cell.cell_type == "markdown" for cell in exercises)
    assert calls(lesson, "predict", "predict_choice")


@pytest.mark.parametrize("lesson", SOURCES)
def test_no_later_cell_needs_a_learners_answer(lesson):
    names = {exercise.function for exercise in lesson_exercises(int(lesson[:2]))}
    for cell in read_source(SOURCES[lesson]).cells:
        if cell.cell_type == "code" and not full_metadata(cell):
            used = {n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)}
            assert not used & names


# -- run as a learner gets them ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lesson", SOURCES)
def test_the_lesson_runs_from_top_to_bottom_within_its_memory(lesson):
    path = LESSONS / f"{lesson}.ipynb"
    before = path.read_bytes()
    row, notebook = run_lesson(path)
    assert row.passed, row.failure
    assert row.peak_gb <= MEMORY_LIMIT_GB
    assert path.read_bytes() == before
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert "image/png" not in data, f"a figure without alternative text: {cell.source}"
            assert "Traceback (most recent" not in output.get("text", ""), cell.source


# -- the runner itself --------------------------------------------------------------------------


def notebook_of(folder: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = folder / "07_made.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_failing_cell_is_named_and_the_rest_does_not_run(tmp_path):
    path = notebook_of(
        tmp_path, "1", "\n# what fails\nopen('no such file')", "open('ran', 'w').close()"
    )
    row, _ = run_lesson(path)
    assert not row.passed
    assert row.failure.startswith("cell 2, '# what fails': FileNotFoundError")
    assert not (tmp_path / "ran").exists()
    assert verdict(row).startswith("FAILED in cell 2")


def test_a_cell_that_never_ends_is_stopped_and_named(tmp_path):
    path = notebook_of(tmp_path, "import time\ntime.sleep(600)")
    start = time.monotonic()
    row, _ = run_lesson(path, seconds_per_cell=2)
    assert "cell 1, 'import time'" in row.failure
    assert "timed out" in row.failure.lower()
    assert time.monotonic() - start < 300  # far below the sleep: it was not waited for


def test_a_kernel_that_dies_is_a_failure_not_a_crash(tmp_path):
    row, _ = run_lesson(notebook_of(tmp_path, "import os\nos._exit(1)"))
    assert not row.passed
    assert "cell 1" in row.failure


def test_peak_memory_counts_what_was_freed_and_what_children_took(tmp_path):
    freed = "data = bytearray(400_000_000)\ndel data"
    child = (
        "import subprocess, sys\n"
        "code = 'data = bytearray(500_000_000); import time; time.sleep(1)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)"
    )
    small, _ = run_lesson(notebook_of(tmp_path, "1"))
    own, _ = run_lesson(notebook_of(tmp_path, freed))
    others, _ = run_lesson(notebook_of(tmp_path, child))
    assert small.peak_gb < 0.3
    assert own.peak_gb - small.peak_gb == pytest.approx(0.4, abs=0.1)
    assert others.peak_gb - small.peak_gb == pytest.approx(0.5, abs=0.1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="VmHWM is Linux's")
def test_memory_that_was_freed_between_two_samples_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.run_lessons.SECONDS_BETWEEN_SAMPLES", 600)
    row, _ = run_lesson(notebook_of(tmp_path, "data = b'x' * 400_000_000\ndel data"))
    assert row.peak_gb > 0.4


def test_the_learners_own_files_and_the_notebook_stay_untouched(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_WORK", str(tmp_path / "mine"))
    root = str(LESSONS.parent)
    path = notebook_of(
        tmp_path,
        f"import sys\nsys.path.insert(0, {root!r})",
        "from utils.widgets import predict, keep_guess\npredict('l07_a', 'How many?')",
        "print(keep_guess('l07_a', 40))",
    )
    before = path.read_bytes()
    row, notebook = run_lesson(path)
    assert row.passed, row.failure
    assert notebook.cells[-1].outputs[0]["text"] == "Kept: 40 %.\n"
    assert path.read_bytes() == before
    assert not (tmp_path / "mine").exists()


def test_hashes_are_the_same_in_every_run(tmp_path):
    path = notebook_of(tmp_path, "import os\nos.environ['PYTHONHASHSEED']")
    _, notebook = run_lesson(path)
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == "'0'"


ROWS = [
    LessonRun("00_a", 0.52, 0.91, True),
    LessonRun("01_b", 4.31, 1.75, True),
    LessonRun("02_c", 1.0, 0.5, False, "cell 3, 'x | y': NameError: z"),
]


def test_limits_that_are_exceeded_are_said():
    assert [verdict(row) for row in ROWS] == [
        "passed",
        "passed, over 4 minutes, over 1.6 GB",
        "FAILED in cell 3, 'x | y': NameError: z",
    ]
    lines = table_text(ROWS).splitlines()
    assert lines[1].split() == ["00_a", "0.52", "0.91", "passed"]
    assert lines[2].endswith("over 4 minutes, over 1.6 GB")


def test_the_table_for_the_readme_is_whole():
    lines = table_markdown(ROWS).splitlines()
    assert lines[2] == "| [00_a](lessons/00_a.ipynb) | 0.5 | 0.9 | passed |"
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1


def test_rows_of_lessons_that_did_not_run_now_stay(tmp_path):
    file = tmp_path / "results" / "lessons.json"
    write_rows(file, ROWS)
    write_rows(file, [LessonRun("01_b", 3.0, 1.0, True)])
    assert read_rows(file) == [ROWS[0], LessonRun("01_b", 3.0, 1.0, True), ROWS[2]]


def test_an_unknown_lesson_is_said(capsys):
    assert main(["77"]) == 1
    assert "There is no lesson 77" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        find_notebooks(["77"])
