"""The direct update is torch.optim's, fused or spelled out."""

import pytest
import torch

from engine.optimizers import Optimizer, fused_available
from presets.schema import Recipe

RECIPES = [
    Recipe(epochs=1, optimizer="sgd", momentum=0.0),
    Recipe(epochs=1, optimizer="sgd", momentum=0.9, weight_decay=5e-4),
    Recipe(epochs=1, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=1e-2),
    Recipe(epochs=1, optimizer="adam", momentum=0.9, weight_decay=1e-4),
]


def theirs(recipe: Recipe, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=1.0, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.optimizer}-{r.momentum}-{r.nesterov}-{r.weight_decay}")
@pytest.mark.parametrize("fused", [True, False])
def test_twenty_updates_equal_those_of_torch_optim(recipe, fused):
    if fused and not fused_available(recipe.optimizer):
        pytest.skip(f"this torch has no fused {recipe.optimizer}")
    torch.manual_seed(0)
    start = [torch.randn(5, 3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)]
    a = [p.clone() for p in start]
    b = [p.clone().requires_grad_() for p in start]
    optimizer, oracle = Optimizer(recipe, a, fused=fused), theirs(recipe, b)
    for step in range(20):
        lr = 0.05 / (1 + step)
        gradients = [torch.randn_like(p) for p in start]
        for parameter, gradient in zip(b, gradients, strict=True):
            parameter.grad = gradient.clone()
        oracle.param_groups[0]["lr"] = lr
        oracle.step()
        optimizer.step([g.clone() for g in gradients], lr)
    for ours, expected in zip(a, b, strict=True):
        torch.testing.assert_close(ours, expected.detach(), rtol=1e-12, atol=1e-12)


def test_a_gradient_laid_out_unlike_its_weight_is_read_right():
    recipe = RECIPES[1]
    weight = torch.randn(4, 3, 2, 2)
    gradient = torch.randn(4, 3, 2, 2)
    plain, last = [weight.clone()], [weight.clone().to(memory_format=torch.channels_last)]
    for parameters in (plain, last):
        optimizer = Optimizer(recipe, parameters)
        for _ in range(3):
            optimizer.step([gradient.clone()], 0.1)
    assert torch.equal(plain[0], last[0])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.optimizer}-{r.momentum}-{r.nesterov}-{r.weight_decay}")
def test_a_saved_optimizer_goes_on_in_the_same_bits(recipe):
    torch.manual_seed(1)
    gradients = [[torch.randn(4, 4)] for _ in range(6)]
    whole, first = [torch.ones(4, 4)], [torch.ones(4, 4)]
    optimizer = Optimizer(recipe, whole)
    for gradient in gradients:
        optimizer.step([g.clone() for g in gradient], 0.1)
    before = Optimizer(recipe, first)
    for gradient in gradients[:3]:
        before.step([g.clone() for g in gradient], 0.1)
    after = Optimizer(recipe, first)
    after.load({name: tensor.clone() for name, tensor in before.state().items()})
    for gradient in gradients[3:]:
        after.step([g.clone() for g in gradient], 0.1)
    assert torch.equal(whole[0], first[0])
