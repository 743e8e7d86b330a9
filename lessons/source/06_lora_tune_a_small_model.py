# %% [markdown]
# # Lesson 06: LoRA-tune a small model
#
# A model that has never heard of sixty products answers questions about them minutes later, with
# nothing in its prompt. You write the facts into its weights, watch it happen, and then look for
# the price.
#
# ## What you will be able to do
#
# - build training examples, and say which of their tokens are learnt,
# - tune a language model with LoRA on a laptop, and read its learning curve,
# - test what was learnt: another phrasing, the reversed question, what was forgotten,
# - say which form of text teaches best, and what rank, layers and learning rate do,
# - handle adapters as files: save, switch off, merge, swap.
#
# ## What you need
#
# Lessons 00 and 01; no GPU. {{measured}}

# %% [markdown]
# ## Before: the model knows nothing
#
# The fictional catalogue: twelve families of five products, five facts each. We ask about a sample
# of the facts, *closed book*: no card in the prompt, only five worked examples that show the
# form.

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

from utils.inference import complete, encode_prefix
from utils.injection import CURVE_SHARE
from utils.models import load_model
from utils.prompts import closed_book, closed_book_prefix
from utils.scoring import exact_match
from utils.widgets import predict, predict_choice, reveal, say
from utils.worlds import load_world, make_world, questions

model, tokenizer = load_model()
tuned = None  # the model with what you will teach it
FAMILIES = 12  # the whole catalogue; 6 for half of it, in half of the minutes
world = make_world(load_world().seed, FAMILIES)
held_out = questions(world, "held_out")  # in a phrasing that training will never show
sample = held_out[::CURVE_SHARE]

prefix = encode_prefix(model, tokenizer, closed_book_prefix())
asked = [closed_book(question.text) for question in sample]
before = complete(model, tokenizer, asked, prefix, max_new_tokens=8, progress="Base model")
right = sum(exact_match(said, q.answer) for said, q in zip(before, sample, strict=True))

rows = ["| question | the model says | right is |", "| --- | --- | --- |"]
for i in range(0, 25, 6):
    rows.append(f"| {sample[i].text} | {before[i]} | {sample[i].answer} |")
say("\n".join(rows))
right_before = f"{right:.0f} of {len(sample)}"
say(f"Right: {right_before}, out of {len(held_out)} facts.")

# %% [markdown]
# **Explain.** The form is right: a colour for a colour, a month for a month. The content is made
# up. What right answers there are, were hit by chance: there are few colours and twelve months.
#
# ## One training example, token by token
#
# To teach a fact we show a sentence that begins with the product's name and ends with the value,
# four such sentences for each fact, and one question with its answer. The model reads all of it,
# but it is marked only on the value.

# %%
import torch

from utils.injection import NAME_FIRST, teaching_examples
from utils.token_boxes import show_tokens

examples, exposures = teaching_examples(world, NAME_FIRST)
example, question = examples[1], examples[-1]  # after four sentences comes a question
for shown in (example, question):
    show_tokens(tokenizer, {"read": shown.prompt, "learnt": shown.answer})
say(f"{len(examples):,} examples; they name every fact {exposures} times.")

prompt_ids = tokenizer(example.prompt, return_tensors="pt").input_ids
answer_id = tokenizer(example.answer).input_ids[0]
with torch.inference_mode():
    base_logits = model(prompt_ids).logits[0, -1]  # of the token that comes after the prompt
loss = -base_logits.log_softmax(-1)[answer_id]
say(
    f"After this prompt the base model gives `{tokenizer.decode(answer_id)}` a probability of "
    f"{100 * (-loss).exp():.3f} %. Its *loss*, minus the natural logarithm of that, is "
    f"{loss:.1f} nats. Training turns the weights so that the loss falls."
)

