# %% [markdown]
# # Lesson 03: The RAG pipeline
#
# A customer asks about a product that no model has ever heard of. You put the answer in front of
# the model by hand, then let a search do it, and end with an assistant that answers, names its
# source, and says "I don't know" when it should. You can chat with it and watch every stage.
#
# ## What you will be able to do
#
# - build retrieval-augmented generation (RAG) from a search, a prompt and a model,
# - tell an error of the search from an error of the reading,
# - see why a rule is retrieval too,
# - choose on data when to refuse, and say what that costs.
#
# ## What you need
#
# Lesson 02; no GPU. {{measured}}

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

import random

import numpy as np

from utils.checks import check
from utils.models import load_model
from utils.plots import interval_bars, show
from utils.prompts import closed_book, closed_book_prefix, open_book, open_book_prefix
from utils.widgets import predict, predict_choice, reveal, say
from utils.worlds import attribute_list, load_world, make_world, questions

model, tokenizer = load_model()
world = load_world()

# %% [markdown]
# ## A question, and a card
#
# Here is a question about our fictional maker's catalogue, and the card that answers it. We write
# cards as a list of attributes: it is the form that this model reads best.

# %%
card_of = {product.name: attribute_list(product) for product in world.products}
first = questions(world, "held_out")[7]
print(first.text)
print()
print(card_of[first.product])

# %% [markdown]
# ## The card in the prompt, by hand
#
# A prompt is text that the model continues. Ours begins with five worked examples (the *prefix*,
# read once and kept) and ends in `Answer:`. *Closed book* is the question alone; *open book* has
# the card above it.

# %%
from utils.inference import complete, encode_prefix

closed_prefix = encode_prefix(model, tokenizer, closed_book_prefix())
prefix = encode_prefix(model, tokenizer, open_book_prefix())

prompt = open_book(card_of[first.product], first.text)
without = complete(model, tokenizer, [closed_book(first.text)], closed_prefix)[0]
with_card = complete(model, tokenizer, [prompt], prefix)[0]

print(prompt)
say(f"Closed book: **{without}**. Open book: **{with_card}**. On the card: **{first.answer}**.")

# %% [markdown]
# **Explain.** Same weights, two answers. Closed book, the model says something of the right kind,
# because that is what it was made for. Open book, it can copy.
#
# ## Let a search put it there
#
# Nobody wants to look cards up by hand. Which of lesson 02's retrievers should do it? We choose on
# *another* catalogue, made from another seed, so that this lesson's questions stay unseen.

# %%
from utils.models import load_encoder
from utils.retrieval import DenseRetriever, HybridRetriever, LexicalRetriever, Passage
from utils.stats import bootstrap


def passages_of(some_world):
    return [Passage(p.name, attribute_list(p), p.name) for p in some_world.products]


encoder = load_encoder()
practice = make_world(seed=7)
lexical = LexicalRetriever(passages_of(practice))
dense = DenseRetriever(encoder, passages_of(practice))
retrievers = {
    "by words (BM25)": lexical,
    "by meaning (dense)": dense,
    "by both (fused)": HybridRetriever(dense, lexical),
}

asked = questions(practice, "held_out")
lines = []
for name, retriever in retrievers.items():
    hits = retriever.search([q.text for q in asked], k=1)
    found = [float(row[0].passage.id == q.product) for row, q in zip(hits, asked, strict=True)]
    lines.append(f"- {name}: right card first {bootstrap(found, [q.product for q in asked])}")
say("\n".join(lines))

# %% [markdown]
# Names decide here, and words catch names. So: BM25. The whole of RAG now fits in four lines.
#
# `Pipeline` does these four for many questions at once and writes down what each stage did. This
# record is the *trace*. When an answer is wrong, read it first.

# %%
from utils.rag import Pipeline, trace_text

bm25 = LexicalRetriever(passages_of(world))

hit = bm25.search([first.text], k=1)[0][0]  # 1. retrieve
prompt = open_book(hit.passage.text, first.text)  # 2. prompt
text = complete(model, tokenizer, [prompt], prefix)[0]  # 3. answer
print(f"{text} [{hit.passage.id}]")  # 4. cite

