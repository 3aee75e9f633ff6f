"""Questions that are answered at the end of a run: one class a check, and below them what holds of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from presets.schema.parts import Fraction, Length, Name, Names, Part, each_once
from presets.schema.searches import Colt, Found, Gmp, Imp, OneShot, Searching


class Side(Part):
    """Tickets that an arm has trained."""

    arm: Name = Field(description="Arm to compare.")
    search: Name | None = Field(None, description="Search whose tickets it takes; left out: each search in turn.")


class Asking(Part):
    """What every check shares."""

    question: str = Field("", max_length=300, description="What is asked, in words.")


class Contrast(Asking):
    """Is one arm's test accuracy above another's? Differences are paired by seed."""

    method: Literal["contrast"] = "contrast"
    this: Side = Field(description="The arm expected above.")
    that: Side = Field(description="The arm expected below.")
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets that both arms hold are compared.")
    match: Literal["sparsity", "rounds", "images", "images-with-tickets"] = Field(
        "sparsity",
        description="What two searches' tickets have in common: sparsity, rounds, training images of the search, or"
        " these with the training of its tickets.",
    )
    tolerance: float = Field(
        0.0, ge=0.0, le=100.0, description="Percentage points: clear above it, similar when the drop stays below it."
    )

    @model_validator(mode="after")
    def _sides_differ(self) -> Contrast:
        if self.this == self.that:
            raise ValueError("this and that are the same arm")
        if self.match != "sparsity" and self.this.search == self.that.search:
            raise ValueError("match is read with two searches: tickets of one are compared round by round")
        return self


class Winning(Asking):
    """Is it a winning ticket, by all five conditions of Ma et al. (arXiv 2107.00166), over a grid of learning rates?

    The grid is the searches: each with its own rate, which its tickets, and the arms of them, train with.
    """

    method: Literal["winning-ticket"]
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is judged.")
    searches: Names | None = Field(
        None, description="Searches that make the grid; left out: all whose tickets the arms train."
    )
    ticket: Name = Field("ticket", description="Arm that trains the ticket as it was found.")
    reinit: Name = Field("reinit", description="Arm of its mask with fresh weights.")
    dense: Name = Field("dense", description='Arm of the dense network: of the same searches, with mask = "full".')
    longer: Name = Field("longer", description="The same trained longer: training is long enough if that gains little.")
    small: Name = Field("small", description="Arm of the small dense network of as many weights.")
    sparsity: Fraction = Field(0.6, description="Sparsity from which a ticket is not trivial.")
    gap: float = Field(0.5, ge=0.0, le=100.0, description="Points that a clear gap exceeds (conditions 2 and 3).")
    drop: float | None = Field(
        None,
        ge=0.0,
        le=100.0,
        description="Points below dense that are still similar (conditions 1, 4 and 5); left out: 1 with 100 classes or"
        " more, else 0.5.",
    )


class Sanity(Asking):
    """Does a way to find tickets use what it is said to use? A corrupted ticket should be clearly worse (Su et al.,
    arXiv 2009.11094); where it is as good, the check fails."""

    method: Literal["sanity"]
    this: Side = Field(description="The ticket itself: an arm and its search.")
    against: dict[Name, Side] = Field(
        min_length=1, description="By name, each corrupted ticket: an arm and its search."
    )
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets are compared.")
    tolerance: float = Field(0.5, ge=0.0, le=100.0, description="Percentage points that count as worse.")

    @model_validator(mode="after")
    def _sides_differ(self) -> Sanity:
        for name, side in self.against.items():
            if (side.arm, side.search or self.this.search) == (self.this.arm, self.this.search):
                raise ValueError(f"against.{name} is the ticket itself")
        return self


class Correlation(Asking):
    """Do large weights stay large? Overlap of the top share of weights by size between initial, rewound, trained,
    ticket and reinitialised networks (R_p of Liu et al., arXiv 2102.11068)."""

    method: Literal["correlation"]
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at; left out: all that train a network."
    )
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is looked at.")
    share: float = Field(0.2, gt=0.0, lt=1.0, description="Share of each layer's weights that counts as large (p).")
    tolerance: float = Field(1.0, ge=0.0, le=100.0, description="Points beside chance that do not count.")


Points = Annotated[int, Field(ge=3, le=1000, description="Networks along the line, the two ends included.")]
BarrierOf = Annotated[Literal["test", "train"], Field(description="Error whose barrier is taken.")]


class Stability(Asking):
    """From which step on do two copies, trained on in different order, stay linearly connected? (Frankle et al., arXiv
    1912.05671, section 3; norm statistics are recomputed on training data at every point.)"""

    method: Literal["stability"]
    steps: tuple[Length, ...] = Field(
        (), max_length=100, description="Steps k of the dense network from which two copies are trained to the end."
    )
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at, from their own start; left out: all."
    )
    at: Annotated[tuple[Fraction, ...], Field(min_length=1), AfterValidator(each_once)] = Field(
        (0.8,), description="Prunable sparsities; the nearest tickets are looked at."
    )
    points: Points = 30
    error: BarrierOf = "test"
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which it is stable.")


class Successive(Asking):
    """Do successive rounds find the same optimum? Barrier and angle between the weights that they end with (Maene et
    al., arXiv 2106.06955; norm statistics are recomputed on training data at every point)."""

    method: Literal["successive"]
    searches: Names | None = Field(
        None, description="Searches whose rounds are looked at; left out: all that go by rounds."
    )
    points: Points = 20
    error: BarrierOf = "test"
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which it is stable.")


class Solutions(Asking):
    """Is the ticket the pruned solution again? Disagreement, ensemble gain and barrier between ticket, pruned network
    and scratch (Evci et al., arXiv 2010.03533, section 4)."""

    method: Literal["solutions"]
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at; left out: all that prune one trained network."
    )
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is looked at.")
    points: Points = 20
    error: BarrierOf = "test"
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which there is no barrier.")
    tolerance: float = Field(
        0.0, ge=0.0, le=100.0, description="Points of disagreement by which the ticket must be nearer than scratch."
    )


class Agreement(Asking):
    """Do a round's members agree on what to remove more than chance would have them? By layer and round (COLT, arXiv
    2212.12770)."""

    method: Literal["agreement"]
    searches: Names | None = Field(
        None, description="Searches whose rounds are looked at; left out: all with several members."
    )
    tolerance: float = Field(1.0, ge=0.0, le=100.0, description="Points of overlap beside chance that do not count.")


class Savings(Asking):
    """How many training images does a search save at matched accuracy? Matched is not inferior by more than a margin,
    never merely no visible difference (PrAC, arXiv 2106.03225)."""

    method: Literal["savings"]
    this: Side = Field(description="The cheaper search's tickets.")
    that: Side = Field(description="Those they are to match.")
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets are compared.")
    margin: float = Field(1.0, ge=0.0, le=100.0, description="Points below that still match.")

    @model_validator(mode="after")
    def _two_searches(self) -> Savings:
        if not self.this.search or not self.that.search or self.this.search == self.that.search:
            raise ValueError("name two searches, one on each side")
        return self


def _method(check: Any) -> str:
    """A check's method; a contrast need not say so."""
    return check.get("method", "contrast") if isinstance(check, dict) else getattr(check, "method", "contrast")


