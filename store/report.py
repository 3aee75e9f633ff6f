"""The questions that the report of a run answers, as SQL that a person can run again word for word.

Each function gives the text of one query with the run's id written in; `Reader.query` or `tombola query` run it. How
far a run is, and what it trains this moment, is asked here too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from store.errors import StoreError
from store.reading import LISTING, Reader, Rows


def answer(reader: Reader, sql: str) -> Rows:
    """The rows of a query of this file."""
    columns, rows = reader.query(sql)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def accuracy(run: str) -> str:
    """Test accuracy of every arm at every ticket: mean over seeds with its 95 % interval."""
    return f"""
SELECT f.search, f.arm, ifnull(json_extract(a.settings, '$.start'), 'ticket') AS start,
       ifnull(json_extract(a.settings, '$.mask'), 'found') AS mask, a.changes,
       f.round, f.seeds, f.sparsity, f.total_sparsity, f.accuracy, f.half_width, f.count
FROM accuracy_by_sparsity AS f JOIN arms AS a ON a.run = f.run AND a.name = f.arm
WHERE f.run = {_quoted(run)} AND f.split = 'test' ORDER BY f.search, f.round, f.arm""".strip()


def published(run: str) -> str:
    """Figures that papers print, as the experiment holds them: one row a figure. Nothing else counts them in."""
    return f"""
SELECT p.key AS name, json_extract(p.value, '$.label') AS label, json_extract(p.value, '$.source') AS source,
       s.value AS sparsity, a.value AS accuracy
FROM runs AS r, json_each(r.spec, '$.published') AS p, json_each(p.value, '$.sparsity') AS s
JOIN json_each(p.value, '$.accuracy') AS a ON a.key = s.key
WHERE r.id = {_quoted(run)} ORDER BY p.id, s.key""".strip()


def cost(run: str) -> str:
    """Training images up to each round, mean over seeds: of the search, and with the training of its tickets.

    Where `apart` is 1, each ticket is found by a training of its own: those of the others are not counted.
    """
    return f"""
SELECT c.search, c.round, count(*) AS seeds, avg(c.sparsity) AS sparsity, avg(c.images) AS images,
       avg(c.images_with_evaluation) AS images_with_evaluation, s.apart
FROM cost_by_round AS c JOIN searches AS s ON s.run = c.run AND s.name = c.search
WHERE c.run = {_quoted(run)} AND c.round > 0 GROUP BY c.search, c.round""".strip()


def cost_to_sparsity(run: str) -> str:
    """What it cost each search to reach a sparsity first, mean over the seeds that did."""
    return f"""
SELECT search, level, seeds, round, images, images_with_evaluation
FROM cost_to_sparsity WHERE run = {_quoted(run)} ORDER BY level, search""".strip()


def overlap(run: str) -> str:
    """Agreement of the members' masks against chance, mean over seeds."""
    return f"""
SELECT search, round, sets, count(*) AS seeds, avg(iou) AS iou, avg(chance) AS chance
FROM overlap_by_round WHERE run = {_quoted(run)} GROUP BY search, round, sets""".strip()


def loss(run: str) -> str:
    """What a round removed of what was left, against what the rate allows: from r (members agree) to P·r (disjoint).

    Kinds that share one threshold count together. Beside whole weights nothing lies outside. Only searches that go by
    rounds have a loss; what `transfer` takes over was removed by another run, and is judged there.
    """
    return f"""
WITH rates AS (
    SELECT l.*, json_extract(s.settings, '$.scope') AS scope,
           ifnull(json_extract(s.settings, '$.segments'), 1) AS members,
           CASE json_type(s.settings, '$.rate') WHEN 'object' THEN json_extract(s.settings, '$.rate.' || l.kind)
                ELSE json_extract(s.settings, '$.rate') END AS rate
    FROM loss_by_round AS l JOIN searches AS s ON s.run = l.run AND s.name = l.search
    WHERE l.run = {_quoted(run)} AND l.before > 0 AND s.method IN ('imp', 'colt', 'prac')
), pools AS (
    SELECT search, seed, round, members, rate, group_concat(kind, '+') AS kinds,
           sum(before) AS before, sum(removed) AS removed
    FROM rates GROUP BY search, seed, round, rate, CASE WHEN scope = 'global' THEN '' ELSE kind END
)
SELECT search, kinds, count(*) AS rounds, min(1.0 * removed / before) AS lowest, avg(1.0 * removed / before) AS mean,
       max(1.0 * removed / before) AS highest, rate AS least, min(1.0, members * rate) AS most,
       sum(removed < rate * before - 1 OR removed > members * rate * before + members) AS outside
FROM pools GROUP BY search, kinds""".strip()


