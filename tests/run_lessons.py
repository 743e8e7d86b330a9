"""Run every lesson as a learner gets it, and print minutes, memory and what failed.

    python -m tests.run_lessons                 all lessons
    python -m tests.run_lessons 02 03           some
    python -m tests.run_lessons --json FILE     also write the table (other lessons' rows stay)

Each lesson runs from top to bottom in a kernel of its own, with `lessons/` as its folder and an
empty temporary folder for the learner's own files. The notebooks themselves are not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

from lessons.source.build import LESSONS, write_whole
from utils import machine

MINUTES_LIMIT = 4.0
MEMORY_LIMIT_GB = 1.6
SECONDS_PER_CELL = 600
SECONDS_BETWEEN_SAMPLES = 0.1


@dataclass(frozen=True)
class LessonRun:
    """What running one lesson took: minutes of wall time, peak memory in GB (10^9 bytes).

    `failure` is "" when it passed, else the cell's number, its first line and the error.
    """

    lesson: str
    minutes: float
    peak_gb: float
    passed: bool
    failure: str = ""


class MemoryWatch:
    """The peak memory of a process and its children while the `with` block runs, in bytes.

    Resident memory is sampled; the kernel's own record (VmHWM, Linux) catches what falls between
    two samples.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.peak = max(self.peak, high_water_mark(self._process.pid))

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            self._sample()

    def _sample(self) -> None:
        try:
            processes = [self._process, *self._process.children(recursive=True)]
        except psutil.Error:  # the kernel has ended
            return
        self.peak = max(self.peak, sum(_resident(process) for process in processes))


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # a child that has just ended
        return 0


def high_water_mark(pid: int) -> int:
    """The most resident memory that the process has had, in bytes; 0 where the system can't say."""
    return machine.high_water_mark(Path(f"/proc/{pid}/status"))


def run_lesson(
    path: Path, folder: Path | None = None, seconds_per_cell: int = SECONDS_PER_CELL
) -> tuple[LessonRun, nbformat.NotebookNode]:
    """Run the notebook at `path`; returns the row and the notebook with its outputs.

    `folder`: where the kernel runs, by default the notebook's own. A failing lesson doesn't raise.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=seconds_per_cell,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        resources={"metadata": {"path": str(folder or path.parent)}},
    )
    failure = ""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lesson-work-") as work:
        env = {**os.environ, "INSIDE_OUTSIDE_WORK": work, "PYTHONHASHSEED": "0"}
        with client.setup_kernel(env=env), MemoryWatch(client.km.provisioner.pid) as memory:
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index)
                except (
                    CellControlSignal,
                    CellExecutionError,
                    DeadKernelError,
                    RuntimeError,
                ) as error:
                    failure = _failure(index, cell, error)
                    break
            minutes = (time.monotonic() - start) / 60
    row = LessonRun(path.stem, round(minutes, 2), round(memory.peak / 1e9, 2), not failure, failure)
    return row, notebook


def _failure(index: int, cell: nbformat.NotebookNode, error: Exception) -> str:
    first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
    if isinstance(error, CellExecutionError):
        words = f"{error.ename}: {error.evalue}"
    else:
        words = str(error) or type(error).__name__
    return f"cell {index + 1}, {first_line.strip()!r}: {' '.join(words.split())[:300]}"


def find_notebooks(lessons: Sequence[str] = (), folder: Path = LESSONS) -> list[Path]:
    """The lessons' notebooks in order; with `lessons` (such as "02") only those.

    Raises FileNotFoundError when one isn't there.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    chosen = []
    for name in lessons:
        matches = [path for path in found if name in (path.stem, path.name[:2])]
        if not matches:
            raise FileNotFoundError(f"There is no lesson {name} in {folder}; run: make notebooks")
        chosen += matches
    return chosen if lessons else found


def verdict(row: LessonRun) -> str:
    """ "passed", the failing cell, or which limit is exceeded."""
    if not row.passed:
        return f"FAILED in {row.failure}"
    over = []
    if row.minutes > MINUTES_LIMIT:
        over.append(f"over {MINUTES_LIMIT:g} minutes")
    if row.peak_gb > MEMORY_LIMIT_GB:
        over.append(f"over {MEMORY_LIMIT_GB:g} GB")
    return ", ".join(["passed", *over])


def table_text(rows: Iterable[LessonRun]) -> str:
    """The table for a terminal."""
    lines = [f"{'lesson':<32} {'minutes':>7} {'peak GB':>8}  result"]
    lines += [f"{r.lesson:<32} {r.minutes:>7.2f} {r.peak_gb:>8.2f}  {verdict(r)}" for r in rows]
    return "\n".join(lines)


def table_markdown(rows: Iterable[LessonRun]) -> str:
    """The table for the README."""
    lines = ["| lesson | minutes | peak memory (GB) | result |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| [{r.lesson}](lessons/{r.lesson}.ipynb) | {r.minutes:.1f} | {r.peak_gb:.1f} "
        f"| {verdict(r).replace('|', ' ')} |"
        for r in rows
    ]
    return "\n".join(lines)


def read_rows(file: Path) -> list[LessonRun]:
    """The rows of a table written with --json; [] when there is none yet."""
    if not file.is_file():
        return []
    return [LessonRun(**row) for row in json.loads(file.read_text(encoding="utf-8"))]


def write_rows(file: Path, rows: Iterable[LessonRun]) -> None:
    """Write the table; rows of lessons that were not run now stay as they were."""
    merged = {row.lesson: row for row in [*read_rows(file), *rows]}
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(merged[name]) for name in sorted(merged)], indent=2)
    write_whole(file, text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns 1 when a lesson failed or went over a limit."""
    parser = argparse.ArgumentParser(description="Run the lessons and measure them.")
    parser.add_argument("lessons", nargs="*", help="such as 02; all when none is given")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    parser.add_argument("--save", type=Path, help="keep the notebooks with their outputs here")
    options = parser.parse_args(arguments)
    try:
        paths = find_notebooks(options.lessons)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    rows = []
    for path in paths:
        print(f"{path.stem} ...", file=sys.stderr, flush=True)
        row, notebook = run_lesson(path)
        rows.append(row)
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, options.save / path.name)
    print(table_text(rows))
    if options.json:
        write_rows(options.json, rows)
    return 0 if rows and all(verdict(row) == "passed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
