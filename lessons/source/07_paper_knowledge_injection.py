# %% [markdown]
# # Lesson 07: A paper in miniature, knowledge injection
#
# A model has never heard of our catalogue. Do you write the catalogue into its weights, or hand it
# the right card with each question? Ovadia and others measured just that in 2023. You repeat their
# experiment here, then put your table beside theirs.

# %% [markdown]
# ## What you will be able to do
#
# - Compare *inside* and *outside* in four cells, so that neither gets credit for the other.
# - Give a score an interval that respects products and seeds.
# - Test paired answers, and correct for having tested several times.
# - Say what a small replication can tell about a paper, and what it cannot.
#
# ## What you need
#
# Lessons 03 (retrieval) and 06 (tuning); no GPU. {{measured}}

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

# %%
import random

import numpy as np

from utils import experiments, injection, worlds
from utils.checks import check
from utils.injection import Injection
from utils.plots import show
from utils.stats import (
    Interval,
    bootstrap,
    holm,
    mcnemar,
    paired_difference,
    paired_permutation,
)
from utils.widgets import predict, predict_choice, reveal, say


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cluster_interval(ids: list[str], scores: list[float]):
    """Mean with its 95 % interval; whole products are drawn again. An id: form/product/attribute"""
    return bootstrap(scores, clusters=[name.split("/")[1] for name in ids])


# %% [markdown] tags=["published"]
# ## What the paper asked
#
# Ovadia and others, *Fine-Tuning or Retrieval? Comparing Knowledge Injection in LLMs*
# ([arXiv 2312.05934](https://arxiv.org/abs/2312.05934)), asked three models about events that
# happened after their training. They tried every combination: the base model and tuned ones, each
# without and with retrieval. Those are the **four cells**, and you need all of them. A tuned model
# that answers with the passage before its eyes has not shown that it learnt anything.
#
# | | Ovadia et al. | this lesson |
# | --- | --- | --- |
# | model | Mistral-7B, Llama2-7B, Orca2-7B | SmolLM2, about fifty times smaller |
# | new knowledge | current events | a catalogue of products that don't exist |
# | questions | 910, four options | one per fact, four options, phrasings never trained on |
# | inside: what | raw text (FT-reg), ten paraphrases (FT-par) | these, and question-answer pairs |
# | inside: how | continued pre-training, up to 5 epochs | LoRA on the upper layers |
# | outside | bge-large and FAISS, 0 to 5 passages | BM25, one passage |
# | the store | matches the questions one to one | one card per product, near-identical names |
# | score | likeliest of four options, length not counted | the same; exact match beside it |
#
# Question-answer pairs are not in the paper. They are an arm of our own, always labelled so.

# %%
world = worlds.load_world()
held_out = worlds.questions(world, "held_out")
family_of = {product.name: product.family for product in world.products}

draw = random.Random(7)
asked = []
for family in dict.fromkeys(family_of.values()):
    # Every second question, because those were asked in all four cells of the shipped runs too.
    candidates = [q for q in held_out[::2] if family_of[q.product] == family]
    asked += draw.sample(candidates, 4)
ids = [question.id for question in asked]

say(
    f"{len(asked)} of {len(held_out)} held-out questions, equally many about each of "
    f"{len(set(family_of.values()))} families. One of them: *{asked[0].text}* The options: "
    f"{', '.join(asked[0].options)}. Right: **{asked[0].answer}**. The wrong ones are the values "
    "of sibling products."
)

# %% [markdown]
# The same questions go into all four cells.
#
# **Predict.** The tuned model was taught every fact as question-answer pairs, in other words than
# those it is asked in now. Closed book means no card: it must remember. And what happens when it
# gets the card as well?

# %%
predict("l07_tuned_closed", "How many of 100 questions does the tuned model answer from memory?")
predict_choice(
    "l07_both",
    "Both given the card: the tuned model, compared with the base model, is ...",
    ["better", "no different, as far as we can tell", "worse"],
)

# %% [markdown]
# ## Outside
#
# First the retriever alone: BM25, since names decide here (lesson 02). Its recall is not the
# model's accuracy: a right card can be misread, and a wrong one can hold the right word by luck. So
# we report it apart.

# %%
cards = injection.retrieve_cards(world, asked)
right_card = {product.name: worlds.attribute_list(product) for product in world.products}
found = [float(card == right_card[q.product]) for card, q in zip(cards, asked, strict=True)]
say(f"Recall@1, the right card found first: **{cluster_interval(ids, found)}**.")

