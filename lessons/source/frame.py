"""The frame that every lesson has, and what an exercise in it must consist of."""

from __future__ import annotations

import re
from collections import Counter

from nbformat import NotebookNode

from lessons.source.student import full_metadata

HEADINGS = (
    "## What you will be able to do",
    "## What you need",
    "## What we measured and how sure we are",
    "## Where to read on",
)
REGIONS = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")


def frame_problems(notebook: NotebookNode, lesson: str) -> list[str]:
    """What is wrong with a lesson's source, one sentence each. `lesson`: two digits, "02"."""
    return (
        _region_problems(notebook)
        + _heading_problems(notebook, lesson)
        + _exercise_problems(notebook, lesson)
    )


def _region_problems(notebook: NotebookNode) -> list[str]:
    """BEGIN and END markers that don't come in turn within one cell."""
    problems = []
    for number, cell in enumerate(notebook.cells, start=1):
        for region in REGIONS:
            markers = re.findall(rf"(BEGIN|END) {region}", cell.source)
            if markers != ["BEGIN", "END"] * (len(markers) // 2):
                problems.append(
                    f"cell {number} ({_first_line(cell)}): each BEGIN {region} needs one "
                    f"END {region} after it; found {', '.join(markers)}"
                )
        if "BEGIN SOLUTION" in cell.source and not full_metadata(cell).get("solution"):
            problems.append(
                f"cell {number} ({_first_line(cell)}): a solution in a cell without "
                'nbgrader={"grade_id": ..., "solution": true}'
            )
    return problems


def _heading_problems(notebook: NotebookNode, lesson: str) -> list[str]:
    lines = [
        line.strip()
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.split("\n")
    ]
    problems = [
        f'the heading "{heading}" is missing' for heading in HEADINGS if heading not in lines
    ]
    if not lines or not lines[0].startswith(f"# Lesson {lesson}: "):
        problems.insert(0, f'the first line must be "# Lesson {lesson}: Title"')
    found = [line for line in lines if line in HEADINGS]
    if not problems and found != list(HEADINGS):
        problems.append(f"the headings must come once each, in this order: {'; '.join(HEADINGS)}")
    return problems


def _exercise_problems(notebook: NotebookNode, lesson: str) -> list[str]:
    problems = []
    ids: Counter[str] = Counter()
    headings: set[str] = set()
    solutions: set[str] = set()
    checks: set[str] = set()
    for cell in notebook.cells:
        headings |= set(re.findall(r"(?m)^### Exercise (\d+\.\d+)\b", cell.source))
        nbgrader = full_metadata(cell)
        if not nbgrader:
            continue
        grade_id = nbgrader.get("grade_id", "")
        ids[grade_id] += 1
        key = grade_id.removesuffix("_check")
        match = re.fullmatch(r"q(\d+)_(\d+)", key)
        if not match or int(match[1]) != int(lesson):
            problems.append(
                f'grade_id "{grade_id}": write q{int(lesson)}_N, or q{int(lesson)}_N_check'
            )
            continue
        if nbgrader["grade"] and "points" not in nbgrader:
            problems.append(f'{grade_id}: its metadata needs "points"')
        if nbgrader["solution"]:
            solutions.add(key)
            problems += _solution_problems(cell, key, f"{match[1]}.{match[2]}", headings)
        elif nbgrader["grade"]:
            checks.add(key)
            problems += _check_problems(cell, grade_id, key, solutions)
    in_code = {
        full_metadata(cell)["grade_id"]
        for cell in notebook.cells
        if cell.cell_type == "code" and full_metadata(cell).get("solution")
    }
    problems += [f"{key}: no check cell ({key}_check) follows" for key in sorted(in_code - checks)]
    problems += [f'grade_id "{name}" is used {n} times' for name, n in ids.items() if n > 1]
    return problems


def _solution_problems(cell: NotebookNode, key: str, number: str, headings: set[str]) -> list[str]:
    problems = []
    if "BEGIN SOLUTION" not in cell.source:
        problems.append(f"{key}: the solution needs ### BEGIN SOLUTION and ### END SOLUTION")
    if number not in headings:
        problems.append(f'{key}: the heading "### Exercise {number}: ..." must come before it')
    if cell.cell_type == "markdown" and not full_metadata(cell)["grade"]:
        problems.append(f'{key}: an answer in words needs "grade": true')
    return problems


def _check_problems(cell: NotebookNode, grade_id: str, key: str, solutions: set[str]) -> list[str]:
    problems = []
    if grade_id != f"{key}_check":
        problems.append(f"{grade_id}: a check cell's grade_id ends in _check")
    if key not in solutions:
        problems.append(f"{grade_id}: it checks {key}, but no solution cell {key} comes before it")
    if f'check("{key}")' not in cell.source:
        problems.append(f'{grade_id}: the cell must hold check("{key}")')
    return problems


def _first_line(cell: NotebookNode) -> str:
    return next((line.strip() for line in cell.source.split("\n") if line.strip()), "empty")[:60]
