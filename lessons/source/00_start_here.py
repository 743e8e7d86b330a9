# %% [markdown]
# # Lesson 00: Start here
#
# In a moment a language model on your own machine answers a question about the world. Then you ask
# it about a product that does not exist, and watch what it does.

# %% [markdown]
# ## What you will be able to do
#
# - ask the course's language model a question, and recognise an answer that it made up;
# - make a prediction, run a measurement, and compare;
# - solve an exercise, have it checked, and find your work again tomorrow.
#
# ## What you need
#
# Some Python. Nothing to download: `make lab` has prepared the models. {{measured}}
#
# Run a cell with Shift+Enter, one after the other.

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

# %% [markdown]
# ## The model's first answer
#
# The model is SmolLM2, a small one: it runs on an ordinary processor. It continues text. So we
# give it a text that ends where the answer should come.

# %%
import time

start = time.perf_counter()  # before the imports: they take most of the time

from utils.inference import complete
from utils.models import load_model
from utils.prompts import closed_book, closed_book_prefix
from utils.widgets import say

model, tokenizer = load_model()
prompt = closed_book_prefix() + "\n\n" + closed_book("What is the capital of France?")
answer = complete(model, tokenizer, [prompt])[0]
say(
    f"The model answers: **{answer}**. It has {model.num_parameters() / 1e6:.0f} million "
    f"parameters. From the start of this cell to the answer it took "
    f"{time.perf_counter() - start:.1f} seconds."
)

# %% [markdown]
# This is what the model read. The solved questions at the beginning show it the form of an
# answer: short, on one line. Lesson 01 measures how much that matters.

# %%
print(prompt)

# %% [markdown]
# ## A question that it cannot answer
#
# The course has a catalogue of products that do not exist. We invented them, so no model can have
# read about them. Here is one:

# %%
from utils.worlds import load_world, prose_card

world = load_world()
product = world.products[0]
print(prose_card(product))

# %% [markdown]
# You see the card. The model does not: it will get the question alone. That is called *closed
# book*.
#
# **Predict.** In this course you say what you expect *before* you run a measurement. A wrong guess
# is welcome: it shows where there is something to learn. Your guess is kept on your machine, and no
# one else sees it.

# %%
from utils.widgets import predict, predict_choice

ADMITS, INVENTS = "it says that it does not know", "it makes an answer up"
predict_choice(
    "l00_unknown", "What does the model do when asked for facts it never read?", [ADMITS, INVENTS]
)

# %%
predict("l00_right", "Of ten such questions, how many does it get right?", high=10, unit="of 10")

# %% [markdown]
# **Run.** Ten questions on two products, without their cards.

# %%
from utils.worlds import questions

ten = questions(world, "held_out")[:10]
prompts = [closed_book_prefix() + "\n\n" + closed_book(question.text) for question in ten]
answers = complete(model, tokenizer, prompts, batch_size=10, progress="Asking")

rows = [f"| {q.text} | {a} | {q.answer} |" for q, a in zip(ten, answers, strict=True)]
say("\n".join(["| question | the model says | the card says |", "| --- | --- | --- |", *rows]))

# %%
from utils.scoring import exact_match
from utils.widgets import reveal

admitted = [any(word in a.lower() for word in ("know", "sorry", "unknown")) for a in answers]
right = [exact_match(a, q.answer) for q, a in zip(ten, answers, strict=True)]
reveal("l00_unknown", ADMITS if sum(admitted) > 5 else INVENTS)
reveal("l00_right", sum(right))

# %% [markdown]
# **Explain.** The model was trained to continue text plausibly, and "I never read that" is seldom
# how a text continues. So it names *a* colour, *a* town. Fluent and wrong look just like fluent
# and right.
#
# Two repairs are possible. Put the card into the prompt: we change what is *outside* the model. Or
# train the model on the catalogue: we change what is *inside*. When is which one better? That is
# what you measure in this course.

# %% [markdown]
# ## Exercises and checks
#
# Each exercise has three parts: what to do, a cell for your code, and a check that tells you what
# is wrong. If you are stuck, unfold a hint. The worked solution comes last; try first.
#
# A check never stops the notebook. You can go on and come back.

# %% [markdown]
# ### Exercise 0.1: the share of right answers
#
# Write a function that gets the model's answers and the right ones, in the same order, and returns
# the share that is right. For `["teal", "amber"]` and `["teal", "ivory"]` that is `0.5`.


# %% nbgrader={"grade_id": "q0_1", "solution": true}
def share_right(answers: list[str], right: list[str]) -> float:
    """Share of the answers (0 to 1) that equal the right answer to the same question."""
    ### BEGIN SOLUTION: count the answers that equal the right one, divide by the questions
    matches = [answer == truth for answer, truth in zip(answers, right, strict=True)]
    return sum(matches) / len(matches)
    ### END SOLUTION


# %% nbgrader={"grade_id": "q0_1_check", "grade": true, "locked": true, "points": 1}
from utils.checks import check

check("q0_1")

# %% [markdown] tags=["hints"]
# Hint: How many answers are there, and how many of them equal the one at the same place?
#
# Hint: `zip(answers, right)` gives the pairs. `sum` counts how often something is `True`.

# %% [markdown]
# ## Is this machine ready?
#
# The course's doctor looks at Python, packages, weights, memory and speed. What is in order is
# marked `ok`. Where it says `look` or `fix`, the arrow says what to do.

# %%
from utils.doctor import examine

print(examine())

# %% [markdown]
# ## Where your work is kept
#
# - **Guesses and solved exercises** lie in the folder below, as plain text. They are there again
#   after a restart, and an update of the course does not touch them.
# - **Your code** is in the notebook itself: save it with Ctrl+S.
# - On Binder everything vanishes when you leave. Before you go, download the notebook (File,
#   Download) and the files in the folder `my_work` (right-click, Download); next time upload them
#   to the same places.

# %%
from utils.progress_page import progress
from utils.work import work_folder

print(work_folder(), end="\n\n")
progress()

# %% [markdown]
# ## What we measured and how sure we are
#
# Ten questions are enough to see *that* a model invents. They are too few to say how often: from
# lesson 01 on we ask more, and each number comes with a 95 % interval that says how far off it may
# be.
#
# On another machine a word may differ here and there, because processors round differently.
#
# ## Where to read on
#
# - Lesson 01 asks why the model fails, and moves the first lever.
# - The model: [SmolLM2](https://arxiv.org/abs/2502.02737). It was made small on purpose.
# - Stuck with JupyterLab? Its menu Help has a reference and the shortcuts.
