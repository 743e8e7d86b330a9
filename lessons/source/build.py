"""Make the notebooks that learners open from the lessons' sources.

    python -m lessons.source.build             all lessons
    python -m lessons.source.build 02 03       some
    python -m lessons.source.build --check     compare only; fails and names each that differs

A notebook is never edited by hand: what is wrong in it is mended in its source.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat

from lessons.source.frame import frame_problems
from lessons.source.student import SELF_STUDY, SourceError, Variant, make_variant
from utils import work

SOURCES = Path(__file__).resolve().parent
LESSONS = SOURCES.parent
MEASURED = LESSONS.parent / "datasets" / "results" / "lessons.json"


def lesson_sources(folder: Path = SOURCES, lessons: Sequence[str] = ()) -> list[Path]:
    """The sources (NN_name.py) in `folder`, in order; with `lessons` (such as "02") only those.

    Raises SourceError when one that is asked for isn't there.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    missing = [name for name in lessons if not any(_is_lesson(path, name) for path in found)]
    if missing:
        known = ", ".join(path.stem for path in found) or "none"
        raise SourceError(f"There is no lesson {', '.join(missing)}. There are: {known}.")
    return [path for path in found if not lessons or any(_is_lesson(path, n) for n in lessons)]


def read_source(path: Path) -> nbformat.NotebookNode:
    """The source as a notebook, its frame checked. Raises SourceError that lists what to mend."""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    problems = frame_problems(notebook, path.name[:2])
    if problems:
        raise SourceError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return notebook


def build(path: Path, variant: Variant = SELF_STUDY, measured: Path = MEASURED) -> str:
    """The text of the notebook for the source at `path`: the same bytes for the same source.

    `measured`: the table of minutes and memory that the last run of all lessons wrote.
    Raises SourceError.
    """
    notebook = read_source(path)
    try:
        made = make_variant(notebook, variant, measured_words(path.stem, measured))
    except SourceError as error:
        raise SourceError(f"{path.name}: {error}") from None
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


def measured_words(lesson: str, measured: Path = MEASURED) -> str:
    """Minutes and memory of a lesson in words, rounded up so that they seldom change."""
    rows = json.loads(measured.read_text(encoding="utf-8")) if measured.is_file() else []
    row = next((row for row in rows if row["lesson"] == lesson and row["passed"]), None)
    if row is None:
        return "Its minutes and its memory are in the table of the README."
    minutes = math.ceil(row["minutes"])
    spent = "Less than a minute" if minutes <= 1 else f"Less than {minutes} minutes"
    memory = math.ceil(2 * row["peak_gb"]) / 2
    return f"{spent} of computing and less than {memory:.1f} GB of memory (measured on two cores)."


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all, for everybody to read."""
    work.write_whole(path, text, mode=0o644)


def differences(
    sources: Path = SOURCES, lessons: Path = LESSONS, measured: Path = MEASURED
) -> list[str]:
    """One sentence for each notebook in `lessons` that isn't what its source says."""
    found = []
    paths = lesson_sources(sources)
    for path in paths:
        notebook = lessons / f"{path.stem}.ipynb"
        text = build(path, measured=measured)
        if not notebook.is_file():
            found.append(f"{notebook.name} is missing.")
        elif notebook.read_text(encoding="utf-8") != text:
            found.append(
                f"{notebook.name} differs from its source {path.name}: it is stale, "
                f"or was edited or run by hand{_where(notebook, text)}."
            )
    names = {path.stem for path in paths}
    strays = [path for path in sorted(lessons.glob("[0-9][0-9]_*.ipynb")) if path.stem not in names]
    return found + [f"{path.name} has no source {path.stem}.py." for path in strays]


def _where(notebook: Path, text: str) -> str:
    """The first cell that differs, to show where to look."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError):
        return " (it is no notebook any more)"
    made = json.loads(text)["cells"]
    for number, (one, other) in enumerate(zip(cells, made, strict=False), start=1):
        if one != other:
            return f" (first in cell {number})"
    return "" if len(cells) == len(made) else f" ({len(cells)} cells instead of {len(made)})"


def _is_lesson(path: Path, name: str) -> bool:
    return path.stem == name or path.name[:2] == name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Make the learners' notebooks from the sources.")
    parser.add_argument("lessons", nargs="*", help="such as 02; all when none is given")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--sources", type=Path, default=SOURCES, help=argparse.SUPPRESS)
    parser.add_argument("--notebooks", type=Path, default=LESSONS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.check:
            found = differences(options.sources, options.notebooks)
            print("\n".join(found) or "Every notebook is what its source says.")
            if found:
                print("Edit the source, never the notebook, then run: make notebooks")
            return 1 if found else 0
        # All are made before the first is written: a faulty source leaves the folder as it was.
        made = {path.stem: build(path) for path in lesson_sources(options.sources, options.lessons)}
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    for name, text in made.items():
        write_whole(options.notebooks / f"{name}.ipynb", text)
        print(f"lessons/{name}.ipynb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
