"""A class's notebooks, one after another or side by side, each graded once.

A notebook's marks are kept in a file whose name is a hash of all that they depend on. A batch that
was killed goes on where it was, and two at once do the same work without harm. With more workers
than one, or a scheduler's address, dask.distributed (https://distributed.dask.org) spreads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm.auto import tqdm

from utils.exercises import lesson_exercises
from utils.grading.jail import JailError
from utils.grading.lessons import Lesson
from utils.grading.marking import Mark, Marking, from_json, mark_notebook, to_json
from utils.grading.notebooks import Notebook, Submission, submissions
from utils.work import write_whole

UTILS = Path(__file__).resolve().parent.parent
UNITS = "units"
FAILED = "the grader failed"


@dataclass(frozen=True)
class Graded:
    """One student's marks. problem: in words, why there are none; "" where there are."""

    submission: Submission
    marks: tuple[Mark, ...] = ()
    problem: str = ""

    @property
    def student(self) -> str:
        return self.submission.student

    @property
    def points(self) -> float:
        return sum(mark.points for mark in self.marks)


def grade(
    folder: Path,
    lesson: Lesson,
    out: Path,
    marking: Marking,
    workers: int = 1,
    scheduler: str = "",
    progress: bool = True,
) -> list[Graded]:
    """Marks for every student with something in `folder`; what was graded before is read.

    workers: processes on this machine. scheduler: a dask scheduler's address, instead. Raises
    NotADirectoryError, and JailError when answers can't be locked in: then nobody gets marks.
    """
    handed_in = submissions(folder, lesson.stem, lesson.exercises)
    units = out / UNITS
    units.mkdir(parents=True, exist_ok=True)
    names = {s.student: _unit_name(s, lesson, marking) for s in handed_in if not s.problem}
    notebooks = {names[s.student]: s.notebook for s in handed_in if not s.problem}
    kept = {name: found for name in notebooks if (found := _read(units / name))}
    missing = {name: notebooks[name] for name in notebooks if name not in kept}
    with tqdm(
        total=len(notebooks),
        initial=len(kept),
        desc="Grading",
        unit="notebook",
        disable=not progress,
    ) as bar:
        for name, marked in _marked(missing, lesson.number, marking, workers, scheduler):
            kept[name] = marked
            if "marks" in marked:  # what failed is tried again next time
                write_whole(units / name, json.dumps(marked, indent=1) + "\n")
            bar.update()
    return [_graded(s, kept.get(names.get(s.student, ""))) for s in handed_in]


def mark_unit(name: str, notebook: Notebook, lesson: int, marking: Marking) -> tuple[str, dict]:
    """One unit of work, wherever it is done: its name, and its marks or {"failed": words}.

    A mistake of the grader's own costs nobody a mark and stops no batch: a person looks at it.
    """
    start = time.perf_counter()
    try:
        marks = mark_notebook(notebook, lesson_exercises(lesson), marking)
    except JailError:
        raise
    except Exception as error:
        return name, {"failed": f"{type(error).__name__}: {error}"}
    return name, {"marks": to_json(marks), "seconds": time.perf_counter() - start}


def _graded(submission: Submission, kept: dict | None) -> Graded:
    if kept is None:
        return Graded(submission, problem=submission.problem)
    if "failed" in kept:
        return Graded(submission, problem=f"{FAILED}: {kept['failed']}")
    return Graded(submission, tuple(from_json(kept["marks"])))


def _marked(
    notebooks: dict[str, Notebook], lesson: int, marking: Marking, workers: int, scheduler: str
) -> Iterator[tuple[str, dict]]:
    """Each notebook's name and marks, as they come."""
    units = [(name, notebook, lesson, marking) for name, notebook in notebooks.items()]
    if not units:
        return
    if workers == 1 and not scheduler:
        for unit in units:
            yield mark_unit(*unit)
        return
    with _cluster(workers, scheduler) as client:
        from distributed import as_completed

        futures = client.map(lambda unit: mark_unit(*unit), units, pure=False)
        names = dict(zip(futures, notebooks, strict=True))
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, JailError):
                raise error
            # A worker may be lost, with the notebook that it had; the others go on.
            yield (names[future], {"failed": str(error)}) if error else future.result()


@contextlib.contextmanager
def _cluster(workers: int, scheduler: str) -> Iterator:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ModuleNotFoundError(
            "More than one worker needs dask.distributed: pip install distributed"
        ) from None
    if scheduler:
        with Client(scheduler, timeout="20s") as client:
            yield client
        return
    quiet = {"dashboard_address": None, "silence_logs": 40}
    local = LocalCluster(n_workers=workers, threads_per_worker=1, **quiet)
    with local as cluster, Client(cluster) as client:
        yield client


def _unit_name(submission: Submission, lesson: Lesson, marking: Marking) -> str:
    depends_on = [submission.identity(), lesson.stem, asdict(marking), _grader_version(lesson)]
    text = json.dumps(depends_on, sort_keys=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _grader_version(lesson: Lesson) -> str:
    """A hash of the code that marks depend on: a mended exercise is graded anew."""
    digest = hashlib.sha256()
    modules = ["judging", "differences", "observing", "wire"]
    modules += [f"grading/{name}" for name in ("inside", "jail", "marking", "notebooks")]
    modules.append(f"exercises/lesson_{lesson.number:02d}")
    for module in modules:
        digest.update((UTILS / f"{module}.py").read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict | None:
    """What a unit's file holds; None where there is none, or it is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        from_json(kept["marks"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return kept