# %%
from utils.models import load_model

model, tokenizer = load_model()
live = {
    ("base", "closed book"): injection.ask(model, tokenizer, asked, progress="Base, closed book"),
    ("base", "retrieval"): injection.ask(
        model, tokenizer, asked, cards, progress="Base, with retrieval"
    ),
}

# %% [markdown]
# ## Inside
#
# Tuning takes several minutes, so the course ships the adapter: a few megabytes that change
# the upper layers. `TRAIN_AGAIN = True` makes it again, here, with the same settings.

# %%
from utils.adapters import load_adapter

TRAIN_AGAIN = False
taught = Injection(injection.QUESTIONS, seed=0)
if TRAIN_AGAIN:
    tuned, report = injection.teach(model, tokenizer, taught)
else:
    tuned = load_adapter(model, injection.adapter_folder(taught))
    run = experiments.known("injection", taught)
    say(
        f"Made by `injection.teach` on {run.provenance['date']} ({run.provenance['machine']}): "
        f"{run.values['tuning']['parameters']:,} trained numbers, "
        f"{run.values['tuning']['seconds'] / 60:.0f} minutes, each fact met "
        f"{taught.exposures} times."
    )

live["tuned", "closed book"] = injection.ask(
    # Tuned on questions, it knows the form of an answer: it needs no worked examples.
    tuned,
    tokenizer,
    asked,
    worked_examples=False,
    progress="Tuned, closed book",
)
live["tuned", "retrieval"] = injection.ask(
    tuned, tokenizer, asked, cards, progress="Tuned, with retrieval"
)

# %% [markdown]
# ## The four cells
#
# You asked a sample, once. The course ships the same run over all held-out questions (closed book)
# or every second one (retrieval, which is slower). A *seed* sets the adapter's first values and the
# order of the examples. Where there are several, questions come first: each gets its mean over the
# seeds, then products are drawn again for the interval. The seeds' own scores stand apart.

# %%
TEACHING = {"base": "", "tuned": injection.QUESTIONS}
WAYS = ("closed book", "retrieval")

for score, name in (("exact", "Exact match"), ("chosen", "Forced choice")):
    rows = []
    for arm, teaching in TEACHING.items():
        row = [f"**{arm}**"]
        for way in WAYS:
            now = cluster_interval(ids, getattr(live[arm, way], score))
            shipped = injection.shipped_scores(teaching, way, score)
            by_seed = ", ".join(f"{100 * np.mean(scores):.1f}" for scores in shipped.by_seed)
            row.append(f"now: **{now}**<br>shipped: {shipped.interval()}<br>by seed: {by_seed}")
        rows.append(row)
    say(table([name, "closed book", "with retrieval"], rows))

GOALS = {("base", "retrieval"): 0.85, ("tuned", "closed book"): 0.60}  # set before the run
for (arm, way), goal in GOALS.items():
    share = injection.shipped_scores(TEACHING[arm], way).interval().estimate
    met = "met" if share >= goal else "**missed**"
    say(f"Our goal for {arm}, {way}: at least {100 * goal:.0f} % exact match. It is {met}.")

reveal("l07_tuned_closed", cluster_interval(ids, live["tuned", "closed book"].exact))

# %% [markdown]
# **Explain.** Read a row, then a column. *Exact match* is what a customer gets: the model writes,
# the text is compared. *Forced choice* only asks which of four options the model finds likeliest,
# so a model that knows nothing still gets about one in four. That is the paper's score.
#
# Does the tuned model still *read*? Take the questions that it gets wrong from memory, and hand it
# the right card. A reader would now be right on all of them.

# %%
remembered, reading = live["tuned", "closed book"], live["tuned", "retrieval"]
base_reading = live["base", "retrieval"]
wrong = [i for i in range(len(asked)) if not remembered.exact[i] and found[i]]
mended = sum(reading.exact[i] for i in wrong)
repeated = sum(reading.texts[i] == remembered.texts[i] for i in wrong)
by_base = sum(base_reading.exact[i] for i in wrong)
say(
    f"The tuned model gets {len(wrong)} questions wrong from memory for which the right card was "
    f"found. With the card before it, it answers {mended:.0f} of them rightly and gives "
    f"{repeated} of its old wrong answers again. The base model reads {by_base:.0f} of these cards "
    "rightly."
)

