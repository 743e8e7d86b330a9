"""The commands: `make`, `python -m utils.lab`, the requirements and the CI script."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from utils import environment, lab
from utils.environment import COURSE, ROOT, TESTS, SetupError

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@needs_make
def test_make_alone_prints_the_help():
    assert make().stdout == make("help").stdout


@needs_make
@pytest.mark.parametrize(
    "target",
    ["lab", "test", "lessons", "notebooks", "doctor", "weights", "binder-rehearsal", "clean"],
)
def test_help_says_what_each_command_does(target):
    line = next(line for line in make("help").stdout.splitlines() if f"make {target} " in line)
    assert len(line.split(target, 1)[1].split()) >= 4


@needs_make
def test_help_and_targets_agree():
    text = (ROOT / "Makefile").read_text()
    internal = {"course-packages", "test-packages", "python"}
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) - internal
    assert targets == set(re.findall(r"^  make ([a-z-]+) ", make("help").stdout, re.MULTILINE))


@needs_make
def test_a_machine_without_a_suitable_python_is_told_what_to_do():
    result = make("lab", "PYTHON=")
    assert result.returncode != 0
    assert "Install one" in result.stdout and "make lab PYTHON=" in result.stdout


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_an_unsuitable_python_is_refused_with_advice(version):
    with pytest.raises(SetupError, match=r"3\.10 to 3\.13.*py -3\.12"):
        environment.check_python(version)


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_every_requirement_is_pinned_once_for_each_python(minor):
    text = (ROOT / "requirements.txt").read_text()
    wanted = environment.pins(text, minor)
    named = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert set(wanted) == set(named)
    for name in set(named):
        lines = [line for line in text.splitlines() if line.startswith(f"{name}==")]
        applying = [line for line in lines if environment.pins(line, minor)]
        assert len(applying) == 1, f"{name}: {len(applying)} lines apply to Python 3.{minor}"


def test_python_310_gets_the_last_versions_that_support_it():
    text = 'numpy==2.4.6; python_version >= "3.11"\nnumpy==2.2.6; python_version < "3.11"\n'
    assert environment.pins(text, 10) == {"numpy": "2.2.6"}
    assert environment.pins(text, 11) == {"numpy": "2.4.6"}


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy==2.*", "-e ."])
def test_a_line_that_is_no_pin_is_named(line):
    with pytest.raises(ValueError, match=re.escape(line)):
        environment.pins(f"tqdm==4.70.1\n{line}\n")


def test_what_the_tests_need_is_pinned_too():
    text = (ROOT / "tests" / "requirements.txt").read_text()
    assert "-r ../requirements.txt" in text
    assert "pytest" in environment.pins(text.replace("-r ../requirements.txt", ""))


@pytest.fixture
def project(tmp_path):
    """A folder with requirement files and the place of an environment."""
    (tmp_path / "tests").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements.txt").write_text("tqdm==4.70.1\n")
    (tmp_path / "tests" / "requirements.txt").write_text("pytest==9.2.0\n")
    return tmp_path


def stamp(project: Path, files) -> None:
    text = environment.fingerprint(files, project)
    environment.stamp_file(files, project / ".venv").write_text(text)


def test_packages_are_installed_again_only_when_the_requirements_change(project):
    venv = project / ".venv"
    assert not environment.is_installed(COURSE, venv, project)
    stamp(project, COURSE)
    assert environment.is_installed(COURSE, venv, project)
    (project / "requirements.txt").write_text("tqdm==4.70.0\n")
    assert not environment.is_installed(COURSE, venv, project)


def test_the_tests_need_more_than_the_course(project):
    stamp(project, COURSE)
    assert not environment.is_installed(TESTS, project / ".venv", project)
    stamp(project, TESTS)
    assert environment.is_installed(TESTS, project / ".venv", project)
    (project / "tests" / "requirements.txt").write_text("pytest==9.1.0\n")
    assert not environment.is_installed(TESTS, project / ".venv", project)


def test_a_failed_install_leaves_no_stamp_and_says_what_to_do(project, monkeypatch):
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(environment, "ROOT", project)
    environment.stamp_file(COURSE, project / ".venv").write_text("of older requirements")
    (project / "requirements.txt").write_text("torch==2.13.0\n")
    with pytest.raises(SetupError, match="give the same command again"):
        environment.install(python, COURSE)
    assert not environment.stamp_file(COURSE, project / ".venv").exists()


def test_a_broken_environment_is_seen(tmp_path):
    assert not environment.is_usable(tmp_path / "bin" / "python")
    broken = tmp_path / "python"
    broken.symlink_to(tmp_path / "removed")
    assert not environment.is_usable(broken)
    assert environment.is_usable(Path(sys.executable))


def test_the_small_build_of_pytorch_is_for_linux_without_a_card(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    assert environment.wants_cpu_build("linux", str(tmp_path / "no driver"))
    assert not environment.wants_cpu_build("linux", str(tmp_path))
    assert not environment.wants_cpu_build("darwin", str(tmp_path / "no driver"))
    assert not environment.wants_cpu_build("win32", str(tmp_path / "no driver"))
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert not environment.wants_cpu_build("linux", str(tmp_path / "no driver"))


def test_jupyterlab_asks_for_no_news(tmp_path):
    settings = json.loads(environment.write_settings(tmp_path).read_text())
    assert settings["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, "linux", False),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_a_browser_is_opened_only_where_somebody_sees_it(variables, platform, expected):
    assert lab.can_show_browser(variables, platform) is expected


def test_the_command_line_of_jupyterlab():
    page = "/lab/tree/lessons/00_start_here.ipynb"
    plain = lab.lab_command(Path("python"), page, "127.0.0.1", 8888, True, False)
    assert f"--LabApp.default_url={page}" in plain and "--ServerApp.port=8888" in plain
    assert "--allow-root" not in plain and "--no-browser" not in plain
    container = lab.lab_command(Path("python"), page, "0.0.0.0", 8888, False, True)
    assert "--allow-root" in container and "--no-browser" in container
    assert not any("token" in part for part in container)


def test_the_first_lesson_is_opened_or_else_the_list_of_lessons(tmp_path):
    (tmp_path / "lessons").mkdir()
    assert lab.first_page(tmp_path) == "/lab/tree/lessons"
    (tmp_path / "lessons" / "00_start_here.ipynb").touch()
    assert lab.first_page(tmp_path) == "/lab/tree/lessons/00_start_here.ipynb"


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_that_was_asked_for_is_refused_with_advice(taken_port):
    with pytest.raises(SetupError, match=f"Port {taken_port} is taken.*Leave the port out"):
        lab.choose_port(taken_port, "127.0.0.1")


def test_another_port_is_taken_when_the_usual_one_is_not_free(taken_port, monkeypatch, capsys):
    monkeypatch.setattr(lab, "FIRST_PORT", taken_port)
    assert lab.choose_port(None, "127.0.0.1") > taken_port
    assert f"Port {taken_port} is taken" in capsys.readouterr().out


def test_a_failed_step_ends_with_its_advice_and_without_a_traceback(monkeypatch, capsys):
    def fail(files):
        raise SetupError("Do this.")

    monkeypatch.setattr(lab, "prepare", fail)
    assert lab.main([]) == 1
    assert "Do this." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failing", "ready"), [("", True), ("utils.onnx_encoder", True), ("utils.models", False)]
)
def test_only_the_models_are_needed_to_open_the_lab(monkeypatch, failing, ready):
    asked = []

    def run(command, **settings):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, int(command[-1] == failing))

    monkeypatch.setattr(environment, "ensure_venv", lambda: Path(sys.executable))
    monkeypatch.setattr(environment, "install", lambda python, files: None)
    monkeypatch.setattr(environment.subprocess, "run", run)
    if ready:
        assert environment.prepare() == Path(sys.executable)
        assert asked == ["utils.models", "utils.onnx_encoder"]
    else:
        with pytest.raises(SetupError, match="weights are not ready"):
            environment.prepare()


@pytest.mark.skipif(os.name == "nt", reason="stops the server by a signal that Windows lacks")
def test_the_lab_opens_prints_an_address_that_works_and_stops(tmp_path):
    program = (
        "import sys; from pathlib import Path; from utils.lab import open_lab;"
        "sys.exit(open_lab(Path(sys.executable), '127.0.0.1', None, False))"
    )
    output = tmp_path / "output"
    # A group of its own, so that the interrupt reaches program and server as Ctrl-C does.
    with open(output, "w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        address = wait_for_address(output, process)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(address, timeout=30) as page:
            assert page.status == 200 and "lessons" in page.url
        with pytest.raises(urllib.error.HTTPError):
            direct.open(re.sub(r"/lab/tree/.*", "/api/contents", address), timeout=30)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_address(output: Path, process: subprocess.Popen) -> str:
    """The address that the lab prints once it is ready."""
    while True:
        found = re.search(r"http://localhost:\d+/lab\S+token=\S+", output.read_text())
        if found:
            return found[0]
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)


@pytest.fixture
def ci_with(tmp_path):
    """Runs the CI script with a stand-in for make that prints and exits as told."""

    def run(prints: str, exits: int) -> subprocess.CompletedProcess:
        fake = tmp_path / "make"
        fake.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\nexit {exits}\n")
        for tool in ("chromium", "bwrap", "unshare", "setpriv", "git"):
            (tmp_path / tool).write_text("#!/bin/sh\n")
        for tool in tmp_path.iterdir():
            tool.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(ROOT / ".ci" / "run")],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    if not Path("/usr/share/fonts/truetype/dejavu").is_dir():
        pytest.skip("the CI script would install the fonts that are missing here")
    return run


def test_the_ci_script_ends_with_the_closing_line_of_the_tests(ci_with):
    result = ci_with("===== 3 passed, 1 skipped in 0.10s =====\nmake: done", 0)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "===== 3 passed, 1 skipped in 0.10s ====="


def test_the_ci_script_fails_when_the_tests_fail(ci_with):
    assert ci_with("= 1 failed, 3 passed in 0.10s =", 2).returncode == 2


def test_the_ci_script_fails_when_no_test_ran(ci_with):
    result = ci_with("nothing happened", 0)
    assert result.returncode == 1
    assert "did not run" in result.stderr
