"""Batches of an epoch and the learning rate of a step: what a recipe means, as plain functions."""

from __future__ import annotations

import math

from presets.schema import Recipe, steps_of


def steps_per_epoch(images: int, batch: int) -> int:
    """Optimizer steps an epoch. A tail of one image joins the batch before it: batch norm fails on one alone."""
    full, tail = divmod(images, batch)
    return full + (1 if tail > 1 or full == 0 else 0)


def batch_sizes(images: int, batch: int) -> list[int]:
    """Images of each of the `steps_per_epoch` steps: `batch`, the last one fewer, or one more."""
    steps = steps_per_epoch(images, batch)
    return [batch] * (steps - 1) + [images - batch * (steps - 1)]


def in_proportion(recipe: Recipe, steps: int, of: int) -> Recipe:
    """The recipe of a training of `steps` steps where its own lengths in steps are meant for one of `of`: these change
    alike, so that the schedule comes to the same places. Lengths in epochs do so by themselves."""
    if steps == of:
        return recipe

    def length(text: str) -> str:
        count, unit = text.split()
        return text if unit == "epochs" else f"{round(int(count) * steps / of)} steps"

    lengths = {"milestones": tuple(map(length, recipe.milestones)), "warmup": length(recipe.warmup)}
    return recipe.model_copy(update=lengths)


def steps_in_proportion(length: str, per_epoch: int, whole: int) -> int:
    """Optimizer steps in a `Length` where an epoch has `per_epoch` of them; one given in steps is of epochs of `whole`,
    and comes to the same place of the schedule."""
    count, unit = length.split()
    return int(count) * per_epoch if unit == "epochs" else round(int(count) * per_epoch / whole)


def lr_at(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Learning rate of the update that follows `step` updates: linear warmup, then the schedule.

    warmup of w steps: (step + 1) / w of the peak; step: × gamma at every milestone passed; cosine: from the end of
    warmup towards 0, which it would reach one step after the last.
    """
    warmup = steps_of(recipe.warmup, per_epoch)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.schedule == "step":
        passed = sum(step >= steps_of(milestone, per_epoch) for milestone in recipe.milestones)
        return recipe.lr * recipe.gamma**passed
    if recipe.schedule == "cosine":
        part = (step - warmup) / max(1, recipe.epochs * per_epoch - warmup)
        return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * part))
    return recipe.lr
