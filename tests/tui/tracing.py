"""Sets of samples and traces of trainings as an engine would write them, into the tiny demo's finished run."""

from __future__ import annotations

from store.writing import Writer

LAYERS = ("conv1.weight", "conv2.weight")


def trace_all(writer: Writer, run: str) -> None:
    """colt chooses samples, matched draws them, imp is plain; colt's trainings may end early and leave traces.

    Mask distances of the seeds agree in their steps in round 1 and not in round 2; turnover is of two layers.
    """
    writer.execute(
        "UPDATE searches SET settings = json_set(settings, '$.stop', json(?)) WHERE run = ? AND name = 'colt'",
        ('{"epsilon": 0.07, "window": 5, "armed": true}', run),
    )
    writer.execute(
        "UPDATE searches SET settings = json_set(settings, '$.sizes', json(?)) WHERE run = ? AND name = 'matched'",
        ('{"like": "colt"}', run),
    )
    spec = "UPDATE runs SET spec = json_set(spec, '$.searches.colt.stop', json(?)) WHERE id = ?"
    writer.execute(spec, ('{"epsilon": 0.07, "window": 5, "armed": true}', run))
    writer.execute(
        "UPDATE runs SET spec = json_set(spec, '$.searches.matched.sizes', json(?)) WHERE id = ?",
        ('{"like": "colt"}', run),
    )
    rounds = writer.rows(
        "SELECT r.id, s.name, r.seed, r.round FROM rounds AS r JOIN searches AS s ON s.id = r.search WHERE s.run = ?",
        (run,),
    )
    for row in rounds:
        if row["name"] == "colt":
            parts = {"training": 20 + row["seed"], "pruning": 9 * row["round"], "both": 1}
            writer.insert("sets", {"round": row["id"], "size": sum(parts.values())} | parts)
            for member in writer.rows("SELECT training FROM members WHERE round = ?", (row["id"],)):
                _trace(writer, member["training"], row["seed"], row["round"])
        elif row["name"] == "matched":
            writer.insert("sets", {"round": row["id"], "size": 30})
    (search,) = writer.one("SELECT id FROM searches WHERE run = ? AND name = 'colt'", (run,))
    hard = {3: "forgotten 2 times", 5: "forgotten 12 times", 7: "never learned"}
    for seed in (0, 1):
        key = {"search": search, "seed": seed, "round": 2, "member": 0}
        writer.insert_all("samples", [key | {"sample": sample, "reason": why} for sample, why in hard.items()])


def _trace(writer: Writer, training: int, seed: int, number: int) -> None:
    stretch = 1 if number == 1 else 1 + seed
    rows = [
        {"training": training, "step": 10 * i * stretch, "kind": "mask distance", "layer": "", "value": 0.1 / i}
        for i in range(1, 6 + seed)
    ]
    rows += [
        {"training": training, "step": 10 * i, "kind": "turnover", "layer": layer, "value": (place + 1) * 0.1 / i}
        for i in range(1, 4)
        for place, layer in enumerate(LAYERS)
    ]
    writer.put_all("traces", rows, ("training", "kind", "layer", "step"))
