# %% [markdown]
# # Lesson 01: Why compare?
#
# A maker has put a language model behind the question form of its shop. Customers complain: the
# answers are wrong. What should the engineer change, the model or what surrounds it? Before
# anybody can choose, somebody has to look at the bad answers.
#
# ## What you will be able to do
#
# - sort a model's bad answers by their cause, with an observation for each cause;
# - name the levers inside and outside a model;
# - measure how much the form of a prompt alone changes, and say how sure you are;
# - write down what you expect of the fourteen claims that the course puts to the test.
#
# ## What you need
#
# Lesson 00; no GPU. {{measured}}

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

import random

from utils.inference import complete, encode_prefix
from utils.models import load_model
from utils.prompts import closed_book, closed_book_prefix
from utils.scoring import exact_match
from utils.stats import bootstrap
from utils.widgets import predict, reveal, say
from utils.worlds import load_world, questions

model, tokenizer = load_model()
world = load_world()
products = {product.name: product for product in world.products}
sample = random.Random(7).sample(questions(world, "held_out"), 30)
owners = [question.product for question in sample]  # questions on one product belong together

# %% [markdown]
# ## Bad answers
#
# The catalogue is invented, so the model has never read about it. It is asked all the same, as
# customers ask.
#
# **Predict.** How many answers will be right?

# %%
for question in sample[:3]:
    print(question.text)
predict("l01_closed_book", "Closed book, how many of the answers are right?")

# %%
general = encode_prefix(model, tokenizer, closed_book_prefix())  # read once, used for each question
prompts = [closed_book(question.text) for question in sample]
closed = complete(model, tokenizer, prompts, general, progress="Closed book")

rows = [f"| {q.text} | {a} | {q.answer} |" for q, a in zip(sample[:8], closed, strict=False)]
say("\n".join(["| question | the model says | right |", "| --- | --- | --- |", *rows]))

right = [exact_match(a, q.answer) for q, a in zip(sample, closed, strict=True)]
reveal("l01_closed_book", bootstrap(right, owners))

# %% [markdown]
# **Explain.** The answers have the right form: a colour, a town, a month. They are guesses. With
# so few questions the truth may lie anywhere in the 95 % interval, the band in the picture. It is
# found by drawing whole *products* again and again, since questions on one product stand or fall
# together.
#
# To count right answers, a program must know when two texts are the same answer. That is your
# first exercise.
#
# ### Exercise 1.1: exact match
#
# Write the score that the course uses for generated text. Two texts match when they are the same
# after four changes: lower case; no punctuation; the words "a", "an" and "the" dropped; single
# spaces, none at the ends. `("The Teal.", "teal")` gives `1.0`, `("teal and white", "teal")` gives
# `0.0`.


# %% nbgrader={"grade_id": "q1_1", "solution": true}
def my_exact_match(prediction: str, answer: str) -> float:
    """1.0 if both texts are the same once normalised, else 0.0."""
    import string

    ### BEGIN SOLUTION: normalise both texts in the same way, then compare
    def normalise(text: str) -> str:
        text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return " ".join(word for word in text.split() if word not in ("a", "an", "the"))

    return float(normalise(prediction) == normalise(answer))
    ### END SOLUTION


# %% nbgrader={"grade_id": "q1_1_check", "grade": true, "locked": true, "points": 2}
from utils.checks import check

check("q1_1")

# %% [markdown] tags=["hints"]
# Hint: Both texts need the same treatment. A function inside your function saves writing it twice.
#
# Hint: `string.punctuation` holds the characters to drop.
#
# Hint: `text.split()` cuts at any number of spaces. Drop the articles from that list, then join it.

# %% [markdown]
# ## Where could we change something?
#
# Follow a question from left to right. Before it reaches the model, much can be done *outside*: the
# words around it, rules, passages that are looked up. Then it enters the model, and there,
# *inside*, much can be done too.

# %%
from utils.lever_map import ALT, draw_lever_map
from utils.plots import show

show(draw_lever_map(), alt=ALT)

