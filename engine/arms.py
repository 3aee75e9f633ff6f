"""Arms: the training that an arm asks for, given a ticket. A control changes one ingredient and leaves the rest."""

from __future__ import annotations

from engine import masks
from engine.data import Dataset
from engine.networks import initialise
from engine.searches import Ticket
from engine.training import Training
from presets.schema import Arm, Experiment, Transfer


def arm_training(
    experiment: Experiment, data: Dataset, arm: Arm, seed: int, search: str = "", ticket: Ticket | None = None
) -> Training:
    """The arm's network on all the data, with the full head.

    A found mask with the ticket's own start is the ticket itself; mask = "shuffled" places each layer's weights at
    random, "random" all of them together, "full" prunes none; start = "reinit" draws new weights and trains from step 0
    (Frankle & Carbin, arXiv 1803.03635, section 2). Draws are keyed by seed, search and round, so they differ between
    tickets; the new weights of "reinit" are the same for all tickets of a seed.
    """

    def initial(purpose: str) -> dict:
        return initialise(experiment.network, data.shape, data.classes, seed, purpose)

    if ticket is None:
        return Training(experiment.network, experiment.recipe, data.all(), seed, initial("init"), {})
    start, step = ticket.start, ticket.start_step
    if arm.start == "reinit":
        start, step = initial("reinit"), 0
        if isinstance(experiment.searches[search], Transfer):  # on new data the head is new for all arms, and the same
            start |= {name: tensor for name, tensor in ticket.start.items() if name.startswith("head.")}
    mask = ticket.mask
    if arm.mask == "shuffled":
        mask = masks.shuffled(mask, seed, "shuffled", search, ticket.round)
    elif arm.mask == "random":
        mask = masks.scattered(mask, seed, "random", search, ticket.round)
    elif arm.mask == "full":
        mask = {}
    return Training(experiment.network, experiment.recipe, data.all(), seed, start, mask, start_step=step)
