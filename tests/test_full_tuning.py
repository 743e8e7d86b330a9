"""Every weight, or the output layer alone: they learn, and change what they should and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.tiny import EXAMPLES, Letters, logits, plain_loss, tiny_model
from utils.examples import encode
from utils.full_tuning import ALL_WEIGHTS, HEAD, AdafactorOnTheWay, tune_all, tune_head

SETTINGS = replace(ALL_WEIGHTS, epochs=8, batch_size=2, learning_rate=2e-2)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: matrix.detach().clone() for name, matrix in model.named_parameters()}


def test_every_weight_is_tuned_and_no_gradient_is_left():
    model, before = tiny_model(), weights(tiny_model())
    report = tune_all(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    after = weights(model)
    assert report.losses[-1] < 0.8 * report.losses[0]
    assert report.parameters == model.num_parameters()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(matrix.grad is None for matrix in model.parameters())


def test_a_step_on_the_way_back_is_adafactors_step():
    """The same change as with PyTorch's own Adafactor after the way back."""
    encoded = encode(Letters(), EXAMPLES, 48)
    ours, theirs = tiny_model(), tiny_model()
    on_the_way = AdafactorOnTheWay(list(ours.parameters()), learning_rate=0.02)
    plain = torch.optim.Adafactor(theirs.parameters(), 0.02, weight_decay=0.0)
    for _ in range(3):
        plain_loss(ours, encoded).backward()
        on_the_way.step()
        on_the_way.zero_grad()
        plain_loss(theirs, encoded).backward()
        plain.step()
        plain.zero_grad()
    for name, matrix in weights(theirs).items():
        torch.testing.assert_close(weights(ours)[name], matrix)


def test_after_the_tuning_the_weights_are_left_alone():
    model = tiny_model().requires_grad_(False)  # as an adapter leaves it
    tune_all(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    before = weights(model)
    plain_loss(model, encode(Letters(), EXAMPLES, 48)).backward()
    assert all(torch.equal(matrix, before[name]) for name, matrix in model.named_parameters())
    assert all(matrix.grad is not None for matrix in model.parameters())


def test_all_weights_of_a_bfloat16_model_are_not_tuned():
    with pytest.raises(ValueError, match="Load the model in float32"):
        tune_all(tiny_model().bfloat16(), Letters(), EXAMPLES, SETTINGS, progress=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_output_layer_alone_is_tuned(dtype):
    model, before = tiny_model().to(dtype), weights(tiny_model().to(dtype))
    base = logits(model)
    settings = replace(HEAD, epochs=8, batch_size=2, learning_rate=1e-2)
    report = tune_head(model, Letters(), EXAMPLES, settings, progress=False)
    after = weights(model)
    assert report.losses[-1] < 0.9 * report.losses[0]
    assert report.parameters == 96 * 16
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(after["lm_head.weight"], before["model.embed_tokens.weight"])
    assert model.lm_head.weight.dtype == dtype
    assert not torch.allclose(logits(model), base)


def test_the_loss_of_the_output_layer_is_the_whole_models():
    model = tiny_model()
    report = tune_head(
        model, Letters(), EXAMPLES, replace(HEAD, epochs=1, batch_size=5), progress=False
    )
    with torch.no_grad():
        plain = plain_loss(tiny_model(), encode(Letters(), EXAMPLES, 48)).item()
    assert report.losses == [pytest.approx(plain, abs=1e-5)]
