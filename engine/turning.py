"""A search of one seed as it turns: what the run knows of it beside the method's own generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine import masks, searches
from engine.searches import Begun, Context, Follow, Sized, Ticket
from engine.searches.prac import sizes
from presets.schema import AtOnce


@dataclass
class Turning:
    """A search of one seed as it turns: its generator, the tickets found, the members of the round under way."""

    context: Context
    steps: searches.Search | None = None
    ended: bool = False
    begun: int = 0
    tickets: dict[int, Ticket] = field(default_factory=dict)
    sparsity: dict[int, float] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    images: dict[int, int] = field(default_factory=dict)
    """Training images of each round that has trained."""

    @property
    def key(self) -> tuple[str, int]:
        return self.context.name, self.context.seed

    @property
    def stuck(self) -> bool:
        """Whether the newest round removed nothing, so that no later one would."""
        ticket = self.tickets.get(max(self.tickets, default=0))
        by_rounds = not isinstance(self.context.settings, AtOnce)
        return by_rounds and ticket is not None and masks.alive(ticket.mask) == masks.alive(ticket.before)

    @property
    def finished(self) -> bool:
        """Whether a search by rounds has reached its own target."""
        last = max(self.tickets, default=0)
        return last > 0 and self.context.finished(self.tickets[last].mask, last)

    @property
    def share(self) -> float:
        """Share of the training data that the next round sees, as far as it is known."""
        ticket = self.tickets.get(max(self.tickets, default=0))
        chosen = ticket.samples if ticket else None
        return 1.0 if chosen is None else len(chosen) / len(self.context.data.train)

    def note(self, ticket: Ticket) -> None:
        self.begun = max(self.begun, ticket.round)
        self.tickets[ticket.round] = ticket
        self.sparsity[ticket.round] = 1 - masks.alive(ticket.mask) / sum(m.numel() for m in ticket.mask.values())

    def removed(self, number: int) -> dict[str, int]:
        """Weights that a round pruned, by layer kind."""
        ticket = self.tickets[number]
        return searches.removed(ticket.before, ticket.mask, self.context.kinds)


WAIT = object()
"""There is no answer yet."""


def told(leader: Turning, request: Begun | Follow | Sized) -> object:
    """What a search that follows `leader` is answered, or `WAIT`."""
    if isinstance(request, Sized):
        if request.round in leader.tickets:
            samples = leader.tickets[request.round].samples
            return None if samples is None else sizes(leader.context, samples)
        return None if leader.ended else WAIT
    if isinstance(request, Follow):
        return leader.removed(request.round) if request.round in leader.tickets else WAIT
    if leader.begun >= request.round:
        return True
    return False if leader.ended else WAIT
