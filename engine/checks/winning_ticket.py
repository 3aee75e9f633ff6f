"""Is it a winning ticket? All five conditions of Ma et al. (arXiv 2107.00166), over a grid of learning rates.

The grid is searches, each with its own learning rate, which their tickets and all arms of them train with. Where a
condition asks for *some* learning rate, validation accuracy chooses it, and the test set judges; where it asks for
*any*, every one is judged and the worst counts. Seeds are paired throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.checks import Answer, Asked, from_rows
from engine.checks.verdicts import above, detectable, interval, literal, plus_minus, sampling
from engine.forecast import nearest
from presets.schema import Winning
from store.statistics import FEWEST_SEEDS, mean_interval

FIGURES = """
SELECT search, arm, t.seed, round, split, sparsity, accuracy, count, g.weights
FROM ticket_accuracies AS t JOIN trainings AS g ON g.id = t.training
WHERE t.run = :run
  AND search IN (SELECT value FROM json_each(:searches)) AND arm IN (SELECT value FROM json_each(:arms))
ORDER BY search, arm, t.seed, round, split
"""

MEANT = {
    "ticket": "the ticket as it was found",
    "reinit": 'the ticket\'s mask with start = "reinit" alone',
    "small": 'network = "small" alone',
    "dense": 'the dense network (mask = "full", start = "init") with the search\'s recipe',
    "longer": "the dense network with nothing changed but more epochs, and their milestones",
}
"""What an arm has to be for its role."""

MOST_UNLIKE = 1.1
"""How many times as many weights the small network may have as the ticket, or the other way round."""

MANY_CLASSES = 100
"""From so many classes on a drop of a point is similar (Ma et al.: CIFAR-100, Tiny ImageNet), below of half a point."""

VERDICTS = {True: "passed", False: "failed", None: "undecided"}
ANSWERS = {True: "yes", False: "no", None: "undecided"}


@dataclass(frozen=True)
class _Cell:
    """An arm of one search's tickets: by seed, accuracies (fractions) on both splits."""

    rate: float
    weights: float
    validation: Mapping[int, float]
    test: Mapping[int, float]
    images: int

    @property
    def chosen_by(self) -> float:
        return sum(self.validation.values()) / len(self.validation)


@from_rows
def answer(asked: Asked) -> list[Answer]:
    check = asked.settings
    assert isinstance(check, Winning)
    judge = _Judge(asked, check)
    parts = judge.parts()
    return [judge.headline(parts), *parts]