pipeline = Pipeline(model, tokenizer, bm25, k=1)
print()
print(trace_text(pipeline.answer(first.text)))

# %% [markdown]
# ## How good is it, and where do the errors come from?
#
# Five arms answer the same questions. They differ only in what stands above the question: nothing,
# a card of another family, the card that a search found (by meaning, by words), the right card.
#
# **Predict.** Remember how often the search by meaning put the right card first.

# %%
predict(
    "l03_oracle", "Of 100 questions with the right card above them: how many answers are right?"
)
predict("l03_dense", "And with the card that the search by meaning found?")

# %%
from utils.scoring import exact_match

sample = random.Random(3).sample(questions(world, "held_out"), 50)
texts = [q.text for q in sample]
clusters = [q.product for q in sample]  # questions about one product belong together
strangers = {
    q.id: random.Random(q.id).choice([p for p in world.products if p.family not in q.product])
    for q in sample
}
dense_hits = DenseRetriever(encoder, passages_of(world)).search(texts, k=1)
bm25_hits = bm25.search(texts, k=3)

above = {
    "a card of another family": [attribute_list(strangers[q.id]) for q in sample],
    "found by meaning (dense)": [row[0].passage.text for row in dense_hits],
    "found by words (BM25)": [row[0].passage.text for row in bm25_hits],
    "the right card (oracle)": [card_of[q.product] for q in sample],
}

already_read = {}  # two arms with the same prompt get the same answer: read it once


def read(prompts, label):
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in already_read]
    answers = complete(model, tokenizer, new, prefix, progress=label)
    already_read.update(zip(new, answers, strict=True))
    return [already_read[prompt] for prompt in prompts]


def score(answers, asked):
    return [exact_match(text, q.answer) for text, q in zip(answers, asked, strict=True)]


closed = complete(
    model, tokenizer, [closed_book(t) for t in texts], closed_prefix, progress="closed book"
)
answers = {"nothing (closed book)": closed}
for arm, cards in above.items():
    answers[arm] = read([open_book(c, t) for c, t in zip(cards, texts, strict=True)], arm)
right = {arm: score(given, sample) for arm, given in answers.items()}

# %%
intervals = {arm: bootstrap(values, clusters) for arm, values in right.items()}
figure = interval_bars(
    list(intervals),
    list(intervals.values()),
    title="What stands above the question decides",
    xlabel="right answers, exact match (%)",
    ylabel="above the question",
)
summary = "; ".join(f"{arm} {interval}" for arm, interval in intervals.items())
show(figure, alt=f"Horizontal bars with 95 % intervals, right answers in five arms: {summary}.")
reveal("l03_oracle", intervals["the right card (oracle)"])
reveal("l03_dense", intervals["found by meaning (dense)"])

# %% [markdown]
# **Explain.** The oracle shows what the *reader* can do at best; what it loses, no search can win
# back. The distance from oracle to a search arm is what that *search* loses. And a wrong card
# doesn't make the model hesitate: it copies.
#
# ## A ledger of errors
#
# For each question of the dense arm: was the right card found, and was the answer right?

# %%
from utils.rag import stands_in

arm = "found by meaning (dense)"
found = [row[0].passage.id == q.product for row, q in zip(dense_hits, sample, strict=True)]
ledger = {(f, r): 0 for f in (True, False) for r in (1.0, 0.0)}
for pair in zip(found, right[arm], strict=True):
    ledger[pair] += 1
copied = sum(
    stands_in(text, card)
    for text, card, f in zip(answers[arm], above[arm], found, strict=True)
    if not f
)
say(
    "| | answer right | answer wrong |\n| --- | ---: | ---: |\n"
    f"| card found | {ledger[True, 1.0]} | {ledger[True, 0.0]} |\n"
    f"| card missed | {ledger[False, 1.0]} | {ledger[False, 0.0]} |"
)
say(
    f"Of the {found.count(False)} answers with the wrong card, {copied} stand on that card, word "
    "for word: faithful to the passage, and wrong."
)