def copies(run: str) -> str:
    """Searches that copy another's loss: in how many rounds and kinds they removed exactly as many weights."""
    return f"""
SELECT l.search, json_extract(s.settings, '$.rate.like') AS copied, count(*) AS rounds,
       sum(l.removed = o.removed) AS equal
FROM loss_by_round AS l JOIN searches AS s ON s.run = l.run AND s.name = l.search
JOIN loss_by_round AS o ON o.run = l.run AND o.search = json_extract(s.settings, '$.rate.like')
     AND o.seed = l.seed AND o.round = l.round AND o.kind = l.kind
WHERE l.run = {_quoted(run)} GROUP BY l.search""".strip()


def controls(run: str) -> str:
    """Found masks against shuffled and random ones at the last ticket that has both, in images, paired by seed.

    Only the mask may differ from the ticket's arm, and an arm without one is no such control: it shows what the
    ticket's start alone is worth.
    """
    return f"""
WITH pairs AS (
    SELECT f.search, c.arm, f.seed, f.round, f.sparsity, f.correct - c.correct AS d, f.count
    FROM ticket_accuracies AS f JOIN arms AS fa ON fa.run = f.run AND fa.name = f.arm
    JOIN ticket_accuracies AS c USING (run, search, seed, round, split)
    JOIN arms AS ca ON ca.run = f.run AND ca.name = c.arm
    WHERE f.run = {_quoted(run)} AND f.split = 'test'
      AND fa.changes = '' AND ca.changes = 'mask' AND json_extract(ca.settings, '$.mask') <> 'full'
), last AS (
    SELECT * FROM pairs AS p
    WHERE round = (SELECT max(round) FROM pairs WHERE search = p.search AND arm = p.arm AND seed = p.seed)
), sums AS (
    SELECT search, arm, count, count(*) AS seeds, avg(sparsity) AS sparsity, sum(d) AS d, sum(d * d) AS dd
    FROM last GROUP BY search, arm
)
SELECT search, arm, seeds, sparsity, 1.0 * d / (seeds * count) AS difference,
       (SELECT t975 FROM student WHERE df = seeds - 1) * sqrt(1.0 * (seeds * dd - d * d) / (seeds - 1))
           / (seeds * count) AS half_width
FROM sums""".strip()


def checks(run: str) -> str:
    """Questions and their answers, all columns: `part` is empty for a whole, `query` the SQL that gave the figure."""
    return f"""
SELECT name, search, part, method, question, figure, low, high, unit, threshold, detectable, sampling, seeds, verdict,
       sentence, query, x, y, created
FROM checks WHERE run = {_quoted(run)} ORDER BY id""".strip()


def curves(run: str) -> str:
    """Curves of the answers: mean over seeds with its 95 % interval; `x_label` and `y_label` say what is drawn."""
    return f"""
SELECT v.[check] AS name, v.search, v.part, v.series, c.x AS x_label, c.y AS y_label, v.x, v.seeds, v.y, v.half_width
FROM check_curves AS v JOIN checks AS c ON c.run = v.run AND c.name = v.[check] AND c.search = v.search
     AND c.part = v.part
WHERE v.run = {_quoted(run)} ORDER BY c.id, v.series, v.x""".strip()


def samples(run: str) -> str:
    """Training samples of a run, as far as trainings let tell: the most that one sees, or that a round's members do."""
    return f"""
    SELECT max(seen) AS samples FROM (
        SELECT train_images AS seen FROM trainings WHERE run = {_quoted(run)}
        UNION ALL
        SELECT sum(t.train_images) FROM members AS m JOIN trainings AS t ON t.id = m.training
        WHERE t.run = {_quoted(run)} GROUP BY m.round
    )""".strip()


