"""The course's sentence encoder in ONNX Runtime: the same vectors sooner, or near ones sooner yet.

ONNX is a file format for the graph of a network's operations (https://onnx.ai); ONNX Runtime reads
such a file and computes without PyTorch. Two precisions are made of the encoder:

* *fp32*: the same weights. The vectors equal the original's but for rounding.
* *int8*: weights and embeddings are stored as whole numbers of 8 bits, with one scale for each
  column; what meets them in a matrix product is rounded to 8 bits while it runs ("dynamic
  quantisation", https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
  A quarter of the size, and the vectors change a little, also with what shares their batch.

The files are made once, in the cache folder, and are about 115 MB.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from utils.models import ENCODER_FOLDER, load_encoder
from utils.passages import check_texts
from utils.pinned import WeightsError, cache_folder, make_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

INPUTS = ("input_ids", "attention_mask")
FOLDER = f"{ENCODER_FOLDER}-onnx"
PRECISIONS = ("fp32", "int8")
OPSET = 23  # the first version of ONNX's operations that has attention as one of them
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class OnnxEncoder:
    """A sentence encoder that `utils.retrieval.embed` and `DenseRetriever` take as they take any.

    ``path`` is its file, ``precision`` "fp32" or "int8", ``tokenizer`` the original's.
    """

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        """Read the file of one precision in `folder`, to compute with so many threads."""
        import onnxruntime
        from transformers import AutoTokenizer

        self.precision, self.path = precision, folder / f"{precision}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait must sleep. Awake they answer one question alone a third sooner, but
        # what PyTorch computes next, on the same few cores, takes twice as long.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        if not (folder / "tokenizer.json").is_file():  # transformers would make an empty tokenizer
            raise FileNotFoundError("tokenizer.json is missing")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(
        self,
        texts: Sequence[str],
        batch_size: int = 32,
        normalize_embeddings: bool = True,
        show_progress_bar: bool = False,
    ) -> np.ndarray:
        """One vector for each text: float32, shape (texts, dimensions).

        Of a text the first 256 tokens are read. Every vector has length 1 also where
        ``normalize_embeddings`` is False, as with the original: it is the network's last step.
        Batches follow the order of the texts; `utils.retrieval.embed` sorts them by length first.
        """
        texts = check_texts(texts, "Text")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
        vectors = np.zeros((len(texts), self.get_embedding_dimension()), dtype=np.float32)
        starts = range(0, len(texts), batch_size)
        for start in tqdm(starts, desc="encoding", unit="batch", disable=not show_progress_bar):
            rows = slice(start, start + batch_size)
            tokens = self.tokenizer(texts[rows], padding=True, truncation=True, return_tensors="np")
            inputs = {name: tokens[name].astype(np.int64) for name in INPUTS}
            (vectors[rows],) = self.session.run(None, inputs)
        return vectors

    def get_embedding_dimension(self) -> int:
        """How many numbers a vector has."""
        return self.session.get_outputs()[0].shape[1]


def load_onnx_encoder(precision: str = "fp32", threads: int | None = None) -> OnnxEncoder:
    """The course's encoder in ONNX Runtime, "fp32" or "int8"; the first call makes both files.

    threads: by default as many as PyTorch uses. Raises ValueError for another precision,
    ImportError where a package is missing, and `WeightsError`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r}; choose {' or '.join(PRECISIONS)}.")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    if threads < 1:
        raise ValueError(f"threads is {threads}; it must be at least 1.")
    folder = _onnx_folder()
    try:
        return OnnxEncoder(folder, precision, threads)
    except Exception as error:  # those of ONNX Runtime have no class in common
        raise WeightsError(
            f"Cannot load {precision}.onnx from {folder}.\nThe files are damaged. Delete that "
            f"folder and try again: they are made anew, in about ten seconds.\n({error})"
        ) from error


def weight_bytes(encoder: OnnxEncoder | SentenceTransformer) -> int:
    """The size of an encoder's weights in bytes, as they lie on the disk."""
    if isinstance(encoder, OnnxEncoder):
        return encoder.path.stat().st_size
    return sum(tensor.numel() * tensor.element_size() for tensor in encoder.parameters())


def _onnx_folder() -> Path:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The encoder in ONNX Runtime needs {', '.join(missing)}. `make lab` installs what is "
            f"missing; by hand: {sys.executable} -m pip install -r requirements.txt"
        )
    ready = cache_folder() / FOLDER
    if ready.is_dir():
        return ready
    encoder = load_encoder(device="cpu")  # first, as it may have to be fetched under the same lock
    return make_folder(FOLDER, partial(_export, encoder))


def _export(encoder: SentenceTransformer, built: Path) -> None:
    """Write fp32.onnx, int8.onnx and the tokenizer's files into the folder `built`."""
    print("Making the encoder's ONNX files once: about ten seconds ...", flush=True)
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    built.mkdir()
    example = encoder.tokenizer(
        ["two texts", "of unlike length"], padding=True, return_tensors="pt"
    )
    # Texts and tokens of a batch may be as many as they like; the example's numbers are not kept.
    shape = {0: torch.export.Dim("texts", min=1), 1: torch.export.Dim("tokens", min=2, max=512)}

    class TokensToVectors(torch.nn.Module):
        """The original with its own pooling, as a function of token numbers and their mask."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.encoder(inputs)["sentence_embedding"]

    with _quiet():
        program = torch.onnx.export(
            TokensToVectors().eval(),
            tuple(example[name] for name in INPUTS),
            input_names=INPUTS,
            output_names=["vectors"],
            dynamic_shapes=(shape, shape),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        program.save(built / "fp32.onnx")
        quantize_dynamic(
            built / "fp32.onnx",
            built / "int8.onnx",
            op_types_to_quantize=["MatMul", "Gather"],  # Gather: the table of word embeddings
            weight_type=QuantType.QInt8,
            per_channel=True,
            # 7 bits of the 8: sums of 16 bits can overflow on processors without VNNI.
            reduce_range=True,
        )
    encoder.tokenizer.save_pretrained(built)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: of packages not installed and names not used."""
    was = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(was)


def main() -> None:
    """Make the files and say where they are: ``python -m utils.onnx_encoder``."""
    try:
        folder = _onnx_folder()
    except (ImportError, WeightsError) as error:
        sys.exit(f"\n{error}")
    print("The encoder's ONNX files are ready.")
    for path in sorted(folder.glob("*.onnx")):
        print(f"  {path.stat().st_size / 1e6:4.0f} MB  {path}")


if __name__ == "__main__":
    main()
