"""Marks in nbgrader's own grade book (https://nbgrader.readthedocs.io), so that it goes on there.

The folder becomes an nbgrader course: its `formgrader` shows the answers in words with their mark
schemes and takes a person's marks, its `nbgrader export` writes the table. A mark that a person
gave there stays when the batch is graded again.
"""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.grading.batch import Graded
from utils.grading.lessons import LESSONS, Lesson
from utils.grading.notebooks import find_answer
from utils.grading.reports import essay_answer, file_name
from utils.work import write_whole

DATABASE = "gradebook.db"


def write_gradebook(lesson: Lesson, batch: Sequence[Graded], course: Path) -> int:
    """Write the marks of a batch into the grade book in `course`; returns how many students.

    Students without marks are left out: nbgrader would count them as 0. Raises
    ModuleNotFoundError where nbgrader is missing.
    """
    try:
        from nbgrader.api import Gradebook
    except ImportError:
        raise ModuleNotFoundError(
            "The grade book is nbgrader's: pip install nbgrader, then run the same command again."
        ) from None
    course.mkdir(parents=True, exist_ok=True)
    marked = [graded for graded in batch if not graded.problem]
    _find_own_programs()
    with Gradebook(f"sqlite:///{(course / DATABASE).resolve()}") as book:
        _write_lesson(book, lesson)
        for graded in marked:
            student = file_name(graded.student)
            _write_notebook(lesson, graded, course, student)
            _write_marks(book, lesson, graded, student)
    return len(marked)


def _find_own_programs() -> None:
    """Let nbgrader, which calls `alembic` by its name, find the one of this environment."""
    own, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if own not in path.split(os.pathsep):
        os.environ["PATH"] = f"{own}{os.pathsep}{path}"


def _write_lesson(book, lesson: Lesson) -> None:
    name = lesson.stem
    book.update_or_create_assignment(name)
    book.update_or_create_notebook(name, name)
    for exercise in lesson.exercises:
        about = {"max_score": float(exercise.points), "cell_type": "code"}
        book.update_or_create_grade_cell(f"{exercise.key}_check", name, name, **about)
        book.update_or_create_solution_cell(exercise.key, name, name)
    for essay in lesson.essays:
        about = {"max_score": float(essay.points), "cell_type": "markdown"}
        book.update_or_create_grade_cell(essay.key, name, name, **about)
        book.update_or_create_solution_cell(essay.key, name, name)


def _write_marks(book, lesson: Lesson, graded: Graded, student: str) -> None:
    name = lesson.stem
    book.update_or_create_student(student, last_name=graded.student)
    book.update_or_create_submission(name, student)
    for mark in graded.marks:
        grade = book.find_grade(f"{mark.key}_check", name, name, student)
        grade.auto_score, grade.needs_manual_grade = mark.points, False
        comment = book.find_comment(mark.key, name, name, student)
        comment.auto_comment = f"{mark.status}: {mark.message}"
    for essay in lesson.essays:
        grade = book.find_grade(essay.key, name, name, student)
        if essay_answer(essay, graded) == "":  # a cell that isn't there needs a person
            grade.auto_score, grade.needs_manual_grade = 0.0, False
        elif grade.manual_score is None:
            grade.auto_score, grade.needs_manual_grade = None, True
    book.db.commit()


def _write_notebook(lesson: Lesson, graded: Graded, course: Path, student: str) -> None:
    """The lesson's own cells, with the student's answers in them, where formgrader looks.

    What a student may have changed beside the answers never gets there; an answer in words is
    shown as text, not as HTML.
    """
    notebook = json.loads((LESSONS / f"{lesson.stem}.ipynb").read_text(encoding="utf-8"))
    handed_in = graded.submission.notebook
    answers = {e.key: find_answer(handed_in, e).source for e in lesson.exercises}
    answers |= {essay.key: essay_answer(essay, graded) or "" for essay in lesson.essays}
    schemes = {essay.key: essay.scheme for essay in lesson.essays}
    cells = []
    for cell in notebook["cells"]:
        key = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if key in answers:
            answer = answers[key]
            cell["source"] = html.escape(answer, quote=False) if key in schemes else answer
        cells.append(cell)
        if schemes.get(key):
            shown = f"**Mark scheme**\n\n{schemes[key]}"
            cells.append({"cell_type": "markdown", "metadata": {}, "source": shown})
    notebook["cells"] = [{k: v for k, v in cell.items() if k != "id"} for cell in cells]
    notebook["nbformat_minor"] = 4  # without ids of cells
    path = course / "autograded" / student / lesson.stem / f"{lesson.stem}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(notebook, indent=1) + "\n")