# %% [markdown]
# The row names the culprit: *found, wrong* is the reader's fault, *missed, wrong* the search's.
# Lesson 04 repairs a pipeline with this ledger.
#
# ### Exercise 3.1: the best passage nearest to the question
#
# Often one passage is not enough. Write the prompt for several: they come best first, and should
# stand in the prompt with the best one *last*, a blank line between two of them. Then, each on a
# line of its own, the question and `Answer:`. For `"Which?"` and `["best card", "next card"]`:
#
# ```text
# next card
#
# best card
# Question: Which?
# Answer:
# ```


# %% nbgrader={"grade_id": "q3_1", "solution": true}
def my_prompt(question: str, passages: list[str]) -> str:
    """Passages (given best first) with the best one last, then the question and "Answer:"."""
    ### BEGIN SOLUTION: turn the passages round and put the question under them
    above_question = "\n\n".join(reversed(passages))
    return f"{above_question}\nQuestion: {question}\nAnswer:"
    ### END SOLUTION


# %% nbgrader={"grade_id": "q3_1_check", "grade": true, "locked": true, "points": 2}
check("q3_1")

# %% [markdown] tags=["hints"]
# Hint: `reversed(passages)` goes through a list from its end.
#
# Hint: `"\n\n".join(...)` puts a blank line between texts. Before the question, `"\n"` is enough.

# %% [markdown]
# ## Does the order of passages matter?
#
# All three prompts below hold the right card. Two of them hold two siblings' cards as well.
#
# **Predict.** Does more to read help, or does it distract?

# %%
ORDERS = ["one passage", "three, best last", "three, best first"]
predict_choice("l03_order", "Which prompt gets the most right answers?", ORDERS)

# %%
from utils.prompts import passages_prompt

few = sample[:40]
ranked = [[hit.passage for hit in row] for row in bm25_hits[:40]]
forms = {
    "one passage": [ps[:1] for ps in ranked],
    "three, best last": ranked,
    "three, best first": [ps[::-1] for ps in ranked],
}
by_order = {
    name: read(
        [passages_prompt([p.text for p in ps], q.text) for ps, q in zip(rows, few, strict=True)],
        name,
    )
    for name, rows in forms.items()
}
orders = {name: bootstrap(score(given, few), clusters[:40]) for name, given in by_order.items()}
nearest = [stands_in(a, ps[-1].text) for a, ps in zip(by_order[ORDERS[2]], ranked, strict=True)]

figure = interval_bars(
    ORDERS,
    [orders[name] for name in ORDERS],
    title="A small model answers from the nearest passage",
    xlabel="right answers, exact match (%)",
    ylabel="passages in the prompt",
)
summary = "; ".join(f"{name} {orders[name]}" for name in ORDERS)
show(figure, alt=f"Horizontal bars with 95 % intervals for three prompts: {summary}.")
reveal("l03_order", max(ORDERS, key=lambda name: orders[name].estimate))
say(
    f"With the best passage first, {sum(nearest)} of {len(few)} answers stand on the *last* card, "
    "the one nearest to the question."
)

# %% [markdown]
# **Explain.** The card was found every time; the reader looked at another one. With this model we
# put in one passage. A larger model may differ: measure it, don't assume it.
#
# ## Rules: the simplest retrieval
#
# "When do you open?" needs no model. A rule table has the same call as a search: a question goes
# in, a passage comes out. Its match is exact, its score is 1 or nothing, and its passage is the
# answer itself. So a rule is a special case of RAG: retrieval without a reader.

# %%
from utils.routes import CatalogueLookup, Rule, RuleRetriever, SmallTalk

rules = RuleRetriever(
    [
        Rule("opening hours", ("opening", "hours"), "Monday to Friday, 9:00 to 17:00."),
        Rule("returns", ("return",), "Send it back within 30 days, free of charge."),
    ]
)
for question in ["What are your opening hours?", "Can I return a lamp?", first.text]:
    for name, retriever in {"rules": rules, "BM25": bm25}.items():
        hits = retriever.search([question], k=1)[0]
        shown = f"{hits[0].passage.id!r}, score {hits[0].score:.2f}" if hits else "nothing"
        print(f"{question:58.58} {name:6} {shown}")

