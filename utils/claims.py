"""The fourteen claims that the course puts to the test, as data.

An engineer's essay on tuning inside or outside a model states them from practice. Each has a result
that would refute it, written down before anything was measured. One definition serves the lessons,
the ledger of the last lesson, the README and the tests.

Published figures are given for comparison; "(2nd)" marks those that were read second-hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GROUPS = {
    "K": "Knowledge",
    "T": "Tasks",
    "C": "Cost",
    "N": "Where retrieval does not fit",
}
VERDICTS = ("holds", "fails", "depends")


@dataclass(frozen=True)
class Claim:
    """One claim about retrieval (RAG) and fine-tuning.

    id: its group's letter and a number, such as "K1". refuted_if: the result that would refute it.
    published: figures of others, with their source, "" where there are none to compare with.
    lesson: the number of the lesson that measures it.
    """

    id: str
    text: str
    refuted_if: str
    published: str
    lesson: int

    @property
    def group(self) -> str:
        """The letter of the claim's group, a key of GROUPS."""
        return self.id[0]

    @property
    def prediction_key(self) -> str:
        """The name under which the learner's prediction is kept."""
        return f"claim_{self.id}"


CLAIMS = (
    Claim(
        "K1",
        "New or changed knowledge costs RAG less time and money: edit the store, no training.",
        "Training on the changes, with some old facts replayed, is as accurate as RAG and does no "
        "more damage, within twice the time.",
        "Repeated tuning on the model's own edits kept 1.3 % after 100 passages, prompting 28.2 % "
        "(2nd).",
        9,
    ),
    Claim(
        "K2",
        "RAG keeps knowledge under control: nothing fails to be learnt, nothing is forgotten.",
        "With retrieval the model loses as much of what it knew before as after tuning.",
        "Training on unknown facts alone took well-known ones from 95.6 to 55.8 (Gekhman 2024, "
        "2nd). LoRA forgets less than full fine-tuning (Biderman 2024). Against the claim: up to "
        "7B parameters, the right passage still fails on most unknown items (2nd).",
        9,
    ),
    Claim(
        "K3",
        "A model that lacks a domain's basic concepts needs enough fine-tuning data first; without "
        "them RAG cannot answer even with the passage in front of it.",
        "A glossary in the prompt, or tuning to read an unrelated domain, closes the gap.",
        "RAFT, Llama2-7B on HF-Hub: RAG 26.4, domain fine-tuning 61.1, fine-tuning + RAG 42.6, "
        "RAFT 74.0 (2nd). Five permuted biographies took recall from 9.7 to 96.6 % in pre-training "
        "(Allen-Zhu & Li, 2nd).",
        9,
    ),
    Claim(
        "T1",
        "RAG gets better results more easily; its strengths are stability and explainability.",
        "RAG's results spread as widely over prompt templates and passage orders as tuning's over "
        "seeds and learning rates, or the answer seldom follows when the passage is edited.",
        "",
        10,
    ),
    Claim(
        "T2",
        "On a task with a simple pattern fine-tuning reaches the higher ceiling, and is stricter "
        "about training and data.",
        "A cheap baseline ties LoRA, or wrong labels hurt LoRA no more than the others.",
        "About 100 labels to break even.",
        10,
    ),
    Claim(
        "T3",
        "RAG's hallucinations come mostly from the retriever; while retrieval holds, RAG wins.",
        "More errors happen with the right passage in the prompt than without it.",
        "Legal RAG products hallucinate 17 to 33 % of the time (Magesh 2024).",
        10,
    ),
    Claim(
        "C1",
        "Training cost: for RAG a database update, for fine-tuning accelerators and time.",
        "The two costs cross, all work counted: writing paraphrases for tuning, embedding anew for "
        "RAG. Where they cross, tuning is the cheaper one.",
        "",
        11,
    ),
    Claim(
        "C2",
        "Inference cost: RAG pays for retrieval and longer prompts; a small extra model is "
        "negligible, an extra LLM call is not; a fine-tuned model is as fast as its base.",
        "A merged adapter is not within 5 % of its base's time, or retrieval with its longer "
        "prompt adds no time.",
        "Adapter not merged: median 5.38 s against 3.14 s (one study of a 7B model).",
        11,
    ),
    Claim(
        "C3",
        "Growing the system: one tuned model per task is unwieldy to deploy.",
        "Adapters for several tasks cost less than 10 % extra, swap in less than 100 ms and lose "
        "no accuracy.",
        "S-LoRA serves thousands of adapters; LoRA Land ran 25 on one GPU.",
        11,
    ),
    Claim(
        "N1",
        "RAG depends on a knowledge base; without one there is nothing to retrieve.",
        "Answers stay as good when facts are taken out of the store.",
        "",
        12,
    ),
    Claim(
        "N2",
        "Style does not depend on knowledge: use the prompt or fine-tuning.",
        "Retrieved examples of the style, which is RAG, tie LoRA.",
        "",
        12,
    ),
    Claim(
        "N3",
        "Tasks on live input (summarising a dialogue) need no store; retrieved examples are "
        "optional.",
        "Retrieved text raises the share of facts found in dialogues that hold all they need.",
        "",
        12,
    ),
    Claim(
        "N4",
        "Where the model cannot follow the instruction, RAG cannot rescue it.",
        "Constrained decoding alone repairs it: then it was decoding, not ability.",
        "",
        12,
    ),
    Claim(
        "N5",
        "Retrieved content narrows creative work.",
        "Random examples in the prompt raise the diversity of what is written.",
        "",
        12,
    ),
)


def find_claim(id: str) -> Claim:
    """The claim with this id. Raises KeyError, with the ids that there are, when there is none."""
    for claim in CLAIMS:
        if claim.id == id:
            return claim
    raise KeyError(f"There is no claim {id!r}. There are: {', '.join(c.id for c in CLAIMS)}.")


def claims_of(group: str) -> tuple[Claim, ...]:
    """The claims of one group, "K", "T", "C" or "N". Raises KeyError for another letter."""
    if group not in GROUPS:
        raise KeyError(f"There is no group {group!r}. There are: {', '.join(GROUPS)}.")
    return tuple(claim for claim in CLAIMS if claim.group == group)


def claims_table(claims: Iterable[Claim] = CLAIMS) -> str:
    """The claims as a Markdown table: what is claimed, what would refute it, figures, lesson."""
    lines = ["| | the claim | refuted if | published | lesson |", "| --- | --- | --- | --- | --- |"]
    for claim in claims:
        cells = (f"**{claim.id}**", claim.text, claim.refuted_if, claim.published or "–")
        lines.append(f"| {' | '.join(cells)} | {claim.lesson:02d} |")
    return "\n".join(lines)