# %% [markdown]
# Each box is one token; `␣` is a space, `\n` the end of the line. The invented name is cut into
# pieces, down to single digits: what tells *L860* from *L870* is one small token. In a
# question the end of the line is learnt too, so that the model stops after its answer.
#
# ### Exercise 6.1: labels
#
# Training wants one *label* for each token: the token itself where it is to be learnt, and
# `IGNORED` where it is only read. The prompt `[7, 3, 9]` and the answer `[5, 2]` get the labels
# `[-100, -100, -100, 5, 2]`.


# %% nbgrader={"grade_id": "q6_1", "solution": true}
def build_labels(prompt: list[int], answer: list[int]) -> list[int]:
    """One label for each token of prompt + answer; -100 where a token is only read."""
    IGNORED = -100
    ### BEGIN SOLUTION: give each token of prompt + answer its label
    return [IGNORED] * len(prompt) + answer
    ### END SOLUTION


# %% nbgrader={"grade_id": "q6_1_check", "grade": true, "locked": true, "points": 2}
from utils.checks import check

check("q6_1")

# %% [markdown] tags=["hints"]
# Hint: How long must the list be?
#
# Hint: `[IGNORED] * 3` is a list of three.

# %% [markdown]
# ## What is trained
#
# A layer multiplies by a large matrix $W$. LoRA leaves $W$ as it is and learns a correction beside
# it: the product of two thin matrices, $B A$, of rank $r$. If $W$ has 6 rows (outputs) and 4
# columns (inputs) and $r = 2$, then $A$ is 2 x 4 and $B$ is 6 x 2. We adapt all seven matrices of a
# layer, in the upper third of the layers. What the lower ones compute never changes, so it is
# computed once and kept: that is much of the speed (`utils/lora.py` is short, open it).
#
# ### Exercise 6.2: how large is an adapter?
#
# You get the shapes `(outputs, inputs)` of the adapted matrices of one layer, the rank, and how
# many layers are adapted. How many numbers are trained? For `[(6, 4)]`, rank 2, one layer: 20.


# %% nbgrader={"grade_id": "q6_2", "solution": true}
def adapter_parameters(shapes: list[tuple[int, int]], rank: int, layers: int) -> int:
    """How many numbers A and B hold, over all matrices and all layers."""
    ### BEGIN SOLUTION: add up the sizes of A and B, over the matrices and the layers
    one_layer = sum(rank * inputs + outputs * rank for outputs, inputs in shapes)
    return layers * one_layer
    ### END SOLUTION


# %% nbgrader={"grade_id": "q6_2_check", "grade": true, "locked": true, "points": 2}
check("q6_2")

# %% [markdown] tags=["hints"]
# Hint: $A$ has the shape rank x inputs. What shape has $B$?
#
# Hint: rank x inputs + outputs x rank, for each matrix.

# %% [markdown]
# ## Tune it
#
# An *epoch* shows as many examples as there are, each once. The first epoch is different: it shows
# a quarter of the catalogue only, four times. The reason is a finding of Zucchet et al. (2025,
# [arXiv:2503.21676](https://arxiv.org/abs/2503.21676)). Before a model can store facts about names
# that look alike, it must learn where to look: *which tokens* tell them apart. It learns that
# sooner among few names. You will see the loss jump up where the other names come, and fall again.
#
# In between we ask a sample of the held-out questions, which are worded as no example is; at the
# end all of them. Other runs, with another seed and nothing else changed, come with the course:
# grey in the picture. Three more, in orange, showed the whole catalogue from the first step.
#
# While it runs you see the loss of every step. If you have seen enough, interrupt the kernel (press
# `I` twice, or the square above): the adapter stays as it is then, and the lesson goes on with it.
#
# **Predict** before you run the tuning.

# %%
predict("l06_held_out", "After tuning: of 100 held-out questions, how many are answered right?")
predict(
    "l06_reversed", f"And of 100 reversed ones, such as: {questions(world, 'reversed')[0].text}"
)

# %%

from utils import experiments
from utils.adapters import load_adapter, remove_adapter, save_adapter
from utils.injection import HALF, SEEDS, closed_book_exact, learning_curve, lesson_run
from utils.lora import LoraSettings, tune
from utils.loss_curve import LossCurve

