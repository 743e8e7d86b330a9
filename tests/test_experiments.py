"""Results are computed once and kept whole, under the hash of their configuration."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace

import pytest

from utils import experiments
from utils.experiments import Result, configuration_hash, known, run
from utils.injection import Injection, curve_runs
from utils.lora import LoraSettings
from utils.settings_sweep import KNOBS, SEEDS, unit

SHIPPED = sorted(experiments.SHIPPED.glob("*-????????????.json"))
FIELDS = ("date", "seconds", "peak_memory_gb", "machine", "python", "packages")


@dataclass(frozen=True)
class Configuration:
    rank: int = 16
    rate: float = 2e-3
    names: tuple[str, ...] = ("a", "b")


class Counted:
    """An experiment that counts how often it was done."""

    times = 0

    def __call__(self, configuration: Configuration) -> dict:
        self.times += 1
        return {"right": configuration.rank / 100, "run": self.times}


@pytest.fixture
def experiment() -> Counted:
    return Counted()


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_configuration_is_computed_once(tmp_path, experiment):
    first = run("trial", Configuration(), experiment, folder=tmp_path)
    again = run("trial", Configuration(), experiment, folder=tmp_path)
    assert experiment.times == 1
    assert again == first
    assert first.values == {"right": 0.16, "run": 1}


def test_another_configuration_or_name_is_another_result(tmp_path, experiment):
    for name, configuration in (
        ("trial", Configuration()),
        ("trial", Configuration(rank=8)),
        ("trial", Configuration(names=("b", "a"))),
        ("other", Configuration()),
    ):
        run(name, configuration, experiment, folder=tmp_path)
    assert experiment.times == 4
    assert len(files(tmp_path)) == 4


def test_recompute_computes_again_and_replaces(tmp_path, experiment):
    run("trial", Configuration(), experiment, folder=tmp_path)
    fresh = run("trial", Configuration(), experiment, recompute=True, folder=tmp_path)
    assert fresh.values["run"] == 2
    assert known("trial", Configuration(), tmp_path).values["run"] == 2
    assert len(files(tmp_path)) == 1


def test_looking_up_computes_nothing(tmp_path):
    assert known("trial", Configuration(), tmp_path) is None
    assert files(tmp_path) == []


def test_a_learners_result_goes_to_the_cache_folder(tmp_path, monkeypatch, experiment):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    run("trial", Configuration(), experiment)
    name = f"trial-{configuration_hash('trial', Configuration())}.json"
    assert (tmp_path / "results" / name).is_file()


def test_the_shipped_result_is_read_first(tmp_path, monkeypatch, experiment):
    monkeypatch.setattr(experiments, "SHIPPED", tmp_path / "shipped")
    run("trial", Configuration(), experiment, folder=tmp_path / "own")
    run("trial", Configuration(), experiment, recompute=True, folder=tmp_path / "shipped")
    assert known("trial", Configuration(), tmp_path / "own").values["run"] == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: text.replace('"values"', '"valves"'),
    ],
    ids=["cut", "empty", "a list", "a field renamed"],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, experiment, damage):
    run("trial", Configuration(), experiment, folder=tmp_path)
    path = tmp_path / files(tmp_path)[0]
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match="is not a whole result.*Delete it") as error:
        run("trial", Configuration(), experiment, folder=tmp_path)
    assert path.name in str(error.value)
    path.unlink()
    assert run("trial", Configuration(), experiment, folder=tmp_path).values["run"] == 2


def test_a_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch, experiment):
    run("trial", Configuration(), experiment, folder=tmp_path)
    before = (tmp_path / files(tmp_path)[0]).read_bytes()

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run("trial", Configuration(), experiment, recompute=True, folder=tmp_path)
    kept = [name for name in files(tmp_path) if name.endswith(".json")]
    assert [(tmp_path / name).read_bytes() for name in kept] == [before]


def test_an_experiment_that_fails_leaves_no_file(tmp_path):
    def fails(configuration):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        run("trial", Configuration(), fails, folder=tmp_path)
    assert files(tmp_path) == []


def test_the_provenance_says_where_when_and_with_what(tmp_path, experiment):
    result = run("trial", Configuration(), experiment, folder=tmp_path)
    assert set(result.provenance) == set(FIELDS)
    assert result.configuration == {"rank": 16, "rate": 2e-3, "names": ["a", "b"]}
    assert result.provenance["peak_memory_gb"] > 0
    assert set(result.provenance["packages"]) == set(experiments.PACKAGES)


def test_the_hash_is_the_same_on_every_machine():
    """A change here orphans every shipped result."""
    assert configuration_hash("trial", Configuration()) == "c58643cdd13e"


# -- what the course ships -------------------------------------------------------------------------


def test_results_are_shipped():
    assert {path.name.rpartition("-")[0] for path in SHIPPED} >= {"injection", "learning-curve"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_result_is_whole_and_lies_under_its_hash(path):
    result = Result(**json.loads(path.read_text(encoding="utf-8")))
    assert set(result.provenance) == set(FIELDS)
    assert result.values
    text = json.dumps([result.name, result.configuration], sort_keys=True)
    digits = experiments.hashlib.sha256(text.encode()).hexdigest()[:12]
    assert path.name == f"{result.name}-{digits}.json"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in SHIPPED
        if path.name.startswith(("injection-", "learning-curve-", "settings-"))
    ],
    ids=lambda path: path.name,
)
def test_a_shipped_run_is_the_one_that_the_code_describes_today(path):
    """Fields, names and defaults of the configuration are still those of the shipped run."""
    result = Result(**json.loads(path.read_text(encoding="utf-8")))
    settings = result.configuration["settings"]
    tuples = {name: tuple(settings[name]) for name in ("targets", "curriculum")}
    settings = LoraSettings(**settings | tuples)
    configuration = replace(Injection(**result.configuration), settings=settings)
    assert asdict(configuration).keys() == result.configuration.keys()
    assert known(result.name, configuration) == result
    if result.name == "learning-curve":
        assert configuration in curve_runs()
    if result.name == "settings":
        units = [unit(knob, v, s) for knob, values in KNOBS.items() for v in values for s in SEEDS]
        assert configuration in units


@pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if path.name.startswith("learning-curve-")],
    ids=lambda path: path.name,
)
def test_a_shipped_learning_curve_has_a_score_for_each_question_and_epoch(path):
    values = json.loads(path.read_text(encoding="utf-8"))["values"]
    assert len(values["exact"]) == len(values["tuning"]["losses"])
    rows = [*values["exact"], values["held out"]["exact"]]
    assert [len(scores) for scores in values["exact"]] == [len(values["ids"])] * len(
        values["exact"]
    )
    assert len(values["held out"]["exact"]) == len(values["held out"]["ids"])
    assert {score for scores in rows for score in scores} <= {0.0, 1.0}
