"""The environment doctor: it sees what is wrong, and every complaint comes with an instruction."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils import doctor, machine
from utils.doctor import Examination, Finding, examine
from utils.environment import ROOT

GIB = 1 << 30


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1
    return findings[0]


def test_every_complaint_about_this_machine_has_an_instruction():
    examination = examine()
    assert {finding.state for finding in examination.findings} <= {"ok", "look", "fix"}
    for finding in examination.findings:
        assert finding.state == "ok" or finding.advice, finding


def test_this_machine_runs_the_course():
    broken = [f for f in examine().findings if f.state == "fix" and f.name != "weights"]
    assert not broken, "\n".join(f"{f.name}: {f.found}" for f in broken)


def test_a_wrong_version_is_named_with_the_command_that_mends_it():
    findings = doctor.packages("tqdm==1.0\nnumpy==2.0\n", {"tqdm": "1.0", "numpy": "1.9"}.get)
    summary, wrong = findings
    assert summary.found.startswith("1 of 2")
    assert (wrong.name, wrong.state) == ("numpy", "fix")
    assert "1.9 is installed, 2.0 is wanted" in wrong.found
    assert "pip install numpy==2.0" in wrong.advice


def test_a_missing_package_is_named():
    def version_of(name: str) -> str:
        if name == "faiss-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    finding = only(doctor.packages("tqdm==1.0\nfaiss-cpu==1.15.1\n", version_of))
    assert finding.state == "fix" and "faiss-cpu" in finding.found and "make lab" in finding.advice


def test_the_cpu_build_is_the_same_version():
    finding = only(doctor.packages("torch==2.13.0\n", lambda name: "2.13.0+cpu"))
    assert finding.state == "ok"


@pytest.mark.parametrize(
    ("version", "state"), [((3, 9, 1), "fix"), ((3, 10, 0), "ok"), ((3, 14, 0), "fix")]
)
def test_the_version_of_python(version, state):
    assert only(doctor.python_version(version)).state == state


@pytest.mark.parametrize(("free", "state"), [(4.0, "ok"), (1.5, "look"), (0.5, "fix")])
def test_memory(free, state):
    assert only(doctor.memory(int(free * GIB))).state == state


def test_a_full_disk_matters_only_until_the_weights_are_there(tmp_path, monkeypatch):
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=GIB // 10)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    finding = only(doctor.disk(tmp_path / "not" / "yet"))
    assert finding.state == "fix" and "INSIDE_OUTSIDE_CACHE" in finding.advice
    for name in ("smollm2-1", "all-minilm-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    assert only(doctor.disk(tmp_path)).state == "ok"


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    (tmp_path / "all-minilm-1").mkdir()
    (tmp_path / "all-minilm-1" / "model.safetensors").touch()
    finding = only(doctor.weights())
    assert finding.state == "fix" and "make weights" in finding.advice
    assert "language model" in finding.found and "encoder" not in finding.found


def test_missing_widgets_are_seen(tmp_path):
    assert only(doctor.widgets(str(tmp_path))).state == "fix"


def test_a_kernel_of_another_python_is_seen(tmp_path):
    python = doctor.venv_python(tmp_path / ".venv")
    python.parent.mkdir(parents=True)
    python.touch()
    other = only(doctor.kernel("/usr", tmp_path / ".venv"))
    assert other.state == "look" and "kernel" in other.advice
    assert only(doctor.kernel(str(tmp_path / ".venv"), tmp_path / ".venv")).state == "ok"
    assert only(doctor.kernel("/usr", tmp_path / "no venv")).state == "ok"


def test_a_look_that_fails_does_not_hide_the_others(monkeypatch):
    def fail():
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "LOOKS", {"memory": fail, "Python": doctor.python_version})
    first, second = examine().findings
    assert "no such thing" in first.found and second.name == "Python"


def test_the_table_is_in_words():
    good, bad = Finding("cores", "ok", "2 usable"), Finding("disk", "fix", "full", "Make room.")
    text = str(Examination((good, bad)))
    assert "ok    cores  2 usable" in text
    assert "fix   disk   full" in text and "-> Make room." in text
    assert "1 to fix" in text
    assert "All is well" in str(Examination((good,)))


def test_it_runs_before_anything_is_installed(tmp_path):
    """With no package to import, not even torch, it says what is missing."""
    result = subprocess.run(
        [sys.executable, "-S", "-m", "utils.doctor"],
        cwd=ROOT,
        env={**os.environ, "INSIDE_OUTSIDE_CACHE": str(tmp_path), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stderr
    assert "not installed: jupyterlab" in result.stdout and "torch is missing" in result.stdout
    assert "could not be looked at" not in result.stdout


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("top", "limit", "used"),
    [
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("", "memory.max", "memory.current"),
    ],
)
def test_a_containers_memory_limit_counts_in_both_versions(tmp_path, monkeypatch, top, limit, used):
    line = "4:memory:/not/seen/here" if top else "0::/not/seen/here"
    monkeypatch.setattr(machine, "_own_groups", lambda: [line])
    folder = tmp_path / top
    folder.mkdir(exist_ok=True)
    (folder / limit).write_text(f"{2 * GIB}\n")
    (folder / used).write_text(f"{GIB}\n")
    (folder / "memory.stat").write_text(f"cache 5\ninactive_file {GIB // 2}\n")
    assert machine.free_memory(tmp_path) == 3 * GIB // 2


def test_no_limit_means_what_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_own_groups", lambda: ["0::/"])
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    monkeypatch.setattr(machine, "_system_memory", lambda: 7 * GIB)
    assert machine.free_memory(tmp_path) == 7 * GIB


@pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 0.5), ("max 100000", None)])
def test_a_containers_share_of_the_cores_counts(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(machine, "_own_groups", lambda: ["0::/"])
    (tmp_path / "cpu.max").write_text(quota)
    assert machine.usable_cores(tmp_path) == (cores or machine.usable_cores(tmp_path / "none"))
