"""SGD and Adam as one call a step, without torch.optim (whose first use imports torch._dynamo: 0.6 s).

Where torch has its fused kernel for the device, that is called directly; else the same update is spelled out with
foreach operations. Tests hold both equal to torch.optim.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from presets.schema import Recipe


def fused_available(name: str) -> bool:
    """Whether this torch has the fused kernel of "sgd" or "adam" for CPU tensors; GPU builds always do."""
    operator = getattr(torch, f"_fused_{name}_", None)
    if operator is None:
        return False
    weight, grad = [torch.zeros(1)], [torch.ones(1)]
    try:
        {"sgd": _fused_sgd, "adam": _fused_adam}[name](weight, grad, 0.1, _Buffers(weight, 2), 0.0, 0.9, False)
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


class _Buffers:
    """Zeroed running averages beside the parameters, and the number of steps taken."""

    def __init__(self, parameters: Sequence[Tensor], count: int) -> None:
        self.averages = [[torch.zeros_like(p) for p in parameters] for _ in range(count)]
        self.steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in parameters]


class Optimizer:
    """Updates `parameters` in place from their gradients; the learning rate is given at every step.

    weight_decay is L2: weight_decay · w is added to the gradient, before momentum (SGD) or the averages (Adam).
    """

    def __init__(self, recipe: Recipe, parameters: Sequence[Tensor], fused: bool | None = None) -> None:
        name = recipe.optimizer
        fused = fused_available(name) if fused is None else fused
        self.parameters = list(parameters)
        self.weight_decay, self.momentum, self.nesterov = recipe.weight_decay, recipe.momentum, recipe.nesterov
        self.buffers = _Buffers(self.parameters, (1 if recipe.momentum else 0) if name == "sgd" else 2)
        update = {
            ("sgd", True): _fused_sgd,
            ("sgd", False): _plain_sgd,
            ("adam", True): _fused_adam,
            ("adam", False): _plain_adam,
        }
        self._update = update[name, fused]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float | Tensor) -> None:
        """One update; `gradients` in the order of the parameters, float32 like them. They may be overwritten.

        A tensor as `lr` (float32, of one element, on the device) is read by the fused kernels only.

        The fused kernels walk memory without looking at strides, so a gradient laid out otherwise is copied first.
        """
        laid_out = [
            g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
            for g, p in zip(gradients, self.parameters, strict=True)
        ]
        self._update(self.parameters, laid_out, lr, self.buffers, self.weight_decay, self.momentum, self.nesterov)

    def reset(self) -> None:
        """As before the first step."""
        for tensor in self.state().values():
            tensor.zero_()

    def averages_of(self, parameter: Tensor) -> list[Tensor]:
        """Its running averages: of SGD its momentum, or nothing."""
        place = next(place for place, own in enumerate(self.parameters) if own is parameter)
        return [rows[place] for rows in self.buffers.averages]

    def state(self) -> dict[str, Tensor]:
        """Everything a later `load` needs to go on in the same bits."""
        named = {f"average{i}.{j}": a for i, rows in enumerate(self.buffers.averages) for j, a in enumerate(rows)}
        return named | {f"steps.{j}": count for j, count in enumerate(self.buffers.steps)}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def _fused_sgd(params, grads, lr, buffers, weight_decay, momentum, nesterov) -> None:
    # A zeroed buffer makes the first step the ordinary one: momentum · 0 + gradient.
    torch._fused_sgd_(
        params,
        grads,
        buffers.averages[0] if momentum else [],
        weight_decay=weight_decay,
        momentum=momentum,
        lr=lr,
        dampening=0.0,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
    )


def _plain_sgd(params, grads, lr, buffers, weight_decay, momentum, nesterov) -> None:
    if weight_decay:
        grads = torch._foreach_add(grads, params, alpha=weight_decay)
    if momentum:
        averages = buffers.averages[0]
        torch._foreach_mul_(averages, momentum)
        torch._foreach_add_(averages, grads)
        grads = torch._foreach_add(grads, averages, alpha=momentum) if nesterov else averages
    torch._foreach_add_(params, grads, alpha=-lr)


BETA2, EPSILON = 0.999, 1e-8  # Adam's defaults (Kingma & Ba 2015)


def _fused_adam(params, grads, lr, buffers, weight_decay, momentum, nesterov) -> None:
    torch._foreach_add_(buffers.steps, 1)
    torch._fused_adam_(
        params,
        grads,
        buffers.averages[0],
        buffers.averages[1],
        [],
        buffers.steps,
        lr=lr,
        beta1=momentum,
        beta2=BETA2,
        weight_decay=weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _plain_adam(params, grads, lr, buffers, weight_decay, momentum, nesterov) -> None:
    torch._foreach_add_(buffers.steps, 1)
    step = float(buffers.steps[0])
    if weight_decay:
        grads = torch._foreach_add(grads, params, alpha=weight_decay)
    first, second = buffers.averages
    torch._foreach_lerp_(first, grads, 1 - momentum)
    torch._foreach_mul_(second, BETA2)
    torch._foreach_addcmul_(second, grads, grads, 1 - BETA2)
    scale = torch._foreach_sqrt(second)
    torch._foreach_div_(scale, (1 - BETA2**step) ** 0.5)
    torch._foreach_add_(scale, EPSILON)
    torch._foreach_addcdiv_(params, first, scale, -lr / (1 - momentum**step))
