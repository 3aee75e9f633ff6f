"""Answers of checks as an engine would write them: some of every kind, with their curves."""

from __future__ import annotations

from typing import Any

from store.writing import Writer

SENTENCE = "the ticket of low is below dense by 0.12 ± 0.30 points at 80.1 % sparsity, which is within 0.5 points"


def answer(writer: Writer, run: str, name: str, verdict: str, **more: Any) -> int:
    """Write one row of `checks`; gives back its id. `points` are (series, seed, x, y)."""
    points = more.pop("points", ())
    row = {"run": run, "name": name, "search": "", "method": name, "question": f"How about {name}?", "seeds": 3}
    row |= {"sentence": f"{name} is {verdict}", "verdict": verdict, "created": "2026-01-01T00:00:00.000Z"}
    found = writer.put("checks", row | {"part": ""} | more, ("run", "name", "search", "part"))
    writer.delete("points", {"check": found})
    writer.insert_all(
        "points", [{"check": found, "series": series, "seed": seed, "x": x, "y": y} for series, seed, x, y in points]
    )
    return found


def answer_all(writer: Writer, run: str) -> None:
    """Answers to a question of conditions, one with curves, and one that came to no verdict."""
    figures = {"figure": -0.12, "low": -0.42, "high": 0.18, "threshold": 0.5, "detectable": 0.41, "sampling": 0.6}
    for number, verdict in enumerate(("similar", "clear", "clear", "similar", "none"), start=1):
        answer(
            writer,
            run,
            "winning-ticket",
            verdict,
            search="low",
            part=f"condition {number}: as good as the dense network",
            sentence=SENTENCE if verdict != "none" else "no verdict: there is no arm that trains longer",
            **(figures if verdict != "none" else {}),
        )
    answer(
        writer,
        run,
        "winning-ticket",
        "secondary",
        search="low",
        question="Is it a winning ticket, by all five conditions, over a grid of learning rates?",
        sentence="secondary prize of low at 80.1 % sparsity: as good as dense at another learning rate",
    )
    for series, height in (("step 20", 9.0), ("step 100", 4.0)):
        answer(
            writer,
            run,
            "stability",
            "stable" if height < 5 else "unstable",
            part=series,
            figure=height,
            low=height - 1,
            high=height + 1.5,
            threshold=2.0,
            detectable=1.2,
            x="place on the line",
            y="rise of the test error, points",
            points=[("", seed, x / 10, height * x * (10 - x) / 25 + seed) for seed in range(3) for x in range(11)],
        )
    answer(writer, run, "stability", "stable", sentence="stable from step 100 on", figure=100.0, unit="")