def sets(run: str) -> str:
    """Samples that each round chose for the next, and why, mean over seeds, with images seen up to it.

    `share` is of the training samples of the run (`samples`). `plain` is the first imp search, else the first of colt,
    of those that train to the end where there is one; `saved` what fewer images than its the same seeds took by that
    round. `unchosen`: seeds whose set, or a segment's of it, has no reasons: it was drawn (`drawn`), or stayed.
    """
    return f"""
WITH paid AS (
    SELECT s.id AS search, r.seed, r.round,
           sum(r.images) OVER (PARTITION BY s.id, r.seed ORDER BY r.round) AS images
    FROM searches AS s JOIN rounds AS r ON r.search = s.id WHERE s.run = {_quoted(run)} AND r.step = 'done'
), plain AS (
    SELECT id, name FROM searches WHERE run = {_quoted(run)} AND method IN ('imp', 'colt')
    ORDER BY method <> 'imp', json_extract(settings, '$.stop') IS NOT NULL, id LIMIT 1
), whole AS (
    {samples(run)}
)
SELECT s.name AS search, r.round, count(*) AS seeds, avg(c.size) AS size,
       avg(1.0 * c.size / (SELECT samples FROM whole)) AS share,
       avg(c.training) AS training, avg(c.pruning) AS pruning, avg(c.both) AS both,
       sum(ifnull(c.training + c.pruning + c.both, -1) <> c.size) AS unchosen,
       ifnull(json_type(s.settings, '$.sizes') = 'object', 0) AS drawn, avg(own.images) AS images,
       (SELECT name FROM plain) AS plain, avg(other.images) AS plain_images,
       1 - 1.0 * sum(CASE WHEN other.images > 0 THEN own.images END) / sum(other.images) AS saved
FROM sets AS c JOIN rounds AS r ON r.id = c.round JOIN searches AS s ON s.id = r.search
LEFT JOIN paid AS own ON own.search = s.id AND own.seed = r.seed AND own.round = r.round
LEFT JOIN paid AS other ON other.search = (SELECT id FROM plain) AND other.seed = r.seed AND other.round = r.round
WHERE s.run = {_quoted(run)} GROUP BY s.id, r.round ORDER BY s.id, r.round""".strip()


def sets_by_seed(run: str) -> str:
    """Samples that each round chose for the next, and why, seed by seed."""
    return f"""
SELECT s.name AS search, r.seed, r.round, c.size, c.training, c.pruning, c.both
FROM sets AS c JOIN rounds AS r ON r.id = c.round JOIN searches AS s ON s.id = r.search
WHERE s.run = {_quoted(run)} ORDER BY s.id, r.seed, r.round""".strip()


def early(run: str) -> str:
    """Trainings of searches that may end early: epochs done, of those of the recipe, mean over the trainings of a
    round; `ended` of them ended early."""
    return f"""
SELECT search, round, count(DISTINCT seed) AS seeds, count(*) AS trainings, sum(done < epochs) AS ended,
       avg(done) AS done, avg(epochs) AS epochs, epsilon, armed
FROM (
    SELECT s.id, s.name AS search, r.round, r.seed, t.epochs, json_extract(s.settings, '$.stop.epsilon') AS epsilon,
           json_extract(s.settings, '$.stop.armed') AS armed,
           (SELECT max(epoch) FROM epochs WHERE training = t.id) AS done
    FROM searches AS s JOIN rounds AS r ON r.search = s.id JOIN members AS m ON m.round = r.id
    JOIN trainings AS t ON t.id = m.training
    WHERE s.run = {_quoted(run)} AND json_type(s.settings, '$.stop') = 'object' AND t.state = 'done' AND r.round > 0
)
GROUP BY id, round ORDER BY id, round""".strip()


def traces(run: str) -> str:
    """The first and the last value of each trace in the trainings of a round, or of an arm's ticket: means over them,
    with seeds."""
    return f"""
WITH traced AS ({_traced(run)}), ends AS (
    SELECT w.*, t.kind, t.layer, min(t.step) AS begin, max(t.step) AS end
    FROM traced AS w JOIN traces AS t ON t.training = w.training
    GROUP BY w.search, w.arm, w.seed, w.round, w.training, t.kind, t.layer
)
SELECT e.kind, e.layer, e.search, e.arm, e.round, count(DISTINCT e.seed) AS seeds,
       avg(e.begin) AS first_step, avg(a.value) AS first, avg(e.end) AS last_step, avg(z.value) AS last
FROM ends AS e
JOIN traces AS a ON (a.training, a.kind, a.layer, a.step) = (e.training, e.kind, e.layer, e.begin)
JOIN traces AS z ON (z.training, z.kind, z.layer, z.step) = (e.training, e.kind, e.layer, e.end)
GROUP BY e.kind, e.search, e.arm, e.layer, e.round ORDER BY e.kind, e.search, e.arm, e.layer, e.round""".strip()


