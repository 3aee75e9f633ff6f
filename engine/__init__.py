"""What trains and prunes: a process of its own (`python -m engine`), and the only house that imports torch.

It reads an experiment from the store and writes everything that happens back into it. From the outside in:

- `__main__` the command line; `plan` forecasts, `run` attempts a run
- `searches/` how tickets are found, one file a method; `arms` what is trained to judge them; `checks/` questions
  answered from the rows
- `turning` a search as it turns; `trainings` what is to be done and what is done; `workers` processes that do it;
  `training` one training
- `masks`, `optimizers`, `schedules`, `draws` the parts of a training; `networks/`, `data/` what is trained on what
- `recording` rows; `tensors` files; `given` tickets of another run; `forecast` and `devices` cost and layout; `cards`
  the graphics cards, who uses them, and which are reserved
- `vision` the one door to torchvision

A new method is one file in `searches/` (a generator of trainings, see its docstring), its settings as one class in
`presets/schema.py`, one preset and one test. A network is one file in `networks/` and a line in its table, a source of
images one file in `data/` and a line in its. What does not belong here: anything that people see (`tui`), any SQL that
only people ask (`store`).
"""
