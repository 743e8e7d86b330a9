# %% [markdown]
# # Lesson 02: Build a retriever
#
# A shop has a catalogue of products with confusingly similar names. A question comes in. Which
# card answers it? You build a search that finds it: first by counting words with your own hands,
# then by meaning, then by both, and you measure each.
#
# ## What you will be able to do
#
# - say what BM25 and a sentence encoder each look at, and predict which questions defeat them,
# - search vectors by cosine, in numpy and with FAISS,
# - merge two rankings,
# - cut a long document into passages without losing answers,
# - measure a retriever by recall at k and reciprocal rank, with intervals.
#
# ## What you need
#
# Lesson 00; Python and a little numpy; no GPU. {{measured}}

# %% [markdown]
# ## The catalogue
#
# A *retriever* gets a question and hands back *passages*, best first. Our passages are the cards
# of a fictional maker: no model can have read about them. Here is one family. Read the names
# slowly.

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

import numpy as np

from utils.retrieval import Passage
from utils.widgets import predict, reveal, say
from utils.worlds import load_world, prose_card, questions

world = load_world()
passages = [Passage(id=p.name, text=prose_card(p), document=p.name) for p in world.products]
held_out = questions(world, "held_out")
texts = [question.text for question in held_out]
products = [question.product for question in held_out]  # whose card holds the answer
relevant = [{name} for name in products]

family = [passage for passage in passages if passage.id.startswith(world.products[0].family)]
say("\n\n".join(f"**{passage.id}.** {passage.text}" for passage in family))
say(f"{len(passages)} cards, {len(texts)} questions. The first: *{texts[0]}*")

# %% [markdown]
# ## Count shared words
#
# The oldest idea: the card that shares most words with the question wins. Do it for the first
# question and look at the top of the list.

# %%
import re


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


asked = set(words(texts[0]))
shared = {passage.id: sorted(asked & set(words(passage.text))) for passage in passages}
best_first = sorted(shared, key=lambda name: -len(shared[name]))
rows = [f"| {name} | {len(shared[name])} | {', '.join(shared[name])} |" for name in best_first[:6]]
say("\n".join([f"*{texts[0]}*\n\n| card | shared | words |", "| --- | --- | --- |", *rows]))

# %% [markdown]
# **Explain.** Two things go wrong. Words such as *the* count as much as the name. And a card of a
# *Lite* or *Plus* model shares the short name too, because the short name is a part of theirs.
#
# ## Make rare words count: BM25
#
# BM25 mends the first. A word earns points by how few cards have it, a second mention earns less
# than the first, and long cards get no bonus for being long. The library `bm25s` does the
# counting. What *we* choose is what counts as a word. Three choices:

# %%
from utils.plots import interval_bars, show
from utils.retrieval import LexicalRetriever, evaluate, tokenise
from utils.stats import bootstrap


def content_words(text: str) -> list[str]:
    """Without "the", "what", "is" ..., and without whole model names."""
    return [word for word in tokenise(text) if not word.startswith("model:")]


choices = {"every word": words, "no stop words": content_words, "and whole model names": tokenise}
first = []
for choice in choices.values():
    found = LexicalRetriever(passages, tokenise=choice).search(texts, k=10)
    scores = evaluate(found, relevant, ["R@1"])
    first.append(bootstrap(scores["R@1"], clusters=products))

say(f"`tokenise` turns *{family[1].id} case* into `{tokenise(family[1].id + ' case')}`.")
figure = interval_bars(
    list(choices),
    first,
    title="What counts as a word decides",
    xlabel="questions whose card is found first (%)",
    ylabel="words that BM25 counts",
)
summary = "; ".join(f"{name} {interval}" for name, interval in zip(choices, first, strict=True))
show(figure, alt=f"Three bars, right card first: {summary}.")