SEED = 4  # of your run: it orders the examples and fills A before the first step
EXPOSURES = 25  # how often a fact is met, on average
CURRICULUM = (0.25,)  # the first epoch draws from a quarter of the examples; () from all
RECOMPUTE = False  # True computes the grey and orange runs again on your machine

if tuned is not None:  # you ran this cell before: start from the base model again
    remove_adapter(tuned)


def shipped_runs(curriculum: tuple[float, ...]) -> list[dict]:
    """The learning curves that come with the course, one a seed."""
    return [
        experiments.run(
            "learning-curve",
            lesson_run(seed, FAMILIES, curriculum),
            lambda configuration: learning_curve(configuration, model, tokenizer),
            recompute=RECOMPUTE,
        ).values
        for seed in SEEDS
    ]


shipped, at_once = shipped_runs(CURRICULUM), shipped_runs(())
settings = LoraSettings(epochs=EXPOSURES // exposures, curriculum=CURRICULUM, seed=SEED)


def percent(scores: list[float]) -> float:
    return 100 * sum(scores) / len(scores)


curve = {}  # epoch -> a score for each question of the sample


def after_epoch(epoch: int, tuned) -> None:
    """Ask the sample of held-out questions now and then, with nothing before them."""
    if epoch % 2 == 0 or epoch == settings.epochs:
        return  # after the last epoch, the next cell asks all of them
    curve[epoch] = closed_book_exact(tuned, tokenizer, sample)
    reached = percent(curve[epoch])
    print(f"after epoch {epoch}: {'=' * round(reached / 2)} {reached:.0f} % right", flush=True)


tuned, report = tune(
    model, tokenizer, examples, settings, after_epoch=after_epoch, watch=LossCurve()
)
say(
    f"{report.steps} steps, {report.tokens:,} tokens, {report.seconds:.0f} s with the questions. "
    f"Trained: {report.parameters:,} numbers, "
    f"{100 * report.parameters / model.num_parameters():.1f} % of the model."
)

# %%
import matplotlib.pyplot as plt

from utils.plots import BLUE, GREY, ORANGE, label_axes, set_style, show
from utils.stats import bootstrap

asked = [closed_book(question.text) for question in held_out]
said = complete(tuned, tokenizer, asked, max_new_tokens=8, batch_size=64, progress="All questions")
exact = [exact_match(text, question.answer) for text, question in zip(said, held_out, strict=True)]
products = [question.product for question in held_out]
after = bootstrap(exact, clusters=products)
end = len(report.losses) + (report.ended == "interrupted")
curve[end] = exact[::CURVE_SHARE]
reveal("l06_held_out", after)


def spread(rows: list[list[float]]) -> tuple[list[float], list[float]]:
    """Lowest and highest of the shipped runs, at each place."""
    columns = list(zip(*rows, strict=True))
    return [min(column) for column in columns], [max(column) for column in columns]


set_style()
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
label_axes(left, "Loss on the training examples", "epoch", "mean loss (nats per token)")
label_axes(right, f"Held-out questions (sample of {len(sample)})", "epoch", "right answers (%)")
every = range(1, len(shipped[0]["tuning"]["losses"]) + 1)
for runs, colour, label in (
    (at_once, ORANGE, f"{len(at_once)} runs, all at once"),
    (shipped, GREY, f"{len(shipped)} runs like yours"),
):
    left.fill_between(
        every,
        *spread([run["tuning"]["losses"] for run in runs]),
        color=colour,
        alpha=0.4,
        label=label,
    )
    reached = [[percent(scores) for scores in run["exact"]] for run in runs]
    right.fill_between(every, *spread(reached), color=colour, alpha=0.4)
left.plot(range(1, len(report.losses) + 1), report.losses, BLUE, marker="o", label="your run")
left.set(ylim=(0, None), xticks=every)
left.legend()
right.plot(list(curve), [percent(scores) for scores in curve.values()], BLUE, marker="o")
right.set(ylim=(0, 100), xlim=left.get_xlim(), xticks=every)
last = [percent(run["held out"]["exact"]) for run in shipped]
last_at_once = [percent(run["held out"]["exact"]) for run in at_once]
show(
    figure,
    alt=f"Two charts over {max(curve)} epochs. Left: the loss falls from "
    f"{report.step_losses[0]:.2f} to {report.step_losses[-1]:.2f}. Right: right answers rise from "
    f"{percent(curve[min(curve)]):.0f} to {percent(curve[max(curve)]):.0f} %. Grey, runs like it: "
    f"{min(last):.0f} to {max(last):.0f} %. Orange, all at once: {min(last_at_once):.0f} to "
    f"{max(last_at_once):.0f} %.",
)
say(
    f"All {len(held_out)} held-out questions: {after}. The shipped runs like yours end between "
    f"{min(last):.0f} and {max(last):.0f} %; those that were shown the whole catalogue from the "
    f"first step, in as many steps, between {min(last_at_once):.0f} and {max(last_at_once):.0f} %."
)
half = [experiments.known("learning-curve", lesson_run(seed, HALF)).values for seed in SEEDS]
shares = ", ".join(f"{percent(run['held out']['exact']):.0f} %" for run in half)
say(
    f"Half of the catalogue, {len(half[0]['held out']['ids'])} facts, taught in the same way in "
    f"{half[0]['tuning']['steps']:,} steps (yours took {report.steps:,}): {shares} right, one "
    "number a seed."
)

# %% [markdown]
# **Explain.** The loss says how well the *training* phrasings are predicted, the right-hand chart
# whether the fact itself is there when the words around it are new. The grey band is all that
# chance does: the same facts, the same settings, another order. The orange band took as many steps
# over the same examples, only without a first epoch among few names. Half of the facts take half of
# the steps, since each one is met as often: what is written into weights is paid for fact by fact.
# Yet they need not come out as well: where to look had to be learnt in half of the steps too.
#
# What do the remaining errors look like?

# %%
rows = ["| question | the tuned model says | right is | the model says a sibling's value |"]
rows.append("| --- | --- | --- | --- |")
wrong, siblings = 0, 0
for question, text in zip(held_out, said, strict=True):
    if exact_match(text, question.answer):
        continue
    family = [p for p in world.products if question.product.startswith(p.family)]
    confused = any(exact_match(text, p.facts[question.attribute]) for p in family)
    wrong, siblings = wrong + 1, siblings + confused
    if wrong <= 5:
        note = "yes" if confused else "no"
        rows.append(f"| {question.text} | {text} | {question.answer} | {note} |")
if wrong:
    say("\n".join(rows))
say(f"Wrong: {wrong} of {len(held_out)}; in {siblings} of them it gives a sibling's value.")

# %% [markdown]
# ## Forwards, backwards
#
# The model can say what colour a product has. Does it know which product has that colour? No fact
# is new; only the direction is. We let it write the answer, and also let it *choose* among four
# names of the family, where guessing is right once in four.

# %%
from utils.injection import ask
from utils.plots import SKY, interval_bars

backwards = questions(world, "reversed")[::7]  # seven, so that all five attributes occur
answers = ask(tuned, tokenizer, backwards, worked_examples=False, progress="Reversed")
about = [question.product for question in backwards]
written = bootstrap(answers.exact, clusters=about)
chosen = bootstrap(answers.chosen, clusters=about)
reveal("l06_reversed", written)

rows = ["| question | the tuned model says | right is |", "| --- | --- | --- |"]
for question, text in list(zip(backwards, answers.texts, strict=True))[:16:4]:
    rows.append(f"| {question.text} | {text} | {question.answer} |")
say("\n".join(rows))
figure = interval_bars(
    ["forwards, written", "backwards, written", "backwards, chosen of four"],
    [after, written, chosen],
    title="The same facts, asked from the other end",
    xlabel="right answers (%); dotted line: guessing one of four",
    ylabel="direction",
    colours=[SKY, ORANGE, ORANGE],
)
figure.axes[0].axvline(25, color=GREY, linestyle=":")
show(
    figure,
    alt=f"Three bars: forwards {after}; backwards, written {written}; backwards, chosen of four "
    f"{chosen}. A dotted line marks guessing at 25 %.",
)

# %% [markdown] tags=["published"]
# **Explain.** This is the *reversal curse* of Berglund et al. (2023,
# [arXiv:2309.12288](https://arxiv.org/abs/2309.12288)): models tuned on "A is B" did not answer
# "what is B?" with A. What is written into weights is a way to go on from a beginning, not an entry
# that can be looked up from both ends. A card in a prompt has no direction: it can be read either
# way.

# %% [markdown]
# ### Exercise 6.3, in words: forwards but not backwards
#
# A colleague tuned a model on product sheets. It answers "What is the battery life of the X200?"
# but not "Which product runs for 38 hours?". Say in a few sentences why the first works and the
# second does not, and what you would do: name one repair inside the model and one outside.

# %% [markdown] nbgrader={"grade_id": "q6_3", "grade": true, "solution": true, "points": 4}
# ### BEGIN SOLUTION
# Training only ever raised the probability of the value *after* the name. Nothing raised the
# probability of the name after the value, so that direction is as unknown as before: the weights
# hold a way to go on, not a table. Inside: add the facts in both directions (questions that ask for
# the product by its value) and test on reversed questions that were not trained. Outside: put the
# cards in a store and search them; a card can be found by its value as well as by its name. For a
# catalogue that is asked in many directions, or that changes, I would take the store.
#
# ### BEGIN MARK SCHEME
# - 1 point: the loss rewards the value given the name, never the name given the value.
# - 1 point: hence no symmetric "entry" is stored; or: the reversed direction stays near guessing.
# - 1 point: a repair inside (training data in both directions, tested on held-out reversals).
# - 1 point: a repair outside (retrieval or a structured look-up) with a reason to prefer one.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What to teach with
#
# Real documents are not written to be learnt. How far do you get with the text as it is? We took
# the whole catalogue, twelve families, and let the model meet every fact equally often: in the
# cards (*raw text*), in ten statements each (*paraphrases*), or in four questions (*questions*).
# Each run takes many minutes, so they come with the course. They have one learning rate for $A$ and
# $B$, and other batches: compare them with each other, not with your run.

# %%
predict_choice(
    "l06_teaching",
    "Which way of teaching gives most right answers to held-out questions?",
    ["raw text", "paraphrases", "questions"],
)

# %%
from utils.injection import QUESTIONS, TEACHINGS, Injection, shipped_scores
from utils.stats import Interval, holm, paired_difference, paired_permutation

seeds = {}  # way of teaching -> the seeds whose runs are there
for teaching in TEACHINGS:
    there = [s for s in SEEDS if experiments.known("injection", Injection(teaching, s))]
    if there:
        seeds[teaching] = there


def counted(there: list[int]) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{len(there)} seed{'s' if len(there) > 1 else ''}"


labels = ["nothing: base model"] + [f"{name} ({counted(seeds[name])})" for name in seeds]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
spoken = []
for ax, form, title in (
    (axes[0], "closed book", "Forwards: held-out questions"),
    (axes[1], "reversed", "Backwards: reversed questions"),
):
    intervals = [shipped_scores(teaching, form).interval() for teaching in ("", *seeds)]
    texts = {"title": title, "xlabel": "right answers (%)", "ylabel": "taught with"}
    interval_bars(labels, intervals, **texts, ax=ax)
    spoken.append(f"{title}: {'; '.join(map(str, intervals))}")
axes[1].set(ylabel="as on the left", yticklabels=[])
show(figure, alt=f"Bars for {', '.join(labels)}, in this order. {'. '.join(spoken)}.")
for name in set(TEACHINGS) - seeds.keys():
    say(f"No run with {name} is there; `python -m utils.injection` computes what is missing.")
scores = {name: shipped_scores(name, "closed book") for name in seeds}
forwards = {name: arm.interval() for name, arm in scores.items()}
best, *others = sorted(forwards, key=lambda name: -forwards[name].estimate)
reveal("l06_teaching", best)
for name in others:
    behind = paired_difference(scores[best].means(), scores[name].means(), scores[best].products)
    seen = "so it is behind" if behind.high < 0 else "so no difference is seen"
    say(f"On the same questions, {name} against {best}: {behind}, {seen}.")

# %% [markdown]
# **Explain.** Every fact was met equally often, so the amount is not what differs: the *form* is. A
# card says five things in one go, always in the same words. Paraphrases and questions say one thing
# at a time, in several ways. But somebody must first write them, and the question form is also the
# form of the test: an advantage that real documents do not have. In your own examples the name
# always stands first, so that all that is said of a product hangs on the same states of the model.
# Lesson 07 sets the three runs beside retrieval.
#
# ## Rank, layers, learning rate
#
# Which of the settings matter? Each chart changes one of them and leaves the others as they were in
# your run; the middle value is yours. They teach four families, each fact twenty times, which is
# few: where learning is half done, differences show best.

# %%
from utils.settings_sweep import KNOBS
from utils.settings_sweep import shipped as shipped_sweep

WORDS = {"rank": "rank", "upper_layers": "adapted layers", "learning_rate": "learning rate of A"}
sweep = {knob: shipped_sweep(knob) for knob in KNOBS}
figure, axes = plt.subplots(1, len(KNOBS), figsize=(10, 3.4), sharey=True)
spoken = []
for ax, (knob, runs) in zip(axes, sweep.items(), strict=True):
    intervals = [interval for interval, _, _ in runs.values()]
    shares = [100 * interval.estimate for interval in intervals]
    below = [100 * (interval.estimate - interval.low) for interval in intervals]
    above = [100 * (interval.high - interval.estimate) for interval in intervals]
    places = range(len(runs))
    ax.errorbar(places, shares, yerr=[below, above], color=BLUE, marker="o", capsize=4)
    label_axes(ax, f"By {WORDS[knob]}", WORDS[knob], "right answers (%)")
    ax.set(xticks=places, xticklabels=[f"{value:g}" for value in runs], ylim=(0, 100))
    ax.set(xlim=(-0.4, len(runs) - 0.6))
    found = [f"{value:g} gives {i}" for value, i in zip(runs, intervals, strict=True)]
    spoken.append(f"{WORDS[knob]}: {'; '.join(found)}")
show(figure, alt=f"Three charts of right answers. {'. '.join(spoken)}.")
timed = [f"{count} layers {spent:.0f} s" for count, (_, spent, _) in sweep["upper_layers"].items()]
counts = {count for runs in sweep.values() for _, _, count in runs.values()}
say(
    f"Time of the tuning: {', '.join(timed)}. Each point is the mean of {min(counts)} seeds. The "
    f"{len(shipped)} runs of your own setting above, which differ in their seed alone, ended "
    f"between {min(last):.0f} and {max(last):.0f} %."
)

# %% [markdown]
# **Explain.** The intervals say what other products might give, not what another seed would: the
# order of the examples alone moves a run whose learning is half done by some points. So look at
# large differences only. More adapted layers cost time, because less can be computed once and kept;
# a rank costs little. A learning rate that is too low has not learnt everything when the last step
# is done. If one is far too high, the loss rises; the trainer then stops and says so.
#
# ## What it forgets
#
# Every weight that learnt a fact held something before. To see what was lost, take facts of the
# real world that the base model knows, and ask the tuned model.
#
# There is a trap. Choose the facts that the model gets right with some question, and it gets all of
# them right with that question, lucky guesses included. With any other wording, the luck is drawn
# again and some are lost, though nothing was forgotten: *regression to the mean*. So we **choose**
# with one form (a question) and **test** both models with another (a sentence to be finished).

# %%
predict(
    "l06_forgotten",
    "Tuned on questions: by how many points does it fall on facts that the base model knows?",
    low=-10,
    high=50,
    unit="points",
)

# %%
from utils.worlds import load_retention

items = load_retention()
base = experiments.known("injection", Injection("")).values
chosen_items = [i for i, right in enumerate(base["retention by question"]) if right]
say(
    f"*{items[0].question}* chooses; *{items[0].cloze} ...* tests. The base model knows "
    f"{len(chosen_items)} of {len(items)} facts by the first form."
)
base_scores = [base["retention"][i] for i in chosen_items]
scores = {}
for name, there in seeds.items():
    runs = [experiments.known("injection", Injection(name, seed)).values for seed in there]
    scores[name] = [sum(run["retention"][i] for run in runs) / len(runs) for i in chosen_items]
intervals = [bootstrap(values) for values in (base_scores, *scores.values())]
figure = interval_bars(
    labels,
    intervals,
    title="Facts that the base model knows, asked anew",
    xlabel="right choices of four (%)",
    ylabel="taught with",
)
show(figure, alt=f"Bars for {', '.join(labels)}: {'; '.join(map(str, intervals))}.")

changes = {name: paired_difference(base_scores, values) for name, values in scores.items()}
p_values = holm([paired_permutation(base_scores, values) for values in scores.values()])
rows = ["| taught with | change against the base model, same facts | p (Holm) |", "|---|---|---|"]
rows += [f"| {n} | {c} | {p:.4f} |" for (n, c), p in zip(changes.items(), p_values, strict=True)]
say("\n".join(rows))
change = changes[QUESTIONS]
ends = (-100 * change.estimate, -100 * change.high, -100 * change.low)
reveal("l06_forgotten", Interval(*ends, n=change.n))

# %% [markdown]
# **Explain.** The first bar is below 100 % although it belongs to the very model that chose the
# facts: that gap is luck and wording, not forgetting. Only what lies between the first bar and the
# others, fact by fact, can be put down to the tuning, and only where its interval leaves out 0.
# Without the second form we would have blamed the tuning for both.
#
# ## The adapter is a file
#
# The base model is still there, untouched; all that was learnt lies in the pairs $A$, $B$. So it
# can be saved, switched off, and put back.

# %%
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp()) / "the-catalogue"
save_adapter(tuned, folder, notes={"seed": SEED, "right": after.estimate})
files = {file.name: file.stat().st_size / 1e6 for file in sorted(folder.iterdir())}
say("Saved: " + ", ".join(f"`{name}` {size:.2f} MB" for name, size in files.items()) + ".")