# %% [markdown]
# ### Exercise 7.1: the four cells
#
# `records` is a list of `(model, way, right)`, for instance `("tuned", "retrieval", 1)`; `right` is
# 1 or 0. Models are `"base"` and `"tuned"`, ways are `"closed book"` and `"retrieval"`; all four
# cells occur. Return a dictionary of dictionaries: `table[model][way]` is the share of right
# answers (0 to 1) in that cell.


# %% nbgrader={"grade_id": "q7_1", "solution": true}
def my_four_cells(records: list[tuple[str, str, int]]) -> dict[str, dict[str, float]]:
    """The share of right answers (0 to 1) in each cell, as table[model][way]."""
    ### BEGIN SOLUTION: collect the answers of each cell, then take their mean
    result = {}
    for model in ("base", "tuned"):
        result[model] = {}
        for way in ("closed book", "retrieval"):
            right = [r for m, w, r in records if m == model and w == way]
            result[model][way] = sum(right) / len(right)
    return result
    ### END SOLUTION


# %% nbgrader={"grade_id": "q7_1_check", "grade": true, "locked": true, "points": 2}
check("q7_1")

# %% [markdown] tags=["hints"]
# Hint: Two loops, one over models, one over ways, reach the four cells.
#
# Hint: `[r for m, w, r in records if m == model and w == way]` are the answers of one cell.

# %% [markdown]
# ### Exercise 7.2: the seeds first
#
# `runs` holds one dictionary per seed: question id -> 1 or 0. Return one dictionary: question id ->
# mean over the seeds. Three seeds of one hundred questions are then still one hundred questions,
# not three hundred. Mind that each run lists its questions in its own order.


# %% nbgrader={"grade_id": "q7_2", "solution": true}
def my_mean_over_seeds(runs: list[dict[str, int]]) -> dict[str, float]:
    """For each question id the share of the seeds that got it right (0 to 1)."""
    ### BEGIN SOLUTION: for each question, average what the runs say about it
    return {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
    ### END SOLUTION


# %% nbgrader={"grade_id": "q7_2_check", "grade": true, "locked": true, "points": 2}
check("q7_2")

# %% [markdown] tags=["hints"]
# Hint: All runs hold the same ids, so those of `runs[0]` will do.
#
# Hint: `run[name]` finds a question's answer wherever it stands in the run.

# %% [markdown]
# ### Exercise 7.3: whole products are drawn
#
# Five questions about one lamp are not five independent looks at the model. So the bootstrap draws
# *products*. Here the draws are made for you: `drawn` is a list of draws, each a list of product
# names, repeats included. For each draw take the mean over **all questions** of its products (a
# product drawn twice brings its questions twice). Return `[low, high]`: the quantiles `0.025` and
# `0.975` of these means.


# %% nbgrader={"grade_id": "q7_3", "solution": true}
def my_cluster_interval(
    values: list[float], products: list[str], drawn: list[list[str]]
) -> list[float]:
    """The 95 % interval of the mean of `values`; products[i] is what values[i] is about."""
    ### BEGIN SOLUTION: the mean of each draw, then two quantiles of all the means
    import numpy as np

    means = []
    for names in drawn:
        scores = []
        for name in names:
            scores += [v for v, p in zip(values, products, strict=True) if p == name]
        means.append(np.mean(scores))
    return [float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))]
    ### END SOLUTION


# %% nbgrader={"grade_id": "q7_3_check", "grade": true, "locked": true, "points": 3}
check("q7_3")

# %% [markdown] tags=["hints"]
# Hint: Loop over the names of a draw, not over the questions: then a repeat counts twice.
#
# Hint: Put the scores of all drawn products into one list, and take its mean once.
#
# Hint: `np.quantile(means, 0.025)` cuts off the lowest part of the means.

# %% [markdown]
# ## Is the difference real?
#
# All cells answer the same questions, so we compare answer by answer. **McNemar's test** looks only
# at questions where exactly one of the two is right. It takes questions as independent; the
# **permutation test** swaps whole products instead. Five comparisons are five chances of a false
# alarm, so **Holm** raises the p-values of the shipped runs; McNemar's, on your small sample, are a
# first look and stay as they are. The score is exact match.


# %%
def on_the_same_questions(first: injection.Scores, second: injection.Scores):
    """Both arms' scores on the questions that both were asked, and the product of each."""
    a, b = (dict(zip(arm.ids, arm.means(), strict=True)) for arm in (first, second))
    both = [name for name in a if name in b]
    return ([a[n] for n in both], [b[n] for n in both]), [n.split("/")[1] for n in both]