# %% [markdown]
# **Explain.** The last choice adds the whole model name as one more word, so a short name is no
# longer part of a long one. A few lines about *our* texts did more than any formula. The lines on
# the bars are intervals: had we met other products, the result would likely lie inside. Where
# every answer is right, the interval still has a length, because the next product might fail.
#
# ### Exercise 2.1: recall at k
#
# *Recall at k*: the share of the relevant passages that are among the first k. Example: relevant
# are b and d; the ranking is a, b, c, d; recall at 2 is one half.


# %% nbgrader={"grade_id": "q2_1", "solution": true}
def my_recall_at_k(ranked_ids: list[str], relevant_ids: set[str], k: int) -> float:
    """Share of the relevant ids that are among the first k (0 to 1)."""
    ### BEGIN SOLUTION: count the relevant ids among the first k, and divide
    found = set(ranked_ids[:k]) & relevant_ids
    return len(found) / len(relevant_ids)
    ### END SOLUTION


# %% nbgrader={"grade_id": "q2_1_check", "grade": true, "locked": true, "points": 2}
from utils.checks import check

check("q2_1")

# %% [markdown] tags=["hints"]
# Hint: Which ids may you look at? A slice cuts them off.
#
# Hint: `set(a) & set(b)` keeps what both have.
#
# Hint: Recall is about what there was to find: divide by the number of relevant ids.

# %% [markdown]
# ## Texts as vectors
#
# Now forget words. A *sentence encoder* is a small language model that reads a text and returns
# one list of numbers, a *vector*. It was trained so that texts which mean the same point the same
# way. How alike two directions are is their *cosine*: 1 for the same, about 0 for unrelated.

# %%
from utils.models import load_encoder
from utils.plots import matrix
from utils.retrieval import embed

encoder = load_encoder()
wishes = ["There is dust under my sofa.", "I'd like to hear the morning news."]
things = ["a kettle", "a radio", "a vacuum cleaner", "a heater"]
wish_vectors, thing_vectors = embed(encoder, wishes), embed(encoder, things)
table = wish_vectors @ thing_vectors.T  # all have length 1: the inner product is the cosine
figure = matrix(
    table,
    wishes,
    things,
    title="Alike in meaning, without a shared word",
    xlabel="thing",
    ylabel="wish",
    value_label="cosine (no unit)",
    frame_row_maximum=True,
)
say(f"One text is now {wish_vectors.shape[1]} numbers, first {wish_vectors[0][:4].round(2)}.")
nearest = [things[column] for column in table.argmax(axis=1)]
pairs = "; ".join(f"{a} is nearest to {b}" for a, b in zip(wishes, nearest, strict=True))
show(figure, alt=f"Cosines of two wishes with four things. {pairs}.")

# %% [markdown]
# ### Exercise 2.2: the nearest vectors
#
# Given a query vector and a table of vectors, one per row, return the rows of the k vectors with
# the highest cosine, best first. These vectors have *any* length. Example: for the query (1, 0)
# and the rows (0, 2), (3, 0), (1, 1) with k = 2 the answer is `[1, 2]`.

# %% nbgrader={"grade_id": "q2_2", "solution": true}
import numpy as np


def my_nearest(query: np.ndarray, vectors: np.ndarray, k: int) -> list[int]:
    """Rows of the k vectors whose cosine with the query is highest, best first."""
    ### BEGIN SOLUTION: divide by the lengths, multiply, sort, take k
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosines = vectors @ query / lengths
    return np.argsort(-cosines)[:k].tolist()
    ### END SOLUTION


# %% nbgrader={"grade_id": "q2_2_check", "grade": true, "locked": true, "points": 2}
check("q2_2")

# %% [markdown] tags=["hints"]
# Hint: `vectors @ query` gives all inner products at once.
#
# Hint: The cosine is the inner product divided by both lengths: `np.linalg.norm(vectors, axis=1)`.
#
# Hint: `np.argsort` sorts from small to large. What does a minus sign in front do?

# %% [markdown]
# ## Search by meaning
#
# FAISS is your exercise made fast. A *flat* index keeps all vectors and compares with every one.
#
# **Predict.** BM25 with model names did very well. How well does the encoder tell our near-twins
# apart?

# %%
predict("l02_dense", "Of 100 questions, for how many does search by meaning put the card first?")