def trace_curves(run: str, kind: str) -> str:
    """Traces of one kind, step by step: each seed's, mean over its trainings of the round."""
    return f"""
WITH traced AS ({_traced(run)})
SELECT w.search, w.arm, w.round, t.layer, w.seed, t.step, avg(t.value) AS value
FROM traced AS w JOIN traces AS t ON t.training = w.training
WHERE t.kind = {_text(kind)} GROUP BY w.search, w.arm, w.round, t.layer, w.seed, t.step
ORDER BY w.search, w.arm, w.round, t.layer, w.seed, t.step""".strip()


def _traced(run: str) -> str:
    """Trainings with what they are for: a round of a search, or else an arm with its ticket's search and round."""
    return f"""
    SELECT s.name AS search, NULL AS arm, r.round, r.seed, m.training
    FROM searches AS s JOIN rounds AS r ON r.search = s.id JOIN members AS m ON m.round = r.id
    WHERE s.run = {_quoted(run)}
    UNION ALL
    SELECT s.name, a.name, r.round, e.seed, e.training
    FROM arms AS a JOIN evaluations AS e ON e.arm = a.id AND e.split = 'test' LEFT JOIN tickets AS k ON k.id = e.ticket
    LEFT JOIN rounds AS r ON r.id = k.round LEFT JOIN searches AS s ON s.id = r.search
    WHERE a.run = {_quoted(run)} AND e.training NOT IN (SELECT training FROM members)
"""


def machine(run: str) -> str:
    """What the machine gave: devices, hosts, seconds, training images and joules (NULL where no card told them) of all
    attempts that sampled it; `metered` of these attempts tell their energy."""
    return f"""
SELECT * FROM (
SELECT group_concat(DISTINCT device) AS device, group_concat(DISTINCT host) AS host, count(*) AS attempts,
       sum(seconds) AS seconds, sum(images) AS images, sum(images) / sum(seconds) AS images_per_second,
       sum(energy) AS energy, count(energy) AS metered
FROM (
    SELECT ifnull(nullif(a.device_name, ''), a.device) AS device, a.host, max(m.seconds) AS seconds, m.images,
           (SELECT max(energy) FROM machine WHERE attempt = a.id) AS energy
    FROM attempts AS a JOIN machine AS m ON m.attempt = a.id WHERE a.run = {_quoted(run)} GROUP BY a.id
)) WHERE attempts > 0""".strip()


def tickets(run: str) -> str:
    """Every ticket with its sparsity and the hashes of its files."""
    return f"""
SELECT s.name AS search, s.method, r.seed, r.round, r.sparsity, r.total_sparsity, r.prunable, r.remaining,
       r.weights, r.weights_remaining, t.mask, t.start, t.start_step
FROM tickets AS t JOIN rounds AS r ON r.id = t.round JOIN searches AS s ON s.id = r.search
WHERE s.run = {_quoted(run)} ORDER BY s.id, r.seed, r.round""".strip()


QUESTIONS: dict[str, Callable[[str], str]] = {
    one.__name__.replace("_", " "): one
    for one in (
        *(accuracy, cost, cost_to_sparsity, loss, overlap, controls, checks, curves, copies, published),
        *(tickets, sets, sets_by_seed, early, traces),
    )
}
"""Every question about one run, by name; what it asks is the first sentence of its docstring."""


def results(run: str) -> dict[str, str]:
    """The tables that an export holds, seed by seed and in the mean, by name."""
    views = {
        "accuracy": ("accuracy_by_sparsity", "search, round, arm, split"),
        "accuracy-by-seed": ("ticket_accuracies", "search, seed, round, arm, split"),
        "cost": ("cost_by_round", "search, seed, round"),
        "overlap": ("overlap_by_round", "search, seed, round, sets"),
        "loss": ("loss_by_round", "search, seed, round, kind"),
        "checks": ("checks", "id"),
        "curves": ("check_curves", "[check], search, part, series, x"),
    }
    where = f"WHERE run = {_quoted(run)}"
    tables = {name: f"SELECT * FROM {view} {where} ORDER BY {order}" for name, (view, order) in views.items()}
    more = {"curves-by-seed": _points(run), "sets": sets_by_seed(run), "traces": _traces(run), "machine": _samples(run)}
    return tables | more


