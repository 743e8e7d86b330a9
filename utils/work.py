"""The learner's own files: guesses and solved exercises, kept from one session to the next.

They lie in `lessons/my_work`, which git ignores. The environment variable INSIDE_OUTSIDE_WORK moves
them, so that tests and graders never touch a learner's files.

A file is written whole or not at all. A file that can't be read is kept beside under another name.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

FOLDER_VARIABLE = "INSIDE_OUTSIDE_WORK"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "lessons" / "my_work"
SECONDS_TO_WAIT = 5  # for another notebook that writes the same file at this moment


def work_folder() -> Path:
    """The folder of the learner's own files. It need not exist yet."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


def read_kept(name: str) -> dict[str, Any]:
    """What `name` (a file in the work folder, such as "progress.json") holds.

    {} when it isn't there or can't be read. A damaged file is renamed, never lost: a line is
    printed that says where it is now.
    """
    try:
        return _read(name)
    except OSError:  # said when something is to be kept (`update_kept`)
        return {}


def _read(name: str) -> dict[str, Any]:
    path = work_folder() / name
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        kept = None
    if isinstance(kept, dict):
        return kept
    aside = _free_name(path)
    path.replace(aside)
    print(f"{path.name} could not be read, so a new one is begun. The old one is kept as {aside}.")
    return {}


def update_kept(name: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Read `name`, let `change` alter what it holds, write it whole.

    Returns "" when it worked, otherwise a sentence that says why not and what to do: a lesson goes
    on even where nothing can be kept.
    """
    try:
        work_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(work_folder() / f".{name}.lock", timeout=SECONDS_TO_WAIT):
            kept = _read(name)
            change(kept)
            write_whole(work_folder() / name, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    except (OSError, Timeout) as error:
        return (
            f"This could not be kept in {work_folder()} ({error}). Make that folder writable, "
            f"or set {FOLDER_VARIABLE} to another folder and restart the kernel."
        )
    return ""


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text` to `path` whole or not at all; what UTF-8 lacks becomes a question mark.

    mode: who may read it; by default nobody else.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return aside
