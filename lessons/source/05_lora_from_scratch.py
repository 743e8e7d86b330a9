# %% [markdown]
# # Lesson 05: LoRA from scratch
#
# A language model has a hundred million numbers. To teach it a catalogue, how many of them have to
# change? You look at a change that training really made, find that it is far smaller than it looks,
# and build the layer that uses this, in twenty lines.
#
# ## What you will be able to do
#
# - say what the rank of a matrix is, and see it in the singular values,
# - write a LoRA layer that computes what `peft`'s computes, and its way back,
# - say why one of its two matrices starts at zero,
# - count what training takes: all weights, the output layer alone, LoRA.
#
# ## What you need
#
# Lesson 00; matrices and gradients from a first course. No GPU. {{measured}}

# %% [markdown]
# ## A file of a few megabytes
#
# The course ships an adapter: what a model learnt about a whole catalogue. For one matrix of the
# model it holds two thin ones, $A$ and $B$. Their product is added to the matrix.

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

import numpy as np
from safetensors.torch import load_file

from utils.injection import QUESTIONS, Injection, adapter_folder
from utils.models import load_model
from utils.widgets import predict, predict_choice, reveal, say

model, tokenizer = load_model()
adapter = load_file(adapter_folder(Injection(QUESTIONS)) / "adapter_model.safetensors")

PLACE = "model.layers.25.mlp.down_proj"  # the 26th layer; its matrix from the wide middle back
W = model.get_parameter(f"{PLACE}.weight").detach().float().numpy()
A, B = (adapter[f"base_model.model.{PLACE}.lora_{part}.weight"].float().numpy() for part in "AB")
rank = len(A)
say(
    f"W is {W.shape[0]} x {W.shape[1]}: {W.size:,} numbers. A is {A.shape[0]} x {A.shape[1]}, "
    f"B is {B.shape[0]} x {B.shape[1]}: together {A.size + B.size:,} numbers, "
    f"{100 * (A.size + B.size) / W.size:.1f} % of W's. Their product B A has the shape of W and "
    f"the *rank* {rank}: all of its {W.shape[0]} rows are mixtures of the {rank} rows of A."
)

# %% [markdown]
# Is that enough? It depends on what has to be changed. So look at matrices piece by piece.
#
# ## Pieces of rank one
#
# The *singular value decomposition* writes any matrix as a sum of pieces of rank 1, sorted by size:
# the first piece is the best matrix of rank 1 that there is, the first two are the best of rank 2,
# and so on. The sizes are the *singular values*; their squares add up to the squared length of the
# whole (the sum of all its squared numbers).
#
# **Predict.** W has at most 576 pieces. How much of its squared length do the first 16 keep?

# %%
predict("l05_kept_of_w", "Of the squared length of W: how much do its 16 largest pieces keep?")

# %%
from utils.rank_explorer import decompose, explore_rank
from utils.tuning_ways import ALL_WEIGHTS, LORA, OUTPUT_LAYER, shipped

parts = decompose(W)
reveal("l05_kept_of_w", 100 * parts.kept(16))
noise = np.random.default_rng(0).standard_normal(W.shape)
explore_rank({"W, a matrix of the model": W, "random numbers": noise, "B A, the adapter": B @ A})

# %% [markdown]
# **Explain.** Move the rank, with the mouse or with the arrow keys. W is almost like random
# numbers: every piece carries a little, and no small rank comes near it. So LoRA does *not* say
# that the model's matrices are simple. It says something about the **change**.
#
# ## The change that full tuning makes
#
# We tuned every weight of the model on the questions of lesson 06, and subtracted: W after minus W
# before. Nothing in that training asked for a small rank.
#
# **Predict.** How much of the change's squared length do its 16 largest pieces keep?

# %%
predict("l05_kept_of_change", "Of the change by full tuning: how much do its 16 largest keep?")

# %%
import matplotlib.pyplot as plt

from utils.plots import BLUE, GREY, MARKERS, VERMILION, label_axes, set_style, show

changes = [np.array(run["spectra"][f"{PLACE}.weight"]) for run in shipped(ALL_WEIGHTS)]


def kept(values: np.ndarray) -> np.ndarray:
    """Share of the squared length (%) that the largest 1, 2, 3, ... pieces keep."""
    return 100 * np.cumsum(values**2) / (values**2).sum()