# %% [markdown]
# ## The first lever: the prompt
#
# Now the model gets the right card with each question: it only has to read. Same model, same
# cards, same questions. Only the form changes:
#
# - **chat**: in the chat template that the model was tuned with, or plain **completion**: a text
#   that breaks off where the answer belongs;
# - the card as **prose** or as a **list**;
# - with or without **worked examples**: solved questions on other makers' cards.
#
# Five of these forms compete. Here is the end of the examples and the first question in the last
# form:

# %%
from utils.prompts import READING_EXAMPLES, chat, open_book, open_book_prefix
from utils.worlds import attribute_list, prose_card

solved = [(open_book(e.passage, e.question), e.answer) for e in READING_EXAMPLES]


def completion_prompts(card, beginning: str = "") -> tuple[str, list[str]]:
    """The text that all prompts of a form begin with ("" for none), and the prompts."""
    return beginning, [open_book(card(products[q.product]), q.text) for q in sample]


def chat_prompts(card, examples=()) -> tuple[str, list[str]]:
    """The same in the chat template, where all prompts begin with the solved turns."""
    _, texts = completion_prompts(card)
    if not examples:
        return "", [chat(tokenizer, text) for text in texts]
    turn = "<|im_start|>user"  # begins each message of the user's; only the last one differs
    whole = [chat(tokenizer, text, examples).rpartition(turn) for text in texts]
    return whole[0][0], [turn + last for _, _, last in whole]


forms = {
    "chat, prose": chat_prompts(prose_card),
    "chat, list": chat_prompts(attribute_list),
    "chat, list, examples": chat_prompts(attribute_list, solved),
    "completion, list": completion_prompts(attribute_list),
    "completion, list, examples": completion_prompts(attribute_list, open_book_prefix()),
}
beginning, prompts = forms["completion, list, examples"]
print(beginning[-240:], prompts[0], sep="\n\n")

# %% [markdown]
# **Predict.** An answer counts when it matches exactly.

# %%
predict("l01_chat", "Chat, card as a list, no examples: how many answers are right?")
predict("l01_examples", "Completion, card as a list, worked examples: how many are right?")

# %% [markdown]
# Each form is scored in three ways, from strict to mild:
#
# 1. **exact**: the reply is the answer, and nothing else;
# 2. **said**: the answer stands somewhere in the reply;
# 3. **chosen**: of four options, the answer is the one that the model finds likeliest. Nothing
#    needs to be written, so the form of the reply can't spoil it. The wrong options are the values
#    of its siblings, the other products of its family; one in four would be right by luck.

# %%
from utils.inference import log_likelihoods
from utils.scoring import choose, normalise_answer

replies, scores = {}, {"exact": {}, "said": {}, "chosen": {}}
for form, (beginning, prompts) in forms.items():
    prefix = encode_prefix(model, tokenizer, beginning)
    replies[form] = complete(model, tokenizer, prompts, prefix, max_new_tokens=16, progress=form)
    # A chat reply starts on a line of its own, the answer after "Answer:" with a space.
    space = "" if form.startswith("chat") else " "
    options = [[space + option for option in q.options] for q in sample]
    likely = log_likelihoods(model, tokenizer, prompts, options, prefix, progress=f"{form}: chosen")
    pairs = list(zip(replies[form], sample, strict=True))
    scores["exact"][form] = [exact_match(reply, q.answer) for reply, q in pairs]
    scores["said"][form] = [
        float(normalise_answer(q.answer) in normalise_answer(reply)) for reply, q in pairs
    ]
    scores["chosen"][form] = [
        float(q.options[choose(row)] == q.answer) for row, q in zip(likely, sample, strict=True)
    ]

# %%
import matplotlib.pyplot as plt

from utils.plots import BLUE, GREEN, SKY, interval_bars, set_style

set_style()
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True)
measured = {}
for ax, (score, colour) in zip(axes, zip(scores, (BLUE, SKY, GREEN), strict=True), strict=True):
    measured[score] = {form: bootstrap(values, owners) for form, values in scores[score].items()}
    interval_bars(
        list(forms),
        list(measured[score].values()),
        title=score,
        xlabel="answers right (%)",
        ylabel="form of the prompt",
        colours=colour,
        ax=ax,
    )
    ax.set(xlim=(0, 125), xticks=(0, 25, 50, 75, 100))
    ax.set_ylabel("")