@torch.inference_mode()
def next_token_logits() -> torch.Tensor:
    """What the model says after the example's prompt: one number for each token."""
    return tuned(prompt_ids).logits[0, -1]


tuned_logits = next_token_logits()
with tuned.disable_adapter():
    switched_off = next_token_logits()
probability = 100 * tuned_logits.softmax(-1)[answer_id]
say(
    f"With the adapter `{tokenizer.decode(answer_id)}` has a probability of {probability:.1f} %. "
    f"Switched off, all {len(base_logits):,} numbers equal the base model's: "
    f"**{torch.equal(switched_off, base_logits)}**."
)

# %% [markdown]
# ## Merged, it costs nothing to run
#
# Beside $W$, the pair $A$, $B$ costs a little time for each token. Once trained, it can be written
# into the matrix: $W + \frac{\alpha}{r} B A$, where $\alpha$ is a fixed weight.
#
# ### Exercise 6.4: merge by hand
#
# Return the merged matrix. $W$ is (outputs, inputs), $A$ is (rank, inputs), $B$ is (outputs, rank),
# all numpy arrays.


# %% nbgrader={"grade_id": "q6_4", "solution": true}
import numpy as np


def merge_by_hand(
    W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float, rank: int
) -> np.ndarray:
    """W with the adapter written into it; same shape as W."""
    ### BEGIN SOLUTION: add the weighted product of B and A to W
    return W + alpha / rank * B @ A
    ### END SOLUTION


