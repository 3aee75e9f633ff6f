"""Arms: the training that an arm asks for, given a ticket. A control changes one ingredient and leaves the rest.

mask × start × network × recipe, on all the data as it is. Draws are keyed by seed, search and round, so they differ
between tickets; the new weights of "reinit" are the same for all tickets of a seed.
"""

from __future__ import annotations

from engine import masks, ratios
from engine.data import Dataset
from engine.hooks.flow import watching
from engine.masks import Mask
from engine.networks import State, initialise
from engine.networks.narrow import narrowed
from engine.networks.sparse import SCALED
from engine.schedules import steps_per_epoch
from engine.searches import Context, Ticket, members
from engine.training import Training
from presets.schema import FRESH, Arm, Experiment, Moving, Transfer, steps_of


def dense_training(experiment: Experiment, data: Dataset, arm: Arm, seed: int) -> Training:
    """The network without a mask, from its initialisation."""
    start = initialise(experiment.network, data.shape, data.classes, seed)
    return Training(
        experiment.network, experiment.recipe_of("", arm), data.all(), seed, start, {}, hooks=watching(experiment)
    )


def arm_training(context: Context, data: Dataset, arm: Arm, ticket: Ticket, trained: State | None = None) -> Training:
    """The arm of a ticket on `data`, with the full head. `trained`: weights that the mask was found on, if it asks.

    The ticket as it was found, with its own start, is the ticket itself (Frankle & Carbin, arXiv 1803.03635, section
    2); on corrupted data, that is where the mask was found, and `data` is not corrupted. Of a search whose mask moves
    it is the search's own training; with any change, the mask that it ended with is held from the first step.
    """
    if isinstance(context.settings, Moving) and not arm.changes:
        return members(context, ticket)[0]
    network = context.experiment.network
    recipe = context.experiment.recipe_of(context.name, arm)
    step, hooks = first_step(context, data, arm, ticket.start_step), watching(context.experiment)
    if arm.network == "small":
        kept = sum(weight.count for weight in context.weights if weight.name not in ticket.mask)
        network = narrowed(network, data.shape, data.classes, kept + masks.alive(ticket.mask))
        start = initialise(network, data.shape, data.classes, context.seed)
        return Training(network, recipe, data.all(), context.seed, start, {}, start_step=step, hooks=hooks)
    mask = _mask(context, arm, ticket)
    start = _start(context, arm, ticket, trained, mask)
    if arm.weights == "shuffled":
        start = masks.shuffled_weights(start, mask, context.seed, "weights", context.name, ticket.round)
    return Training(network, recipe, data.all(), context.seed, start, mask, start_step=step, hooks=hooks)


def first_step(context: Context, data: Dataset, arm: Arm, ticket_step: int) -> int:
    """The step of the arm's schedule that it begins with, where the search's goes on from `ticket_step`."""
    recipe = context.experiment.recipe_of(context.name, arm)
    per_epoch = steps_per_epoch(len(data.train), recipe.batch)
    if arm.begin is not None:
        return steps_of(arm.begin, per_epoch)
    if arm.network == "small" or arm.start in FRESH:
        return 0
    return round(ticket_step * per_epoch / context.per_epoch)


def _start(context: Context, arm: Arm, ticket: Ticket, trained: State | None, mask: Mask) -> State:
    if arm.start == "init":
        return context.initial()
    if arm.start in SCALED:
        return SCALED[arm.start](context.initial(), mask)
    if arm.start == "trained":
        assert trained is not None
        return trained
    if arm.start == "ticket":
        return ticket.start
    start = initialise(context.experiment.network, context.data.shape, context.data.classes, context.seed, "reinit")
    if isinstance(context.settings, Transfer):  # on new data the head is new for all arms, and the same
        start |= {name: tensor for name, tensor in ticket.start.items() if name.startswith("head.")}
    return start


def _mask(context: Context, arm: Arm, ticket: Ticket) -> Mask:
    key = (context.seed, arm.mask, context.name, ticket.round)
    if arm.mask == "found":
        return ticket.mask
    if arm.mask == "full":
        return {}
    if arm.mask == "shuffled":
        return masks.shuffled(ticket.mask, *key)
    if arm.mask == "random":
        return masks.scattered(ticket.mask, *key)
    layers = [weight for weight in context.weights if weight.name in ticket.mask]
    counts = ratios.counts(arm.mask, layers, masks.alive(ticket.mask), context.experiment.network.name)
    return masks.drawn(counts, {weight.name: weight.shape for weight in layers}, *key)
