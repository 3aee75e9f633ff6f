"""How tickets are found: one class a method, in `rounds.py` or `at_once.py` by how it goes; what they share is in
`finding.py`.

Here are the tickets of another run, and the methods by what is true of them: a new one joins `Found`, and all that fit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from presets.schema.parts import Name
from presets.schema.searches.at_once import Gmp, Grasp, Hybrid, OneShot, RandomTickets, Rigl, Set, Snip
from presets.schema.searches.finding import Search
from presets.schema.searches.rounds import Colt, Imp, Prac


class Transfer(Search):
    """The tickets of another run, for this data: its masks and starts, with a fresh head (arXiv 2212.12770)."""

    method: Literal["transfer"]
    run: str = Field("", max_length=100, description="Run whose tickets are taken; `--ticket RUN` fills it in.")
    search: Name | None = Field(None, description="Search of that run; may be left out where it has one only.")
    round: int | None = Field(None, ge=1, description="Only the ticket of this round; left out: every one.")


Pruning = Imp | Colt | Prac
"""Searches that prune by rounds, with rates and a rewind point of their own."""

Rewinding = Imp | Colt | Prac | OneShot
"""Searches with a rewind point."""

Moving = Set | Rigl | Gmp
"""Searches whose mask moves while they train: that training is their ticket's own."""

OneTraining = Imp | OneShot | Moving
"""Searches whose tickets each come from one network trained on all classes, and start from where it started."""

Found = Imp | Colt | Prac | OneShot | Snip | Grasp | RandomTickets | Hybrid | Moving
"""Searches that find tickets on this experiment's network."""

Searching = Found | Transfer
AnySearch = Annotated[Searching, Field(discriminator="method")]