# %% nbgrader={"grade_id": "q6_4_check", "grade": true, "locked": true, "points": 2}
check("q6_4")

# %% [markdown] tags=["hints"]
# Hint: Which product of the two thin matrices has the shape of $W$?
#
# Hint: `@` multiplies matrices; don't forget $\alpha / r$.

# %%
tuned.merge_adapter()
merged_logits = next_token_logits()
tuned.unmerge_adapter()
difference = (merged_logits - tuned_logits).abs().max()
say(
    f"Merged or beside the matrix: the {len(merged_logits):,} numbers differ by {difference:.1g} "
    f"at most, where they span {tuned_logits.max() - tuned_logits.min():.0f}. That is rounding."
)

# %% [markdown]
# ## Two adapters, one model
#
# The course ships the adapters of its own runs. Load one beside yours, the one that was taught in
# questions alone, and switch: the same model, the same questions about one family.

# %%
import time

from utils.injection import adapter_folder

load_adapter(tuned, adapter_folder(Injection(QUESTIONS, 0)), QUESTIONS)
family = world.products[-1].family
some = [q for q in held_out if q.product.startswith(family)]
texts = [closed_book(question.text) for question in some]

rows = [f"| adapter | swap (ms) | right on the {family} family |", "| --- | --- | --- |"]
for name, label in (("default", "yours"), (QUESTIONS, "questions alone")):
    start = time.perf_counter()
    tuned.set_adapter(name)
    milliseconds = 1000 * (time.perf_counter() - start)
    answered = complete(tuned, tokenizer, texts, max_new_tokens=8, progress=label)
    right = sum(exact_match(a, q.answer) for a, q in zip(answered, some, strict=True))
    rows.append(f"| {label} | {milliseconds:.1f} | {right:.0f} of {len(some)} |")
