"""What several test files share: the real model and the real encoder, loaded once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def language_model():
    """The course's (model, tokenizer). Do not change the model: other tests use it after you."""
    from utils.models import load_model

    return load_model()


@pytest.fixture(scope="session")
def encoder():
    """The course's sentence encoder."""
    from utils.models import load_encoder

    return load_encoder()