at_16 = [kept(values)[15] for values in changes]
reveal("l05_kept_of_change", float(np.mean(at_16)))
set_style()
figure, ax = plt.subplots(figsize=(8, 3.6))
label_axes(ax, "How much a few pieces keep", "pieces (rank)", "squared length kept (%)")
ranks = np.arange(1, len(parts.values) + 1)
for name, curves, colour, marker in (
    (f"change by full tuning, {len(changes)} seeds", changes, VERMILION, MARKERS[0]),
    ("W itself", [parts.values], BLUE, MARKERS[1]),
    ("random numbers", [decompose(noise).values], GREY, MARKERS[2]),
):
    for number, values in enumerate(curves):
        label = name if number == 0 else None
        style = {"color": colour, "marker": marker, "markevery": [0, 3, 15, 63, 255]}
        ax.plot(ranks, kept(values), label=label, **style)
ax.axvline(16, color=GREY, linestyle=":")
ax.set(xscale="log", ylim=(0, 103))
ax.legend(loc="upper left")
show(
    figure,
    alt="Three curves of the squared length kept over the rank. At rank 16 (dotted line): the "
    f"change by full tuning {min(at_16):.0f} to {max(at_16):.0f} %, W itself "
    f"{kept(parts.values)[15]:.0f} %, random numbers {kept(decompose(noise).values)[15]:.0f} %.",
)
say(
    f"16 of {len(parts.values)} pieces keep {min(at_16):.0f} to {max(at_16):.0f} % of the change "
    f"({len(changes)} seeds), {kept(parts.values)[15]:.0f} % of W."
)

# %% [markdown]
# **Explain.** The change leans on far fewer directions than the matrix. That is what LoRA bets on:
# allow only changes of a low rank from the start, and train only those. The bet was made by Hu et
# al. (2021) and measured before by Aghajanyan et al. (2020); how far it carries depends on what is
# to be learnt, so we shall measure it too.
#
# ### Exercise 5.1: the best matrix of a low rank
#
# Return the nearest matrix to `W` that has the given rank. `np.linalg.svd(W, full_matrices=False)`
# gives the pieces: columns of the first matrix, the values, rows of the last matrix.


# %% nbgrader={"grade_id": "q5_1", "solution": true}
import numpy as np


def low_rank(W: np.ndarray, rank: int) -> np.ndarray:
    """The nearest matrix of this rank; same shape as W."""
    ### BEGIN SOLUTION: keep the largest pieces of W and put them together
    left, values, right = np.linalg.svd(W, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]
    ### END SOLUTION


# %% nbgrader={"grade_id": "q5_1_check", "grade": true, "locked": true, "points": 2}
from utils.checks import check

check("q5_1")

# %% [markdown] tags=["hints"]
# Hint: Which slice of the first factor belongs to the largest pieces: rows or columns?
#
# Hint: `left[:, :rank] * values[:rank]` scales each column by its value.

# %% [markdown]
# ## The layer
#
# A layer computes $W x$. With an adapter it computes
#
# $$h = W x + \frac{\alpha}{r} B A x .$$
#
# $A$ has the shape $r$ x inputs, $B$ outputs x $r$. $W$ is frozen. $\alpha$ is a fixed number: with
# it a learning rate that suits one rank also suits another. $A$ starts with small random numbers,
# $B$ with zeros.
#
# ### Exercise 5.2: a LoRA layer
#
# Write it as a `torch.nn.Module`. `W` is a tensor (outputs, inputs); inputs come as
# `(..., inputs)`. Name the trained matrices `self.A` and `self.B`. The check compares your layer
# with `peft`'s: the same parameters trained, the same start, the same numbers to rounding.


# %% nbgrader={"grade_id": "q5_2", "solution": true}
import torch
from torch import nn


