"""What every table, view and column of the store means: the one place where it is said.

`tombola schema` prints it, and a test holds it against a fresh database, name by name.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Relation:
    """A table or a view: what a row of it is, and what its columns say."""

    kind: Literal["table", "view"]
    row: str
    columns: dict[str, str]


def _table(row: str, **columns: str) -> Relation:
    return Relation("table", row, columns)


def _view(row: str, **columns: str) -> Relation:
    return Relation("view", row, columns)


OVERVIEW = (
    "One file holds every run. Times are UTC in ISO 8601, durations seconds, accuracies and sparsities fractions of 1. "
    "Prunable sparsity counts the weights that a search may prune; total sparsity all weights of conv, linear and norm "
    "layers. Images are training images, forward and backward; images forward only are kept apart. A training that "
    "several ask for is done once, and charged in full to each, also where a run takes it from another that has done "
    "it (trainings.taken_from). Begin with the views, which carry the run's id."
)

_IMAGES = "Training images, forward and backward"
_FORWARD = "Images forward only (validation and test)"
_PRUNABLE_SPARSITY = "Pruned fraction of the prunable weights"
_TOTAL_SPARSITY = "Pruned fraction of all conv, linear and norm weights"

SCHEMA: dict[str, Relation] = {
    "runs": _table(
        "One execution of an experiment, with all its seeds.",
        id="Short id, typed by hand: name and four letters. Any unique prefix names the run",
        name="What it is called; may be changed",
        preset="Preset or file it was started from",
        title="What is compared on what",
        paper="Where the method comes from",
        expect="What the run was expected to show, written before it ran",
        spec="The whole experiment as JSON, after extends and overrides",
        note="A person's remarks",
        state="running, paused, stopped, finished, failed or lost, as last written; run_states knows who fell silent",
        message="Why it is in this state, where there is more to say",
        device="Device that was asked for",
        keep="Files that are kept: tickets, rounds or all",
        files="Folder of its files",
        images_planned="Training images it will take in all, as far as the rounds so far let tell",
        created="When it was created",
        started="When its engine was last sent for: at the start, and at each resume",
        ended="When it stopped, finished or failed",
    ),
    "attempts": _table(
        "One engine process that worked on a run; a resumed run has several.",
        id="Number of the attempt",
        run="Run it works on",
        host="Machine it runs on",
        boot_id="Which boot of that machine, and which of its process tables",
        pid="Process id",
        pid_started="When the process began, in seconds since boot: tells it from a later one of the same number",
        device="Device it computes on",
        versions="Versions of everything that may change bits (JSON)",
        plan="Execution plan: workers, threads, grouping, precision (JSON). Equal plans give equal bits",
        plan_changed="1 where the plan differs from the attempt before, so that bits may differ",
        started="When it began",
        heartbeat="Its newest sign of life, written every second or two",
        images_done="Training images of the run so far, earlier attempts and other runs' trainings included",
        seconds_left="Forecast of the time left, NULL while unknown",
        doing="What it does at this moment, in one line",
        ended="When it ended by itself; NULL while it runs or when it was killed",
        seconds="How long it ran, by a clock that nobody sets",
        outcome="State of the run that it ended with",
        last_words="What it said when it ended",
    ),
    "requests": _table(
        "Something asked of a running engine, which looks every second.",
        id="Number of the request",
        run="Run it is about",
        action="pause or stop",
        asked="When it was asked",
        taken="When an engine took it up; NULL until then",
    ),
    "searches": _table(
        "One way of finding tickets, within a run.",
        id="Number of the search",
        run="Run it belongs to",
        name="Its name in the preset",
        method="imp, colt and so on",
        settings="Its settings (JSON)",
    ),
    "rounds": _table(
        "One train, prune, rewind step of a search with one seed. Round r >= 1 ends with ticket r; round 0 is the "
        "training up to the rewind point, where there is one.",
        id="Number of the row",
        search="Search it belongs to",
        seed="Experiment seed",
        round="Round, from 1; 0 for the training to the rewind point",
        step="Where it stands: train, prune, overlap, rewind, done",
        prunable="Weights that may be pruned",
        remaining="Of these, those left after its pruning; at its start until then",
        weights="Weights of all conv, linear and norm layers",
        weights_remaining="Of these, those left",
        sparsity=_PRUNABLE_SPARSITY,
        total_sparsity=_TOTAL_SPARSITY,
        images=f"{_IMAGES}, charged in full to this search, also where a training was shared",
        images_forward=f"{_FORWARD}, charged likewise",
        started="When it began",
        ended="When it ended",
    ),
    "trainings": _table(
        "One network trained once. Whoever needs the same training, in the same run, uses this row; another run "
        "takes a copy of it and of its epochs, and needs this one no more.",
        id="Number of the training",
        run="Run it belongs to",
        key="Hash of all that decides its result: network, data, start, mask, recipe, seed",
        seed="Experiment seed",
        about="What first asked for it (JSON: what, search, arm, round, member, seed)",
        state="waiting, running or done",
        classes="Classes it tells apart: a segment's accuracy is over its own",
        train_images="Training images in its view of the data",
        epochs="Epochs of its recipe",
        steps="Optimizer steps it takes",
        epoch_used="Epoch whose weights it ended with",
        validation_correct="Validation images that it gets right in the end",
        validation_count="Validation images of its classes",
        validation_loss="Mean loss on validation in the end; NULL when not finite",
        test_correct="Test images that it gets right in the end",
        test_count="Test images of its classes",
        test_loss="Mean loss on test in the end; NULL when not finite",
        images=f"{_IMAGES}, really spent, by this run or by that which it was taken from",
        images_forward=f"{_FORWARD}, really spent, likewise",
        seconds="Time it took; 0 where it was taken from another run",
        started="When it began, or was taken",
        ended="When it was done, or was taken",
        attempt="Attempt that did or took it, whose plan and versions its figures hold for; NULL where these changed "
        "in the middle",
        taken_from="Run that did it, under the same key, plan and versions, and that may have been deleted since; NULL "
        "where this run did it",
        weights="Weights of its conv, linear and norm layers that its mask keeps; NULL before this was written down",
    ),
    "members": _table(
        "A training that takes part in a round: a segment of COLT, the one network of IMP.",
        round="Round (rounds.id)",
        member="Which of the round, from 0",
        training="Its training",
        segment="The part of the data it sees, in words",
    ),
    "epochs": _table(
        "What one epoch of a training came to.",
        id="Number of the row, growing: a reader asks for those above the last it saw",
        training="Training it belongs to",
        epoch="Epoch, from 1",
        step="Optimizer steps done at its end",
        lr="Learning rate of its last step",
        train_loss="Mean loss over the epoch's batches; NULL when not finite",
        train_accuracy="Accuracy over the epoch's batches, while the weights moved",
        validation_loss="Mean loss on validation after it; NULL when not finite, or not validated",
        validation_accuracy="Accuracy on validation after it; NULL when not validated",
        seconds="Time it took; 0 where it was taken from another run",
    ),
    "traces": _table(
        "A figure that a hook left in a training, step by step.",
        training="Training it belongs to",
        step="Optimizer steps done",
        kind="What it is of, such as 'mask distance'",
        layer="Name of the tensor it is of; empty where it is of all",
        value="The figure; NULL when not finite",
    ),
    "sets": _table(
        "How many training samples a round has chosen for the next one, and why; their indices lie in a file "
        "(tickets.samples).",
        round="Round that chose them (rounds.id)",
        size="Samples in the set; more than the following three together where a segment's of the round before stayed",
        training="Of these, critical by training alone: forgotten, or never learned. NULL where none was chosen: drawn",
        pruning="Critical by pruning alone: answered otherwise by the sparse network",
        both="Critical by both",
    ),
    "layers": _table(
        "Weights of one tensor alive after a round's pruning, in the common mask or in one member's own.",
        round="Round (rounds.id)",
        member="Member whose own mask it is; NULL for the common mask, which the ticket has",
        position="Place of the tensor in the network, from 0",
        layer="Name of the tensor",
        kind="conv, linear, head (the last linear) or norm",
        prunable="1 where the search may prune it",
        total="Weights it has",
        before="Alive when the round began",
        alive="Alive after the pruning",
    ),
    "overlaps": _table(
        "How far the masks of two members of a round agree in one layer, among the weights alive when it began.",
        round="Round (rounds.id)",
        layer="Name of the tensor",
        sets="kept: the weights that each keeps; removed: those that each removes",
        a="First member",
        b="Second member, above a",
        n="Weights alive in this layer when the round began",
        count_a="Size of a's set",
        count_b="Size of b's set",
        both="Weights in both sets",
        either="Weights in at least one",
        expected="What both would be by chance: count_a * count_b / n",
    ),
    "tickets": _table(
        "What a round ends with: a mask and the weights to start from.",
        id="Number of the ticket",
        round="Round it ended (rounds.id)",
        mask="SHA-256 of the file of its mask",
        start="SHA-256 of the file of its starting weights",
        start_step="Optimizer steps behind the starting weights; 0 is the initialisation",
        created="When it was found",
        samples="SHA-256 of the file of the training samples that the next round sees; NULL where it sees all",
    ),
    "arms": _table(
        "A network that is trained on all the data and evaluated: dense, a ticket, or a ticket with one thing changed.",
        id="Number of the arm",
        run="Run it belongs to",
        name="Its name in the preset",
        settings="Its settings (JSON: ticket, start, weights, mask, network, recipe, begin, at)",
        changes="Ingredients that it has otherwise than the ticket itself, such as 'start mask'; empty for the ticket",
    ),
    "evaluations": _table(
        "How one trained network of an arm does on one split.",
        id="Number of the evaluation",
        arm="Arm it belongs to",
        ticket="Ticket that was trained; NULL for a dense network",
        seed="Experiment seed; networks of one seed are paired",
        training="The training behind it",
        split="validation (which chooses) or test (the final word)",
        correct="Images it gets right",
        count="Images of the split",
        accuracy="correct / count",
        loss="Mean loss; NULL when not finite",
        created="When it was evaluated",
    ),
    "checks": _table(
        "An answer to a question about a run: of a check in its preset, or one asked later.",
        id="Number of the answer",
        run="Run it belongs to",
        name="The check's name",
        search="Search, or pair of searches, that it is answered for",
        part="Part of the question, such as a condition or a pair; empty for the whole",
        method="How it is answered: a file of engine/checks",
        question="What was asked",
        figure="The answer: a mean over seeds, in `unit`; NULL when nothing could be compared",
        low="Lower end of its 95 % interval (Student's t)",
        high="Upper end",
        unit="points (percentage points) or %; empty for a plain number",
        threshold="What it is held against, in `unit`",
        detectable="Smallest true difference that these seeds would have shown to be clear 4 times of 5 (points)",
        sampling="What another test set of this size may move a difference by, at most, 19 times of 20 (points)",
        seeds="Seeds it rests on; fewer than three give no verdict",
        verdict="clear, similar, reversed (clear the other way) or undecided; stable or unstable; passed or failed; "
        "jackpot, secondary or no ticket; none: no verdict, the sentence says why",
        sentence="The answer in words",
        query="SQL that gives the figures behind it",
        x="What its curve runs over, where it has one (points)",
        y="What its curve shows",
        created="When it was answered",
    ),
    "points": _table(
        "A point of an answer's curve.",
        check="Answer (checks.id)",
        series="Which of its lines",
        seed="Experiment seed",
        x="Where on the horizontal axis (checks.x)",
        y="The figure (checks.y); NULL where it is not finite",
    ),
    "measurements": _table(
        "Figures taken of weights, without training: kept, so that a check asked again need not measure again.",
        id="Number of the measurement",
        run="Run it belongs to",
        key="Hash of all that decides its figures: method, settings, and the weights or trainings it is taken of",
        seed="Experiment seed",
        method="What is measured: a file of engine/measurements",
        about="What first asked for it (JSON)",
        figures="What came out (JSON)",
        images=f"{_IMAGES}, that it took",
        images_forward="Images forward only, that it took",
        seconds="Time it took",
        created="When it was done",
    ),
    "files": _table(
        "A file of tensors, named by its content. Equal files are kept once.",
        sha256="SHA-256 of the content",
        path="Where it lies, below the folder of files",
        bytes="Size",
        created="When it was written",
    ),
    "file_uses": _table(
        "Who needs a file; one that nobody needs goes with its last run.",
        sha256="The file",
        run="Run that needs it",
        role="mask, start, samples (of the next round) or trained (weights after training)",
        ticket="Ticket it is part of, if any",
        training="Training it came out of, if any",
    ),
    "alerts": _table(
        "Something a person should know before trusting a figure.",
        id="Number of the alert",
        run="Run it is about",
        at="When it was noticed",
        kind="What sort of thing",
        round="Round it was noticed in, if any (rounds.id)",
        message="What happened, in one line",
    ),
    "samples": _table(
        "A training image singled out for a member, and why: it is in its segment, or hard for it.",
        search="Search (searches.id)",
        seed="Experiment seed",
        round="Round from which it holds; 0 for all",
        member="Member of the round",
        sample="Index of the image in the training data",
        reason="Why: the segment's name, or how often it was forgotten",
    ),
    "log": _table(
        "A line of a run's log.",
        id="Number of the line, growing",
        run="Run it is about",
        at="When",
        level="debug, info, warning or error",
        message="The line",
    ),
    "student": _table(
        "Student's t, for the 95 % intervals of the views.",
        df="Degrees of freedom: seeds - 1",
        t975="The 97.5 % quantile",
    ),
    "run_states": _view(
        "How far each run is. A running run that has been silent for 30 seconds reads lost.",
        run="Run",
        name="What it is called",
        state="running, paused, stopped, finished, failed or lost",
        message="Why, where there is more to say",
        created="When it was created",
        ended="When it ended",
        host="Machine of its newest attempt",
        device="Device of its newest attempt",
        heartbeat="Newest sign of life",
        images_done="Training images so far",
        images_planned="Training images in all, as forecast",
        seconds_left="Forecast of the time left",
        doing="What its engine does, or did last",
        attempts="How many engine processes worked on it",
        seconds="Time they worked on it",
    ),
    "ticket_accuracies": _view(
        "How each trained network of an arm does: one row a seed and split.",
        run="Run",
        search="Search that found the ticket; NULL for dense arms",
        arm="Arm",
        seed="Experiment seed",
        round="Round of the ticket; NULL for dense arms",
        split="validation or test",
        sparsity=f"{_PRUNABLE_SPARSITY}; 0 for dense arms",
        total_sparsity=f"{_TOTAL_SPARSITY}; 0 for dense arms",
        accuracy="correct / count",
        correct="Images it gets right",
        count="Images of the split: one image is worth 1 / count",
        loss="Mean loss",
        ticket="Ticket (tickets.id)",
        training="Training (trainings.id)",
    ),
    "accuracy_by_sparsity": _view(
        "Accuracy over the seeds, ticket by ticket, each at its own sparsity.",
        run="Run",
        search="Search that found the tickets; NULL for dense arms",
        arm="Arm",
        round="Round of the tickets; NULL for dense arms",
        split="validation or test",
        seeds="Seeds behind the row",
        sparsity=f"{_PRUNABLE_SPARSITY}, mean over seeds",
        total_sparsity=f"{_TOTAL_SPARSITY}, mean over seeds",
        accuracy="Mean over seeds",
        half_width="Half of its 95 % interval (Student's t); NULL for one seed",
        sparsity_low="Lowest prunable sparsity among the seeds",
        sparsity_high="Highest",
        count="Images of the split",
    ),
    "check_curves": _view(
        "Curves of answers over the seeds.",
        run="Run",
        check="The check's name",
        search="Search that it is answered for",
        part="Part of the question",
        series="Which of its lines",
        x="Where on the horizontal axis",
        seeds="Seeds behind the point",
        y="Mean over seeds",
        half_width="Half of its 95 % interval (Student's t); NULL for one seed",
    ),
    "layer_overlaps": _view(
        "Overlap of two members' masks in one layer, with what chance would give.",
        run="Run",
        search="Search",
        seed="Experiment seed",
        round="Round",
        position="Place of the layer in the network",
        layer="Name of the tensor",
        kind="Kind of layer",
        sets="kept or removed",
        a="First member",
        b="Second member",
        n="Weights alive in this layer when the round began",
        count_a="Size of a's set",
        count_b="Size of b's set",
        both="Weights in both",
        either="Weights in at least one",
        expected="What both would be by chance",
        iou="both / either",
        chance="expected / (count_a + count_b - expected): the iou of two independent masks",
    ),
    "overlap_by_round": _view(
        "Overlap of the members' masks in a round, summed over layers and pairs of members. Two members that share "
        "out their pruning over the layers alike do not overlap by that alone: chance is summed layer by layer.",
        run="Run",
        search="Search",
        seed="Experiment seed",
        round="Round",
        sets="kept or removed; removed shows agreement best",
        iou="both / either",
        chance="The iou of masks that are independent within each layer",
        both="Weights in both sets",
        either="Weights in at least one",
        expected="What both would be by chance",
        n="Weights alive when the round began",
        pairs="Pairs of members",
    ),
    "loss_by_round": _view(
        "What each round removes, by layer kind.",
        run="Run",
        search="Search",
        seed="Experiment seed",
        round="Round",
        kind="conv, linear or head",
        before="Prunable weights alive when the round began",
        removed="Of these, those that the ticket lacks",
        fraction="removed / before",
    ),
    "cost_by_round": _view(
        "What a search had cost when a round ended, from its beginning.",
        run="Run",
        search="Search",
        seed="Experiment seed",
        round="Round",
        sparsity=f"{_PRUNABLE_SPARSITY} of its ticket",
        total_sparsity=f"{_TOTAL_SPARSITY} of its ticket",
        images=f"{_IMAGES}, of its rounds so far",
        images_forward=f"{_FORWARD}, of its rounds so far",
        images_with_evaluation="images, and those that trained its tickets so far to evaluate them (found mask, own "
        "start); a training that serves both is counted once",
    ),
    "cost_to_sparsity": _view(
        "What it costs a search to reach a sparsity: its first ticket at or above it.",
        run="Run",
        search="Search",
        level="Prunable sparsity to reach: 0.5, 0.8, 0.9, 0.95, 0.98 or 0.99",
        seeds="Seeds that reach it; the means are over these",
        seeds_searched="Seeds that the search has begun",
        round="Mean round that reaches it",
        sparsity="Mean prunable sparsity of the tickets that reach it",
        images="Mean training images of the search up to there",
        images_with_evaluation="The same with the evaluation of its tickets up to there",
    ),
}


def as_text(width: int = 100) -> str:
    """The whole documentation for a terminal of `width` columns."""
    parts = [textwrap.fill(OVERVIEW, width)]
    for name, relation in SCHEMA.items():
        column = max(map(len, relation.columns))
        lines = [textwrap.fill(f"{name} ({relation.kind}): {relation.row}", width, subsequent_indent="  ")]
        for key, meaning in relation.columns.items():
            label = f"  {key:<{column}}  "
            indent = " " * len(label)
            lines.append(textwrap.fill(label + meaning, width, subsequent_indent=indent, drop_whitespace=True))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
