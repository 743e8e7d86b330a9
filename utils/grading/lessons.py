"""What there is to mark in a lesson: its exercises, and its questions that a person reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from utils.exercises import lesson_exercises
from utils.judging import Exercise

LESSONS = Path(__file__).resolve().parent.parent.parent / "lessons"


@dataclass(frozen=True)
class Essay:
    """A question to be answered in words.

    stub: what stands in the cell before an answer does. scheme: how it is marked, "" where the
    lessons' sources are not there.
    """

    key: str
    points: float
    question: str
    stub: str
    scheme: str = ""


@dataclass(frozen=True)
class Lesson:
    """A lesson to be marked; stem: the name of its notebook without .ipynb."""

    number: int
    stem: str
    title: str
    exercises: tuple[Exercise, ...]
    essays: tuple[Essay, ...]

    @property
    def points(self) -> float:
        """What the exercises that a program checks make together."""
        return sum(exercise.points for exercise in self.exercises)


def load_lesson(name: str, folder: Path = LESSONS) -> Lesson:
    """The lesson with a number such as "02", or a stem such as "02_build_a_retriever".

    Raises LookupError with the lessons that there are.
    """
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    wanted = name.zfill(2)
    for path in notebooks:
        if wanted in (path.stem, path.stem[:2]):
            return _read(path)
    there = ", ".join(path.stem for path in notebooks) or "none"
    raise LookupError(f"There is no lesson {name}. There are: {there}.")


def _mark_scheme(stem: str, key: str) -> str:
    """What stands between the marks of a mark scheme, in the source's cell with this grade id."""
    source = LESSONS / "source" / f"{stem}.py"
    if not source.is_file():
        return ""
    _, _, rest = source.read_text(encoding="utf-8").partition(f'"grade_id": "{key}"')
    cell = rest.partition("\n# %%")[0]
    found = re.search(r"BEGIN MARK SCHEME\n(.*?)# ### END MARK SCHEME", cell, re.DOTALL)
    return re.sub(r"^# ?", "", found[1], flags=re.MULTILINE).strip() if found else ""


def _read(path: Path) -> Lesson:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    essays = []
    for number, cell in enumerate(cells):
        about = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "markdown" and about.get("grade"):
            key, before = about["grade_id"], sources[number - 1] if number else ""
            question = before[before.rfind("\n#") + 1 :]  # from its own heading on
            scheme = _mark_scheme(path.stem, key)
            essays.append(Essay(key, about["points"], question, sources[number], scheme))
    title = re.sub(r"^#+\s*", "", sources[0].split("\n", 1)[0])
    exercises = lesson_exercises(int(path.stem[:2]))
    return Lesson(int(path.stem[:2]), path.stem, title, exercises, tuple(essays))