def _points(run: str) -> str:
    return f"""
SELECT c.name AS [check], c.search, c.part, p.series, p.seed, p.x, p.y
FROM checks AS c JOIN points AS p ON p.[check] = c.id WHERE c.run = {_quoted(run)}
ORDER BY c.id, p.series, p.seed, p.x""".strip()


def _traces(run: str) -> str:
    return f"""
WITH traced AS ({_traced(run)})
SELECT w.search, w.arm, w.seed, w.round, w.training, t.kind, t.layer, t.step, t.value
FROM traced AS w JOIN traces AS t ON t.training = w.training
ORDER BY w.search, w.arm, w.seed, w.round, w.training, t.kind, t.layer, t.step""".strip()


def _samples(run: str) -> str:
    return f"""
SELECT a.host, a.device, a.device_name, m.* FROM attempts AS a JOIN machine AS m ON m.attempt = a.id
WHERE a.run = {_quoted(run)} ORDER BY m.id""".strip()


def seconds(run: str) -> str:
    """How long engines have worked on the run, over all attempts."""
    return f"SELECT seconds FROM run_states WHERE run = {_quoted(run)}"


def _quoted(run: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", run):  # ids are made by us; nothing else may become SQL
        raise StoreError(f"not the id of a run: {run!r}")
    return f"'{run}'"


def _text(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


# A run as it goes


@dataclass(frozen=True)
class Training:
    """The training whose epoch ended last. `classes` are those of its data, `all_classes` those of the data set."""

    what: str
    search: str
    arm: str
    seed: int
    round: int
    member: int | None
    epoch: int
    epochs: int
    accuracy: float | None
    classes: int
    all_classes: int
    sparsity: float | None


@dataclass(frozen=True)
class Progress:
    """How far a run is. `state` knows whether the engine still lives."""

    state: str
    message: str
    images_done: int
    images_planned: int
    seconds_left: float | None
    doing: str
    training: Training | None

    @property
    def fraction(self) -> float:
        if self.state == "finished":
            return 1.0
        return min(1.0, self.images_done / self.images_planned) if self.images_planned else 0.0


def progress(reader: Reader, run: str) -> Progress:
    """The newest figures of a run; a `StoreError` when it has been deleted."""
    rows = reader.rows(f"SELECT * FROM ({LISTING}) WHERE id = ?", (run,))
    if not rows:
        raise StoreError(f"{run} is no longer in the store: it was deleted")
    row = rows[0]
    return Progress(
        **{name: row[name] for name in ("state", "message", "images_done", "images_planned", "seconds_left", "doing")},
        training=_training(reader, run),
    )


def _training(reader: Reader, run: str) -> Training | None:
    newest = reader.rows(
        "SELECT e.epoch, t.epochs, t.about, t.seed, t.classes,"
        " (SELECT validation_accuracy FROM epochs WHERE training = t.id AND validation_accuracy IS NOT NULL"
        " ORDER BY epoch DESC LIMIT 1) AS validation_accuracy,"
        " (SELECT max(classes) FROM trainings WHERE run = t.run) AS all_classes"
        " FROM epochs AS e JOIN trainings AS t ON t.id = e.training WHERE t.run = ? ORDER BY e.id DESC LIMIT 1",
        (run,),
    )
    if not newest:
        return None
    row: dict[str, Any] = newest[0]
    about = json.loads(row["about"])
    search, number = about.get("search") or "", about.get("round") or 0
    turned = reader.rows(
        "SELECT r.sparsity FROM rounds AS r JOIN searches AS s ON s.id = r.search"
        " WHERE s.run = ? AND s.name = ? AND r.seed = ? AND r.round = ?",
        (run, search, row["seed"], number),
    )
    return Training(
        what=about.get("what", ""),
        search=search,
        arm=about.get("arm") or "",
        seed=row["seed"],
        round=number,
        member=about.get("member"),
        epoch=row["epoch"],
        epochs=row["epochs"],
        accuracy=row["validation_accuracy"],
        classes=row["classes"],
        all_classes=row["all_classes"],
        sparsity=turned[0]["sparsity"] if turned else None,
    )