def points(difference) -> str:
    """A difference of shares in points: "+12.3 [10.1, 14.5]"."""
    middle, low, high = (100 * x for x in (difference.estimate, difference.low, difference.high))
    return f"{middle:+.1f} [{low:.1f}, {high:.1f}]"


COMPARISONS = [
    (("base", "closed book"), ("base", "retrieval")),
    (("base", "closed book"), ("tuned", "closed book")),
    (("tuned", "closed book"), ("base", "retrieval")),
    (("tuned", "closed book"), ("tuned", "retrieval")),
    (("base", "retrieval"), ("tuned", "retrieval")),
]
p_values, rows = [], []
for first, second in COMPARISONS:
    a, b = np.array(live[first].exact), np.array(live[second].exact)
    kept = [injection.shipped_scores(TEACHING[arm], way) for arm, way in (first, second)]
    pair, about = on_the_same_questions(*kept)
    p_values.append(paired_permutation(*pair, about))
    difference = paired_difference(*pair, about)
    rows.append(
        [
            f"{first[0]}, {first[1]} → {second[0]}, {second[1]}",
            f"{int(sum(a > b))} / {int(sum(b > a))}",
            f"{mcnemar(a, b):.2g}",
            points(difference),
        ]
    )
for row, p in zip(rows, holm(p_values), strict=True):
    row.append(f"{p:.2g}")
header = ["first → second", "now: right in first only / in second only", "now: McNemar's p"]
header += ["shipped: second minus first (points)", "shipped: permutation p, after Holm"]
say(table(header, rows))

verdict = "no different, as far as we can tell"
if holm(p_values)[-1] < 0.05:
    verdict = "better" if difference.estimate > 0 else "worse"
reveal("l07_both", verdict)

# %% [markdown]
# ### Exercise 7.4: McNemar's exact test
#
# `a` and `b` hold 1 or 0 for the same questions. Where they disagree, a fair coin would let each
# win half of the time. Let `n` be the number of disagreements and `s` the number of wins of
# whichever won less often. The p-value is twice the chance of at most `s` heads in `n` throws, but
# never more than 1; without a disagreement it is 1.


# %% nbgrader={"grade_id": "q7_4", "solution": true}
def my_mcnemar(a: list[int], b: list[int]) -> float:
    """Exact two-sided p-value of McNemar's test."""
    ### BEGIN SOLUTION: count the disagreements, then add up the coin's tail
    from math import comb

    only_a = sum(x == 1 and y == 0 for x, y in zip(a, b, strict=True))
    only_b = sum(x == 0 and y == 1 for x, y in zip(a, b, strict=True))
    n = only_a + only_b
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    return min(1.0, 2 * tail)
    ### END SOLUTION


# %% nbgrader={"grade_id": "q7_4_check", "grade": true, "locked": true, "points": 3}
check("q7_4")

# %% [markdown] tags=["hints"]
# Hint: Count two kinds of questions: only `a` right, only `b` right. Forget the others.
#
# Hint: The chance of exactly `k` heads in `n` throws is `math.comb(n, k) / 2**n`.

# %% [markdown]
# ## Their table, our table
#
# The paper did not tune on questions. It let the model read on: the raw text, or ten paraphrases of
# it. We did both too; every arm meets each fact equally often. Now the score is the paper's,
# forced choice.
#
# **Predict.** Closed book: which teaches our small model more?

# %%
predict_choice(
    "l07_paraphrases",
    "Asked closed book, the model that read ...",
    ["the raw text does better", "ten paraphrases does better", "neither, as far as we can tell"],
)

# %% tags=["published"]
# Ovadia et al. 2023, Table 2, current events: 910 questions, log-likelihood accuracy.
QUESTIONS_IN_PAPER = 910
CELLS_IN_PAPER = [("base", "closed book"), ("base", "retrieval")]
CELLS_IN_PAPER += [("FT-reg", "closed book"), ("FT-par", "closed book")]
CELLS_IN_PAPER += [("FT-reg", "retrieval"), ("FT-par", "retrieval")]
PUBLISHED = {
    "Mistral-7B": [0.481, 0.875, 0.504, 0.588, 0.810, 0.830],
    "Llama2-7B": [0.353, 0.585, 0.219, 0.392, 0.326, 0.520],
    "Orca2-7B": [0.456, 0.876, 0.511, 0.566, 0.820, 0.826],
}
PAPER = {
    model_name: dict(zip(CELLS_IN_PAPER, row, strict=True)) for model_name, row in PUBLISHED.items()
}

