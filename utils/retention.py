"""Real-world facts that show what a model forgets while it learns something new.

Each fact has two forms. Choose the items that the model gets right with one form and test them
later with the other: items chosen and tested with the same prompt would get worse by chance alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FILE = Path(__file__).resolve().parent.parent / "datasets" / "retention" / "retention.jsonl"
KEYS = ("id", "category", "question", "cloze", "answer", "distractors")


@dataclass(frozen=True)
class RetentionItem:
    """One fact: a question and a sentence that breaks off where the answer belongs (`cloze`).

    Both are answered by the same one of the four `choices`.
    """

    id: str
    category: str
    question: str
    cloze: str
    choices: tuple[str, str, str, str]
    answer: str


def load_retention(file: Path | str | None = None) -> list[RetentionItem]:
    """Read the retention set; the choices come in an order that depends on the item's id alone.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: a line is damaged; the message says which.
    """
    path = Path(file) if file is not None else DEFAULT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no retention set at {path}; restore it from the course's files")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_read(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _read(line: str, where: str) -> RetentionItem:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where}: not JSON ({error}); restore the file from the course"
        ) from error
    if not isinstance(record, dict) or sorted(record) != sorted(KEYS):
        raise ValueError(f"{where}: must have exactly the keys {', '.join(KEYS)}")
    answer, distractors = record["answer"], record["distractors"]
    if len({answer, *distractors}) != 4 or len(distractors) != 3:
        raise ValueError(f"{where}: needs one answer and three distractors, all different")
    choices = sorted([answer, *distractors], key=lambda choice: _digest(record["id"], choice))
    return RetentionItem(
        id=record["id"],
        category=record["category"],
        question=record["question"],
        cloze=record["cloze"],
        choices=tuple(choices),
        answer=answer,
    )


def _digest(id: str, choice: str) -> str:
    return hashlib.sha256(f"{id}/{choice}".encode()).hexdigest()
