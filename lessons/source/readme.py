"""Fill the generated parts of README.md: the picture of a result, and the table of lessons.

    python -m lessons.source.readme             write
    python -m lessons.source.readme --check     compare only; fails when something is stale

Both come from `datasets/results/`: what the course's own runs found, and what `make lessons`
measured.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lessons.source.build import MEASURED, lesson_sources, write_whole
from tests.run_lessons import LessonRun, read_rows, verdict
from utils.stats import Interval

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "datasets" / "results" / "two_by_two.svg"

WIDTH, LEFT, RIGHT, TOP, ROW = 640, 190, 60, 64, 44  # pixels
COLOURS = {
    "closed book": "#0072B2",
    "retrieval": "#E69F00",
}  # Okabe and Ito: safe when colour-blind


def lessons_table(sources: Sequence[Path], measured: Sequence[LessonRun]) -> str:
    """One row a lesson: title, what happens, minutes and peak memory as `make lessons` saw them."""
    rows = {row.lesson: row for row in measured}
    lines = [
        "| lesson | what happens | minutes | memory (GB) | result |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for source in sources:
        title, happens = _title_and_promise(source)
        row = rows.get(source.stem)
        seen = (
            f"{row.minutes:.1f} | {row.peak_gb:.1f} | {verdict(row)}" if row else " | | not run yet"
        )
        lines.append(f"| [{title}](lessons/{source.stem}.ipynb) | {happens} | {seen} |")
    return "\n".join(lines)


def picture(cells: Sequence[tuple[str, str, Interval]], title: str, source: str) -> str:
    """An SVG of shares with their intervals.

    cells: (name of the row, "closed book" or "retrieval", interval of a share from 0 to 1).
    """
    height = TOP + ROW * len(cells) + 56
    scale = WIDTH - LEFT - RIGHT
    words = "; ".join(f"{name}, {how}: {interval}" for name, how, interval in cells)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(f"{title}. {words}.")}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="16" y="28" font-size="16" font-weight="bold">{html.escape(title)}</text>',
        f'<text x="16" y="48" fill="#555">{html.escape(source)}</text>',
    ]
    for percent in range(0, 101, 20):
        x = LEFT + scale * percent / 100
        bottom = TOP + ROW * len(cells)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{percent}</text>')
    for number, (name, how, interval) in enumerate(cells):
        y = TOP + ROW * number + ROW / 2
        low, middle, high = (
            LEFT + scale * share for share in (interval.low, interval.estimate, interval.high)
        )
        parts += [
            f'<text x="{LEFT - 10}" y="{y - 2:.1f}" text-anchor="end">{html.escape(name)}</text>',
            f'<text x="{LEFT - 10}" y="{y + 14:.1f}" text-anchor="end" fill="#555">'
            f"{html.escape(how)}</text>",
            f'<rect x="{LEFT}" y="{y - 11:.1f}" width="{middle - LEFT:.1f}" height="22" '
            f'fill="{COLOURS[how]}"/>',
            f'<path d="M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 6:.1f}v12M{high:.1f} '
            f'{y - 6:.1f}v12" stroke="black" stroke-width="1.5" fill="none"/>',
            f'<text x="{high + 8:.1f}" y="{y + 5:.1f}">{100 * interval.estimate:.0f} %</text>',
        ]
    axis = "held-out questions answered exactly right (%), with 95 % intervals"
    parts.append(
        f'<text x="{LEFT + scale / 2}" y="{height - 12}" text-anchor="middle">{axis}</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def two_by_two() -> str:
    """The picture of lesson 07's table from the runs that come with the course."""
    from utils.injection import QUESTIONS, shipped_scores

    cells, seeds = [], 0
    for name, teaching in (("model as it came", ""), ("model tuned with LoRA", QUESTIONS)):
        for how in COLOURS:
            scores = shipped_scores(teaching, how)
            cells.append((name, how, scores.interval()))
            seeds = max(seeds, scores.seeds)
    few = ", ".join(sorted({str(interval.n) for _, _, interval in cells}, key=int, reverse=True))
    return picture(
        cells,
        "One small model, one catalogue it has never seen",
        f"n = {few} questions; seeds of the tuned model: {seeds}; intervals over products",
    )


def fill(text: str, name: str, content: str) -> str:
    """`text` with `content` between `<!-- name -->` and `<!-- /name -->`.

    Raises ValueError if the text has no such place.
    """
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"README.md has no place <!-- {name} --> ... <!-- /{name} -->.")
    return place.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text, count=1)


def generate() -> dict[Path, str]:
    """Path and text of every file that this module writes."""
    drawn = two_by_two()
    alt = re.search(r'aria-label="([^"]*)"', drawn)[1]
    text = README.read_text(encoding="utf-8")
    text = fill(text, "picture", f"![{alt}]({PICTURE.relative_to(ROOT).as_posix()})")
    text = fill(text, "lessons", lessons_table(lesson_sources(), read_rows(MEASURED)))
    return {README: text, PICTURE: drawn}


def _title_and_promise(source: Path) -> tuple[str, str]:
    """The title of a lesson and the first sentence under it."""
    lines = [line[2:] for line in source.read_text(encoding="utf-8").splitlines()[1:]]
    title = lines[0].removeprefix("# Lesson ")
    paragraph = " ".join(lines[2 : lines.index("", 2)])
    return title.replace(": ", " ", 1), re.split(r"(?<=[.?!]) ", paragraph)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Fill the generated parts of README.md.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    stale = [
        path
        for path, text in generate().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if not check:
            write_whole(path, generate()[path])
        print(f"{path.relative_to(ROOT)}{' is stale; run: make notebooks' if check else ''}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