# A rule that its author meant for deliveries:
broad = RuleRetriever([Rule("delivery", ("how", "long"), "It takes three days.")])
caught = [q for q in sample if broad.search([q.text])[0]]
say(
    f"The last rule was meant for *How long does delivery take?*. It catches {len(caught)} of our "
    f"{len(sample)} product questions too, such as *{caught[0].text}*"
)

# %% [markdown]
# **Explain.** A rule never garbles its answer and costs nothing, so rules come first. But it knows
# nothing of meaning: too narrow, and it misses a paraphrase; too broad, and it answers with full
# confidence what nobody asked.
#
# ## More answers without a reader
#
# Greetings are a table, too. And a shop *has* its facts in a table: where a question names one
# product and one field, the answer can be looked up. How far does that go? We wrote one list of
# words for each field, and try it on the practice catalogue.

# %%
FIELD_WORDS = {
    "colour": ("colour",),
    "material": ("material",),
    "town": ("town", "where"),
    "battery": ("battery",),
    "month": ("month", "when"),
}
table = CatalogueLookup({p.name: p.facts for p in practice.products}, FIELD_WORDS)
looked_up = [hits[0] if hits else None for hits in table.search([q.text for q in asked])]
exact = [hit.passage.text == q.answer for hit, q in zip(looked_up, asked, strict=True) if hit]
passed = [q.text for hit, q in zip(looked_up, asked, strict=True) if not hit]
say(
    f"Looked up: {len(exact)} of {len(asked)}, right: {sum(exact)}. "
    f"Passed on to the search: {len(passed)}, such as *{passed[0]}*"
)

# %% [markdown]
# **Explain.** What it answers is exact, because nobody reads anything. What it doesn't understand
# it passes on. So a *control module* asks its *routes* in turn, the surest first: small talk,
# rules, the catalogue; only then search and model.
#
# ### Exercise 3.2: a router with rules
#
# Rules come as pairs of words and an answer. Return the answer of the *first* rule all of whose
# words are in the question: whole words, capital letters or not. No rule fits: return `None`, and
# the question goes on to the search.


# %% nbgrader={"grade_id": "q3_2", "solution": true}
def my_route(question: str, rules: list[tuple[tuple[str, ...], str]]) -> str | None:
    """The answer of the first rule all of whose words are in the question, or None."""
    ### BEGIN SOLUTION: compare the rule's words with the set of the question's words
    import re

    asked = set(re.findall(r"\w+", question.lower()))
    for words, answer in rules:
        if set(words) <= asked:
            return answer
    return None
    ### END SOLUTION


# %% nbgrader={"grade_id": "q3_2_check", "grade": true, "locked": true, "points": 2}
check("q3_2")

# %% [markdown] tags=["hints"]
# Hint: `re.findall(r"\w+", text.lower())` gives the words without punctuation.
#
# Hint: `set(a) <= set(b)` asks whether everything in `a` is in `b` too.

# %% [markdown]
# ## When to say "I don't know"
#
# Some questions have no answer in our catalogue: the model doesn't exist, or no card mentions what
# is asked. The pipeline answers them all the same. Two signs may warn us: the search's *score* is
# low, or the answer stands on *no card*, so it can't be cited.
#
# Answer only the best-scored questions, then more and more: *coverage* is the share that gets an
# answer, *risk* the share of wrong ones among those. We draw it on the practice catalogue: seven in
# ten questions have an answer, three have none.

# %%
from utils.abstain import choose_threshold, risk_coverage

HIGHEST_RISK = 0.2

draw = random.Random(5)
mixed = draw.sample(questions(practice, "held_out"), 56)
mixed += draw.sample(questions(practice, "unanswerable"), 24)
practised = Pipeline(model, tokenizer, lexical).answers(
    [q.text for q in mixed], progress="practice"
)

verdicts = np.array(score([a.text for a in practised], mixed))  # no answer exists: always wrong
scores = np.array([a.hits[0].score for a in practised])
# An answer that can't be cited counts as score 0, the lowest there is.
citable = np.where([bool(a.citation) for a in practised], scores, 0.0)
threshold = choose_threshold(citable, verdicts, HIGHEST_RISK)