ARMS = {  # name in the paper, or our own -> what our model was taught
    "base": "",
    "FT-reg": injection.RAW_TEXT,
    "FT-par": injection.PARAPHRASES,
    "FT-questions (ours alone)": injection.QUESTIONS,
}
ours = {}
for arm, teaching in ARMS.items():
    try:
        kept = {way: injection.shipped_scores(teaching, way, "chosen") for way in WAYS}
    except LookupError:
        say(f"{arm} is left out of our results: none of its runs is shipped yet.")
        continue
    ours |= {(arm, way): scores for way, scores in kept.items()}
    if teaching and kept["closed book"].seeds < len(injection.SEEDS):
        counted = f"{kept['closed book'].seeds} of {len(injection.SEEDS)} seeds"
        say(f"{arm} was run with {counted}; `python -m utils.injection` runs the others.")

rows = []
for arm in ARMS:
    for way in WAYS:
        own = str(ours[arm, way].interval()) if (arm, way) in ours else "not shipped yet"
        published = [
            f"{100 * accuracy[arm, way]:.1f}" if (arm, way) in accuracy else "–"
            for accuracy in PAPER.values()
        ]
        rows.append([arm, way, own, *published])
say(table(["arm", "asked", "ours, SmolLM2-135M", *PAPER], rows))

# %%
from scipy.stats import binomtest

from utils.arm_panels import arm_panels


def published_interval(accuracy: float) -> Interval:
    """The paper's share with Wilson's 95 % interval, which we add: the paper prints none."""
    right = round(accuracy * QUESTIONS_IN_PAPER)
    around = binomtest(right, QUESTIONS_IN_PAPER).proportion_ci(method="wilson")
    return Interval(accuracy, around.low, around.high, QUESTIONS_IN_PAPER, method="Wilson")


measured = {cell: scores.interval() for cell, scores in ours.items()}
panels = {"Ours, SmolLM2-135M": measured}
for name, accuracies in PAPER.items():
    panels[f"Paper, {name}"] = {k: published_interval(v) for k, v in accuracies.items()}

figure = arm_panels(
    panels,
    list(ARMS),
    title="The arms, ours and the paper's",
    xlabel="right by forced choice (% of questions, with 95 % intervals)",
    chance=0.25,
    absent="no result",
)
words = "; ".join(
    f"{arm}: {100 * measured[arm, 'closed book'].estimate:.0f} % closed book, "
    f"{100 * measured[arm, 'retrieval'].estimate:.0f} % with retrieval"
    for arm in dict.fromkeys(arm for arm, _ in measured)
)
show(
    figure,
    alt=f"Four panels of dots with intervals, ours and the paper's three models; one line per arm, "
    f"a circle for closed book and a square for retrieval, and a dashed line at chance, 25 %. "
    f"Ours: {words}. In all of the paper's panels the squares lie right of the circles.",
)

# %% [markdown]
# ## What agrees
#
# Each line compares two cells, as a difference in points. Ours *agrees* if its whole interval lies
# on the paper's side of zero, and is *against* it if it lies on the other side. If the interval
# holds zero we can't tell. Where the paper's own models contradict each other, we say so.

# %%
PARAPHRASES_WIN = "Ten paraphrases beat the raw text, closed book"
FINDINGS = {
    "Retrieval helps the base model": (("base", "closed book"), ("base", "retrieval")),
    "Raw text helps, closed book": (("base", "closed book"), ("FT-reg", "closed book")),
    "Paraphrases help, closed book": (("base", "closed book"), ("FT-par", "closed book")),
    PARAPHRASES_WIN: (("FT-reg", "closed book"), ("FT-par", "closed book")),
    "Retrieval alone beats paraphrases alone": (("FT-par", "closed book"), ("base", "retrieval")),
    "With retrieval, raw text costs points": (("base", "retrieval"), ("FT-reg", "retrieval")),
    "With retrieval, paraphrases cost points": (("base", "retrieval"), ("FT-par", "retrieval")),
}
rows, contrasts = [], {}
for finding, (first, second) in FINDINGS.items():
    theirs = [100 * (accuracy[second] - accuracy[first]) for accuracy in PAPER.values()]
    if first not in ours or second not in ours:
        rows.append([finding, *(f"{points:+.1f}" for points in theirs), "not shipped yet", "open"])
        continue
    pair, about = on_the_same_questions(ours[first], ours[second])
    here = contrasts[finding] = paired_difference(*pair, about)
    side = 1 if here.low > 0 else -1 if here.high < 0 else 0
    if len({points > 0 for points in theirs}) > 1:
        word = "their models differ; ours: " + {1: "yes", -1: "the opposite", 0: "can't tell"}[side]
    else:
        same = side * theirs[0] > 0
        word = "can't tell" if side == 0 else "agrees" if same else "**against**"
    rows.append([finding, *(f"{points:+.1f}" for points in theirs), points(here), word])
