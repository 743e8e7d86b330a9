"""Which exercises are solved, lesson by lesson, on one small page.

Questions in words are not counted: a person reads those.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.checks import PROGRESS_FILE
from utils.display import show_text
from utils.exercises import all_exercises
from utils.judging import exercise_number
from utils.work import read_kept

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SOLVED, TRIED, OPEN = "●", "◐", "○"  # told apart by their shape, and said in words beside


@dataclass(frozen=True)
class Step:
    """One exercise: its number such as "2.1", its title, and how far it is."""

    number: str
    title: str
    lesson: int
    solved: bool
    tries: int

    @property
    def sign(self) -> str:
        return SOLVED if self.solved else TRIED if self.tries else OPEN

    @property
    def words(self) -> str:
        tries = f"{self.tries} {'try' if self.tries == 1 else 'tries'}"
        state = "solved" if self.solved else "tried" if self.tries else "open"
        return f"{self.number} {self.title}: {state}" + (f", {tries}" if self.tries else "")


def progress(folder: Path = LESSONS) -> None:
    """Show which exercises are solved, and where to go on. folder: where the lessons lie."""
    steps = read_steps()
    show_text(as_text(steps), {"text/html": as_html(steps, lesson_titles(folder))})


def read_steps() -> list[Step]:
    """Every exercise of the course, with what the learner has done so far."""
    kept = read_kept(PROGRESS_FILE)
    steps = []
    for exercise in all_exercises():
        entry = kept.get(exercise.key)
        entry = entry if isinstance(entry, dict) else {}
        number = exercise_number(exercise.key)
        tries = entry.get("tries", 0)
        tries = tries if isinstance(tries, int) else 0
        steps.append(
            Step(number, exercise.title, exercise.lesson, entry.get("solved") is True, tries)
        )
    return steps


def lesson_titles(folder: Path = LESSONS) -> dict[int, tuple[str, str]]:
    """For each lesson's number, its notebook's file name and its title."""
    titles = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        try:
            first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            first = path.stem  # a learner's notebook may be anything by now
        titles[int(path.name[:2])] = path.name, re.sub(r"^#+\s*", "", first.split("\n", 1)[0])
    return titles


def as_text(steps: Sequence[Step]) -> str:
    """The page as plain text."""
    lines = ["lesson  solved  still open"]
    for lesson, own in _by_lesson(steps).items():
        still_open = ", ".join(step.number for step in own if not step.solved)
        lines.append(f"{lesson:02d}      {_count(own):7} {still_open or 'none'}")
    return "\n".join([*lines, f"All     {_count(steps)}", _next(steps)])


def as_html(steps: Sequence[Step], titles: dict[int, tuple[str, str]]) -> str:
    """The page as HTML: a bar of all, and a row for each lesson with a link to its notebook."""
    done = sum(step.solved for step in steps)
    rows = []
    for lesson, own in _by_lesson(steps).items():
        name, title = titles.get(lesson, ("", f"Lesson {lesson:02d}"))
        shown = html.escape(title)
        link = f'<a href="{html.escape(name, quote=True)}">{shown}</a>' if name else shown
        signs = " ".join(
            f'<span title="{html.escape(step.words, quote=True)}" role="img" '
            f'aria-label="{html.escape(step.words, quote=True)}">{step.sign}</span>'
            for step in own
        )
        rows.append(
            f'<tr><td style="text-align: left">{link}</td>'
            f'<td style="text-align: left; white-space: nowrap">{signs}</td>'
            f"<td>{_count(own)}</td></tr>"
        )
    return (
        f'<p><progress max="{len(steps)}" value="{done}" style="width: 16em">{done}</progress> '
        f"{_count(steps)} exercises solved</p>"
        '<table><thead><tr><th style="text-align: left">lesson</th>'
        '<th style="text-align: left">exercises</th><th>solved</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<p>{SOLVED} solved, {TRIED} tried, {OPEN} open. {html.escape(_next(steps))}</p>"
    )


def _by_lesson(steps: Sequence[Step]) -> dict[int, list[Step]]:
    lessons: dict[int, list[Step]] = {}
    for step in steps:
        lessons.setdefault(step.lesson, []).append(step)
    return lessons


def _count(steps: Sequence[Step]) -> str:
    return f"{sum(step.solved for step in steps)} of {len(steps)}"


def _next(steps: Sequence[Step]) -> str:
    """Where to go on: the first open exercise after the last solved one, else the first open."""
    solved = [number for number, step in enumerate(steps) if step.solved]
    after = solved[-1] + 1 if solved else 0
    rest = [step for step in (*steps[after:], *steps[:after]) if not step.solved]
    if not rest:
        return "Every exercise is solved."
    return f"Next: exercise {rest[0].number}, {rest[0].title}, in lesson {rest[0].lesson:02d}."
