"""The helpers that the lessons import: one module, one idea.

Importing this package loads nothing else; import the module you need, for example
``from utils.models import load_model``.
"""
