"""A class's folder for tests of the grader: notebooks as honest and hostile students save them."""

from __future__ import annotations

import copy
import functools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from lessons.source.build import build, lesson_sources
from lessons.source.student import INSTRUCTOR, SELF_STUDY, Variant

STEM = "02_build_a_retriever"


@functools.cache
def _text(stem: str, variant: Variant) -> str:
    (source,) = lesson_sources(lessons=[stem])
    return build(source, variant)


def solved(stem: str = STEM) -> dict:
    """The lesson's notebook with every exercise solved."""
    return json.loads(_text(stem, INSTRUCTOR))


def untouched(stem: str = STEM) -> dict:
    """The lesson's notebook as a learner first opens it."""
    return json.loads(_text(stem, SELF_STUDY))


def cell(notebook: dict, grade_id: str) -> dict:
    """The cell with this grade id."""
    return next(c for c in notebook["cells"] if _grade_id(c) == grade_id)


def answered(answers: dict[str, str], notebook: dict | None = None) -> dict:
    """A copy of the notebook (the solved one if left out) with other sources in some cells."""
    notebook = copy.deepcopy(notebook or solved())
    for grade_id, source in answers.items():
        cell(notebook, grade_id)["source"] = source
    return notebook


def changed(change: Callable[[dict], None], notebook: dict | None = None) -> dict:
    """A copy of the notebook (the solved one if left out) after `change` was done to it."""
    notebook = copy.deepcopy(notebook or solved())
    change(notebook)
    return notebook


def without_metadata(notebook: dict) -> None:
    """Take away ids and metadata of every cell, as some editors do."""
    for number, one in enumerate(notebook["cells"]):
        one["metadata"], one["id"] = {}, f"{number:08x}"


def hand_in(
    folder: Path, student: str, notebook: dict | bytes, name: str = f"{STEM}.ipynb"
) -> Path:
    """Put a notebook where a learning platform would: in the student's own folder."""
    path = folder / student / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode())
    return path


def archive(path: Path, members: dict[str, dict | bytes]) -> Path:
    """Write a zip file with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, notebook in members.items():
            content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
            opened.writestr(name, content)
    return path


def _grade_id(one: dict) -> str:
    return one["metadata"].get("nbgrader", {}).get("grade_id", "")
