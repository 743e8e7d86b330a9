"""The words around a question: what the model reads before it answers.

The form of a prompt is the first lever outside the model, and the cheapest. The default model was
tuned to chat, yet it reads a product card far better as plain text to be continued: worked examples
first, then the passage, the question and "Answer:". Lesson 01 measures the difference.

Prompts of the closed-book and open-book form end in "Answer:", so the same answer, a space and a
few words, is expected in every arm of a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEPARATOR = "\n\n"  # stands between the worked examples and the prompt, and between examples
QUESTION = "Question: "
LONGEST_TOKEN = 100  # characters; only rows of one sign come near it


@dataclass(frozen=True)
class WorkedExample:
    """A question with its right answer, and the passage it is read from, "" in closed-book form."""

    question: str
    answer: str
    passage: str = ""


def _card(title: str, colour: str, material: str, town: str, battery: str, month: str) -> str:
    return (
        f"{title}\n- colour: {colour}\n- case material: {material}\n- made in: {town}\n"
        f"- battery life: {battery}\n- on sale from: {month}"
    )


# The products of the examples belong to other makers: none is in the course's catalogue.
READING_EXAMPLES = (
    WorkedExample(
        "What colour is the Ottmar 12?",
        "grey",
        _card("Ottmar 12 torch", "grey", "nylon", "Selby", "8 hours", "June"),
    ),
    WorkedExample(
        "In which town is the Quillet B5 Neo built?",
        "Wickham",
        _card("Quillet B5 Neo toaster", "beige", "zinc", "Wickham", "5 hours", "May"),
    ),
    WorkedExample(
        "What is the case of the Tessaly 310 made of?",
        "copper",
        _card("Tessaly 310 mixer", "pink", "copper", "Harlow", "11 hours", "October"),
    ),
    WorkedExample(
        "Which month brings the Junip 77 Air to the shops?",
        "February",
        _card("Junip 77 Air scale", "black", "plastic", "Tetbury", "90 hours", "February"),
    ),
    WorkedExample(
        "How long can you use the Arkell S2 between two charges?",
        "33 hours",
        _card("Arkell S2 radio", "gold", "wool", "Malvern", "33 hours", "March"),
    ),
)
CLOSED_BOOK_EXAMPLES = (
    WorkedExample("What colour is fresh snow?", "white"),
    WorkedExample("In which city does the Louvre stand?", "Paris"),
    WorkedExample("What are tyres made of?", "rubber"),
    WorkedExample("Which month brings Christmas Day?", "December"),
    WorkedExample("How long does a football match last?", "90 minutes"),
)


def closed_book(question: str) -> str:
    """The question alone: whatever the model answers, it has from its weights."""
    return f"{QUESTION}{question}\nAnswer:"


def open_book(passage: str, question: str) -> str:
    """The passage, then the question: the answer can be read off the passage."""
    return f"{passage}\n{closed_book(question)}"


def before_question(prompt: str) -> str:
    """The passages of an open-book prompt, "" where no line before the question is."""
    return prompt.rpartition(f"\n{QUESTION}")[0]


def passages_prompt(texts: Sequence[str], question: str, best_last: bool = True) -> str:
    """The prompt for passages given best first; by default the best one stands nearest to the end.

    A small model answers from what stands nearest, so order matters as much as what is found.
    """
    return open_book(SEPARATOR.join(reversed(texts) if best_last else texts), question)


def fit_passages(tokenizer, texts: Sequence[str], question: str, budget: int) -> list[str]:
    """The first of the texts that fit into ``budget`` tokens together with the question.

    If not even the first one fits, its beginning does. Raises ValueError where the question leaves
    no room.
    """
    room = budget - _count_tokens(tokenizer, open_book("", question))
    if room < 1:
        raise ValueError(
            f"The question alone fills the prompt's {budget} tokens: shorten it, or raise `budget`."
        )
    kept = []
    for text in texts:
        if len(text) > room * LONGEST_TOKEN:
            break  # a giant text need not be split into tokens to be too long
        needed = _count_tokens(tokenizer, text + SEPARATOR)
        if needed > room:
            break
        kept.append(text)
        room -= needed
    return kept or [first_tokens(tokenizer, texts[0], room)]


def first_tokens(tokenizer, text: str, count: int) -> str:
    """The beginning of the text, up to the end of its token number ``count``."""
    text = text[: count * LONGEST_TOKEN]  # the rest of a giant text need not be split into tokens
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if len(encoded.offset_mapping) <= count:
        return text
    return text[: encoded.offset_mapping[count - 1][1]]


def worked_examples(examples: Sequence[WorkedExample]) -> str:
    """The examples as one text, solved: the beginning that all prompts of one form share."""
    return SEPARATOR.join(_solved(example) for example in examples)


def closed_book_prefix() -> str:
    """Examples from general knowledge; they show the form of an answer and nothing else."""
    return worked_examples(CLOSED_BOOK_EXAMPLES)


def open_book_prefix() -> str:
    """Examples that each read a card of their own."""
    return worked_examples(READING_EXAMPLES)


def chat(tokenizer, user: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """The model's own chat template around a message, after worked (user, assistant) turns."""
    messages = []
    for asked, answered in examples:
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
    messages.append({"role": "user", "content": user})
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _count_tokens(tokenizer, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False).input_ids)


def _solved(example: WorkedExample) -> str:
    question = closed_book(example.question)
    prompt = open_book(example.passage, example.question) if example.passage else question
    return f"{prompt} {example.answer}"
