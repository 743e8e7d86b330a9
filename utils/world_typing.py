"""Questions as people type them: no capitals, no question mark, names in their own spelling."""

from __future__ import annotations

from dataclasses import replace

from utils.world_names import shuffled
from utils.world_texts import Question

JOINTS = ("", "-", " ")  # what people put between the parts of a model's name


def as_typed(question: Question) -> Question:
    """The same question, typed in a hurry. Which slips it has depends on its id alone.

    Everything is in small letters, the parts of the model's name are joined in some way, and in
    every second question two letters of the family's name have changed places.
    """
    family, *model = question.product.lower().split()
    joint, swap = (
        shuffled(JOINTS, question.id, "joint")[0],
        shuffled((0, 1), question.id, "swap")[0],
    )
    if swap:
        family = family[:2] + family[3] + family[2] + family[4:]
    typed = f"{family} {joint.join(model)}"
    text = question.text.lower().replace(question.product.lower(), typed).rstrip("?.")
    return replace(question, text=text)
