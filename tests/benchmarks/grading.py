"""Grading a class: 500 notebooks, the batch killed three times, every mark compared.

`python -m tests.benchmarks.grading` hands in notebooks of lesson 02, a mix of right, wrong, slow
and hostile ones, grades them with two workers, kills that with SIGKILL three times on the way and
starts it again, and prints one JSON line last:

- `submissions`, `wrong_marks` (students with any other mark than expected), `lost` (without a row),
  `duplicated` (with two rows, or kept twice);
- `median_s`: seconds that a submission takes, the median; `slowest_s`: the longest;
- `speedup_2_workers`: seconds of one worker / seconds of two for the same first notebooks, each
  started anew, in turns; `seconds`: of the 500, without what was lost by killing.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.class_folder import answered, hand_in, untouched
from tests.hostile.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = ("q2_1", "q2_2", "q2_3", "q2_4")
KILLED_AT = (0.15, 0.4, 0.7)  # of the notebooks
SEED = 77
RIGHT = "def my_recall_at_k(a, b, k):\n    return len(set(a[:k]) & b) / len(b)\n"
MISTAKES = (
    "def my_recall_at_k(a, b, k):\n    return len(set(a[:k]) & b) / k\n",
    "def my_recall_at_k(a, b, k):\n    return len(set(a) & b) / len(b)\n",
    "def my_recall_at_k(a, b, k):\n    return len(set(a[:k]) & b)\n",
    "def my_recall_at_k(a, b, k):\n    return a.nothing\n",
    "def my_recall_at_k(a, b):\n    return 1.0\n",
    "def my_recall_at_k(a, b, k)\n    return 1.0\n",
)
SLOW = "import time\ntime.sleep(0.7)\n"
# One of every sort, leaving out those that take the jail's whole time: a class has few.
HOSTILE = (
    "os._exit",
    "memory bomb",
    "kills its parent",
    "patches numpy",
    "fork bomb",
    "endless loop",
)


def hand_in_class(folder: Path, count: int) -> dict[str, tuple[float, ...]]:
    """Write `count` notebooks; returns the marks that each student must get."""
    draw = random.Random(5)
    expected: dict[str, tuple[float, ...]] = {}
    for number in range(count):
        student, sort = f"student{number:04d}", draw.random()
        own = f"# {student}\n"  # every notebook is a unit of its own
        if sort < 0.6:
            answers, marks = {"q2_1": own + RIGHT}, (2, 2, 2, 2)
        elif sort < 0.85:
            answers, marks = {"q2_1": own + draw.choice(MISTAKES)}, (0, 2, 2, 2)
        elif sort < 0.9:
            answers, marks = {"q2_1": own + SLOW + RIGHT}, (2, 2, 2, 2)
        elif sort < 0.95:
            answers = {"q2_1": own + RIGHT, "q2_2": KINDS[draw.choice(HOSTILE)].code}
            marks = (2, 0, 2, 2)
        else:
            hand_in(folder, student, answered({"q2_1": own + "my_recall_at_k = 3"}, untouched()))
            expected[student] = (0, 0, 0, 0)
            continue
        hand_in(folder, student, answered(answers))
        expected[student] = marks
    return expected


def command(folder: Path, out: Path, workers: int) -> list[str]:
    call = [sys.executable, "-m", "utils.grading", "grade", str(folder), "--lesson", "02"]
    call += ["--out", str(out), "--seed", str(SEED), "--workers", str(workers)]
    return [*call, "--seconds", "3"]


def grade_killed(folder: Path, out: Path, count: int) -> float:
    """Grade with two workers, killed three times; the seconds from the first start to the end."""
    start = time.perf_counter()
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for share in KILLED_AT:
        process = subprocess.Popen(command(folder, out, 2), **quiet)
        while process.poll() is None and kept(out) < share * count:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed with {kept(out)} of {count} graded", flush=True)
    subprocess.run(command(folder, out, 2), check=True, **quiet)
    return time.perf_counter() - start


def kept(out: Path) -> int:
    """Units that are there, whole."""
    return len(list((out / "units").glob("*.json")))


def speedup(folder: Path, count: int, scratch: Path, rounds: int = 1) -> float:
    """One worker's seconds / two workers' for the first notebooks, best of the rounds."""
    some = scratch / "some"
    for path in sorted(folder.iterdir())[:count]:
        shutil.copytree(path, some / path.name)
    best = {1: float("inf"), 2: float("inf")}
    for number in range(rounds):
        for workers in best:
            out = scratch / f"marks-{workers}-{number}"
            start = time.perf_counter()
            subprocess.run(command(some, out, workers), cwd=ROOT, check=True, capture_output=True)
            best[workers] = min(best[workers], time.perf_counter() - start)
    print(
        f"{count} notebooks: {best[1]:.1f} s with one worker, {best[2]:.1f} s with two", flush=True
    )
    return best[1] / best[2]


def compare(expected: dict[str, tuple[float, ...]], out: Path) -> dict:
    """Wrong, lost and doubled marks."""
    with open(out / "marks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    marks = {row["student"]: tuple(float(row[key] or -1) for key in KEYS) for row in rows}
    wrong = [student for student in marks if marks[student] != expected.get(student)]
    for student in wrong[:10]:
        print(f"{student}: {marks[student]}, expected {expected.get(student)}", flush=True)
    units = [json.loads(path.read_text()) for path in (out / "units").glob("*.json")]
    seconds = sorted(unit["seconds"] for unit in units)
    return {
        "submissions": len(expected),
        "wrong_marks": len(wrong),
        "lost": len(expected.keys() - marks.keys()),
        "duplicated": len(rows) - len(marks) + max(0, len(units) - len(expected)),
        "median_s": round(statistics.median(seconds), 3),
        "slowest_s": round(seconds[-1], 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--for-speedup", type=int, default=250, help="notebooks graded both ways")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "submissions", Path(scratch) / "marks"
        expected = hand_in_class(folder, options.submissions)
        seconds = grade_killed(folder, out, options.submissions)
        found = compare(expected, out)
        found["speedup_2_workers"] = round(
            speedup(folder, min(options.for_speedup, options.submissions), Path(scratch)), 2
        )
    print(json.dumps({**found, "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