# %%
from utils.retrieval import import_faiss

faiss = import_faiss()  # like `import faiss`, made safe beside torch on a Mac
card_vectors = embed(encoder, [passage.text for passage in passages])
question_vectors = embed(encoder, texts, progress=True)

index = faiss.IndexFlatIP(card_vectors.shape[1])  # IP: inner product
index.add(card_vectors)
cosines, rows = index.search(question_vectors, 10)  # for each question its 10 nearest cards

right_first = [passages[row[0]].id == name for row, name in zip(rows, products, strict=True)]
reveal("l02_dense", bootstrap(right_first, clusters=products))

# Now a look inside one family.
number = {passage.id: place for place, passage in enumerate(passages)}
cards = [number[passage.id] for passage in family]
asks = [f"What colour is the {passage.id}?" for passage in family]
table = embed(encoder, asks) @ card_vectors[cards].T
names = [passage.id for passage in family]
figure = matrix(
    table,
    names,
    names,
    title="Near-twins look alike to the encoder",
    xlabel="card",
    ylabel="question about",
    value_label="cosine (no unit)",
    frame_row_maximum=True,
)
won = [names[column] for column in table.argmax(axis=1)]
wins = "; ".join(f"{asked} goes to {winner}" for asked, winner in zip(names, won, strict=True))
show(figure, alt=f"Cosines of questions about five sibling models with their cards: {wins}.")
gap = float(np.mean(np.abs(table - np.diag(table)[:, None])[~np.eye(len(names), dtype=bool)]))
say(
    f"{sum(a == b for a, b in zip(names, won, strict=True))} of {len(names)} end up on their own "
    f"card. On average a sibling's cosine differs from the right card's by only {gap:.2f}."
)

# %% [markdown]
# **Explain.** In the figure each row is a question about one model, each column a card; the frame
# marks the card that wins, and should run down the diagonal. Every row asks for a colour, of the
# same kind of thing, and only a code differs. To the encoder a code such as *K340* is one small
# sign among many, and the wording of a card can outweigh it. To BM25 a rare code is worth more
# than all other words.
#
# ## But people don't know the names
#
# Now someone asks without a name: *There is dust under my sofa.* No such question shares a word
# with its card. Who wins? And can we have both? *Fusing* takes the two rankings and merges them.
#
# **Predict.** Back to questions *with* a name: you have seen both rankings alone. Merged?

# %%
predict("l02_fused", "With a name: for how many of 100 do both rankings merged put the card first?")

# %%
import matplotlib.pyplot as plt

from utils.plots import set_style
from utils.retrieval import DenseRetriever, HybridRetriever
from utils.world_needs import need_questions

dense, lexical = DenseRetriever(encoder, passages), LexicalRetriever(passages)
retrievers = {"BM25": lexical, "dense": dense, "fused": HybridRetriever(dense, lexical)}
needs = need_questions(world)  # any card of the right family will do
need_texts, need_cards = [need.text for need in needs], [set(need.products) for need in needs]

runs = {name: retriever.search(texts, k=10) for name, retriever in retrievers.items()}
named, unnamed = {}, {}
for name, retriever in retrievers.items():
    score = evaluate(runs[name], relevant, ["Success@1"])["Success@1"]
    named[name] = bootstrap(score, clusters=products)
    score = evaluate(retriever.search(need_texts, k=10), need_cards, ["Success@1"])["Success@1"]
    unnamed[name] = bootstrap(score, clusters=[need.family for need in needs])

set_style()
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.8))
axes = {"xlabel": "right card first (%)", "ylabel": "search"}
interval_bars(list(named), list(named.values()), title="The name is known", ax=left, **axes)
interval_bars(list(unnamed), list(unnamed.values()), title="Only the need", ax=right, **axes)
alt = [", ".join(f"{n} {i}" for n, i in part.items()) for part in (named, unnamed)]
show(figure, alt=f"Right card first. Questions with a name: {alt[0]}. Without one: {alt[1]}.")
reveal("l02_fused", named["fused"])