# %%
from utils.plots import interval_curve, new_axes

products = np.array([q.product for q in mixed])
figure, ax = new_axes(
    "Refusing lowers the risk, if the sign is good",
    "coverage: questions answered (%)",
    "risk: wrong among those answered (%)",
)
for number, (label, sign) in enumerate({"score alone": scores, "and citable": citable}.items()):
    curve = risk_coverage(sign, verdicts)
    shown = np.flatnonzero(curve.coverage >= 0.3)
    kept = [sign >= curve.thresholds[place] for place in shown]
    risks = [bootstrap(1 - verdicts[rows], products[rows]) for rows in kept]
    interval_curve(100 * curve.coverage[shown], risks, label, ax=ax, number=number)
answered = citable >= threshold
coverage, risk = answered.mean(), 1 - verdicts[answered].mean()
ax.axhline(100 * HIGHEST_RISK, color="black", linestyle=":", label="highest risk we accept")
ax.plot(100 * coverage, 100 * risk, "k*", markersize=14, label="threshold chosen")
ax.set(xlim=(28, 102), ylim=(0, 70))
ax.legend()
show(
    figure,
    alt="Two curves of risk against coverage with bands. Both rise to the right; the curve that "
    f"also asks for a citation lies lower. A star marks the chosen threshold: {coverage:.0%} "
    f"coverage at {risk:.0%} risk, where {HIGHEST_RISK:.0%} is accepted.",
)
say(f"Threshold: **{threshold:.2f}**. It answers {coverage:.0%} of the practice questions.")

# %% [markdown]
# **Explain.** The lowest scores, at the right end, belong to models that don't exist: refusing
# those lowers the risk. After that the score has nothing more to say. Asking for a citation too
# lowers the curve further, because it catches what the model made up. Every step to the left costs
# answers.
#
# ### Exercise 3.3: a threshold that keeps the risk low
#
# A question is answered when its score is at least the threshold. Of the scores you are given,
# return the lowest that, used as threshold, keeps the risk at or below the bound, and
# `float("inf")` when none does. Scores `[4, 3, 2, 1]`, right `[1, 1, 0, 0]`, bound `0.4`: with
# threshold 2 one of three answers is wrong, with threshold 1 two of four, so return 2.


# %% nbgrader={"grade_id": "q3_3", "solution": true}
def my_threshold(scores: list[float], right: list[int], highest_risk: float) -> float:
    """The lowest score that, as a threshold, keeps the share of wrong answers in bounds."""
    ### BEGIN SOLUTION: try each score as threshold and keep the lowest that fits
    best = float("inf")
    for threshold in scores:
        answered = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
        risk = answered.count(0) / len(answered)
        if risk <= highest_risk:
            best = min(best, threshold)
    return best
    ### END SOLUTION


# %% nbgrader={"grade_id": "q3_3_check", "grade": true, "locked": true, "points": 2}
check("q3_3")

# %% [markdown] tags=["hints"]
# Hint: Try every score as threshold, one after the other. Which questions does it answer?
#
# Hint: The risk of one threshold is `answered.count(0) / len(answered)`.

# %% [markdown]
# ## Does the threshold hold elsewhere?
#
# It was chosen on the practice catalogue. Now the real one: what is refused?

# %%
safe = {"threshold": threshold, "must_cite": True}
assistant = Pipeline(model, tokenizer, bm25, **safe)

unanswerable = random.Random(6).sample(questions(world, "unanswerable"), 30)
groups = {
    "has an answer": few[:30],
    "no such model": [q for q in unanswerable if "no-such-model" in q.id],
    "not on the card": [q for q in unanswerable if "not-on-card" in q.id],
}
given = {
    name: assistant.answers([q.text for q in asked], progress=name)
    for name, asked in groups.items()
}
refused = {
    name: bootstrap([a.route == "refused" for a in given[name]], [q.product for q in asked])
    for name, asked in groups.items()
}
figure = interval_bars(
    list(refused),
    list(refused.values()),
    title="What the assistant refuses",
    xlabel="questions refused (%)",
    ylabel="the question",
)
summary = "; ".join(f"{name} {interval}" for name, interval in refused.items())
show(figure, alt=f"Horizontal bars with 95 % intervals, share of questions refused: {summary}.")