AnyCheck = Annotated[
    Annotated[Contrast, Tag("contrast")]
    | Annotated[Winning, Tag("winning-ticket")]
    | Annotated[Sanity, Tag("sanity")]
    | Annotated[Correlation, Tag("correlation")]
    | Annotated[Stability, Tag("stability")]
    | Annotated[Successive, Tag("successive")]
    | Annotated[Agreement, Tag("agreement")]
    | Annotated[Savings, Tag("savings")]
    | Annotated[Solutions, Tag("solutions")],
    Discriminator(_method),
]

OfWeights = Correlation | Stability | Successive | Solutions
"""Checks that look at trained weights."""

LOOKED_AT: tuple[tuple[Any, Callable[[Searching], bool], str], ...] = (
    (Successive, lambda search: isinstance(search, Imp | Colt), "does not train anew in every round"),
    (Agreement, lambda search: search.members > 1, "has no rounds of several members"),
    (Solutions, lambda search: isinstance(search, Imp | OneShot | Gmp), "does not prune one trained network"),
    ((Correlation, Stability), lambda search: isinstance(search, Found), "does not find its tickets here"),
)
"""Which searches the named checks can look at."""


def sides_of(check: AnyCheck) -> list[tuple[Side, str]]:
    """The sides that a check compares, each with its place in the check."""
    if isinstance(check, Contrast | Savings):
        return [(check.this, "this"), (check.that, "that")]
    if isinstance(check, Sanity):
        return [(check.this, "this"), *((side, f"against.{name}") for name, side in check.against.items())]
    return []
