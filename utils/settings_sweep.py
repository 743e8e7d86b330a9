"""What rank, adapted layers and learning rate do: one of them is changed at a time.

Every run teaches a part of the catalogue with the same examples, as often, and is asked the same
held-out questions. `python -m utils.settings_sweep` computes what the course ships.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from utils import experiments, injection, worlds
from utils.adapters import remove_adapter
from utils.injection import NAME_FIRST, Injection, Scores
from utils.models import load_model
from utils.stats import Interval

EXPERIMENT = "settings"
FAMILIES, EXPOSURES = 4, 20
SEEDS = (0, 1, 2)
DEFAULT = injection.lesson_run(0).settings
# The middle value of each is the course's own.
KNOBS = {
    "rank": (2, DEFAULT.rank, 64),
    "upper_layers": (3, DEFAULT.upper_layers, 20),
    "learning_rate": (DEFAULT.learning_rate / 4, DEFAULT.learning_rate, DEFAULT.learning_rate * 2),
}


def unit(knob: str, value: float, seed: int) -> Injection:
    """One run: the default settings but for `knob`. alpha stays twice the rank."""
    settings = replace(DEFAULT, **{knob: value})
    settings = replace(settings, alpha=2 * settings.rank)
    return Injection(NAME_FIRST, seed, families=FAMILIES, exposures=EXPOSURES, settings=settings)


def teach_and_ask(configuration: Injection, model, tokenizer, progress: bool = False) -> dict:
    """ "ids" and "exact" (0 or 1) of all held-out questions, and the report of the "tuning"."""
    world = worlds.make_world(configuration.world_seed, configuration.families)
    asked = worlds.questions(world, "held_out")
    tuned, report = injection.teach(model, tokenizer, configuration, progress=progress)
    exact = injection.closed_book_exact(tuned, tokenizer, asked)
    remove_adapter(tuned)
    return {
        "ids": [question.id for question in asked],
        "exact": exact,
        "tuning": report.summary(),
    }


def shipped(knob: str) -> dict[float, tuple[Interval, float, int]]:
    """For each value of the knob: right answers, seconds of tuning, and how many seeds.

    The interval is over products, given the seeds. The seconds are the first seed's, whose runs
    were all made on one machine. Raises LookupError where a value has no run.
    """
    found = {}
    for value in KNOBS[knob]:
        results = [experiments.known(EXPERIMENT, unit(knob, value, seed)) for seed in SEEDS]
        runs = [result.values for result in results if result is not None]
        if not runs:
            raise LookupError(
                f"No run with {knob} {value} is there; `python -m utils.settings_sweep` makes it."
            )
        scores = Scores(runs[0]["ids"], [run["exact"] for run in runs])
        found[value] = (scores.interval(), runs[0]["tuning"]["seconds"], scores.seeds)
    return found


def main(seeds: Sequence[int] = SEEDS) -> None:
    """Compute what is missing; the default settings are one run a seed, shared by the knobs."""
    model, tokenizer = load_model()
    for seed in seeds:
        for knob, values in KNOBS.items():
            for value in values:
                result = experiments.run(
                    EXPERIMENT,
                    unit(knob, value, seed),
                    lambda configuration: teach_and_ask(configuration, model, tokenizer),
                    folder=experiments.SHIPPED,
                )
                exact = result.values["exact"]
                right = f"{sum(exact):.0f} of {len(exact)} right"
                print(f"{knob} {value:g}, seed {seed}: {right}", flush=True)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or SEEDS)
