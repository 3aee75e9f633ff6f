"""Searches that prune by rounds: imp, colt, prac."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from presets.schema.parts import Fraction, Kind, Length, Name, Part
from presets.schema.searches.finding import Finding, Scope, Stop, clean_start


class Like(Part):
    like: Name = Field(description="Search whose removed counts are copied, per seed, round and layer kind.")


KindRates = dict[Kind, Fraction]
Rate = Fraction | KindRates | Like

PUBLISHED_COLT_RATE: KindRates = {"conv": 0.15}
PUBLISHED_PRAC_RATE: KindRates = {"conv": 0.2}


class Rounds(Finding):
    """What every search that prunes by rounds shares; a subclass adds its `method` and `rate`."""

    rewind: Length = Field(
        "0 epochs", description="Where weights go back to each round; 0 is the initialisation (k of W_k)."
    )
    stop: Stop | None = Field(None, description="End each training early, when its mask has come to rest.")
    until: float | None = Field(
        None, gt=0.0, lt=1.0, description="Stop at the first round whose sparsity reaches this."
    )
    of: Literal["prunable", "total"] = Field(
        "prunable",
        description="Sparsity that until counts: of the prunable weights, or of all conv, linear and norm weights.",
    )
    rounds: int | None = Field(None, ge=1, le=1000, description="Most rounds; with until, whichever comes first.")
    scope: Scope = Field(
        "global", description="One magnitude threshold for all kinds of equal rate, per layer kind, or per layer."
    )

    def rates(self) -> dict[str, float]:
        """Fraction of the remaining weights that goes each round, by layer kind; a kind left out is not prunable."""
        rate = self.rate  # type: ignore[attr-defined]
        if isinstance(rate, Like):
            raise TypeError("this search takes its counts from another")
        if isinstance(rate, dict):
            return {kind: value for kind, value in rate.items() if value > 0.0}
        return {"conv": rate, "linear": rate, "head": rate}

    @model_validator(mode="after")
    def _ends_and_prunes(self) -> Rounds:
        clean_start(self.data, self.rewind)
        rate = self.rate  # type: ignore[attr-defined]
        if isinstance(rate, Like):
            own = (self.until, self.of, self.rounds, self.scope, self.spare_first, self.stop)
            if own != (None, "prunable", None, "global", False, None):
                keys = "until, of, rounds, scope, spare_first and stop"
                raise ValueError(f"rate.like copies another search: {keys} are that search's")
            return self
        if self.until is None and self.rounds is None:
            raise ValueError("say when to stop: until (a sparsity) or rounds")
        if self.until is None and self.of != "prunable":
            raise ValueError("of is read with until only")
        rates = self.rates()
        if not rates or not any(rates.values()):
            raise ValueError("a rate above 0 is needed for at least one layer kind")
        return self


class Imp(Rounds):
    """Iterative magnitude pruning (Frankle & Carbin, arXiv 1803.03635)."""

    method: Literal["imp"]
    rate: Rate = Field(
        0.2, description="Fraction of the remaining weights pruned a round: one number, by kind, or like."
    )


class Segmented(Rounds):
    """What searches share that can train a network for each segment of the data, their ticket being the overlap of what
    each keeps (COLT, Hossain et al., arXiv 2212.12770)."""

    segments: int = Field(
        1, ge=1, le=64, description="Parts of the training data, one network each (P); 1: one network on all of it."
    )
    split: Literal["class", "random", "stratified"] = Field(
        "class", description="How data is parted: contiguous blocks of classes, at random, or evenly by class."
    )

    @property
    def members(self) -> int:
        return self.segments

    @property
    def _heads_differ(self) -> bool:
        """Whether members have heads of their own size."""
        return self.segments > 1 and self.split == "class"

    def rates(self) -> dict[str, float]:
        """As for every search, but one number for all does not reach heads that differ in size."""
        rates = super().rates()
        if self._heads_differ and not isinstance(self.rate, dict):  # type: ignore[attr-defined]
            del rates["head"]
        return rates

    @model_validator(mode="after")
    def _class_heads_differ(self) -> Segmented:
        if self.segments == 1 and self.split != "class":
            raise ValueError("split is read with segments of 2 or more: one segment is all the data")
        if self._heads_differ and self.rates().get("head", 0.0) > 0.0:
            raise ValueError('with split = "class" heads differ in size and cannot be pruned: give rates by kind')
        return self


class Colt(Segmented):
    """Cyclic overlapping lottery tickets (Hossain et al., arXiv 2212.12770)."""

    method: Literal["colt"]
    rate: Fraction | KindRates = Field(
        default_factory=lambda: dict(PUBLISHED_COLT_RATE),
        description="Fraction of the remaining weights each member prunes a round: one number, or by kind.",
    )
    scope: Scope = Field(
        "kind", description="One magnitude threshold for all kinds of equal rate, per layer kind, or per layer."
    )
    segments: int = Field(2, ge=2, le=64, description="Parts of the training data, one network each (P).")


class Prac(Segmented):
    """Pruning-aware critical samples (PrAC, arXiv 2106.03225): each round on the few samples that matter; with
    segments, COLT's members each on those that matter of its own."""

    method: Literal["prac"]
    rate: Fraction | KindRates = Field(
        default_factory=lambda: dict(PUBLISHED_PRAC_RATE),
        description="Fraction of the remaining weights that a round, or each member, prunes: one number, or by kind.",
    )
    use: Literal["both", "training", "pruning"] = Field(
        "both", description="Samples of the next round: forgotten in training (CET), changed by pruning (CEP), or both."
    )
    forgotten: int = Field(0, ge=0, le=10_000, description="Forgetting events above which a sample is critical (E_F).")
    against: Literal["best", "first", "before"] = Field(
        "best",
        description="CEP: answers of this round's trained network against those of the first round's, of its best epoch"
        " on validation (the authors' code) or its last; or, of this round's alone, before pruning against after.",
    )
    length: Literal["linear", "quadratic"] = Field(
        "linear", description="Iterations of a round: in proportion to its set, or to its square (the authors' code)."
    )
    sizes: Like | None = Field(
        None,
        description="Sets drawn at random, as large, segment by segment, as those of another prac search: `like` names"
        " it.",
    )

    @model_validator(mode="after")
    def _random_sets_are_not_chosen(self) -> Prac:
        # "first" is what runs of before there was "best" hold where nobody set it.
        if self.sizes and ((self.use, self.forgotten) != ("both", 0) or self.against == "before"):
            raise ValueError("use, forgotten and against are not read with sizes: its sets are drawn at random")
        return self