figure.supylabel("form of the prompt", fontsize=11)
axes[2].axvline(25, color="black", linestyle=":")
axes[2].set_title("chosen (dotted: by luck)")
figure.suptitle("One model, one set of cards, five prompts (95 % intervals)")
words = [
    f"{form}: "
    + ", ".join(f"{score} {100 * measured[score][form].estimate:.0f} %" for score in scores)
    for form in forms
]
show(
    figure,
    alt="Three panels of bars with 95 % intervals, one bar a prompt form. " + "; ".join(words),
)
reveal("l01_chat", measured["exact"]["chat, list"])
reveal("l01_examples", measured["exact"]["completion, list, examples"])

# %% [markdown]
# **Explain.** Three things to see:
#
# - Worked examples do more than anything else. They teach nothing about the products; they show
#   what an answer looks like.
# - *Chosen* is high even where *exact* is low. Most of the time the model had read the card. It did
#   not say so in the form that was asked for.
# - So a bad score may be the prompt's fault, or the score's, before it is the model's.
#
# Whoever compares fine-tuning with a badly prompted model measures the prompt. Each arm of our
# comparisons therefore gets the best prompt found for it.

# %% [markdown]
# ### Exercise 1.2: choose by log-likelihood
#
# For each option the model gives a log-likelihood: the sum, over the option's tokens, of the
# natural logarithm of their probability. It is negative, and longer options collect more of it. So
# divide each sum by the option's length in bytes, then return the index (from 0) of the highest.
# `([-4.0, -6.0], [" red", " turquoise"])` gives `1`: minus one a byte loses to minus 0.6.


# %% nbgrader={"grade_id": "q1_2", "solution": true}
def choose_option(log_likelihoods: list[float], options: list[str]) -> int:
    """Index of the option with the highest log-likelihood per byte."""
    ### BEGIN SOLUTION: divide each log-likelihood by its option's bytes, find the highest
    per_byte = [
        total / len(option.encode()) for total, option in zip(log_likelihoods, options, strict=True)
    ]
    return per_byte.index(max(per_byte))
    ### END SOLUTION


# %% nbgrader={"grade_id": "q1_2_check", "grade": true, "locked": true, "points": 2}
check("q1_2")

# %% [markdown] tags=["hints"]
# Hint: `option.encode()` is the option as bytes; `len` counts them.
#
# Hint: `scores.index(max(scores))` is the place of the highest score.

# %% [markdown]
# ## Five causes of a bad answer
#
# Ovadia et al. name five. Each leaves a trace that can be observed:
#
# | cause | what is observed |
# | --- | --- |
# | outdated information | the answer is what *used to be* right |
# | forgotten | the answer was right *before* the model was tuned |
# | reasoning failure | wrong even with all needed facts in the prompt |
# | never memorised | right with the fact in the prompt; the fact *was* in its training texts |
# | domain knowledge deficit | right with the fact in the prompt; it was in *no* training text |
#
# You collect cases of all five now. The first kind you have already: the catalogue, closed book and
# with its cards.
#
# **Everyday facts** stand in countless texts, so we take it that the model has met them. It still
# gets some wrong. Look closely, too: is each of these *really* wrong?

# %%
from utils.bad_cases import Observed
from utils.worlds import load_retention

with_card = replies["completion, list, examples"]
catalogue = [
    Observed(right=q.answer, answer=a, with_facts=b)
    for q, a, b in zip(sample, closed, with_card, strict=True)
]

facts = random.Random(1).sample(load_retention(), 30)
prompts = [closed_book(item.question) for item in facts]
known = complete(model, tokenizer, prompts, general, progress="Everyday facts")
reading = encode_prefix(model, tokenizer, open_book_prefix())
told = [open_book(f"{item.cloze} {item.answer}.", item.question) for item in facts]
told = complete(model, tokenizer, told, reading, progress="The same, told")
everyday = [
    Observed(right=item.answer, answer=a, with_facts=b, in_training=True)
    for item, a, b in zip(facts, known, told, strict=True)
]
wrong = [(f, a) for f, a in zip(facts, known, strict=True) if not exact_match(a, f.answer)]
for item, answer in wrong[:8]:
    print(f"{item.question} {answer}  (right: {item.answer})")