from utils.retrieval_inspector import inspect_retrieval

inspect_retrieval(retrievers, [texts[0], need_texts[0]], k=3)  # ask your own

# %% [markdown]
# **Explain.** The bold words in the tables are what a passage shares with your question. Each
# search is best at one kind of question and poor at the other. Fusing is
# an insurance: never the worst, but it costs something where one ranking was right and the other
# wrong. Which is best depends on how your users ask. Note the longer intervals on the right: fewer
# questions, fewer families.
#
# ### Exercise 2.3: reciprocal rank fusion
#
# A cosine and a BM25 score cannot be added, they have different scales. Ranks can: each ranking
# gives each of its ids `1 / (k + rank)` points, ranks counted from 1. Return the points.
# Example: `my_fuse([["a", "b"], ["b"]], k=1)` gives a 1/2 and b 1/3 + 1/2.


# %% nbgrader={"grade_id": "q2_3", "solution": true}
def my_fuse(rankings: list[list[str]], k: int = 60) -> dict[str, float]:
    """Each id with its points, summed over all rankings."""
    ### BEGIN SOLUTION: walk through each ranking and add 1 / (k + rank)
    points = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            points[name] = points.get(name, 0.0) + 1 / (k + rank)
    return points
    ### END SOLUTION


# %% nbgrader={"grade_id": "q2_3_check", "grade": true, "locked": true, "points": 2}
check("q2_3")

# %% [markdown] tags=["hints"]
# Hint: Two loops: over the rankings, and over the ids of one ranking.
#
# Hint: `enumerate(ranking, start=1)` counts from 1.
#
# Hint: `points.get(name, 0.0)` is 0 for an id that has no points yet.

# %% [markdown]
# ## How far down must a reader look?
#
# A language model can be handed more than one passage. *Recall at k* says how often the card is
# among the first k. *MRR*, the mean reciprocal rank, rewards early places: first place counts 1,
# second 1/2, third 1/3.

# %%
from utils.plots import interval_curve, new_axes

ks = [1, 2, 3, 5, 10]
figure, ax = new_axes("Siblings crowd the first places", "k (passages)", "recall at k (%)")
curves = []
for place, (name, run) in enumerate(runs.items()):
    scores = evaluate(run, relevant, [f"R@{k}" for k in ks] + ["RR"])
    recalls = [bootstrap(scores[f"R@{k}"], clusters=products) for k in ks]
    interval_curve(ks, recalls, name, ax=ax, number=place)
    curves.append(f"{name} {100 * recalls[0].estimate:.0f} to {100 * recalls[-1].estimate:.0f} %")
    mrr = bootstrap(scores["RR"], clusters=products).text(unit="", digits=2)
    say(f"**{name}**: recall at 1 {recalls[0]}; at 3 {recalls[2]}; MRR {mrr}.")
ax.set_xticks(ks)
ax.legend(loc="lower right")
show(figure, alt=f"Recall from k = 1 to 10 with 95 % bands: {'; '.join(curves)}.")

# %% [markdown]
# ## Cutting a long document
#
# So far each card was one passage. Often there is one long text instead, and someone must cut it.
# The simplest cut is a *window* of so many words; with *overlap* neighbours share some. Cut a few
# cards yourself: which passages no longer say whom they speak of?
#
# **Predict.** We glue all cards into one text and cut it into windows about as long as a card.
# BM25, the same questions.

# %%
from utils.chunk_explorer import explore_chunks

cards_of_family = {passage.id: passage.text for passage in family}
explore_chunks(
    cards_of_family, size=20, overlap=5, must_hold={name: name for name in cards_of_family}
)

predict("l02_windows", "For how many of 100 questions does the first window hold the answer?")

# %%
from utils.retrieval import chunk_windows

catalogue = " ".join(passage.text for passage in passages)
length = len(catalogue.split()) / len(passages)
places = []  # where each answer stands in the catalogue: first and last character
for question in held_out:
    card = passages[number[question.product]].text
    answer = re.compile(rf"\b{re.escape(question.answer)}\b", re.IGNORECASE)
    match = answer.search(card, len(question.product))
    start = catalogue.index(card)
    places.append((start + match.start(), start + match.end()))