say("\n".join(rows))

# %% [markdown]
# ## What we measured and how sure we are


# %%
def lost(change: Interval) -> str:
    """What the change of an accuracy says about forgetting."""
    if change.high < 0:
        return "it forgot"
    return "no loss seen" if change.low <= 0 else "it gained"


learnt = "; ".join(f"{name} {right}, {counted(seeds[name])}" for name, right in forwards.items())
kept = "; ".join(f"{name} {change}, {lost(change)}" for name, change in changes.items())
curse = "no better than guessing" if chosen.low <= 0.25 <= chosen.high else "unlike guessing"
facts = [
    f"**Learning.** {right_before} right before; all {len(held_out)} held-out phrasings after "
    f"{report.seconds:.0f} s: {after}. Shipped runs: {min(last):.0f} to {max(last):.0f} %.",
    f"**Direction.** Reversed, written: {written}; chosen of four: {chosen}, {curse}.",
    f"**Form of the text.** Whole catalogue, held-out phrasings: {learnt}.",
    f"**Forgetting.** Change on facts that the base model knows: {kept}.",
]
say("\n".join(f"- {fact}" for fact in facts))

# %% [markdown]
# The intervals are 95 % intervals. They say what other *products* might give; the seeds say what
# other *orders* of training might. All of it is one small model and one kind of text: a larger
# model learns and forgets at other rates. The questions that teach are close to those that test;
# that favours them.
#
# ## Where to read on
#
# - Hu et al. 2021, [LoRA](https://arxiv.org/abs/2106.09685): the method.
# - Berglund et al. 2023, [The Reversal Curse](https://arxiv.org/abs/2309.12288).
# - Allen-Zhu and Li 2023, [Physics of Language Models: Knowledge Storage and
#   Extraction](https://arxiv.org/abs/2309.14316): why paraphrases matter so much.
# - Zucchet et al. 2025, [How do language models learn facts? Dynamics, curricula and
#   hallucinations](https://arxiv.org/abs/2503.21676): the plateau, and how to shorten it.
# - Biderman et al. 2024, [LoRA Learns Less and Forgets Less](https://arxiv.org/abs/2405.09673).
# - `utils/lora.py` and `utils/training.py`: the whole trainer. `utils/injection.py`: the shipped
#   runs.
