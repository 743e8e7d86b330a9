"""From an author's cells to a learner's: stubs for solutions, folds for hints and worked solutions.

The markers and the metadata are nbgrader's (`### BEGIN SOLUTION` and so on), and a region is
replaced as nbgrader's ClearSolutions does it: the stub takes the indentation of the BEGIN line.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import textwrap
from collections import Counter
from dataclasses import dataclass

from nbformat import NotebookNode, v4

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
HINTS_TAG = "hints"
LINE_LENGTH = 100


class SourceError(ValueError):
    """A lesson's source is malformed; the message lists what to mend."""


@dataclass(frozen=True)
class Variant:
    """Which version of a lesson is made.

    `solutions`: the instructor's version, every region as it was written, nothing folded in.
    `worked_solutions`, `hints`: whether a learner can unfold them.
    `code_stub`: replaces a region of code (by default an error that says what to do).
    `text_stub`: replaces an answer in words.
    """

    solutions: bool = False
    worked_solutions: bool = True
    hints: bool = True
    code_stub: str | None = None
    text_stub: str = "*Write your answer here: double-click on this line.*"


SELF_STUDY = Variant()
INSTRUCTOR = Variant(solutions=True, worked_solutions=False, hints=True)


def make_variant(notebook: NotebookNode, variant: Variant, measured: str = "") -> NotebookNode:
    """A new notebook with the cells of `notebook` as `variant` shows them, without outputs.

    `measured`: what `{{measured}}` in a text is replaced with. Raises SourceError.
    """
    cells: list[NotebookNode] = []
    waiting: list[NotebookNode] = []  # folded solutions, placed after the check and its hints
    for number, cell in enumerate(notebook.cells):
        nbgrader = full_metadata(cell)
        if HINTS_TAG in cell.metadata.get("tags", []):
            if variant.hints:
                cells.append(_markdown(fold_hints(cell.source)))
            continue
        if not nbgrader.get("grade") or cell.cell_type == "markdown":
            cells += _take(waiting)
        source = cell.source.replace("{{measured}}", measured)
        if not variant.solutions:
            source = remove_region(source, "HIDDEN TESTS")
            if nbgrader.get("solution"):
                if variant.worked_solutions:
                    waiting.append(_worked_solution(cell))
                source = clear_solution(source, cell.cell_type, nbgrader["grade_id"], variant)
        metadata = {"nbgrader": nbgrader} if nbgrader else {}
        new = v4.new_code_cell if cell.cell_type == "code" else v4.new_markdown_cell
        cells.append(new(source, metadata=metadata))
        if _is_last_of_exercise(notebook.cells, number):
            cells += _take(waiting)
    cells += _take(waiting)
    _set_ids(cells)
    language = {"name": "python"}
    return v4.new_notebook(
        cells=cells, metadata={"kernelspec": dict(KERNEL), "language_info": language}
    )


def full_metadata(cell: NotebookNode) -> dict:
    """The cell's nbgrader metadata with every field that nbgrader wants; {} for other cells."""
    given = cell.metadata.get("nbgrader")
    if not given:
        return {}
    defaults = {"grade": False, "locked": False, "schema_version": 3, "solution": False}
    return {**defaults, "task": False, **given}


def clear_solution(source: str, cell_type: str, grade_id: str, variant: Variant) -> str:
    """Replace each solution region by a stub, indented as its BEGIN line was."""
    kept: list[str] = []
    region: list[str] | None = None
    begin = ""
    for line in source.split("\n"):
        if "BEGIN SOLUTION" in line:
            if region is not None:
                raise SourceError("a second BEGIN SOLUTION before END SOLUTION")
            region, begin = [], line
        elif "END SOLUTION" in line:
            if region is None:
                raise SourceError("an END SOLUTION without BEGIN SOLUTION")
            stub = _stub(begin, region, cell_type, grade_id, variant)
            indent = begin[: len(begin) - len(begin.lstrip())]
            kept += [indent + stub_line for stub_line in stub.split("\n")]
            region = None
        elif region is not None:
            region.append(line)
        else:
            kept.append(line)
    if region is not None:
        raise SourceError("a BEGIN SOLUTION without END SOLUTION")
    return "\n".join(kept)


