"""binder/: what a Binder reads, and the rehearsal of a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import binder_requirements, rehearse_binder
from utils.environment import ROOT, pins

BINDER = ROOT / "binder"
IMPOSSIBLE = rehearse_binder.why_not()
needs_rehearsal = pytest.mark.skipif(bool(IMPOSSIBLE), reason=IMPOSSIBLE or "")


def test_the_requirements_are_those_of_the_course():
    generated = binder_requirements.generate((ROOT / "requirements.txt").read_text())
    assert (BINDER / "requirements.txt").read_text() == generated, "stale: run `make notebooks`"


def test_a_changed_pin_makes_the_file_stale():
    text = (ROOT / "requirements.txt").read_text()
    changed = text.replace(f"tqdm=={pins(text)['tqdm']}", "tqdm==4.0.0")
    assert binder_requirements.generate(changed) != (BINDER / "requirements.txt").read_text()


def test_nothing_of_a_lesson_makes_a_binder_install_anew():
    text = (BINDER / "requirements.txt").read_text()
    assert "-r " not in text and "../" not in text
    assert "torch==2.13.0+cpu" in text.splitlines()


def test_the_python_is_one_the_course_runs_on():
    assert (BINDER / "runtime.txt").read_text() == "python-3.11\n"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_be_executed_and_parsed(name):
    assert os.access(BINDER / name, os.X_OK)
    assert subprocess.run(["bash", "-n", BINDER / name]).returncode == 0


def test_start_caps_the_threads_and_hands_over():
    result = subprocess.run(
        [BINDER / "start", sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"],
        capture_output=True,
        text=True,
    )
    assert result.stdout == "1\n"
    assert subprocess.run([BINDER / "start", "sh", "-c", "exit 7"]).returncode == 7


@pytest.mark.parametrize("missing", ["utils.models", "utils.onnx_encoder"])
def test_a_build_without_weights_fails(tmp_path, missing):
    """A Binder that was built without them would fail each of its learners instead."""
    calls = tmp_path / "calls"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ntest "$2" != {missing}\n')
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run([BINDER / "postBuild"], env=environment, cwd=ROOT)
    assert result.returncode != 0
    assert calls.read_text().splitlines()[-1] == f"-m {missing}"


def test_repo2docker_reads_this_folder():
    tool = shutil.which("jupyter-repo2docker") or Path(sys.prefix, "bin", "jupyter-repo2docker")
    if not Path(tool).exists():
        pytest.skip("jupyter-repo2docker is not installed")
    result = subprocess.run(
        [tool, "--no-build", "--debug", str(ROOT)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    dockerfile = result.stdout + result.stderr
    assert "binder/requirements.txt" in dockerfile and "binder/postBuild" in dockerfile
    assert "binder/start" in dockerfile


def test_without_root_the_rehearsal_says_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "needs root" in rehearse_binder.why_not()


@needs_rehearsal
def test_the_memory_limit_of_a_rehearsal_is_real():
    group = rehearse_binder.MemoryGroup(128 << 20)
    try:
        for size, fits in ((16 << 20, True), (512 << 20, False)):
            program = f"block = bytearray({size}); block[::4096] = b'x' * len(block[::4096])"
            result = subprocess.run([sys.executable, "-c", program], preexec_fn=group.join)
            assert (result.returncode == 0) is fits
        assert group.kills() == 1
    finally:
        group.remove()


@needs_rehearsal
def test_a_rehearsal_has_one_core_no_network_and_an_ordinary_user():
    program = (
        "import os, socket\n"
        "assert os.getuid() == 1000\n"
        "assert len(os.sched_getaffinity(0)) == 1\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname())\n"
        "assert [name for _, name in socket.if_nameindex() if name == 'lo']\n"
        "assert len(open('/proc/net/route').readlines()) <= 1, 'there is a way out'\n"
    )
    command = rehearse_binder.session_command([rehearse_binder.public_python(), "-c", program])
    result = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert result.returncode == 0, result.stderr