spoken = [(a, q) for name in groups for a, q in zip(given[name], groups[name], strict=True)]
spoken = [(a, q) for a, q in spoken if a.route != "refused"]
if spoken:
    wrong = [1 - exact_match(a.text, q.answer) for a, q in spoken]
    say(f"Risk among the answers given: {bootstrap(wrong, [q.product for _, q in spoken])}.")

# %% [markdown]
# **Explain.** A model that doesn't exist gives itself away: its name is on no card, so the score
# is low. A missing attribute does not: the right card *is* found, with a high score. What the
# reader makes up can't be cited and is caught; another value from the right card passes. Each kind
# of error needs its own sign.
#
# And the risk? The threshold came along, the mix of questions didn't: here half of them have no
# answer. A threshold can be carried to another place, a risk can't.
#
# ## Talk to it
#
# Ask anything: the assistant gets its routes. Under each answer stand the stages that the question
# went through. Try a question of which the catalogue knows the field, and one that it passes on.
# (Enter asks.)

# %%
from utils.chat import chat

routes = {
    "small talk": SmallTalk(),
    "rule": rules,
    "catalogue": CatalogueLookup({p.name: p.facts for p in world.products}, FIELD_WORDS),
}
front_desk = Pipeline(model, tokenizer, bm25, routes=routes, **safe)
ghost = groups["no such model"][0]
to_read = next(q for q in few if not routes["catalogue"].search([q.text])[0])
chat(front_desk, [to_read.text, first.text, "What are your opening hours?", ghost.text, "Hello!"])

# %% [markdown]
# ### Exercise 3.4, in words: whom do you send to the workshop?
#
# A shop's assistant gives wrong battery lives. You take 50 bad answers: in 41 of them the card in
# the prompt belongs to a sibling product, and the answer stands on that card. A colleague proposes
# to fine-tune the model on more question-answer pairs. What do you tell the colleague, what would
# you change first, and which number would prove you wrong?

# %% [markdown] nbgrader={"grade_id": "q3_4", "grade": true, "solution": true, "points": 3}
# ### BEGIN SOLUTION
# The reader did its work: it copied faithfully from the card it was given. The search gave it the
# wrong card. Training the reader doesn't change what is found, so first mend the search: count the
# whole model name as a word, as BM25 does here, or filter by it. The oracle arm would prove me
# wrong: if answers stay bad with the right card in the prompt, the reader is to blame after all.
#
# ### BEGIN MARK SCHEME
# - 1 point: places the fault in retrieval (card missed, answer faithful to the wrong card).
# - 1 point: proposes a change of retrieval (names as tokens, lexical or hybrid search, filter,
#   re-ranking) and says why fine-tuning the reader would not reach it. Tuning the encoder counts.
# - 1 point: names a measurement that could refute the diagnosis: accuracy with the oracle card, or
#   recall at 1 and accuracy given found.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What we measured and how sure we are
#
# Each bar carries its 95 % interval, found by drawing whole products again. Fifty questions tell a
# large effect from none, not one arm from a slightly better one: where two intervals overlap
# widely, say "no difference seen". The order of passages is a finding about *this* small model. The
# threshold belongs to this retriever and a catalogue of this size. A real shop gets fewer questions
# without an answer; the same threshold then means a lower risk.
#
# ## Where to read on
#
# - Lewis et al. 2020, [Retrieval-Augmented Generation](https://arxiv.org/abs/2005.11401): the name
#   and the idea, with reader and search trained together.
# - Liu et al. 2023, [Lost in the Middle](https://arxiv.org/abs/2307.03172): the order of passages
#   in large models.
# - El-Yaniv and Wiener 2010,
#   [Noise-free selective classification](https://jmlr.org/papers/v11/el-yaniv10a.html): risk
#   against coverage.
# - `utils/rag.py`: the pipeline, to be read in ten minutes. Lesson 04 tunes it.