# %% [markdown]
# **Changed facts.** The maker's bulletins change a fact here and there. The model still reads the
# old card, and so repeats the old catalogue. (A model that had *learnt* the old catalogue would do
# the same from its weights.)

# %%
held_out = {(q.product, q.attribute): q.text for q in questions(world, "held_out")}
notices = world.notices[:12]
asked = [held_out[notice.product, notice.attribute] for notice in notices]
old = [
    open_book(attribute_list(products[n.product]), q) for n, q in zip(notices, asked, strict=True)
]
new = [open_book(n.text, q) for n, q in zip(notices, asked, strict=True)]
stale = complete(model, tokenizer, old, reading, progress="Old cards")
fresh = complete(model, tokenizer, new, reading, progress="Bulletins")
changed = [
    Observed(right=n.new, answer=a, with_facts=b, former=n.old)
    for n, a, b in zip(notices, stale, fresh, strict=True)
]
print(notices[0].text, asked[0], f"From the old card: {stale[0]}", sep="\n")

# %% [markdown]
# **Two steps.** "Where is the crimson kettle made?" needs two facts: which one is crimson, and
# where that one is made. Both are in the prompt, with the same two facts of *one* sibling beside
# them; naming either product's value at random would be right half the time. As a control, the same
# questions without the sibling's facts.

# %%
from utils.worlds import paraphrases

draw = random.Random(3)
two_hop = draw.sample(questions(world, "two_hop"), 16)


def two_facts(question, names: list[str]) -> str:
    """What the question needs to know, stated for each of the products."""
    bridge = question.id.split("/by-")[1]  # the attribute that the product is described by
    attributes = (bridge, question.attribute)
    return "\n".join(paraphrases(products[n], a)[0] for a in attributes for n in names)


alone, beside = [], []
for question in two_hop:
    family = products[question.product].family
    siblings = [n for n, p in products.items() if p.family == family and n != question.product]
    names = draw.sample([question.product, draw.choice(siblings)], 2)
    alone.append(open_book(two_facts(question, [question.product]), question.text))
    beside.append(open_book(two_facts(question, names), question.text))
one_product = complete(model, tokenizer, alone, reading, progress="Facts of one product")
two_products = complete(model, tokenizer, beside, reading, progress="Facts of two")
reasoning = [
    Observed(right=q.answer, answer=a, with_facts=a)
    for q, a in zip(two_hop, two_products, strict=True)
]
control = [exact_match(a, q.answer) for q, a in zip(two_hop, one_product, strict=True)]
wrong = [i for i, case in enumerate(reasoning) if not exact_match(case.answer, case.right)]
shown = wrong[0] if wrong else 0
print(beside[shown])
say(
    f"It answers: **{two_products[shown]}** (right: {two_hop[shown].answer}). With the sibling's "
    f"facts, {len(two_hop) - len(wrong)} of {len(two_hop)} answers are right. "
    f"Without the sibling's facts, {sum(control):.0f} of {len(control)} answers are right."
)

# %% [markdown]
# **Before and after tuning.** We tune the model on the facts of *one* family, hastily, as a first
# try is made. How well it learns them is the subject of lesson 06. Here look at what else happens:
# the everyday facts are asked again.
#
# **Predict.** Of the everyday facts that it got right before, how many are wrong afterwards?

# %%
predict("l01_forgets", "How many of the facts that it knew does the tuned model get wrong?")

# %%
from utils.adapters import remove_adapter
from utils.examples import Example
from utils.lora import LoraSettings, tune

taught = {product.name for product in world.products[:5]}
lessons = [q for q in questions(world, "trained") if q.product in taught and q.id.endswith("/1")]
examples = [Example(closed_book(q.text), f" {q.answer}\n") for q in lessons]
tuned, _ = tune(model, tokenizer, examples, LoraSettings(epochs=12))
prefix = encode_prefix(tuned, tokenizer, closed_book_prefix())
prompts = [closed_book(item.question) for item in facts]
later = complete(tuned, tokenizer, prompts, prefix, progress="Everyday facts, tuned")
prompts = [closed_book(q.text) for q in lessons]
learnt = complete(tuned, tokenizer, prompts, prefix, progress="The lessons, asked again")
model = remove_adapter(tuned)

