"""Questions a second: the pipeline in batches against the plain way, one question after the other.

`python -m tests.benchmarks.rag` asks both the same questions about the default world, in turns of
`BLOCK` questions, so that whatever else the machine does hits both alike. The last line printed is
JSON: `speedup` (seconds of the plain way / seconds of the pipeline), `same_answers` (share of equal
answers), and what they were computed from.

Both ways use the same model in fp32. In bf16 (`--dtype bfloat16`) the rounding depends on what is
read together, so answers that hang by a hair differ, whichever way is taken.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from utils import worlds
from utils.inference import line_end_ids
from utils.models import load_encoder, load_model
from utils.prompts import SEPARATOR, open_book, open_book_prefix
from utils.rag import Pipeline
from utils.retrieval import DenseRetriever, Passage, import_faiss

QUESTIONS = 200
BLOCK = 50
NEW_TOKENS = 12  # as many as `utils.inference.complete` lets an answer have


def plain_way(model, tokenizer, encoder, passages: Sequence[Passage]) -> Callable[[str], str]:
    """The loop that every introduction shows: encode, search, prompt, generate; one at a time."""
    vectors = encoder.encode([passage.text for passage in passages], normalize_embeddings=True)
    index = import_faiss().IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    # Stopping at the end of the line is the peer's as well: else it would go on to the limit.
    stop_ids = line_end_ids(tokenizer)

    @torch.inference_mode()
    def answer(question: str) -> str:
        vector = encoder.encode([question], normalize_embeddings=True, show_progress_bar=False)
        _, numbers = index.search(vector, 1)
        passage = passages[numbers[0][0]].text
        prompt = SEPARATOR.join([open_book_prefix(), open_book(passage, question)])
        encoded = tokenizer(prompt, return_tensors="pt")
        output = model.generate(
            **encoded,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=stop_ids,
            pad_token_id=tokenizer.pad_token_id,
        )
        text = tokenizer.decode(output[0, encoded.input_ids.shape[1] :], skip_special_tokens=True)
        return text.split("\n")[0].strip()

    return answer


def measure(count: int, batch_size: int, dtype: str) -> dict:
    """Ask both ways `count` questions; returns what the JSON line holds."""
    model, tokenizer = load_model(dtype=getattr(torch, dtype))
    encoder = load_encoder()
    world = worlds.load_world()
    passages = [
        Passage(product.name, worlds.attribute_list(product), product.name)
        for product in world.products
    ]
    asked = [question.text for question in worlds.questions(world, "held_out")][:count]
    plain = plain_way(model, tokenizer, encoder, passages)
    pipeline = Pipeline(model, tokenizer, DenseRetriever(encoder, passages))
    for text in asked[:2]:  # both are warm before the clock starts
        plain(text)
    pipeline.answers(asked[:batch_size], batch_size)

    seconds = {"plain": 0.0, "rag": 0.0}
    same = 0
    for first in tqdm(range(0, len(asked), BLOCK), unit="block"):
        block = asked[first : first + BLOCK]
        start = time.perf_counter()
        one_by_one = [plain(text) for text in block]
        middle = time.perf_counter()
        in_batches = [answer.text for answer in pipeline.answers(block, batch_size)]
        seconds["plain"] += middle - start
        seconds["rag"] += time.perf_counter() - middle
        same += sum(a == b for a, b in zip(one_by_one, in_batches, strict=True))
    return {
        "speedup": round(seconds["plain"] / seconds["rag"], 2),
        "same_answers": round(same / len(asked), 4),
        "questions": len(asked),
        "batch_size": batch_size,
        "dtype": dtype,
        "plain_questions_per_second": round(len(asked) / seconds["plain"], 3),
        "rag_questions_per_second": round(len(asked) / seconds["rag"], 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args(arguments)
    print(json.dumps(measure(options.questions, options.batch_size, options.dtype)))


if __name__ == "__main__":
    main()
