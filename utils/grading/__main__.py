"""`python -m utils.grading grade SUBMISSIONS/ --lesson 02 --out marks/`: see `--help`."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.grading import batch, gradebook, reports
from utils.grading.jail import JailError, Limits
from utils.grading.lessons import load_lesson
from utils.grading.marking import Marking
from utils.judging import PUBLIC_SEED
from utils.work import write_whole

SEED_FILE = "hidden_seed.json"  # beside the marks: a batch that goes on has the same one


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 2 when nothing could be graded."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (JailError, LookupError, OSError, ImportError, ValueError) as error:
        print(error.args[0] if isinstance(error, LookupError) else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What was graded is kept: run the same command to go on.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m utils.grading", description=__doc__)
    commands = parser.add_subparsers(required=True)
    grade = commands.add_parser(
        "grade",
        help="mark a folder of notebooks",
        description="Marks, feedback and a report for a folder of notebooks from strangers. Each "
        "runs locked in. Killed? Run the same command again: it goes on where it was.",
    )
    grade.set_defaults(command=_grade)
    grade.add_argument("folder", type=Path, help="notebooks, folders of students, or archives")
    grade.add_argument("--lesson", required=True, help="its number, such as 02")
    grade.add_argument("--out", type=Path, required=True, help="where marks and pages go")
    grade.add_argument("--seed", type=int, help="draws the hidden inputs; without it one is drawn")
    grade.add_argument(
        "--variant", type=Path, metavar="SEALED", help="a class's sealed folder, for its seed"
    )
    grade.add_argument("--seconds", type=float, default=Limits.seconds, help="for one answer")
    grade.add_argument("--memory", type=float, default=Limits.memory_gb, help="GB for one answer")
    grade.add_argument("--workers", type=int, default=1, help="processes on this machine")
    grade.add_argument("--scheduler", default="", help="address of a dask scheduler")
    grade.add_argument(
        "--gradebook",
        type=Path,
        metavar="COURSE",
        help="folder of an nbgrader course to write into",
    )
    grade.add_argument(
        "--trusted", action="store_true", help="no jail: only for notebooks that you have read"
    )
    variant = commands.add_parser(
        "variant",
        help="make a class's own variant of the course",
        description="A course for one class: a world of its own, notebooks without solutions for "
        "the students, and a sealed folder for the instructor.",
    )
    variant.set_defaults(command=_variant)
    variant.add_argument("--seed", type=int, required=True, help="of the class's world")
    variant.add_argument("--out", type=Path, required=True, help="a new folder")
    variant.add_argument("--lessons", nargs="*", default=[], help="such as 01 02; all if left out")
    return parser


def _variant(options: argparse.Namespace) -> int:
    from lessons.source.class_variant import make_class  # authors' part of the course

    student, sealed = make_class(options.seed, options.out, options.lessons)
    print(f"{student}: for students, a Binder or a course server")
    print(f"{sealed}: for you alone; its README.md says how to mark")
    return 0


def _grade(options: argparse.Namespace) -> int:
    lesson = load_lesson(options.lesson)
    for name in ("seconds", "memory", "workers"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name} must be more than 0, not {getattr(options, name)}.")
    limits = Limits(seconds=options.seconds, memory_gb=options.memory)
    given = _sealed_seed(options.variant) if options.variant else options.seed
    marking = Marking(_hidden_seed(given, options.out, lesson.stem), limits, options.trusted)
    if options.trusted:
        print("Trusted: the notebooks run without a jail, with all your rights.", file=sys.stderr)
    where = options.workers, options.scheduler
    graded = batch.grade(options.folder, lesson, options.out, marking, *where)
    if not graded:
        print(f"There are no notebooks (.ipynb) or archives (.zip) in {options.folder}.")
        return 2
    files = reports.write_all(lesson, graded, options.out)
    if options.gradebook:
        written = gradebook.write_gradebook(lesson, graded, options.gradebook)
        print(f"{options.gradebook / gradebook.DATABASE}: {written} students in nbgrader's book")
    without = sum(1 for one in graded if one.problem)
    print(f"{lesson.title}: {len(graded) - without} of {len(graded)} students have marks.")
    if without:
        print(f"{without} need a person first: {options.out / reports.FOR_A_PERSON}")
    for path in files[:3]:
        print(path)
    print(f"{options.out / reports.FEEDBACK}/: one page for each student")
    return 0


def _sealed_seed(sealed: Path) -> int:
    from lessons.source.class_variant import hidden_seed

    return hidden_seed(sealed)


def _hidden_seed(given: int | None, out: Path, lesson: str) -> int:
    """The seed of the hidden inputs: as given, else as before, else drawn now; kept in `out`.

    Raises ValueError for the public seed, and where `out` holds another lesson's marks.
    """
    kept = out / SEED_FILE
    before = _read_seed_file(kept) if kept.is_file() else {"lesson": lesson}
    if before["lesson"] != lesson:
        raise ValueError(f"{out} holds the marks of {before['lesson']}; name another --out.")
    seed = given if given is not None else before.get("seed", 1 + secrets.randbelow(10**6))
    if seed == PUBLIC_SEED:
        raise ValueError(f"{PUBLIC_SEED} draws the public inputs; take another seed.")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(kept, json.dumps({"seed": seed, "lesson": lesson}) + "\n")
    return seed


def _read_seed_file(path: Path) -> dict:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {"seed": int(kept["seed"]), "lesson": str(kept["lesson"])}
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"{path} is damaged. Give the seed of the hidden inputs with --seed or --variant and "
            "remove that file, or name another --out."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
