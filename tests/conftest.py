"""What several test files share: interrupts that arrive, the real model and encoder loaded once."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start.

    A shell starts its background jobs with interrupts ignored, and whatever they start inherits
    that; the tests of Ctrl-C would then wait in vain.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def language_model():
    """The course's (model, tokenizer). Do not change the model: other tests use it after you."""
    from utils.models import load_model

    return load_model()


@pytest.fixture(scope="session")
def exact_model():
    """The same in fp32 on every machine: bf16 rounds so coarsely that the batch shows in scores."""
    import torch

    from utils.models import load_model

    return load_model(dtype=torch.float32)


@pytest.fixture(scope="session")
def encoder():
    """The course's sentence encoder."""
    from utils.models import load_encoder

    return load_encoder()