def remove_region(source: str, name: str) -> str:
    """Drop the lines from `BEGIN name` to `END name`, both included, wherever they are."""
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        if f"BEGIN {name}" in line:
            if inside:
                raise SourceError(f"a second BEGIN {name} before END {name}")
            inside = True
        elif f"END {name}" in line:
            if not inside:
                raise SourceError(f"an END {name} without BEGIN {name}")
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise SourceError(f"a BEGIN {name} without END {name}")
    return "\n".join(kept)


def solution_only(source: str) -> str:
    """The source without its markers, as a learner may read it."""
    source = remove_region(remove_region(source, "MARK SCHEME"), "HIDDEN TESTS")
    lines = [line for line in source.split("\n") if not re.search("(BEGIN|END) SOLUTION", line)]
    return "\n".join(lines).strip("\n")


def fold_hints(source: str) -> str:
    """Paragraphs that begin with "Hint:" as folds, each inside the one before it."""
    hints = [hint.strip() for hint in re.split(r"(?m)^Hint:", source)]
    if hints[0] or len(hints) < 2 or not all(hints[1:]):
        raise SourceError('a hints cell must hold paragraphs that begin with "Hint:"')
    folded = ""
    for number, hint in reversed(list(enumerate(hints[1:], start=1))):
        folded = _fold(f"Hint {number}", f"{hint}\n\n{folded}".strip())
    return folded


def _worked_solution(cell: NotebookNode) -> NotebookNode:
    if cell.cell_type == "markdown":
        return _markdown(_fold("What a good answer says", solution_only(cell.source)))
    code = f"```python\n{solution_only(cell.source)}\n```"
    return _markdown(_fold("Worked solution (open it after a try)", code))


def _fold(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _stub(begin: str, region: list[str], cell_type: str, grade_id: str, variant: Variant) -> str:
    if cell_type == "markdown":
        return variant.text_stub
    if variant.code_stub is not None:
        return variant.code_stub
    task = begin.split("BEGIN SOLUTION", 1)[1].lstrip(":").strip().rstrip(".")
    if begin[0].isspace():
        return _raise_stub(f"Exercise {grade_id}: {task or 'replace this line with your code'}.")
    names = _assigned_names(region)
    if not names:
        raise SourceError(
            "a solution must be inside a function, or assign values at the start of its lines"
        )
    comment = task or "replace None with your answer"
    return "\n".join(f"{name} = None  # {comment}" for name in names)


def _raise_stub(message: str) -> str:
    """`raise NotImplementedError("message")`, on several lines when it is long."""
    quoted = json.dumps(message, ensure_ascii=False)
    if len(quoted) < LINE_LENGTH - 35:
        return f"raise NotImplementedError({quoted})"
    parts = textwrap.wrap(message, LINE_LENGTH - 20, drop_whitespace=False)
    lines = [f"    {json.dumps(part, ensure_ascii=False)}" for part in parts]
    return "\n".join(["raise NotImplementedError(", *lines, ")"])


def _assigned_names(region: list[str]) -> list[str]:
    """The names that the region's top-level assignments set, in their order."""
    tree = ast.parse(textwrap.dedent("\n".join(region)))
    targets = [
        target for line in tree.body if isinstance(line, ast.Assign) for target in line.targets
    ]
    return list(dict.fromkeys(t.id for t in targets if isinstance(t, ast.Name)))


def _is_last_of_exercise(cells: list[NotebookNode], number: int) -> bool:
    """Whether an exercise ends here: an answer in words, or a check, and no hints follow."""
    follows = cells[number + 1] if number + 1 < len(cells) else None
    if follows is not None and HINTS_TAG in follows.metadata.get("tags", []):
        return False
    return bool(full_metadata(cells[number]).get("grade"))


def _take(waiting: list[NotebookNode]) -> list[NotebookNode]:
    taken = list(waiting)
    waiting.clear()
    return taken


def _markdown(source: str) -> NotebookNode:
    return v4.new_markdown_cell(source)


def _set_ids(cells: list[NotebookNode]) -> None:
    """Ids that stay the same from build to build: the grade id, else a hash of the text."""
    seen: Counter[str] = Counter()
    for cell in cells:
        text = f"{cell.cell_type}\n{cell.source}"
        seen[text] += 1
        digest = hashlib.sha256(f"{seen[text]}\n{text}".encode()).hexdigest()[:12]
        cell.id = cell.metadata.get("nbgrader", {}).get("grade_id", digest)
