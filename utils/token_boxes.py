"""A text as a language model meets it: one box for each token, with what happens to the token."""

from __future__ import annotations

import html

from utils.display import show_text

BOX = "display: inline-block; color: black; margin: 2px; padding: 2px 5px; text-align: center"
LOOKS = (
    "background: #DDEEF8; border: 1px dashed #0072B2",
    "background: #F7D48A; border: 2px solid #8A5A00",
)


def show_tokens(tokenizer, parts: dict[str, str]) -> None:
    """Show the tokens of one or two texts that follow each other; `parts`: role -> text.

    Each token stands in a box, its role below it. A space is shown as an open box, a line's end
    as \\n.
    """
    boxes, words = [], []
    for (role, text), look in zip(parts.items(), LOOKS, strict=False):
        for token_id in tokenizer(text, add_special_tokens=False).input_ids:
            token = repr(tokenizer.decode([token_id]))[1:-1].replace(" ", "\u2423")
            words.append(f"{token} ({role})")
            boxes.append(
                f'<span style="{BOX}; {look}"><code style="color: black; background: none">'
                f"{html.escape(token)}</code><br><small>{html.escape(role)}</small></span>"
            )
    show_text(" ".join(words), {"text/html": f"<div>{''.join(boxes)}</div>"})
