"""Benchmarks: `make bench`, `make bench-gpu`, or `python -m tests.bench [NAME]... [--repeats N] [--json FILE]`.

Every figure is the median of several trials, with the least and the most beside it. Cases that are compared take turns
(a, b, a, b ...), so that a busy spell falls on all of them; a ratio is taken turn by turn. Each bench has
a process of its own. Figures of two machines, or of one machine at different loads, do not compare; the ratio of two
cases of one bench does, roughly. Nothing here fails: a figure that misses its mark is marked so, a case that cannot be
measured says why, and the tests hold what must hold. RESULTS.md keeps the figures of named machines.

"Naive" is the loop that research code writes, in naive.py: a DataLoader with torchvision's transforms image by image
and min(8, cores) workers, kept from epoch to epoch; torch.nn.utils.prune; torch.optim.SGD; .item() at every batch;
evaluation after every epoch; one training after another, in float32 as torch has it by default. Recipe, start, masks,
counts and order of the samples are the engine's, and a test holds that both find the same tickets.

startup    Seconds from starting a command to its end: `tombola --help` and `tombola runs` on a store with one run, and
           beside them a bare interpreter with and without the site packages, which no command can undercut.
paint      Seconds from starting `tombola` in a terminal of 120 × 40 to the end of the app's first drawing that shows
           words (0.1 s of quiet ends a drawing), and until it has stopped changing.
app        The app in a terminal of 120 × 40, on a store with one small real run: bytes a second while nothing changes;
           bytes a second, per cent of a core and memory on the screen of a run whose two members gain an epoch each
           second (written by the bench, as the engine writes them). Then on a store with 200 copies of that run and a
           million epochs: milliseconds from a key to the end of what it draws at once, 200 keys each in the list and
           from panel to panel.
demo       `tombola demo` in an empty store, seen from outside: seconds to the end; seconds to the first figure on the
           screen; the largest memory of engine and workers together, each page shared by forking counted once.
masks      One training step of a masked network (forward, backward, update, mask): microseconds, and operators that
           torch dispatches, in the engine's way (one fused update, one multiply for all masks), with
           torch.nn.utils.prune, and with masked gradients. Tiny networks pay by the operator, large ones by arithmetic.
threshold  Seconds to prune a fifth of 11 million weights (as in ResNet-18) with one threshold: the engine's masks.prune
           and torch.nn.utils.prune.global_unstructured.
training   Seconds of one masked training on the digits with its evaluations: the engine's Trainer with one thread, and
           the naive loop, with one thread and torch's own choice, without and with worker processes. What accuracy
           each reaches is printed beside it.
loading    Images a second, cut from a padded frame, mirrored and normalised, batch by batch of 128 at 3 × 32 × 32: the
           engine's whole batches against a DataLoader with torchvision's transforms image by image and as many workers
           as cores, in turn, and their ratio. And seconds until a prepared set of 60,000 such images is in memory.
steps      Milliseconds of one training step with its data (load, augment, forward, backward, update, mask) on the CPU,
           half of the conv weights pruned: the engine with the threads that it would give the network, at float32 and,
           where the processor has bfloat16 instructions, at bfloat16; the naive loop with torch's own choice and its
           workers. The digits' Conv-3 (8 × 8, batch 64), and Conv-3, ResNet-20 and ResNet-18 on images of noise
           (3 × 32 × 32, batch 128, crop and flip). Evaluations are not in it.
searches   Seconds from process start to end of the demo's COLT, and of its IMP, for one seed, every ticket trained:
           `tombola run` in an empty store, forecast, database and files included; `python -m tests.bench.naive`; and
           the same with one thread and no workers, which suits so small a network best. Rounds, sparsity and accuracy
           that each reaches are printed beside it.
members    Seconds of 2, 4 and 8 trainings of the digits' network that are asked for at once, through the engine's
           workers: as its plan lays them out, and one after another in one worker of one thread.
gpu        Only when named, and only on a card; within 150 s, or --seconds N, the most wanted first. The card's
           ceilings: a bfloat16 matrix product of 8192³, and a copy of 1 GiB, each byte counted twice. Seconds of an
           epoch of 50,000 images of 3 × 32 × 32 with crop and flip through the engine's worker, its validation on
           1,000 more included, the first epoch left out; of 8 members at once, of one of them; networks compiled where
           it says so. Beside it what per cent of that time the floors are: that of the arithmetic alone, and that of
           reading and writing every tensor of an unfused bfloat16 step, both at the ceilings just measured (at float32
           too, where the true floors are higher); and the most memory that torch reserved. The naive loop's epoch is
           reckoned from 32 steps, measured before and not in turn. Marks are for an H200.
kill       Only when named. Engines of real runs, of every sort of search, are killed with SIGKILL, half of them at
           random instants, half at planted points before and after every rename, flush, removal and commit, resumed,
           killed again, and at last left to end: 200 kills, or --repeats N. A kill is survived where its run ends in
           the masks, weights and rows of one that was never interrupted and leaves no other file. Rows lost are those
           that a reader saw before a kill and that were gone or another afterwards. Then what part of the time
           checkpoints take of a training of a minute, copying, sending, writing and flushing them together.
stress     Only when named. Four engines that train tiny runs one after another and eight readers (four read as the app
           does, four with SQL) on one store for a minute: rows written and questions answered a second, the longest
           write and question in seconds, errors for a lock, and rows that a run lacks of those that all have to end
           with. Both marks are 0.
"""
