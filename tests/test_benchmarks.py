"""The benchmarks run with small numbers; what they measure is for a quiet machine to say."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests import tiny
from tests.benchmarks import encoding, grading, lora, number_formats, retrieval, scoring
from utils.grading.jail import why_no_jail
from utils.lora import LoraSettings
from utils.worlds import load_world, questions

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"
WORKLOAD = lora.workload(1, 7)
SPEEDUPS = {"encode_speedup", "embed_speedup", "onnx_fp32_speedup", "onnx_int8_speedup"}


class PlainHarness:
    """Stands for lm_eval, which the tests do without: one pass for each option."""

    def __init__(self, pretrained, tokenizer, batch_size):
        self.model, self.tokenizer, self.batch_size = pretrained, tokenizer, batch_size

    def tok_encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)

    @torch.inference_mode()
    def loglikelihood(self, requests, disable_tqdm):
        found = []
        for request in requests:
            context, option = request.arguments
            whole = torch.tensor([self.tok_encode(context + option)])
            start = len(self.tok_encode(context))
            logits = self.model(whole, use_cache=False).logits[0, start - 1 : -1]
            picked = logits.log_softmax(-1).gather(-1, whole[0, start:, None])
            found.append((float(picked.sum()), False))
        return found


def plain_request(request_type, doc, arguments, idx):
    assert request_type == "loglikelihood"
    return SimpleNamespace(arguments=arguments)


def test_searching_and_encoding(capsys):
    retrieval.main(["--vectors", "2000", "--sentences", "60", "--queries", "8"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0.5 < result["ann_recall_at_10"] <= 1
    assert {result[kind]["recall_at_10"] for kind in ("ivf", "hnsw")} >= {
        result["ann_recall_at_10"]
    }
    assert result["vectors"] == 2000 and result["ann_speedup"] > 0
    assert result["encode_one_speedup"] > 0
    for part in (result, result["statements"]):
        assert all(part[name] > 0 for name in SPEEDUPS)
        assert part["encode_way"] in encoding.EXACT
        assert 0 < part["encode_max_abs_diff"] < 1e-3
        assert 0.9 < part["onnx_int8_smallest_cosine"] < 1
        assert part["sentences"] == 60
    assert 0 < result["statements"]["matmul_peak_share"] < 2  # rounding of a busy machine


def test_turns_keep_the_order_of_the_sentences():
    texts = [str(number) for number in range(7)]
    ways = {"plain": lambda part: np.array([[float(text)] for text in part])}
    took, vectors = encoding.in_turns(ways, texts)
    assert vectors["plain"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6] and took["plain"] > 0


def test_padding_counts_as_tokens(encoder):
    """Two texts of 3 and 5 tokens, the ends included, make a batch of 10."""
    assert encoding.padded_tokens(encoder.tokenizer, ["lamp", "a red lamp"]) == [10]
    assert encoding.padded_tokens(encoder.tokenizer, ["lamp", "a red lamp"], 1) == [5, 3]


def test_the_products_are_those_of_the_encoders_weights(encoder):
    """Each weight matrix of the six layers meets every token once."""
    layers = encoder[0].auto_model.encoder.parameters()
    weights = sum(tensor.numel() for tensor in layers if tensor.ndim == 2)
    pairs = encoding.products(encoder, tokens=10)
    assert sum(right.numel() for _, right in pairs) == weights
    assert {left.shape[0] for left, _ in pairs} == {10}


def test_the_sentences_are_as_many_as_asked_for_and_the_same_each_time():
    for texts in (encoding.statements, encoding.doc_texts):
        assert len(texts(40)) == 40 and texts(40) == texts(40)


# --- scoring ----------------------------------------------------------------------------------


@pytest.fixture
def forms():
    world = load_world()
    asked = questions(world, "held_out")[:5]
    return scoring.open_book_form(world, asked), scoring.closed_book_form(asked)


@pytest.fixture
def tiny_model(language_model):
    """Random weights behind the course's tokenizer: the plain way takes no time either."""
    _, tokenizer = language_model
    shape = {"num_hidden_layers": 2, "max_position_embeddings": 2048, "initializer_range": 0.5}
    return tiny.tiny_model(vocab_size=len(tokenizer), **shape), tokenizer


