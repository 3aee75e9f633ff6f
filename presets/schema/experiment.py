"""The whole of a preset: its tables together, and whether what they say of each other holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from presets.schema.arms import Arm
from presets.schema.checks import LOOKED_AT, AnyCheck, Contrast, Sanity, Side, sides_of
from presets.schema.data import Data
from presets.schema.network import Network
from presets.schema.parts import Fraction, Name, Part
from presets.schema.recipe import Recipe, changed
from presets.schema.searches import AnySearch, Imp, Moving, OneTraining, Prac, Pruning, Searching
from presets.schema.searches.finding import Finding
from presets.schema.searches.rounds import Like


class Published(Part):
    """Figures that a paper prints, drawn beside those measured and marked as published."""

    label: str = Field(min_length=1, max_length=60, description="What they are of.")
    source: str = Field(min_length=1, max_length=200, description="Where they are printed.")
    sparsity: tuple[Fraction, ...] = Field(min_length=1, description="Sparsities; 0 is the dense network.")
    accuracy: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = Field(
        min_length=1, description="Test accuracy at each of them."
    )

    @model_validator(mode="after")
    def _pairs(self) -> Published:
        if len(self.sparsity) != len(self.accuracy):
            raise ValueError(f"{len(self.sparsity)} sparsities, but {len(self.accuracy)} accuracies: give one for each")
        return self


class Experiment(Part):
    """Everything that decides what a run computes. Equal experiments with equal seeds give equal numbers."""

    title: str = Field(min_length=1, max_length=200, description="One line: what is compared on what.")
    paper: str = Field("", max_length=200, description="Where the method comes from.")
    expect: str = Field("", max_length=1000, description="What the run is expected to show.")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (0, 1, 2), min_length=1, max_length=100, description="One whole experiment for each."
    )
    keep: Literal["tickets", "rounds", "all"] = Field(
        "tickets", description="Files kept: tickets; also members' trained weights; also arms' trained weights."
    )
    afresh: bool = Field(
        False, description="Train everything here, also what another run in the store has done to the bit."
    )
    flow: int | None = Field(
        None, ge=1, description="Epochs from one look at every training's gradient flow to the next; left out: none."
    )
    data: Data = Field(default_factory=Data, description="What to train on.")
    network: Network = Field(description="What to train.")
    recipe: Recipe = Field(description="How every training runs.")
    searches: dict[Name, AnySearch] = Field(default_factory=dict, description="How tickets are found.")
    arms: dict[Name, Arm] = Field(default_factory=dict, description="What is trained and evaluated.")
    checks: dict[Name, AnyCheck] = Field(default_factory=dict, description="Questions answered at the end.")
    published: dict[Name, Published] = Field(default_factory=dict, description="Figures of papers, for comparison.")

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("seeds must differ")
        return seeds

    @model_validator(mode="after")
    def _names_exist(self) -> Experiment:
        if not self.searches and not self.arms:
            raise ValueError("nothing to do: give at least one search or arm")
        for name, search in self.searches.items():
            if isinstance(search, Imp) and isinstance(search.rate, Like):
                place = f"searches.{name}.rate.like"
                leader = self._search(search.rate.like, place)
                if not isinstance(leader, Pruning) or isinstance(leader.rate, Like):
                    raise ValueError(f"{place}: name a search with a rate of its own")
                if search.rewind != leader.rewind:
                    raise ValueError(f"{place}: rewind must equal that of {search.rate.like!r} ({leader.rewind})")
            if isinstance(search, Prac) and search.sizes:
                place = f"searches.{name}.sizes.like"
                leader = self._search(search.sizes.like, place)
                if not isinstance(leader, Prac) or leader.sizes:
                    raise ValueError(f"{place}: name a prac search that chooses its sets")
                for key in ("segments", "split"):
                    if getattr(search, key) != getattr(leader, key):
                        theirs = f"that of {search.sizes.like!r} ({getattr(leader, key)})"
                        raise ValueError(f"{place}: {key} must equal {theirs}, since sizes are taken by segment")
            self._recipe_fits(f"searches.{name}.recipe", name)
            if isinstance(search, Moving) and self.recipe_of(name).weights == "best":
                raise ValueError(f'searches.{name}: weights = "best" may be of a mask that moved on: take the last')
        for name, arm in self.arms.items():
            for other in self.tickets_of(arm):
                search = self._search(other, f"arms.{name}.ticket")
                if arm.start == "trained" and not isinstance(search, OneTraining):
                    why = f"{other!r} ({search.method}) does not find its masks on one trained network"
                    raise ValueError(f'arms.{name}.start: "trained" is not defined: {why}')
            for other in self.tickets_of(arm) or ("",):
                self._recipe_fits(f"arms.{name}.recipe", other, arm)
        for name, check in self.checks.items():
            self._check_fits(check, f"checks.{name}")
        return self

    def _check_fits(self, check: AnyCheck, place: str) -> None:
        """Whether the arms and searches that a check names are there, and what it asks of is what they have."""
        for side, key in sides_of(check):
            if side.arm not in self.arms:
                raise ValueError(f"{place}.{key}.arm: no arm {side.arm!r} (arms: {_listed(self.arms)})")
            held = self.tickets_of(self.arms[side.arm])
            if side.search is not None and side.search not in held:
                raise ValueError(f"{place}.{key}.search: arm {side.arm!r} has no tickets of {side.search!r}")
            if isinstance(check, Sanity):
                searches = [check.this.search or side.search] if key != "this" else [side.search, *held][:1]
                if not held or (len(held) > 1 and side.search is None and check.this.search is None):
                    raise ValueError(f"{place}.{key}: name the search, of an arm that trains tickets")
                if side.search is None and key != "this" and searches[0] not in (None, *held):
                    raise ValueError(f"{place}.{key}: arm {side.arm!r} has no tickets of {searches[0]!r}")
        if isinstance(check, Contrast):
            named = [side.search is not None for side in (check.this, check.that) if self._has_tickets(side)]
            if len(set(named)) > 1:
                raise ValueError(f"{place}: name a search on both sides or on neither")
        for other in getattr(check, "searches", None) or ():
            search = self._search(other, f"{place}.searches")
            for kinds, fits, words in LOOKED_AT:
                if isinstance(check, kinds) and not fits(search):
                    raise ValueError(f"{place}.searches: {other!r} ({search.method}) {words}")

    def _has_tickets(self, side: Side) -> bool:
        return bool(self.tickets_of(self.arms[side.arm]))

    def _search(self, name: str, place: str) -> Searching:
        if name not in self.searches:
            raise ValueError(f"{place}: no search {name!r} (searches: {_listed(self.searches)})")
        return self.searches[name]

    def _recipe_fits(self, place: str, search: str, arm: Arm | None = None) -> None:
        try:
            self.recipe_of(search, arm)
        except ValidationError as error:
            words = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise ValueError(f"{place}: with the rest of the recipe, {words}") from None

    def tickets_of(self, arm: Arm) -> tuple[str, ...]:
        """Names of the searches whose tickets `arm` trains, in the order of the preset."""
        if arm.ticket is None:
            return ()
        if arm.ticket == "each":
            return tuple(self.searches)
        return (arm.ticket,) if isinstance(arm.ticket, str) else arm.ticket

    def recipe_of(self, search: str = "", arm: Arm | None = None) -> Recipe:
        """The recipe that a search trains with; with `arm`, that which the arm trains the search's tickets with."""
        settings = self.searches.get(search)
        recipe = changed(self.recipe, settings.recipe) if isinstance(settings, Finding) else self.recipe
        return recipe if arm is None else changed(recipe, arm.recipe)


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(names) or "none"