class LoraLayer(nn.Module):
    """W x + alpha / rank B A x, where only A and B are trained."""

    def __init__(self, W: torch.Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        ### BEGIN SOLUTION: keep W, make the parameters self.A and self.B, and write forward
        outputs, inputs = W.shape
        self.W = nn.Parameter(W, requires_grad=False)
        self.A = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.B = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.W.T + self.scale * (x @ self.A.T @ self.B.T)
        ### END SOLUTION


# %% nbgrader={"grade_id": "q5_2_check", "grade": true, "locked": true, "points": 4}
check("q5_2")

# %% [markdown] tags=["hints"]
# Hint: `nn.Parameter(..., requires_grad=False)` is part of the layer but is not trained.
#
# Hint: For one input it is `W @ x`; for many, one in each row, it is `x @ W.T`.
#
# Hint: Multiply by A first. `B @ A` would be as large as W, and that is what we want to avoid.

# %% [markdown]
# ## Why one of the two starts at zero
#
# With $B = 0$ the layer computes exactly what it did before: training starts from the model, not
# from a damaged one. But then why is $A$ not zero as well?
#
# **Predict.** Three ways to start; which ones can learn?

# %%
STARTS = ["only B is zero", "only A is zero", "both are zero"]
predict_choice("l05_start", "With which start does nothing ever change?", [*STARTS, "none of them"])

# %%
torch.manual_seed(0)
x, wanted = torch.randn(64, 8), torch.randn(64, 6)
base = torch.randn(6, 8)
rows = ["| start | the gradient of A is | the gradient of B is |", "| --- | --- | --- |"]
stuck = []
for start in STARTS:
    a = torch.randn(2, 8) if start == "only B is zero" else torch.zeros(2, 8)
    b = torch.randn(6, 2) if start == "only A is zero" else torch.zeros(6, 2)
    a, b = a.requires_grad_(), b.requires_grad_()
    loss = ((x @ base.T + x @ a.T @ b.T - wanted) ** 2).mean()
    loss.backward()
    sizes = [("zero" if not m.grad.any() else f"not zero ({m.grad.norm():.2f})") for m in (a, b)]
    rows.append(f"| {start} | {sizes[0]} | {sizes[1]} |")
    if not a.grad.any() and not b.grad.any():
        stuck.append(start)
say("\n".join(rows))
reveal("l05_start", stuck[0] if len(stuck) == 1 else "none of them")

# %% [markdown]
# **Explain.** The gradient of $B$ contains $A x$, and the gradient of $A$ contains $B$. If one of
# them is zero, the other one's gradient is zero at first, but not its own: it moves in the first
# step and wakes the other. If both are zero, neither ever moves.
#
# ### Exercise 5.3: the way back to B
#
# Write down that gradient. The layer was given `x`, one example in each row: (examples, inputs).
# From the loss came back `dy`: (examples, outputs), the gradient at the layer's output. Return the
# gradient of $B$. (`utils/lora_product.py` computes it like this in every step of your tuning.)


# %% nbgrader={"grade_id": "q5_3", "solution": true}
import numpy as np


def gradient_of_B(
    dy: np.ndarray, x: np.ndarray, A: np.ndarray, alpha: float, rank: int
) -> np.ndarray:
    """The gradient of the loss with respect to B, shape (outputs, rank)."""
    ### BEGIN SOLUTION: what B was multiplied by, and what came back
    return alpha / rank * dy.T @ (x @ A.T)
    ### END SOLUTION


# %% nbgrader={"grade_id": "q5_3_check", "grade": true, "locked": true, "points": 2}
check("q5_3")

# %% [markdown] tags=["hints"]
# Hint: For $y = M z$ the gradient of $M$ is $dy\, z^T$, summed over the examples.
#
# Hint: What is $z$ here, that $B$ is multiplied by?

# %% [markdown]
# ## How large must the rank be?
#
# A task where we know the answer: the right matrix is W plus a change of rank 4. Adapters of rank
# 1, 2, 4 and 8 learn it from examples.
#
# **Predict.** Which is the smallest rank that gets there?

# %%
TRUE_RANK, RANKS, STEPS = 4, (1, 2, 4, 8), 400
predict_choice("l05_rank", "Which is the smallest rank whose loss goes to zero?", RANKS)

# %%
from peft import LoraConfig, get_peft_model


def learn(rank: int, seed: int) -> list[float]:
    """The loss of every step while peft's layer of this rank learns a change of rank 4."""
    torch.manual_seed(seed)
    change = torch.randn(48, TRUE_RANK) @ torch.randn(TRUE_RANK, 64) / 8
    layer = nn.Sequential(nn.Linear(64, 48, bias=False))
    right = layer[0].weight.detach() + change
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"])
    tuned = get_peft_model(layer, config)
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(STEPS):
        x = torch.randn(64, 64)
        loss = ((tuned(x) - x @ right.T) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


curves = {r: np.array([learn(r, seed) for seed in range(5)]) for r in RANKS}
ends = {r: curve[:, -20:].mean(axis=1) for r, curve in curves.items()}
enough = [r for r in RANKS if ends[r].max() < 0.02 * curves[r][:, 0].mean()]
reveal("l05_rank", str(enough[0]) if enough else "none")

figure, ax = plt.subplots(figsize=(8, 3.6))
label_axes(ax, f"Learning a change of rank {TRUE_RANK}", "step", "mean squared error")
for (r, curve), marker in zip(curves.items(), MARKERS, strict=False):
    (line,) = ax.plot(
        curve.mean(axis=0), marker=marker, markevery=50, label=f"rank {r}: "
        f"{ends[r].mean():.2f} at the end [{ends[r].min():.2f}, {ends[r].max():.2f}]"
    )  # fmt: skip
    ax.fill_between(
        range(STEPS), curve.min(axis=0), curve.max(axis=0), color=line.get_color(), alpha=0.2
    )
ax.set(ylim=(0, None))
ax.legend(title="mean and range of 5 seeds")
show(
    figure,
    alt=f"Four curves over {STEPS} steps: the error of adapters of rank 1, 2, 4 and 8 falls; at "
    "the end it is " + "; ".join(f"rank {r}: {ends[r].mean():.2f}" for r in RANKS) + ".",
)

# %% [markdown]
# **Explain.** A rank below that of the right change leaves an error that no amount of training
# removes; a rank above it costs numbers and gains nothing here. In a real model nobody knows the
# right rank. You try some, on data that you don't report: lesson 06 does.
#
# ## What training takes
#
# Every trained number needs a gradient, and Adam keeps two more numbers for it: a running mean of
# the gradient and one of its square. Frozen numbers need neither.
#
# ### Exercise 5.4: count the bytes
#
# A model has `total` numbers, `trained` of them are trained; all numbers are float32, four bytes.
# How many bytes do the weights, the gradients and Adam's two means take together?


# %% nbgrader={"grade_id": "q5_4", "solution": true}
def training_bytes(total: int, trained: int) -> int:
    """Bytes of weights, gradients and Adam's means, all in float32."""
    ### BEGIN SOLUTION: four bytes for each number that is kept
    return 4 * total + (4 + 4 + 4) * trained
    ### END SOLUTION


# %% nbgrader={"grade_id": "q5_4_check", "grade": true, "locked": true, "points": 2}
check("q5_4")

# %% [markdown] tags=["hints"]
# Hint: How many numbers are kept for a trained weight? And for a frozen one?

# %% [markdown]
# ## Three ways, measured
#
# The same model learns the same questions about ten products: by **all weights**, by the **output
# layer** alone, and by **LoRA** (rank 16, upper ten layers). Each way ran in a process of its own;
# the runs come with the course.
#
# To fit the first one into a laptop we gave it two habits (`utils/full_tuning.py`): each matrix is
# changed as soon as its gradient is known, and the optimizer keeps a mean for each row and column
# instead of two for each number. The learning rate of each way was chosen on a practice catalogue.
#
# **Predict.**

# %%
WAYS = [ALL_WEIGHTS, OUTPUT_LAYER, LORA]
predict_choice("l05_best", "Which way answers most held-out questions?", WAYS)
predict("l05_head", "The output layer alone: how many of 100 held-out questions does it get right?")

# %%
from utils import experiments
from utils.plots import interval_bars
from utils.stats import bootstrap

RECOMPUTE = False  # True measures them here: 20 minutes, up to 1.6 GB beside this notebook
runs = {way: shipped(way, RECOMPUTE) for way in WAYS}


def mean_over_seeds(way: str, key: str) -> np.ndarray:
    """For each question or item, the mean over the seeds."""
    return np.mean([run[key] for run in runs[way]], axis=0)


right = {
    way: bootstrap(mean_over_seeds(way, "exact"), clusters=runs[way][0]["products"]) for way in WAYS
}
retained = {way: bootstrap(mean_over_seeds(way, "retained")) for way in WAYS}


def from_to(way: str, number) -> str:
    """The smallest and the largest of the seeds' numbers."""
    values = sorted(number(run) for run in runs[way])
    return f"{values[0]:.2f} to {values[-1]:.2f}"


rows = [
    "| way | numbers trained | peak (GB) | of it beyond the loaded model | minutes |",
    "| --- | ---: | ---: | ---: | ---: |",
]
for way in WAYS:
    rows.append(
        f"| {way} | {runs[way][0]['parameters']:,} | {from_to(way, lambda run: run['peak_gb'])} | "
        f"{from_to(way, lambda run: run['peak_gb'] - run['loaded_gb'])} | "
        f"{from_to(way, lambda run: run['seconds'] / 60)} |"
    )
say("\n".join(rows))

figure, axes = plt.subplots(1, 2, figsize=(11, 2.9))
interval_bars(
    WAYS,
    [right[way] for way in WAYS],
    title="What was taught (held-out questions)",
    xlabel="right answers (%)",
    ylabel="trained",
    ax=axes[0],
)
interval_bars(
    WAYS,
    [retained[way] for way in WAYS],
    title="What was there before (facts of the world)",
    xlabel="right choices of four (%)",
    ylabel="trained",
    ax=axes[1],
)
untuned = 100 * np.mean(experiments.known("injection", Injection("")).values["retention"])
axes[1].axvline(untuned, color=GREY, linestyle=":", label="before tuning")
axes[1].legend(loc="lower right")
both = "; ".join(f"{way}: taught {right[way]}, before {retained[way]}" for way in WAYS)
show(
    figure,
    alt=f"Two rows of bars with 95 % intervals. {both}. A dotted line on the right: the model "
    f"before tuning, {untuned:.0f} %.",
)
best = max(WAYS, key=lambda way: right[way].estimate)
reveal("l05_best", best)
reveal("l05_head", right[OUTPUT_LAYER])

# %% [markdown]
# **Explain.** Compare the table with your formula: the peak holds more than weights, gradients and
# means, above all what each layer keeps for the way back. And look at both charts together: what a
# way teaches, and what it leaves of what was there.
#
# ### Exercise 5.5, in words: which way would you take?
#
# A hospital wants a model to write its discharge letters in its house style. There are 20,000
# letters, one rented GPU, and six departments, each with its own style. Say which of the three ways
# you would try first and why, and what result would make you change your mind.

# %% [markdown] nbgrader={"grade_id": "q5_5", "grade": true, "solution": true, "points": 4}
# ### BEGIN SOLUTION
# LoRA first: one base model in memory and a small adapter for each department, swapped in
# milliseconds; training keeps gradients and means for a few per cent of the numbers only, so one
# GPU is enough; and the base model stays what it was. Style is likely a change of low rank. I would
# hold letters back, and compare ranks on them. If the loss on held-out letters still falls clearly
# with each larger rank, the change is not of low rank, and I would try full tuning for one
# department, with a test of what it forgets. The output layer alone I would not expect to do it: it
# can only reweigh what the layers below already tell apart.
#
# ### BEGIN MARK SCHEME
# - 1 point: a choice with a reason from memory, storage or several adapters.
# - 1 point: an argument about what kind of change the task needs (rank, or where it lies).
# - 1 point: a comparison on held-out data that could overturn the choice.
# - 1 point: thinks of what is forgotten, or of the cost of six models against six adapters.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What we measured and how sure we are

# %%
behind = "; ".join(f"{way} {right[way]}" for way in WAYS)
facts = [
    f"**Rank of a change.** 16 pieces keep {min(at_16):.0f} to {max(at_16):.0f} % of the change "
    f"that full tuning makes in one matrix, {kept(parts.values)[15]:.0f} % of the matrix itself.",
    f"**Rank that is needed.** For a change of rank {TRUE_RANK}: "
    + (f"{enough[0]} is the smallest that gets there." if enough else "none of ours got there."),
    f"**Three ways, ten products, {len(runs[LORA])} seeds.** Held-out questions: {behind}.",
    "**Memory at the peak.** "
    + "; ".join(f"{way} {from_to(way, lambda run: run['peak_gb'])} GB" for way in WAYS)
    + ".",
]
say("\n".join(f"- {fact}" for fact in facts))

# %% [markdown]
# The intervals are 95 % intervals over products, given the seeds. One small model, one kind of
# text, one matrix of many (try another `PLACE`). Adafactor is not Adam: part of what you see
# between full tuning and LoRA may be the optimizer.
#
# ## Where to read on
#
# - Hu et al. 2021, [LoRA](https://arxiv.org/abs/2106.09685): section 7 looks at ranks.
# - Aghajanyan et al. 2020, [Intrinsic Dimensionality](https://arxiv.org/abs/2012.13255).
# - Biderman et al. 2024, [LoRA Learns Less and Forgets Less](https://arxiv.org/abs/2405.09673):
#   finds changes of higher rank where much is to be learnt.
# - Lv et al. 2023, [Full Parameter Fine-tuning with Limited
#   Resources](https://arxiv.org/abs/2306.09782): changing matrices on the way back.
# - `utils/lora_product.py`, `utils/full_tuning.py`: short; open them.
