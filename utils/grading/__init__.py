"""Marks for a folder of notebooks from strangers: `python -m utils.grading grade FOLDER/`.

No notebook among them can read the answers, change a mark or stop the others. Two processes see to
it: the answer's code runs in a jail (`jail`, `inside`), gets inputs and returns plain values
(`wire`); the grader, outside, compares them with what is right (`marking`) and runs nothing that it
was handed. `notebooks` finds the answers in what was handed in, `batch` goes through a class and
goes on where it was stopped, `reports` writes what instructor and students read.
"""