after_tuning = [
    Observed(right=item.answer, answer=a, with_facts=b, before=c, in_training=True)
    for item, a, b, c in zip(facts, later, told, known, strict=True)
]
knew = [case for case in after_tuning if exact_match(case.before, case.right)]
lost = [1 - exact_match(case.answer, case.right) for case in knew]
reveal("l01_forgets", bootstrap(lost))
repeated = sum(exact_match(a, q.answer) for a, q in zip(learnt, lessons, strict=True))
say(
    f"Of the {len(lessons)} questions that it was tuned on, it now gets {repeated:.0f} right. "
    "Some of what it says about the everyday world:"
)
for case, item in zip(after_tuning, facts, strict=True):
    if exact_match(case.before, case.right) and not exact_match(case.answer, case.right):
        print(f"{item.question} {case.answer}  (before: {case.before})")

# %%
from utils.bad_cases import CAUSES, NOT_BAD, cause
from utils.plots import matrix

# Now sort them all: `cause` goes through the table's rows from the top, and the first that fits
# decides.
groups = {
    "catalogue, closed book": catalogue,
    "everyday facts": everyday,
    "changed facts, old card": changed,
    "two steps, facts of two": reasoning,
    "everyday facts, tuned": after_tuning,
}
columns = [NOT_BAD, *CAUSES]
counts = [[[cause(case) for case in cases].count(c) for c in columns] for cases in groups.values()]
figure = matrix(
    counts,
    list(groups),
    columns,
    title="What went wrong, by set of questions",
    xlabel="cause",
    ylabel="set of questions",
    value_label="questions",
    digits=0,
)
words = "; ".join(
    f"{group}: " + ", ".join(f"{n} {c}" for n, c in zip(row, columns, strict=True) if n)
    for group, row in zip(groups, counts, strict=True)
)
show(figure, alt="Table of shades: five sets of questions by cause, with counts. " + words)

# %% [markdown]
# **Explain.** Each set leans towards a cause of its own. That is what looking at bad cases gives
# you, for a cause suggests a lever:
#
# - A deficit, or a fact never memorised: bring the fact, in a passage or by training.
# - Outdated: change the store, or train again.
# - Forgotten: train otherwise, or keep the fact outside.
# - Reasoning: more facts will not help. A clearer prompt, fewer passages, or a better model may.
#
# ### Exercise 1.3: sort a bad case by its cause
#
# Write that rule yourself. Return `"not a bad case"` for a right answer, otherwise the cause, as
# spelt in the table above; the first row that fits decides. Compare texts with `exact_match`.
# `former` and `before` are `""` where there is nothing to compare with.


# %% nbgrader={"grade_id": "q1_3", "solution": true}
def sort_bad_case(
    right: str, answer: str, with_facts: str, former: str, before: str, in_training: bool
) -> str:
    """The cause of a wrong answer, from what was observed."""
    from utils.scoring import exact_match

    ### BEGIN SOLUTION: go through the rules from the top; the first that fits decides
    if exact_match(answer, right):
        return "not a bad case"
    if former and exact_match(answer, former):
        return "outdated information"
    if before and exact_match(before, right):
        return "forgotten"
    if not exact_match(with_facts, right):
        return "reasoning failure"
    return "never memorised" if in_training else "domain knowledge deficit"
    ### END SOLUTION


# %% nbgrader={"grade_id": "q1_3_check", "grade": true, "locked": true, "points": 3}
check("q1_3")

# %% [markdown] tags=["hints"]
# Hint: One `if` with a `return` for each row of the table, in its order. What comes before them?
#
# Hint: When can an answer be *outdated*? Only if there was a former value, and it is that one.
#
# Hint: Only an answer that was right before can have been forgotten.

# %% [markdown]
# ### Exercise 1.4, in words: what would you change first?
#
# An engineer reports: "In our chat form only a few answers match. The model cannot read our cards,
# so we must fine-tune it." Look at your figure of the five prompts. What do you answer, and which
# measurement should come before any tuning? Three or four sentences.