def test_scoring(monkeypatch, tiny_model, capsys):
    monkeypatch.setattr(scoring, "import_harness", lambda: (PlainHarness, plain_request))
    monkeypatch.setattr(scoring, "load_model", lambda dtype: tiny_model)
    monkeypatch.setattr(scoring, "version", lambda name: f"that of {name}")
    scoring.main(["--questions", "3", "--block", "2", "--lm-eval-batch-sizes", "1", "auto"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    for part in (result, result["closed_book"]):
        smallest, largest = part["speedup_range"]
        assert part["speedup_vs_lm_eval"] > 0 and 0 < smallest <= largest
        assert 0 <= part["max_abs_diff"] < 1e-3
        assert part["equal_choices"] == part["same_tokens"] == 1
        assert part["items"] == 3
        assert part["lm_eval_tokens_read"] == part["tokens"]  # the plain way shares nothing
        assert part["course_tokens_read"] < part["tokens"] / 2
        assert set(part["lm_eval_trial_seconds"]) == {"1", "auto"}
        assert part["lm_eval_batch_size"] in {"1", "auto"}
    assert result["tokens"] > result["closed_book"]["tokens"]
    assert result["versions"]["lm_eval"] == "that of lm_eval"


def test_both_ways_split_texts_into_the_same_tokens(language_model, forms):
    _, tokenizer = language_model
    for form in forms:
        found = scoring.compare_tokens(tokenizer, tokenizer.encode, form)
        assert found["same_tokens"] == 1 and found["tokens"] > 0


def test_other_tokens_are_noticed(language_model, forms):
    """A tokenizer that puts a token of its own before each text."""
    _, tokenizer = language_model
    found = scoring.compare_tokens(tokenizer, lambda text: [0, *tokenizer.encode(text)], forms[1])
    assert found["same_tokens"] == 0


def test_an_item_is_asked_as_in_the_lessons(forms):
    for form in forms:
        for item in form.items:
            assert form.context(item).endswith("\nAnswer:")
            assert form.context(item).count("Question: ") == 6  # five examples and the question
            assert len(item.options) == 4 and all(option[0] == " " for option in item.options)
    assert "- colour: " in forms[0].items[0].prompt


def test_agreement():
    ours = [np.array([-1.0, -2.0]), np.array([-3.0, -2.0])]
    theirs = [np.array([-1.0, -2.5]), np.array([-1.0, -2.0])]
    assert scoring.agreement(ours, theirs) == {"max_abs_diff": 2.0, "equal_choices": 0.5}


def test_a_missing_harness_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(SystemExit, match="^lm_eval is missing") as stop:
        scoring.main([])
    file = re.search(r"pip install -r (\S+)", str(stop.value))[1]
    text = (BENCHMARKS.parent.parent / file).read_text(encoding="utf-8")
    assert re.search(r"^lm_eval\S*==", text, re.MULTILINE)


# --- tuning -----------------------------------------------------------------------------------


def test_the_workload_holds_every_fact_three_times_and_no_held_out_phrasing():
    examples, asked = lora.workload(8, 2024)
    assert (len(examples), len(asked)) == (280, 200)
    assert len(set(examples)) == 280
    prompts = {example.prompt for example in examples}
    assert not any(question.text in prompt for question in asked for prompt in prompts)
    text = " ".join(example.prompt + example.answer for example in examples)
    for question in asked[::7]:
        assert text.count(question.product) >= 5 + 2
        assert sum(question.product in e.prompt and e.answer == f" {question.answer}\n"
                   for e in examples) >= 1  # fmt: skip


@pytest.mark.parametrize("way", lora.WAYS)
def test_a_run_trains_and_asks_with_the_clock_standing(monkeypatch, tiny_model, way):
    monkeypatch.setattr("utils.models.load_model", lambda dtype: tiny_model)
    monkeypatch.setattr("utils.injection.closed_book_exact", lambda m, t, qs: [1.0] * len(qs))
    monkeypatch.setattr(lora, "UPPER_LAYERS", 1)
    monkeypatch.setattr(lora, "workload", lambda *_: tuple(part[:4] for part in WORKLOAD))
    found = lora.measure_here(lora.Run(way, 0, 1e-3, batch_size=2, epochs=3, rank=2))
    assert [asked["epoch"] for asked in found["curve"]] == [2, 3]
    seconds = [asked["seconds"] for asked in found["curve"]]
    assert 0 < seconds[0] <= seconds[1] <= found["seconds"]
    assert found["tokens"] > 0 and found["peak_gb"] > 0 and found["matrix_gflops"] > 0
    assert ("flops" in found) == (way == lora.COURSE)


def test_the_operations_are_those_that_pytorch_counts(tiny_model):
    """One pass forth through one layer and the head, by PyTorch's own counter, times two."""
    model, _ = tiny_model
    hidden = torch.randn(1, 7, model.config.hidden_size)
    with FlopCounterMode(display=False) as counter:
        layer = model.model.layers[0]
        for matrix in (w for w in layer.parameters() if w.ndim == 2):
            torch.randn(7, matrix.shape[1]) @ matrix.T
        model.lm_head(hidden[:, :3])
    assert lora.tune_flops(model, 7, 3, 1) == 2 * counter.get_total_flops()


def one_run(seconds: float, right: int, peak_gb: float = 1.0) -> dict:
    curve = [
        {"epoch": 2, "seconds": seconds / 2, "exact": [0.0] * 10},
        {"epoch": 4, "seconds": seconds, "exact": [1.0] * right + [0.0] * (10 - right)},
    ]
    return {
        "products": [f"p{n // 2}" for n in range(10)],
        "curve": curve,
        "tokens": 100,
        "seconds": seconds,
        "peak_gb": peak_gb,
        "matrix_gflops": 2.0,
        "flops": seconds * 1e9,
    }


def test_a_summary_compares_seconds_to_the_same_accuracy():
    runs = {
        lora.COURSE: [one_run(10, 8), one_run(20, 9, peak_gb=1.2)],
        lora.TRAINER: [one_run(150, 7), one_run(210, 8)],
        lora.TRAINER_BF16: [one_run(90, 6), one_run(100, 8)],
    }
    found = lora.summary(runs)
    assert found["wanted"] == 0.6  # the best of the weakest run
    assert found["speedup_vs_trainer"] == 12.0
    assert found["speedup_vs_trainer_bf16"] == round(95 / 15, 2)
    assert found["peak_rss_gb"] == 1.2
    assert found["accuracy"][0] == 0.85 and found["trainer_accuracy"][0] == 0.75
    assert found["accuracy"][1] <= 0.85 <= found["accuracy"][2]
    assert found["matmul_peak_share"] == 0.5
    assert found["tokens_per_second"] == {"tune": 7, "Trainer": 1, "Trainer, bf16": 1}


def test_no_more_than_70_percent_is_asked_for_and_a_way_may_be_left_out():
    runs = {lora.COURSE: [one_run(10, 8)], lora.TRAINER: [one_run(60, 9)], lora.TRAINER_BF16: []}
    found = lora.summary(runs)
    assert (found["wanted"], found["speedup_vs_trainer"]) == (0.7, 6.0)
    assert found["speedup_vs_trainer_bf16"] is None
    assert "Trainer, bf16" not in found["tokens_per_second"]


@pytest.mark.parametrize("right", [7, 14, 28, 55, 56, 64])
def test_a_run_reaches_its_own_best_share(right):
    """In floating point (7 / 100) * 100 is more than 7: shares are compared with shares."""
    run = one_run(10, 8) | {"products": [f"p{n // 2}" for n in range(100)]}
    run["curve"] = [
        {"epoch": 2, "seconds": 5, "exact": [0.0] * 100},
        {"epoch": 4, "seconds": 10, "exact": [1.0] * right + [0.0] * (100 - right)},
    ]
    found = lora.summary({lora.COURSE: [run], lora.TRAINER: [run]})
    assert found["wanted"] == right / 100
    assert found["seconds_to_wanted"] == {lora.COURSE: 10, lora.TRAINER: 10}


def test_seconds_to_an_accuracy_that_is_never_reached():
    assert lora.seconds_to(0.9, one_run(10, 8)["curve"]) is None
    assert lora.seconds_to(0.8, one_run(10, 8)["curve"]) == 10


@pytest.mark.parametrize("way", number_formats.WAYS)
def test_only_in_bfloat16_as_the_course_has_it_are_rows_filled_up(monkeypatch, tiny_model, way):
    model, tokenizer = tiny_model
    rows = set()
    model.lm_head.register_forward_pre_hook(lambda _, given: rows.add(given[0].shape[-2]))
    monkeypatch.setattr(
        number_formats, "load_model", lambda dtype, device: (model.to(device, dtype), tokenizer)
    )
    monkeypatch.setattr(lora, "workload", lambda *_: tuple(part[:4] for part in WORKLOAD))
    settings = LoraSettings(batch_size=1, epochs=2, upper_layers=1)
    found = number_formats.measure_here(way, settings)
    assert found["ms_a_step"] > 0 and found["peak_rss_gb"] > 0 and found["loss"] > 0
    assert all(count % 16 == 0 for count in rows) == (way == number_formats.BFLOAT16)


def test_the_chosen_format_is_compared_with_the_other_one():
    runs = {
        number_formats.FLOAT32: [{"ms_a_step": 80, "peak_rss_gb": 1.5}] * 2,
        number_formats.BFLOAT16: [{"ms_a_step": took, "peak_rss_gb": 1.2} for took in (50, 40)],
        number_formats.UNFILLED: [{"ms_a_step": 60, "peak_rss_gb": gb} for gb in (2.1, 2.2)],
    }
    found = number_formats.summary("bfloat16", runs)
    assert (found["speedup_of_chosen"], found["speedup_of_filling"]) == (2.0, 1.5)
    assert list(found["peak_rss_gb"].values()) == [1.5, 1.2, 2.2]
    assert number_formats.summary("float32", runs)["speedup_of_chosen"] == 0.5


# -- grading ---------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(why_no_jail()), reason="bubblewrap is missing")
def test_a_class_that_is_killed_three_times_keeps_every_mark(capsys):
    grading.main(["--submissions", "16", "--for-speedup", "3"])
    *said, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert sum(line.startswith("killed with") for line in said) == 3
    assert found["submissions"] == 16
    assert found["wrong_marks"] == found["lost"] == found["duplicated"] == 0
    assert 0 < found["median_s"] <= found["slowest_s"] and found["speedup_2_workers"] > 0


def test_wrong_lost_and_doubled_marks_are_counted(tmp_path):
    expected = {"a": (2, 2, 2, 2), "b": (2, 2, 2, 2), "c": (0, 0, 0, 0), "d": (2, 2, 2, 2)}
    rows = ["student,q2_1,q2_2,q2_3,q2_4", "a,2,2,2,2", "a,2,2,2,2", "b,2,0,2,2", "c,,,,"]
    (tmp_path / "marks.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "units").mkdir()
    for number, seconds in enumerate((1.0, 3.0, 2.0)):
        (tmp_path / "units" / f"{number}.json").write_text(json.dumps({"seconds": seconds}))
    assert grading.compare(expected, tmp_path) == {
        "submissions": 4,
        "wrong_marks": 2,
        "lost": 1,
        "duplicated": 1,
        "median_s": 2.0,
        "slowest_s": 3.0,
    }
