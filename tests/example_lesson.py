"""A small lesson source with everything that a lesson may hold, for tests of the tools."""

SOURCE = '''\
# %% [markdown]
# # Lesson 00: An example
#
# Text.

# %% [markdown]
# ## What you will be able to do
#
# - Nothing.
#
# ## What you need
#
# Nothing. {{measured}}

# %%
import sys

sys.path.insert(0, "..")  # the course's helpers, utils, lie one folder up

# %%
from utils.checks import check
from utils.stats import Interval
from utils.widgets import predict, predict_choice, reveal

# %%
predict("l00_share", "How many of 100 answers are right?")

# %%
predict_choice("l00_winner", "Which one wins?", ["inside", "outside"])

# %%
reveal("l00_share", Interval(0.713, 0.65, 0.771, n=300))
reveal("l00_winner", "outside")

# %% [markdown]
# ### Exercise 0.1: the share of right answers
#
# Compare each answer with the right one.

# %% nbgrader={"grade_id": "q0_1", "solution": true}
def share_right(answers: list[str], right: list[str]) -> float:
    """Share of the answers that are right (0 to 1)."""
    if answers:
        ### BEGIN SOLUTION: divide the right answers by the questions
        pairs = zip(answers, right, strict=True)
        return sum(answer == truth for answer, truth in pairs) / len(answers)
        ### END SOLUTION


# %% nbgrader={"grade_id": "q0_1_check", "grade": true, "locked": true, "points": 1}
check("q0_1")
### BEGIN HIDDEN TESTS
assert share_right(["a"], ["secret of the grader"]) == 0
### END HIDDEN TESTS

# %% [markdown] tags=["hints"]
# Hint: `zip` pairs them.
#
# Hint: A sum counts.

# %% [markdown]
# ### Exercise 0.2, in words: why?
#
# Say why.

# %% [markdown] nbgrader={"grade_id": "q0_2", "grade": true, "solution": true, "points": 3}
# ### BEGIN SOLUTION
# Because it is so.
#
# ### BEGIN MARK SCHEME
# - 3 points: secret of the marker.
# ### END MARK SCHEME
# ### END SOLUTION

# %% [markdown]
# ## What we measured and how sure we are
#
# Nothing.
#
# ## Where to read on
#
# Nowhere.
'''