class _Judge:
    def __init__(self, asked: Asked, check: Winning) -> None:
        self.check, self.experiment = check, asked.experiment
        self.drop = check.drop
        if self.drop is None:
            self.drop = 1.0 if asked.data.classes >= MANY_CLASSES else 0.5
        self.arms = {role: getattr(check, role) for role in ("ticket", "reinit", "small", "dense", "longer")}
        trained = {
            role: set(self.experiment.tickets_of(self.experiment.arms[arm])) if arm in self.experiment.arms else set()
            for role, arm in self.arms.items()
        }
        self.grid = list(check.searches or (name for name in self.experiment.searches if name in trained["ticket"]))
        self.refused = {role: why for role in self.arms if (why := self._unfit(role, trained[role]))}
        values = {"run": asked.run, "searches": _json(self.grid), "arms": _json(sorted(set(self.arms.values())))}
        self.query = literal(FIGURES, values)
        self.search = "/".join(self.grid)
        self.rounds: dict[tuple[str, int], int] = {}
        self.sparsity: list[float] = []
        self.cells = self._cells(asked.rows(FIGURES, values))

    def _unfit(self, role: str, trained: set[str]) -> str:
        """Why an arm cannot be what its role says; empty where it can."""
        name = self.arms[role]
        if name not in self.experiment.arms:
            return f"arm {name!r} is missing"
        if not self.grid or not set(self.grid) <= trained:
            return f"arm {name!r} does not train the tickets of the whole grid"
        arm = self.experiment.arms[name]
        changes = set(arm.changes)
        longer = arm.recipe.model_fields_set
        fits = {
            "ticket": not changes,
            "reinit": changes == {"start"} and arm.start == "reinit",
            "small": changes == {"network"},
            "dense": arm.mask == "full" and arm.start in ("ticket", "init") and changes <= {"mask", "start"},
            "longer": arm.mask == "full"
            and arm.start in ("ticket", "init")
            and changes <= {"mask", "start", "recipe"}
            and longer <= {"epochs", "milestones"}
            and all(
                self.experiment.recipe_of(search, arm).epochs > self.experiment.recipe_of(search).epochs
                for search in self.grid
            ),
        }
        return "" if fits[role] else f"arm {name!r} is not {MEANT[role]}"

    def _cells(self, rows: Sequence[Any]) -> dict[str, dict[str, _Cell]]:
        """By role and search, figures at the ticket nearest to the level that all arms there hold, seed by seed."""
        held: dict[tuple[str, int], dict[int, dict[str, dict[str, Any]]]] = {}
        for row in rows:
            of_round = held.setdefault((row["search"], row["seed"]), {}).setdefault(row["round"], {})
            of_round.setdefault(row["arm"], {})[row["split"]] = row
        there = {role: arm for role, arm in self.arms.items() if role not in self.refused}
        found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {role: {} for role in self.arms}
        for (search, seed), rounds in held.items():
            levels = {
                number: next(iter(arms.values()))["test"]["sparsity"]
                for number, arms in rounds.items()
                if arms.keys() >= set(there.values())
            }
            if levels:
                [number] = nearest([self.check.at], levels)
                self.sparsity.append(levels[number])
                for role, arm in there.items():
                    found[role].setdefault(search, {})[seed] = rounds[number][arm]
        return {role: {search: self._cell(search, found[role][search]) for search in found[role]} for role in found}

    def _cell(self, search: str, seeds: Mapping[int, Mapping[str, Any]]) -> _Cell:
        validation, test = (
            {seed: splits[split]["accuracy"] for seed, splits in seeds.items()} for split in ("validation", "test")
        )
        images = next(iter(seeds.values()))["test"]["count"]
        weights = sum(splits["test"]["weights"] for splits in seeds.values()) / len(seeds)
        return _Cell(self.experiment.recipe_of(search).lr, weights, validation, test, images)

    def parts(self) -> list[Answer]:
        drop = self.drop or 0.0
        return [
            self._sparse(),
            self._needing("1 training is long enough", ("dense", "longer"), lambda: self._long(drop)),
            self._needing("2 small dense is worse", ("ticket", "small"), self._over_small),
            self._needing("3 fresh weights are worse", ("ticket", "reinit"), self._over_fresh),
            self._needing("4 near dense at its rate", ("ticket", "dense"), lambda: self._same_rate(drop)),
            self._needing("5 near the best dense", ("ticket", "dense", "longer"), lambda: self._well_trained(drop)),
        ]

    def headline(self, parts: Sequence[Answer]) -> Answer:
        """Jackpot, secondary prize or no ticket; undecided or none where a condition that counts is."""
        first, fifth = parts[:-1], parts[-1]
        named = {v: [part.part for part in parts if part.verdict == v] for v in ("failed", "undecided", "none")}
        level = sum(self.sparsity) / len(self.sparsity) if self.sparsity else self.check.at
        at = f"at {100 * level:.1f} %"
        if named["none"]:
            why = "; ".join(part.sentence for part in parts if part.verdict == "none")
            verdict, words = "none", f"no verdict {at}: {why}"
        elif failed := [part.part for part in first if part.verdict == "failed"]:
            verdict, words = "no ticket", f"no winning ticket {at}: {', '.join(failed)} failed"
        elif any(part.verdict == "undecided" for part in first):
            verdict, words = "undecided", f"{at} these are not decided: {', '.join(named['undecided'])}"
        elif fifth.verdict == "passed":
            verdict, words = "jackpot", f"a jackpot {at}: all five conditions hold"
        elif fifth.verdict == "failed":
            verdict, words = "secondary", f"a secondary prize {at}: all conditions but the last hold"
        else:
            verdict, words = "undecided", f"at least a secondary prize {at}: {fifth.part} is undecided"
        return Answer(verdict, words, self.search, seeds=min(part.seeds for part in parts), query=self.query)

    def _needing(self, part: str, roles: tuple[str, ...], condition: Any) -> Answer:
        """The condition, refused where an arm is missing, or seeds."""
        for role in roles:
            if role in self.refused:
                return self._refused(part, self.refused[role])
            if set(self.cells[role]) != set(self.grid):
                return self._refused(part, f"not every search has a ticket that arm {self.arms[role]!r} has trained")
            seeds = min(len(cell.test) for cell in self.cells[role].values())
            if seeds < FEWEST_SEEDS:
                return self._refused(part, f"{seeds} of at least {FEWEST_SEEDS} seeds")
        found: Answer = condition()
        return found

    def _refused(self, part: str, why: str) -> Answer:
        return Answer("none", f"{part}: refused, {why}", self.search, part, query=self.query)

    # The conditions

    def _sparse(self) -> Answer:
        part = "1 sparsity is not trivial"
        if not self.sparsity:
            return self._refused(part, "no ticket was trained by all arms")
        least, bound = 100 * min(self.sparsity), 100 * self.check.sparsity
        verdict = VERDICTS[least >= bound - 1e-9]
        words = f"the least sparse ticket has {least:.1f} % (at least {bound:g} % asked)"
        seeds = len(self.sparsity) // max(1, len(self.grid))
        return Answer(
            verdict, words, self.search, part, least, unit="%", threshold=bound, seeds=seeds, query=self.query
        )

    def _long(self, drop: float) -> Answer:
        """At the dense network's best rate, longer training gains less than what counts as similar."""
        search = self._best("dense")
        words = "dense over the same trained longer"
        pairs = [(self.cells["dense"][search], self.cells["longer"][search])]
        return self._judged("1 training is long enough", words, pairs, -drop)

    def _over_small(self) -> Answer:
        """The ticket at its best rate against the small dense network at every one."""
        part, best = "2 small dense is worse", self.cells["ticket"][self._best("ticket")]
        small = list(self.cells["small"].values())
        unlike = max(small, key=lambda cell: max(cell.weights / best.weights, best.weights / cell.weights))
        counts = f"{unlike.weights:,.0f} weights against the ticket's {best.weights:,.0f}"
        if max(unlike.weights / best.weights, best.weights / unlike.weights) > MOST_UNLIKE:
            return self._refused(part, f"no width comes near enough: {counts}")
        words = f"ticket over the small dense network ({counts})"
        return self._judged(part, words, [(best, cell) for cell in small], self.check.gap)

    def _over_fresh(self) -> Answer:
        """The ticket at its best rate against its mask with fresh weights at every one."""
        best = self.cells["ticket"][self._best("ticket")]
        pairs = [(best, cell) for cell in self.cells["reinit"].values()]
        return self._judged(
            "3 fresh weights are worse", "ticket over its mask with fresh weights", pairs, self.check.gap
        )

    def _same_rate(self, drop: float) -> Answer:
        ticket, dense = self.cells["ticket"], self.cells["dense"]
        search = max(self.grid, key=lambda one: ticket[one].chosen_by - dense[one].chosen_by)
        pairs = [(ticket[search], dense[search])]
        return self._judged("4 near dense at its rate", "ticket over dense at the same rate", pairs, -drop)

    def _well_trained(self, drop: float) -> Answer:
        """Against dense at its best rate, as long as the ticket or longer."""
        best = self.cells["ticket"][self._best("ticket")]
        dense = [cell for role in ("dense", "longer") for cell in self.cells[role].values()]
        pairs = [(best, max(dense, key=lambda cell: cell.chosen_by))]
        return self._judged("5 near the best dense", "ticket over the best dense network", pairs, -drop)

    def _best(self, role: str) -> str:
        """The search whose rate is best for this arm on validation."""
        return max(self.grid, key=lambda search: self.cells[role][search].chosen_by)

    def _judged(self, part: str, words: str, pairs: Sequence[tuple[_Cell, _Cell]], bound: float) -> Answer:
        """Whether the first of each pair is above the second by more than `bound` points: the worst counts."""
        judged = [(above(_differences(*pair), bound), pair) for pair in pairs]
        worst_first = {False: 0, None: 1, True: 2}
        met, (this, that) = min(judged, key=lambda one: (worst_first[one[0]], mean_interval(_differences(*one[1]))[0]))
        differences = _differences(this, that)
        seeds = this.test.keys() & that.test.keys()
        accuracies = (sum(cell.test[seed] for seed in seeds) / len(seeds) for cell in (this, that))
        noise = sampling(accuracies, this.images)
        rates = f"lr {this.rate:g}" if this.rate == that.rate else f"lr {this.rate:g} against {that.rate:g}"
        sentence = f"{words}, {rates}: {plus_minus(differences)} points, more than {bound:+g} asked: {ANSWERS[met]}"
        return Answer(
            VERDICTS[met],
            sentence,
            self.search,
            part,
            **interval(differences),
            threshold=bound,
            detectable=detectable(differences, 0.0),
            sampling=noise,
            query=self.query,
        )


def _differences(this: _Cell, that: _Cell) -> list[float]:
    """Points by which the first is above the second on test, for each seed that both have."""
    return [100 * (this.test[seed] - that.test[seed]) for seed in sorted(this.test.keys() & that.test.keys())]


def _json(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
