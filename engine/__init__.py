"""What trains and prunes: a process of its own (`python -m engine`), and the only house that imports torch.

It reads an experiment from the store and writes everything that happens back into it. From the outside in:

- `__main__` the command line; `plan` forecasts, `run` attempts a run
- `searches/` how tickets are found, one file a method; `arms` what is trained to judge them; `checks/` questions, one
  file a method, answered from rows, trainings and `measurements/`, which are figures taken of weights
- `turning` a search as it turns; `trainings` what is to be done and what is done; `workers` processes that do it;
  `aside` the files that an interrupted run goes on from; `training` one training, and several in turns, with `hooks/`
  that watch, move masks or end it; `rig` the network that they are done on, its steps and CUDA graphs
- `masks`, `ratios` (counts by layer), `optimizers`, `schedules`, `draws` the parts of a training; `networks/`, `data/`
  what is trained on what
- `recording` what happens, as rows; `outbox` how they reach a store that may be locked, full or damaged, and `alone`
  that one engine has a run; `earlier` what an earlier attempt left; `versions` what made a figure; `tensors` files
- `reuse` trainings and `given` tickets of other runs; `forecast` cost; `devices` and `cores` layout; `heap` memory that
  is kept; `tuning` the fastest way on a card; `cards` the cards, who uses them, and which are reserved; `machine` what
  card, processor, memory and disks do meanwhile; `guessing` what no network may fall below
- `vision` the one door to torchvision

A new method is one file in `searches/` (a generator of trainings, see its docstring), its settings as one class in
`presets/schema/searches/`, one preset and one test; a new check one in `checks/`, its settings in
`presets/schema/checks.py`. A network is one file in `networks/` and a line in its table, a source of images one file in
`data/` and a line in its. What does not belong here: anything that people see (`tui`), any SQL that only people ask
(`store`).
"""

import os

# OpenMP's threads spin for milliseconds wherever they wait for each other. Beside a busy neighbour that keeps the one
# that is waited for from its core: two threads took 2.5 to 3.8 times as long as one. Asleep after 5000 turns they take
# 1.1 to 1.3 times as long, and on a quiet machine as long as before (asleep at once, up to 15 % longer). Results are
# equal to the bit. libgomp reads this when torch loads it; a user's own word counts.
if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
    os.environ["GOMP_SPINCOUNT"] = "5000"