def first_holds_answer(size: int, overlap: int) -> list[bool]:
    """For each question: does the best window contain its answer's place?"""
    windows = chunk_windows(catalogue, size, overlap)
    right = []
    for hits, (start, end) in zip(
        LexicalRetriever(windows).search(texts, k=1), places, strict=True
    ):
        window = hits[0].passage
        right.append(window.start <= start and end <= window.start + len(window.text))
    return right


sizes = [20, 40, 80, 160]
labels = {"xlabel": "window (words)", "ylabel": "answer in the first window (%)"}
figure, ax = new_axes("A cut through a card loses its name", **labels)
results = {}
for place, (share, name) in enumerate([(0, "no overlap"), (2, "half overlaps")]):
    right = {size: first_holds_answer(size, size // share if share else 0) for size in sizes}
    results[name] = [bootstrap(right[size], clusters=products) for size in sizes]
    interval_curve(sizes, results[name], name, ax=ax, number=place)
whole = named["BM25"]
ax.axhline(100 * whole.estimate, color="black", linestyle="--", label="one card, one passage")
ax.set(xscale="log", ylim=(0, 105))
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend(loc="lower right")
alt = "; ".join(f"{n}: {', '.join(str(i) for i in row)}" for n, row in results.items())
show(figure, alt=f"First window holds the answer, windows of {sizes} words. {alt}. Cards: {whole}.")
reveal("l02_windows", results["no overlap"][1])
say(f"A card has {length:.0f} words on average; the guess was about windows of {sizes[1]}.")

# %% [markdown]
# **Explain.** The name stands only in a card's first sentence. A window that begins behind it
# holds an answer to nobody's question. Larger windows find more, but then the language model must
# read more, and siblings stand beside the answer. Compare the curves: what does overlap buy,
# for how much more text to store? If your text has records or headings, cut *there*, and let every
# passage carry the name of what it speaks about.
#
# ### Exercise 2.4: windows with overlap
#
# Cut a list of words into windows of `size` words; each shares `overlap` words with the one
# before. The last may be shorter, and ends the text: stop there. Example: for a b c d e f g,
# size 3, overlap 1: `[a b c]`, `[c d e]`, `[e f g]`.


# %% nbgrader={"grade_id": "q2_4", "solution": true}
def my_windows(words: list[str], size: int, overlap: int) -> list[list[str]]:
    """Windows of size words, each sharing overlap words with the one before."""
    ### BEGIN SOLUTION: step on by size - overlap, and stop at the last word
    windows = []
    for start in range(0, len(words), size - overlap):
        windows.append(words[start : start + size])
        if start + size >= len(words):
            break
    return windows
    ### END SOLUTION


# %% nbgrader={"grade_id": "q2_4_check", "grade": true, "locked": true, "points": 2}
check("q2_4")

# %% [markdown] tags=["hints"]
# Hint: How many *new* words does each window bring? That is the step of the loop.
#
# Hint: `words[start : start + size]` is fine at the end too: a slice stops by itself.
#
# Hint: Leave the loop when `start + size` has reached the number of words.

# %% [markdown]
# ## When the collection is large
#
# A flat index compares with every vector. Two shortcuts compare with a few. *IVF* sorts the
# vectors into groups and looks into the nearest groups only. *HNSW* links each vector to its
# neighbours and walks along the links. Both may miss something. What do they cost, and what do
# they save?
#
# For that we need many texts, and better ones that we did not write. Your machine has some: the
# documentation of numpy, scipy, pandas and matplotlib, which we cut into sentences. To embed them
# takes a minute or two; the vectors are kept, so the next time it takes a second. Some sentences
# are left out of the index and asked: which others say the same?
#
# **Predict.** IVF looks into the few groups that are nearest to the question. Does it find what
# flat finds?

# %%
import random

from utils.kept_index import make_or_load
from utils.package_docs import doc_sentences, package_docs

INDEXED, ASKED = 20_000, 200  # where this takes too long, 5_000 will do

sentences = random.Random(0).sample(doc_sentences(package_docs()), INDEXED + ASKED)
left_out, indexed = sentences[:ASKED], sentences[ASKED:]
library = make_or_load("package-docs", encoder, indexed, progress=True)
left_out_vectors = embed(encoder, [sentence.text for sentence in left_out])

(hits,) = library.search([left_out[0].text], k=3)
say(f"Left out, from `{left_out[0].document}`: *{left_out[0].text}* The nearest three:")
say("\n".join(f"{h.rank}. {h.score:.2f} `{h.passage.document}`: *{h.passage.text}*" for h in hits))

groups = int(INDEXED**0.5)  # as many as the square root of the number of vectors
predict("l02_probes", f"Of 100 hits of flat, how many does IVF find in 8 of {groups} groups?")

# %%
import time
from dataclasses import replace

from matplotlib.ticker import LogLocator

from utils.faiss_index import IndexSettings, build_index, search_near
from utils.plots import interval_points
from utils.stats import Interval

vectors = library.vectors
kinds = {kind: IndexSettings(vectors.shape[1], kind) for kind in ("flat", "ivf", "hnsw")}
built = {kind: build_index(settings, vectors) for kind, settings in kinds.items()}
_, truth = search_near(built["flat"], kinds["flat"], left_out_vectors, 10, None)
faiss.omp_set_num_threads(1)  # two would wait for each other where the machine has more to do


def price(kind: str, **knobs: int) -> tuple[Interval, Interval]:
    """Milliseconds per question, and the share of flat's ten that is found, with intervals."""
    settings = replace(kinds[kind], **knobs)
    milliseconds, shares = [], []
    for query, nearest in zip(left_out_vectors, truth, strict=True):  # one at a time, as they come
        tries = []
        for _ in range(3):
            begin = time.perf_counter()
            _, rows = search_near(built[kind], settings, query[None], 10, None)
            tries.append(1000 * (time.perf_counter() - begin))
        milliseconds.append(min(tries))  # the quickest: what else the machine did only adds
        shares.append(len(set(rows[0]) & set(nearest)) / 10)
    return bootstrap(milliseconds), bootstrap(shares, clusters=[s.document for s in left_out])


everything = Interval(1.0, 1.0, 1.0, n=ASKED)  # flat is what the others are compared with
prices = {
    "flat": {"all": (price("flat")[0], everything)},
    "IVF": {n: price("ivf", probes=n) for n in (1, 2, 4, 8, 16, 32)},  # groups looked into
    "HNSW": {n: price("hnsw", ef_search=n) for n in (10, 20, 40, 80, 160)},  # candidates kept
}
for name, points in prices.items():
    found = [f"{100 * r.estimate:.0f} % at {ms.estimate:.3f} ms" for ms, r in points.values()]
    say(f"**{name}**, {len(vectors)} vectors: {', '.join(found)}.")
reveal("l02_probes", prices["IVF"][8][1])

labels = {"xlabel": "time per question (ms)", "ylabel": "recall at 10 (%)"}
figure, ax = new_axes("Look at less, miss a little", **labels)
for place, (name, points) in enumerate(prices.items()):
    times, shares = zip(*points.values(), strict=True)
    interval_points(times, shares, name, ax=ax, x_unit="ms", number=place, notes=list(points))
ax.set_xscale("log")
ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
ax.xaxis.set_major_formatter("{x:g}")
ax.minorticks_off()
ax.legend(loc="lower right")
faster = prices["flat"]["all"][0].estimate / prices["HNSW"][40][0].estimate
ends = {name: [100 * r.estimate for _, r in points.values()] for name, points in prices.items()}
show(
    figure,
    alt="Time per question, on a logarithmic scale, against the share of the flat index's ten "
    f"that is found. Flat finds all and takes {prices['flat']['all'][0].estimate:.1f} ms. IVF "
    f"rises from {ends['IVF'][0]:.0f} to {ends['IVF'][-1]:.0f} % as it looks into more groups, "
    f"HNSW from {ends['HNSW'][0]:.0f} to {ends['HNSW'][-1]:.0f} % as it keeps more candidates. "
    f"With 40 candidates HNSW is {faster:.0f} times as quick as flat.",
)
tries = []
for sentence in left_out[:20]:
    begin = time.perf_counter()
    embed(encoder, [sentence.text])
    tries.append(1000 * (time.perf_counter() - begin))
say(f"For comparison: to embed one question takes {np.median(tries):.0f} ms.")

# %% [markdown]
# **Explain.** Up and to the left is better, and equal steps to the left are equal factors. The
# numbers at the points are the knobs: groups that IVF looks into, candidates that HNSW keeps. What
# is near to a question lies scattered over several groups, so IVF reads whole groups for a few
# hits more. HNSW walks straight to the neighbours; it pays for that while it is built, and with
# memory for its links.
#
# Flat is never wrong, and its time grows with the collection; that of the others hardly does. But
# compare flat's time with that of embedding the question: for a catalogue like ours there is
# nothing to gain, use flat. And mind what this recall is: agreement with *flat*, not with the
# truth. No index mends vectors that cannot tell two names apart.
#
# ### Exercise 2.5, in words: which search for the shop?
#
# A shop's log shows two kinds of question: *K340 Lite battery life* and *something for cold feet*.
# A colleague says: "We fuse both rankings, then we have the best of both." Using your figures:
# what is right about that, what is wrong, and what would you count in the log before you decide?
# Four sentences are enough.

# %% [markdown] nbgrader={"grade_id": "q2_5", "grade": true, "solution": true, "points": 3}
# ### BEGIN SOLUTION
# Right: fusing is never as bad as the worse of the two on either kind of question, so it is a safe
# choice when nobody knows how people ask. Wrong: it is not the best of both. On questions with a
# name it puts the right card first less often than BM25 alone, because the encoder's ranking pulls
# siblings up; the intervals of the two do not meet. On questions without a name it can only pass
# on what the encoder found, and there our intervals are long. So count how often each kind of
# question comes in (has the question a model code?), weigh the two results by these shares, or send
# each question to the search that suits it. Test the choice on real questions from the log.
#
# ### BEGIN MARK SCHEME
# - 1 point: says what is right, from the figure: fusing avoids the worst of each (never near BM25
#   alone on questions without a name).
# - 1 point: says what is wrong, from the figure: on questions with a name fusing is below BM25 by
#   more than the intervals allow for. Half a point when no interval or number is mentioned.
# - 1 point: says what to count: the share of each kind of question (or the cost of each error),
#   or proposes routing by a model code and testing it. "Test more" alone earns nothing.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What we measured and how sure we are

# %%
for kind, measured in (("with a name", named), ("without a name", unnamed)):
    say(
        f"Questions {kind}, right card first: " + "; ".join(f"{n} {i}" for n, i in measured.items())
    )

# %% [markdown]
# Brackets hold intervals, made so that 95 in 100 such intervals hold the truth. Whole products (or
# families) are drawn, since questions about one product succeed and fail together. They speak for
# products like these, named by one scheme and asked for in sentences that we wrote. They don't
# speak for your documents, nor for other encoders. The three indexes were compared on sentences of
# documentation, where whole documents are drawn. Times depend on the machine and on what else it
# does.
#
# ## Where to read on
#
# - BM25: Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*, 2009.
# - Sentence encoders: Reimers and Gurevych, *Sentence-BERT*, EMNLP 2019.
# - Fusing: Cormack, Clarke and Buettcher, *Reciprocal Rank Fusion*, SIGIR 2009.
# - HNSW: Malkov and Yashunin, IEEE TPAMI 2020. FAISS: Douze and others, *The Faiss library*, 2024.
# - Here: `utils/retrieval.py`, `utils/ranking.py`, `utils/chunking.py` and `utils/faiss_index.py`,
#   short enough to read.
#
# Next, a language model reads what you have found: lesson 03.
