"""Benchmarks: `make bench`, or `python -m tests.bench [NAME]... [--repeats N] [--json FILE]`.

Every figure is the median of several trials, with the least and the most beside it. Cases that are compared take turns
(a, b, a, b ...), so that a busy spell of the machine falls on all of them. Figures of two machines, or of one machine
at different loads, do not compare; the ratio of two cases of one bench does, roughly. Nothing here fails: a figure that
misses its mark is marked so, and the tests hold what must hold.

startup    Seconds from starting a command to its end: `tombola --help` and `tombola runs` on a store with one run, and
           beside them a bare interpreter with and without the site packages, which no command can undercut.
paint      Seconds from starting `tombola` in a terminal of 120 × 40 to the end of the app's first drawing that shows
           words (0.1 s of quiet ends a drawing), and until it has stopped changing.
demo       `tombola demo` in an empty store, seen from outside: seconds to the end; seconds to the first figure on the
           screen; the largest memory of engine and workers together, each page shared by forking counted once.
masks      One training step of a masked network (forward, backward, update, mask): microseconds, and operators that
           torch dispatches, in the engine's way (one fused update, one multiply for all masks), with
           torch.nn.utils.prune, and with masked gradients. Tiny networks pay by the operator, large ones by arithmetic.
threshold  Seconds to prune a fifth of 11 million weights (as in ResNet-18) with one threshold: the engine's masks.prune
           and torch.nn.utils.prune.global_unstructured.
training   Seconds of one masked training on the digits, data at hand: the engine's Trainer with one thread, and the
           loop that one would write first (DataLoader, torch.nn.utils.prune, torch.optim.SGD, .item() at every step),
           with one thread and with torch's own choice. What accuracy each reaches is printed beside it.
loading    Images a second, cut from a padded frame, mirrored and normalised, batch by batch of 128 at 3 × 32 × 32: the
           engine's whole batches against a DataLoader with torchvision's transforms image by image and as many workers
           as cores, in turn, and their ratio. And seconds until a prepared set of 60,000 such images is in memory.
"""
