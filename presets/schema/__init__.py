"""The shape of an experiment: every key a preset may hold, its meaning, range and default.

An `Experiment` is what a TOML preset becomes after `extends` and overrides. It is data only: the engine
gives each `method`, `network` and `check` its meaning. A field's description is its one documentation; the
form in the app, `tombola presets NAME` and the error messages all read it from here.

- `experiment.py` the whole: what its tables may say of each other, and figures of papers
- `arms.py`, `checks.py`, `searches/`, `recipe.py`, `network.py`, `data.py` its tables, each with its own rules
- `parts.py` values that several tables hold: names, lengths, ranges

A file imports only what is named after it here. Other houses import from this page, whatever the file. Runs are stored
with their experiment: a new key defaults to no change, and fields and methods keep their order.
"""

from presets.schema.arms import FRESH, Arm
from presets.schema.checks import (
    Agreement,
    AnyCheck,
    Asking,
    Contrast,
    Correlation,
    OfWeights,
    Sanity,
    Savings,
    Side,
    Solutions,
    Stability,
    Successive,
    Winning,
)
from presets.schema.data import Corruption, Data, DataName, Subset
from presets.schema.experiment import Experiment, Published
from presets.schema.network import SHORTCUTS, Network, NetworkName
from presets.schema.parts import steps_of
from presets.schema.recipe import Augment, Recipe, RecipeChange, changed
from presets.schema.searches import AnySearch, Found, Moving, Pruning, Rewinding, Searching, Transfer
from presets.schema.searches.at_once import (
    AtOnce,
    Gmp,
    Grasp,
    Hybrid,
    OneShot,
    RandomTickets,
    Ratios,
    Regrowing,
    Rigl,
    Set,
    Snip,
)
from presets.schema.searches.finding import Finding, Stop
from presets.schema.searches.rounds import Colt, Imp, Like, Prac, Segmented