say(table(["finding (difference in points)", *PAPER, "ours", "verdict"], rows))

spelled = {1: "ten paraphrases does better", -1: "the raw text does better"}
here = contrasts.get(PARAPHRASES_WIN)
if here is None:
    say("One of the two arms is not shipped yet, so your third prediction has to wait.")
else:
    side = 1 if here.low > 0 else -1 if here.high < 0 else 0
    reveal("l07_paraphrases", spelled.get(side, "neither, as far as we can tell"))

# %% [markdown]
# ### Exercise 7.5, in words: what would you build?
#
# You run this catalogue. Which would you build: retrieval, a tuned model, or both? Say why, with
# the measured cells. Then name one result that would change your mind.

# %% [markdown] nbgrader={"grade_id": "q7_5", "grade": true, "solution": true, "points": 4}
# ### BEGIN SOLUTION
# For this catalogue a good answer starts from the cells: how far base with retrieval lies above
# tuned closed book, with the interval of the difference, and whether tuning adds anything once the
# card is there. If it adds nothing that the test can see, retrieval alone is the cheaper build: a
# changed fact is a changed card, and an answer can be traced to it. What would change my mind is
# something one can measure: recall@1 that falls as the catalogue grows, while the tuned model
# holds; questions that name no product, so that there is nothing to look up; a tuned reader that
# beats the base reader on the same cards; or a limit on time per question with no room for a card.
#
# ### BEGIN MARK SCHEME
# - 1 point: names one of the builds and supports it with at least two of the four cells.
# - 1 point: uses the intervals or the paired test, not bare percentages.
# - 1 point: names a cost or risk that the table doesn't show (updates, tracing, training time).
# - 1 point: names a result that could be measured and that would reverse the choice.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What we measured and how sure we are
#
# The intervals speak about other products of the same kind, the seeds about training again. Neither
# speaks about what differs from the paper in kind. These are the **threats to validity**:
#
# - **Size.** A model fifty times smaller stores less and reads worse. A miss here doesn't refute
#   the paper; a match doesn't prove it for your model.
# - **Prior knowledge.** Their base models beat chance without help: news can be half known, or
#   guessed. Nobody can guess our catalogue, so our base starts at chance.
# - **Near-identical names.** Our wrong options are the siblings' values. That is harder, for memory
#   and for retrieval, than events that hardly resemble each other.
# - **Kind of tuning.** LoRA on some layers, with one learning rate, each fact met equally often in
#   every arm. We tried few settings; another could shift the inside arms.
# - **Form.** Question-answer pairs also teach how an exam is taken. That arm may owe part of its
#   score to this. It was asked without worked examples, the other arms with some.
# - **No card while tuning.** None of our tuned models saw a card in the prompt while it learnt. One
#   that is tuned to read may do better with retrieval; lesson 09 tries that.
# - **Cards as lists.** The retriever hands over tidy lists; the raw-text arm read prose.
# - **Few seeds.** One says nothing about the spread of training; three hint at it.
#
# All shipped runs can be made again by `python -m utils.injection`, once their files in
# `datasets/results/` are moved away.
#
# ## Where to read on
#
# - Ovadia et al. 2023, [*Fine-Tuning or Retrieval?*](https://arxiv.org/abs/2312.05934): Table 2 is
#   the one above; the section on paraphrases shows how accuracy grows with their number.
# - Allen-Zhu and Li 2023, [*Physics of Language Models, Part 3.1*](https://arxiv.org/abs/2309.14316):
#   why a fact said in one way only may be stored and yet not be found.
# - Dror et al. 2018, [*The Hitchhiker's Guide to Testing Statistical Significance in
#   NLP*](https://aclanthology.org/P18-1128/): which test for which score.
# - Lesson 08 takes the second paper: from documents to questions, and what it costs.
