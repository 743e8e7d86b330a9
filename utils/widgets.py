"""Predict first, then run: the learner's guess is kept and shown beside the result.

A guess is made with a slider, a number box or buttons, all of them usable by keyboard. It lies in
the learner's own files (see `utils.work`) and is there again after a restart. Where no widgets
are shown, `keep_guess("key", 40)` does the same.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from utils.display import in_notebook, say, show_text, show_widget
from utils.number_line import describe, number, number_line
from utils.work import read_kept, update_kept

__all__ = ["keep_guess", "load_predictions", "predict", "predict_choice", "reveal", "say"]

PREDICTIONS_FILE = "predictions.json"


def predict(key: str, question: str, low: float = 0, high: float = 100, unit: str = "%") -> None:
    """Ask for a number between `low` and `high` (in `unit`) and keep it under `key`.

    Raises ValueError when the range is empty.
    """
    if not low < high:
        raise ValueError(f"{key}: low ({low}) must be less than high ({high}).")
    _keep(key, {"question": question, "low": low, "high": high, "unit": unit})
    fallback = (
        f"{question}\nTo answer without the slider: keep_guess({key!r}, {number((low + high) / 2)})"
    )
    if not in_notebook():
        show_text(fallback)
        return
    import ipywidgets as widgets

    guess = _guess(key)
    whole = high - low >= 10
    shared = {"min": low, "max": high, "value": _start(guess, low, high, whole)}
    wide = widgets.Layout(width="auto")
    slider = widgets.FloatSlider(
        **shared,
        step=1 if whole else (high - low) / 100,
        readout=False,
        continuous_update=False,
        description="Your guess",
    )
    box = widgets.BoundedFloatText(**shared, layout=widgets.Layout(width="110px"))
    box.tooltip = f"Your guess as a number ({unit})" if unit else "Your guess as a number"
    button = widgets.Button(description="This is my guess", layout=wide)
    widgets.link((slider, "value"), (box, "value"))
    status = _Status(guess, unit)
    box.observe(lambda change: status.show(keep_guess(key, change["new"])), names="value")
    button.on_click(lambda _: status.show(keep_guess(key, box.value)))
    row = widgets.HBox([slider, box, widgets.Label(unit), button])
    _show_widgets(question, row, status, fallback)


def predict_choice(key: str, question: str, options: Sequence[str]) -> None:
    """Ask for one of `options` and keep it under `key`. Raises ValueError for fewer than two."""
    options = [str(option) for option in options]
    if len(set(options)) < 2:
        raise ValueError(f"{key}: give at least two different options.")
    _keep(key, {"question": question, "options": options, "unit": ""})
    fallback = (
        f"{question}\nOptions: {'; '.join(options)}"
        f"\nTo answer without the buttons: keep_guess({key!r}, {options[0]!r})"
    )
    if not in_notebook():
        show_text(fallback)
        return
    import ipywidgets as widgets

    guess = _guess(key) if _guess(key) in options else None
    buttons = widgets.RadioButtons(
        options=options, value=guess, layout=widgets.Layout(width="auto")
    )
    status = _Status(guess, "")
    buttons.observe(lambda change: status.show(keep_guess(key, change["new"])), names="value")
    _show_widgets(question, buttons, status, fallback)


def keep_guess(key: str, guess: float | str) -> str:
    """Keep a guess. Returns a sentence that says what was kept.

    Raises ValueError when the guess lies outside the question's range or options.
    """
    asked = read_kept(PREDICTIONS_FILE).get(key, {})
    if "options" in asked and guess not in asked["options"]:
        raise ValueError(f"{key}: {guess!r} is none of the options {asked['options']}.")
    if "low" in asked and not asked["low"] <= float(guess) <= asked["high"]:
        raise ValueError(f"{key}: {guess} is not between {asked['low']} and {asked['high']}.")
    guess = guess if isinstance(guess, str) else float(guess)
    problem = _keep(key, {"guess": guess, "after_result": bool(asked.get("revealed"))})
    return problem or f"Kept: {_shown(guess, asked.get('unit', ''))}."


def load_predictions() -> dict[str, dict[str, Any]]:
    """All guesses by key: "guess", "question", "unit", and "after_result" (it came too late)."""
    kept = read_kept(PREDICTIONS_FILE)
    return {key: entry for key, entry in kept.items() if entry.get("guess") is not None}


def reveal(key: str, value: Any) -> None:
    """Show the guess kept under `key` beside the measured `value`.

    `value`: a number in the unit of the guess (71.3 for 71.3 %), an option's text, or an interval
    with `.estimate`, `.low`, `.high`; an interval of shares (0 to 1) is shown in % when the guess
    is in %. Without a guess the result alone is shown.
    """
    entry = read_kept(PREDICTIONS_FILE).get(key, {})
    guess = entry.get("guess")
    unit = entry.get("unit", "%")
    if isinstance(value, str):
        sentence = _compare_choices(guess, value)
        rich = {"text/markdown": sentence}
    else:
        estimate, low, high = _in_unit(value, unit)
        sentence = describe(guess, estimate, low, high, unit, n=getattr(value, "n", None))
        axis = (entry.get("low", min(0, low)), entry.get("high", max(0, high)))
        picture = number_line(guess, estimate, low, high, unit, axis, alt=sentence)
        rich = {"text/html": f"{picture}<p>{html.escape(sentence)}</p>"}
    if guess is not None and entry.get("after_result"):
        late = " This guess was made after the result had been shown."
        sentence += late
        rich = {kind: text + late for kind, text in rich.items()}
    show_text(sentence, rich)
    _keep(key, {"revealed": True})


class _Status:
    """The line under a question that says what was kept; screen readers speak its changes."""

    def __init__(self, guess: float | str | None, unit: str) -> None:
        import ipywidgets as widgets

        self.widget = widgets.HTML()
        nothing = "No guess kept yet."
        self.show(nothing if guess is None else f"Kept earlier: {_shown(guess, unit)}.")

    def show(self, sentence: str) -> None:
        self.widget.value = f'<span role="status" aria-live="polite">{html.escape(sentence)}</span>'


def _show_widgets(question: str, row, status: _Status, fallback: str) -> None:
    import ipywidgets as widgets

    label = widgets.HTML(f"<strong>{html.escape(question)}</strong>")
    show_widget(widgets.VBox([label, row, status.widget]), fallback)


def _keep(key: str, fields: dict[str, Any]) -> str:
    return update_kept(PREDICTIONS_FILE, lambda kept: kept.setdefault(key, {}).update(fields))


def _guess(key: str) -> float | str | None:
    return read_kept(PREDICTIONS_FILE).get(key, {}).get("guess")


def _start(guess: float | str | None, low: float, high: float, whole: bool) -> float:
    if isinstance(guess, int | float) and low <= guess <= high:
        return guess
    middle = (low + high) / 2
    return round(middle) if whole else middle


def _shown(guess: float | str, unit: str) -> str:
    return guess if isinstance(guess, str) else f"{number(guess)} {unit}".strip()


def _in_unit(value: Any, unit: str) -> tuple[float, float, float]:
    """Estimate, low and high of a number or an interval, in the guess's unit."""
    if not hasattr(value, "estimate"):
        return float(value), float(value), float(value)
    scale = 100 if unit == "%" else 1
    return scale * value.estimate, scale * value.low, scale * value.high


def _compare_choices(guess: str | None, value: str) -> str:
    if guess is None:
        return f"Measured: {value}. You made no prediction."
    verdict = "as you predicted" if guess == value else "not as you predicted"
    return f"You predicted: {guess}. Measured: {value}. That is {verdict}."
