"""A class's variant of the course: its own world, notebooks without solutions, a sealed folder.

`student/` is a whole course: students unpack it and run `make lab`, a Binder builds it, a course
server takes its notebooks. What its exercises' checks need to know is kept without the solutions.
`instructor/` is for nobody else: the hidden seed, the solutions with mark schemes, the guide.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lessons.source.build import LESSONS, build, lesson_sources, write_whole
from lessons.source.student import INSTRUCTOR, Variant
from utils.exercises import lesson_exercises
from utils.kept_exercises import MODULE, keep_exercises
from utils.worlds import DEFAULT_FOLDER, load_world, make_world, save_world

COURSE = LESSONS.parent
STUDENT, SEALED = "student", "instructor"
ABOUT = "class.json"
FOR_STUDENTS = Variant(worked_solutions=False)
# What a student's course consists of; of lessons, utils and datasets only what is said below.
TOP = ("Makefile", ".gitignore", "LICENSE", "LICENSE-CONTENT", "pyproject.toml")
TOP += ("requirements.txt", "binder")
LEFT_OUT = ("__pycache__", "source", "instructor", "my_work", "grading", "*.pyc", "*.ipynb")

README = """# Inside or Outside?

A course on one question: change the language model, or what surrounds it? You measure the answer
yourself. You need Python 3.10 to 3.13, about 4 GB of disk and 2 GB of free memory.

    make lab

sets everything up the first time, then opens the first lesson. Without make, on every system:

    python -m utils.lab

The lessons lie in `lessons/`: {lessons}. Each has exercises whose checks say what is wrong in
words, and a question that a person reads. Save the notebook and hand in the file, such as
`{example}`, as it is.

Code: Apache-2.0 (`LICENSE`). Texts and data: CC BY 4.0 (`LICENSE-CONTENT`).
"""

SEALED_README = """# For the instructor only

- `class.json`: the seed of this class's world, and that of the hidden inputs.
- `solutions/`: every lesson with its solutions and mark schemes.

Give students `student/` and keep this folder. To mark a lesson, from the course's own folder:

    .venv/bin/python -m utils.grading grade SUBMISSIONS/ --lesson {lesson} \\
        --out marks/{lesson}/ --variant {folder}

The guide is `lessons/instructor/README.md` in the course.
"""


def make_class(seed: int, out: Path, lessons: Sequence[str] = (), hidden: int = 0) -> list[Path]:
    """Write a class's variant into `out`, whole or not at all; returns its two folders.

    seed: of the class's world. lessons: such as ["01", "02"], all if left out. hidden: the seed of
    the hidden inputs; a secret one is drawn if it is 0. Raises ValueError for a seed that is the
    course's own, FileExistsError if something is there already, SourceError for unknown lessons.
    """
    if seed == load_world().seed:
        raise ValueError(f"{seed} is the seed of the course's own world; take another one.")
    sources = lesson_sources(lessons=lessons)
    for folder in (out / STUDENT, out / SEALED):
        if folder.exists():
            raise FileExistsError(f"{folder} is there already. Name another --out, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".making-") as making:
        place = Path(making)
        _write_student(place / STUDENT, seed, sources)
        about = {"world_seed": seed, "hidden_seed": hidden or 1 + secrets.randbelow(2**31)}
        _write_sealed(place / SEALED, about, sources, out / SEALED)
        for name in (STUDENT, SEALED):
            (place / name).rename(out / name)
    return [out / STUDENT, out / SEALED]


def hidden_seed(sealed: Path) -> int:
    """The seed of a class's hidden inputs. Raises ValueError for what is no sealed folder."""
    try:
        return int(json.loads((sealed / ABOUT).read_text(encoding="utf-8"))["hidden_seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{sealed} is not a class's sealed folder: there is no whole {ABOUT} in it."
        ) from error


def _write_student(folder: Path, seed: int, sources: Sequence[Path]) -> None:
    folder.mkdir()
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    for name in (*TOP, "lessons", "utils", "datasets"):
        path = COURSE / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=ignore)
        elif path.is_file():
            shutil.copy2(path, folder / name)
    for path in sources:
        text = build(path, FOR_STUDENTS)
        write_whole(folder / "lessons" / f"{path.stem}.ipynb", text)
    save_world(make_world(seed), folder / DEFAULT_FOLDER.relative_to(COURSE))
    _keep_exercises(folder / "utils" / "exercises", sources)
    names = ", ".join(path.stem for path in sources)
    readme = README.format(lessons=names, example=f"{sources[-1].stem}.ipynb")
    write_whole(folder / "README.md", readme)


def _keep_exercises(folder: Path, sources: Sequence[Path]) -> None:
    """Of the lessons that the class has, what is right; of the others nothing."""
    kept = {int(path.name[:2]) for path in sources}
    for path in folder.glob("lesson_[0-9][0-9].py"):
        lesson = int(path.stem.removeprefix("lesson_"))
        if lesson not in kept:
            path.unlink()
            continue
        write_whole(path, MODULE.format(lesson=lesson))
        write_whole(path.with_suffix(".json"), keep_exercises(lesson_exercises(lesson)))


def _write_sealed(folder: Path, about: dict, sources: Sequence[Path], final: Path) -> None:
    (folder / "solutions").mkdir(parents=True)
    write_whole(folder / ABOUT, json.dumps(about, indent=1) + "\n")
    for path in sources:
        write_whole(folder / "solutions" / f"{path.stem}.ipynb", build(path, INSTRUCTOR))
    readme = SEALED_README.format(lesson=sources[-1].stem[:2], folder=final)
    write_whole(folder / "README.md", readme)