# %% [markdown] nbgrader={"grade_id": "q1_4", "grade": true, "solution": true, "points": 3}
# ### BEGIN SOLUTION
# A low exact match does not show that the model cannot read. In the same chat form the right option
# is often the likeliest one, so the card was read; the reply was wordy and did not match. Worked
# examples, which change nothing inside the model, repair most of it. Before tuning I would measure
# the same questions with the best prompt that can be found, score them in more than one way, and
# look at the intervals; only what is still wrong then is a case for another lever.
#
# ### BEGIN MARK SCHEME
# - 1 point: tells apart "cannot read" and "does not answer in the expected form", with *chosen* (or
#   *said*) against *exact* as evidence.
# - 1 point: names the prompt (worked examples, completion) as the lever to try first, since it
#   changes nothing inside.
# - 1 point: asks for a fair baseline: same questions, best prompt, more than one score, or mentions
#   the intervals and the small number of questions.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown] tags=["published"]
# ## What two papers say
#
# **Ovadia et al., "Fine-Tuning or Retrieval?"** (Table 2, accuracy on questions about current
# events, four options each):
#
# | | base | + RAG | tuned on raw text | tuned on ten paraphrases | paraphrases + RAG |
# | --- | --- | --- | --- | --- | --- |
# | Mistral-7B | .481 | .875 | .504 | .588 | .830 |
# | Llama2-7B | .353 | .585 | .219 | .392 | .520 |
# | Orca2-7B | .456 | .876 | .511 | .566 | .826 |
#
# **Balaguer et al., "RAG vs Fine-tuning"** (a case study on agriculture): tuning raised accuracy by
# over 6 points and retrieval by 5 more: there the two add up.
#
# So one paper finds that retrieval wins and tuning on top of it takes something away; the other,
# that both together are best. Different tasks, models, questions. Practitioners who write about it
# seldom measure at all. Lesson 07 rebuilds the first table, lesson 08 the second study.
#
# ## Fourteen claims
#
# The course started from an engineer's essay on when to tune inside and when outside (RAG, that is
# retrieval-augmented generation). It makes fourteen claims, from practice. We turned each into an
# experiment, and wrote down beforehand which result would refute it. Figures of others stand
# beside them; "(2nd)" marks what we read second-hand.
#
# **Predict.** For each claim: at the size of *our* model, will it hold, will it fail, or will it
# depend on the case? Your guesses are kept, and lesson 15 lays them beside the results.

# %%
from utils.claims import GROUPS, VERDICTS, claims_of, claims_table
from utils.widgets import predict_choice

for group, name in GROUPS.items():
    say(f"### {name}\n\n{claims_table(claims_of(group))}")
    for claim in claims_of(group):
        predict_choice(claim.prediction_key, f"{claim.id}. {claim.text}", VERDICTS)

# %% [markdown]
# ## What we measured and how sure we are
#
# - *Sure*: with worked examples far more answers match exactly, in chat and in completion. The
#   intervals are far apart.
# - *Not sure*: which of the better forms is best. With so few questions their intervals overlap;
#   only many more questions would tell.
# - *Rough*: the causes. That a fact was in the training texts is our assumption, not an
#   observation. An answer like "8" for "eight" is sorted as wrong though it is right, and one that
#   stays in the wrong form with the fact in the prompt counts as a reasoning failure. No program
#   replaces reading the cases.
# - *One model, one size, one hasty tuning.* A larger model may need fewer examples to answer in the
#   right form, and careful tuning may forget less; lesson 06 looks into that.
#
# ## Where to read on
#
# - Lesson 02 builds what finds the right card, which was given here.
# - [Ovadia et al.](https://arxiv.org/abs/2312.05934), section 2, on the causes, and
#   [Wang et al.](https://arxiv.org/abs/2310.07521), from whom they take them.
# - [Balaguer et al.](https://arxiv.org/abs/2401.08406), the whole pipeline from documents to costs.
# - [lm-evaluation-harness](https://github.com/EleutherAI/lm-evaluation-harness): choice by
#   log-likelihood, with and without division by length.
