"""A guess and a result on one line, drawn (SVG) and in words."""

from __future__ import annotations

import html

WIDTH, HEIGHT, MARGIN, AXIS = 560, 110, 40, 60  # pixels; AXIS: the line's distance from the top


def number(value: float) -> str:
    """A number with as many digits as help: 71.3, 40, 0.042, 12,300."""
    if value == round(value) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def describe(
    guess: float | None, estimate: float, low: float, high: float, unit: str, n: int | None = None
) -> str:
    """Guess and result in words; all numbers in `unit`. `low` = `high`: there is no interval."""
    measured = f"Measured: {_with_unit(estimate, unit)}"
    if low != high:
        measured += f", with an interval from {number(low)} to {number(high)}"
    if n is not None:
        measured += f" (n = {n})"
    if guess is None:
        return f"{measured}. You made no prediction."
    begin = f"You predicted {_with_unit(guess, unit)}. {measured}."
    distance = abs(guess - estimate)
    if low <= guess <= high:
        return f"{begin} Your guess lies in the interval." if low != high else f"{begin} Exactly."
    points = "percentage points" if unit == "%" else unit
    direction = "low" if guess < estimate else "high"
    return f"{begin} Your guess was {f'{number(distance)} {points}'.strip()} too {direction}."


def number_line(
    guess: float | None,
    estimate: float,
    low: float,
    high: float,
    unit: str,
    axis: tuple[float, float],
    alt: str,
) -> str:
    """An SVG: the guess above the line, the result with its interval below it.

    `axis`: the line's ends; it grows to hold all values. `alt`: what a screen reader says.
    """
    values = [estimate, low, high] + ([] if guess is None else [guess])
    start, end = min(*axis, *values), max(*axis, *values)

    def x(value: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - start) / ((end - start) or 1), 1)

    top = 0 if guess is not None else AXIS - 20
    parts = [
        f'<svg role="img" aria-label="{html.escape(alt)}" '
        f'viewBox="0 {top} {WIDTH} {HEIGHT - top}" '
        f'style="max-width: {WIDTH}px; width: 100%" font-size="13" font-family="sans-serif" '
        'fill="currentColor" stroke="none">',
        _stroke(MARGIN, AXIS, WIDTH - MARGIN, AXIS, 1.5),
        _text(MARGIN, AXIS + 18, number(start)),
        _text(WIDTH - MARGIN, AXIS + 18, _with_unit(end, unit)),
    ]
    if low != high:
        parts.append(_stroke(x(low), AXIS, x(high), AXIS, 7, opacity=0.4))
    parts.append(f'<circle cx="{x(estimate)}" cy="{AXIS}" r="6"/>')
    parts.append(_text(x(estimate), AXIS + 38, f"measured: {_with_unit(estimate, unit)}"))
    if guess is not None:
        place = x(guess)
        parts.append(f'<path d="M{place} {AXIS - 3} l-7 -13 h14 z"/>')
        parts.append(_text(place, AXIS - 24, f"your guess: {_with_unit(guess, unit)}"))
    return "".join([*parts, "</svg>"])


def _with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".strip()


def _stroke(x1: float, y1: float, x2: float, y2: float, width: float, opacity: float = 1) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="currentColor" '
        f'stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, words: str) -> str:
    """Centred at x, but kept inside the picture."""
    half = 4.2 * len(words)  # half of a letter at this size is at most about 4 pixels wide
    x = min(max(x, half), WIDTH - half)
    return f'<text x="{round(x, 1)}" y="{y}" text-anchor="middle">{html.escape(words)}</text>'
