"""The sweep changes one setting at a time, and what it ships is complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from utils import experiments, settings_sweep
from utils.injection import NAME_FIRST, lesson_run
from utils.settings_sweep import KNOBS, SEEDS, shipped, unit


@pytest.mark.parametrize("knob", KNOBS)
def test_a_unit_differs_from_the_default_in_its_knob_alone(knob):
    default = lesson_run(0).settings
    values = KNOBS[knob]
    assert list(values) == sorted(set(values)) and values[1] == getattr(default, knob)
    for value in values:
        run = unit(knob, value, seed=1)
        assert (run.teaching, run.seed) == (NAME_FIRST, 1)
        others = {"alpha": default.alpha, "seed": default.seed}  # alpha goes with the rank
        assert replace(run.settings, **others) == replace(default, **{knob: value})
        assert run.settings.alpha == 2 * run.settings.rank


def test_the_middle_of_all_knobs_is_one_run_computed_once(monkeypatch, tmp_path, capsys):
    done = []

    def teach_and_ask(configuration, *_):
        done.append(configuration)
        return {"exact": [1.0, 0.0], "ids": ["a", "b"]}

    monkeypatch.setattr(experiments, "SHIPPED", tmp_path)
    monkeypatch.setattr(settings_sweep, "teach_and_ask", teach_and_ask)
    monkeypatch.setattr(settings_sweep, "load_model", lambda: (None, None))
    settings_sweep.main([0])
    assert len(done) == len(set(done)) == 7
    assert "rank 64, seed 0: 1 of 2 right" in capsys.readouterr().out


def test_a_value_without_a_run_is_said(monkeypatch):
    monkeypatch.setattr(experiments, "known", lambda *_: None)
    with pytest.raises(LookupError, match="No run with rank 2 is there"):
        shipped("rank")


@pytest.mark.parametrize("knob", KNOBS)
def test_the_course_ships_every_value(knob):
    for value, (interval, seconds, seeds) in shipped(knob).items():
        assert value in KNOBS[knob]
        assert interval.n == 5 * 5 * settings_sweep.FAMILIES
        assert seconds > 0 and seeds == len(SEEDS)
