"""The shape of an experiment: every key a preset may hold, its meaning, range and default.

An `Experiment` is what a TOML preset becomes after `extends` and overrides. It is data only: the engine
gives each `method`, `network` and `check` its meaning. A field's description is its one documentation; the
form in the app, `tombola presets NAME` and the error messages all read it from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

Kind = Literal["conv", "linear", "head"]
"""Layer kinds that can be pruned: convolutions, hidden linear layers, the classifier."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
"""What a search, arm or check is called: letters, digits, - and _."""

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


def _length(value: Any) -> Any:
    """Accept 3 (epochs) and "500 steps" or "3 epochs", and give back the one spelling that is stored."""
    if isinstance(value, bool):
        raise ValueError('a length is a count of epochs, or text such as "500 steps"')
    if isinstance(value, int):
        value = f"{value} epochs"
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*(epoch|step)s?\s*", value)):
        return f"{int(match[1])} {match[2]}s"
    raise ValueError('a length is a count of epochs, or text such as "500 steps"')


Length = Annotated[
    str, BeforeValidator(_length), WithJsonSchema({"words": 'a count of epochs, or text such as "500 steps"'})
]
"""A stretch of training: a number of epochs, or "N steps". Those of a recipe are steps of a training on all the data:
of one that sees less, as a segment or a subset, they are in proportion."""


def _range(value: Any) -> Any:
    """Accept 7 and "0-999", and give back the one spelling that is stored."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = f"{value}-{value}"
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", value)):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return f"{first}-{last}"
    raise ValueError('samples are numbers from 0, or ranges such as "0-999" (the last one included)')


Range = Annotated[
    str, BeforeValidator(_range), WithJsonSchema({"words": 'a sample\'s number, or a range such as "0-999"'})
]
"""Samples from the first to the last, both included: "0-999"."""


def steps_of(length: str, steps_per_epoch: int) -> int:
    """Optimizer steps in a `Length`, where an epoch has `steps_per_epoch` of them."""
    count, unit = length.split()
    return int(count) * (steps_per_epoch if unit == "epochs" else 1)


class Part(BaseModel):
    """Base of every table in a preset: unknown keys are refused, values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


DataName = Literal["digits", "glyphs", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet", "folder"]
NetworkName = Literal[
    "lenet-300-100", "lenet-5", "conv2", "conv3", "conv4", "conv6",
    "resnet20", "resnet32", "resnet44", "resnet56", "resnet18", "vgg11", "vgg13", "vgg16", "vgg19",
    "mobilenetv2", "wrn-22-2", "densenet121", "shufflenetv2",
]  # fmt: skip
SHORTCUTS = ("resnet20", "resnet32", "resnet44", "resnet56")
"""Networks whose shortcuts between stages have two published forms."""


class Data(Part):
    name: DataName = Field("digits", description="Data set to train on.")
    path: str = Field("", max_length=4000, description="Folder that holds a folder of images a class (folder only).")
    size: int | None = Field(
        None, ge=8, le=512, description="Side of an image in pixels: 32 or 64 for glyphs (32), any for a folder (64)."
    )
    classes: Literal[10, 100, 200] | None = Field(None, description="Characters to tell apart (glyphs only; 10).")
    images: int | None = Field(
        None, ge=100, le=10_000_000, description="Images drawn, all splits together (glyphs only; 12,000)."
    )
    draw: int = Field(
        0, ge=0, lt=2**31, description="Number behind every random choice about the data itself, for all seeds alike."
    )
    only: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=2, description="Classes kept, in every split; renumbered from 0 in this order."
    )
    samples: tuple[Range, ...] | None = Field(
        None, min_length=1, description='Training samples kept, by place in the training split: 7, or "0-999".'
    )
    fraction: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of the training samples kept, drawn evenly by class."
    )
    label_noise: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Share of the training labels that are drawn anew, evenly over all classes."
    )
    pixels: Literal["plain", "permuted", "scrambled"] = Field(
        "plain", description="Order of pixels: as they are, one permutation for all images, or one for each image."
    )

    @model_validator(mode="after")
    def _keys_fit_the_set(self) -> Data:
        for key, names in (("path", ("folder",)), ("size", ("folder", "glyphs")), ("classes", ("glyphs",)),
                           ("images", ("glyphs",))):  # fmt: skip
            if getattr(self, key) not in (None, "") and self.name not in names:
                raise ValueError(f'{key} is read with name = "{names[0]}" only, not with "{self.name}"')
        if self.name == "folder" and not self.path:
            raise ValueError('name = "folder" needs a path: the folder that holds a folder of images for each class')
        if self.name == "glyphs" and self.size not in (None, 32, 64):
            raise ValueError(f"size must be 32 or 64 for glyphs, not {self.size}")
        if self.only is not None and len(set(self.only)) != len(self.only):
            raise ValueError("only: every class once")
        return self


class Network(Part):
    name: NetworkName = Field(description="Architecture.")
    width: float = Field(1.0, gt=0.0, le=8.0, description="Factor on every hidden channel or unit count.")
    init: Literal["kaiming-normal", "default"] = Field(
        "kaiming-normal", description="How conv and linear weights are drawn; default is the framework's own."
    )
    shortcut: Literal["conv", "pad"] = Field(
        "conv", description="Shortcut between stages of ResNet-20 to 56: 1×1 convolution and norm, or zero padding."
    )

    @model_validator(mode="after")
    def _shortcut_is_read(self) -> Network:
        if self.shortcut != "conv" and self.name not in SHORTCUTS:
            raise ValueError(f"shortcut is read with {', '.join(SHORTCUTS)} only, not with {self.name}")
        return self


class Augment(Part):
    """What is drawn anew for every training image in every epoch, on bytes, before normalising; black fills in."""

    crop: int = Field(0, ge=0, le=64, description="Black pixels all round, from which a window of the old size is cut.")
    flip: bool = Field(False, description="Mirror left and right, every other time.")
    rotate: float = Field(
        0.0, ge=0.0, le=180.0, description="Degrees up to which an image is turned either way (nearest pixel)."
    )


class Recipe(Part):
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="Update rule.")
    lr: float = Field(0.1, gt=0.0, le=100.0, description="Peak learning rate.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Momentum of SGD, or Adam's first beta.")
    nesterov: bool = Field(False, description="Nesterov momentum (SGD only).")
    weight_decay: float = Field(0.0, ge=0.0, le=1.0, description="L2 term added to the gradient of every parameter.")
    epochs: int = Field(ge=1, le=100_000, description="Passes over the training data.")
    batch: int = Field(128, ge=2, le=1_000_000, description="Images a step; a tail of one joins the batch before.")
    schedule: Literal["constant", "step", "cosine"] = Field(
        "constant", description="Learning rate after warmup: constant, cut at milestones, or a half cosine to 0."
    )
    milestones: tuple[Length, ...] = Field((), description="Where the step schedule cuts the learning rate.")
    gamma: float = Field(0.1, gt=0.0, le=1.0, description="Factor at each milestone.")
    warmup: Length = Field("0 epochs", description="Linear rise of the learning rate from 0 at the start.")
    augment: Augment = Field(default_factory=Augment, description="Changes drawn for each training image.")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Arithmetic of convolutions and matrix products: float32; TF32 where a card has it; or bfloat16"
        " under autocast. Weights, updates and norms stay float32.",
    )
    validate_every: int = Field(
        1, ge=1, le=100_000, description="Epochs from one validation to the next; after the last epoch there is one."
    )
    weights: Literal["last", "best"] = Field(
        "last", description="Weights a training ends with: of its last epoch, or of its best on validation."
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> Recipe:
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError('milestones go with schedule = "step", and that needs at least one')
        if self.schedule != "step" and "gamma" in self.model_fields_set and self.gamma != 0.1:
            raise ValueError('gamma is read with schedule = "step" only')
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0.0):
            raise ValueError("nesterov needs sgd with momentum above 0")
        return self


class RecipeChange(Recipe):
    """Keys of a recipe that a search or an arm has otherwise than the experiment; what is left out stays as there."""

    epochs: int = Field(1, ge=1, le=100_000, description="Passes over the training data.")

    @model_validator(mode="after")
    def _schedule_fits(self) -> RecipeChange:  # judged where it meets the rest of its recipe
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}


def changed(recipe: Recipe, change: RecipeChange) -> Recipe:
    """`recipe` with the keys of `change`; one that leaves the step schedule leaves its milestones too.

    Raises:
        ValueError: the two do not fit together.
    """
    if not change.model_fields_set:
        return recipe
    below = recipe.model_dump(exclude_defaults=True)
    above = {key: getattr(change, key) for key in change.model_fields_set}
    if above.get("schedule", "step") != "step":
        below = {key: value for key, value in below.items() if key not in ("milestones", "gamma")}
    return Recipe.model_validate(below | above)


class Subset(Part):
    """Training samples that a round of another run has chosen (PrAC, arXiv 2106.03225), with its first seed: one set
    for all seeds, also of another network."""

    run: str = Field(min_length=1, max_length=100, description="Run whose set is taken; `--subset RUN` fills it in.")
    search: Name | None = Field(None, description="Search of that run; may be left out where one only has sets.")
    round: int | None = Field(None, ge=1, description="Round that chose the set; left out: the last.")


class Corruption(Part):
    """What is done to the training data while tickets are found; they are trained and evaluated on the data itself
    (Su et al., arXiv 2009.11094, section 3)."""

    subset: Subset | None = Field(None, description="Only the samples that another run has chosen.")

    label_noise: float = Field(0.0, ge=0.0, le=1.0, description="Share of the training labels drawn anew.")
    pixels: Literal["plain", "permuted", "scrambled"] = Field(
        "plain", description="Order of pixels: as they are, one permutation for all images, or one for each image."
    )
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of the training samples that are seen.")


class Like(Part):
    like: Name = Field(description="Search whose removed counts are copied, per seed, round and layer kind.")


KindRates = dict[Kind, Fraction]
Rate = Fraction | KindRates | Like


class Search(Part):
    """What every search shares."""

    @property
    def members(self) -> int:
        """Trainings that a round's ticket is the overlap of."""
        return 1


class Finding(Search):
    """What every search that finds tickets on this experiment's network shares."""

    recipe: RecipeChange = Field(
        default_factory=RecipeChange, description="Keys of the recipe that differ in this search and for its tickets."
    )
    data: Corruption = Field(
        default_factory=Corruption, description="How the data is corrupted for this search, not for its tickets."
    )
    spare_first: bool = Field(False, description="Whether the first layer is never pruned.")


class Stop(Part):
    """End a training once the mask that pruning now would give no longer moves (arXiv 1909.11957, 2106.03225).

    d is the share of the remaining weights in which that mask differs from the last epoch's.
    """

    epsilon: float = Field(0.07, gt=0.0, le=1.0, description="It ends when the largest of the last d is below this.")
    window: int = Field(5, ge=1, le=1000, description="Epochs whose d is looked at.")
    armed: bool = Field(True, description="Only once d has been above epsilon and warmup is over.")


def _clean_start(search: Imp | Colt | Prac | OneShot) -> None:
    """Corrupted data may find a mask, but not the weights that the ticket starts from."""
    corrupted = search.data.model_copy(update={"subset": None}) != Corruption()
    if corrupted and not search.rewind.startswith("0 "):
        words = "data is corrupted while masks are found, but with rewind above 0 the ticket's start would be, too"
        raise ValueError(f"{words}: leave rewind at 0")


class Rounds(Finding):
    """What every search that prunes by rounds shares; a subclass adds its `method` and `rate`."""

    rewind: Length = Field(
        "0 epochs", description="Where weights go back to each round; 0 is the initialisation (k of W_k)."
    )
    stop: Stop | None = Field(None, description="End each training early, when its mask has come to rest.")
    until: float | None = Field(
        None, gt=0.0, lt=1.0, description="Stop at the first round whose sparsity reaches this."
    )
    of: Literal["prunable", "total"] = Field(
        "prunable",
        description="Sparsity that until counts: of the prunable weights, or of all conv, linear and norm weights.",
    )
    rounds: int | None = Field(None, ge=1, le=1000, description="Most rounds; with until, whichever comes first.")
    scope: Literal["global", "kind", "layer"] = Field(
        "global", description="One magnitude threshold for all kinds of equal rate, per layer kind, or per layer."
    )

    def rates(self) -> dict[str, float]:
        """Fraction of the remaining weights that goes each round, by layer kind; a kind left out is not prunable."""
        rate = self.rate  # type: ignore[attr-defined]
        if isinstance(rate, Like):
            raise TypeError("this search takes its counts from another")
        if isinstance(rate, dict):
            return {kind: value for kind, value in rate.items() if value > 0.0}
        return {"conv": rate, "linear": rate, "head": rate}

    @model_validator(mode="after")
    def _ends_and_prunes(self) -> Rounds:
        _clean_start(self)  # type: ignore[arg-type]
        rate = self.rate  # type: ignore[attr-defined]
        if isinstance(rate, Like):
            own = (self.until, self.of, self.rounds, self.scope, self.spare_first, self.stop)
            if own != (None, "prunable", None, "global", False, None):
                keys = "until, of, rounds, scope, spare_first and stop"
                raise ValueError(f"rate.like copies another search: {keys} are that search's")
            return self
        if self.until is None and self.rounds is None:
            raise ValueError("say when to stop: until (a sparsity) or rounds")
        if self.until is None and self.of != "prunable":
            raise ValueError("of is read with until only")
        rates = self.rates()
        if not rates or not any(rates.values()):
            raise ValueError("a rate above 0 is needed for at least one layer kind")
        return self


class Imp(Rounds):
    """Iterative magnitude pruning (Frankle & Carbin, arXiv 1803.03635)."""

    method: Literal["imp"]
    rate: Rate = Field(
        0.2, description="Fraction of the remaining weights pruned a round: one number, by kind, or like."
    )


PUBLISHED_COLT_RATE: KindRates = {"conv": 0.15}


class Segmented(Rounds):
    """What searches share that can train a network for each segment of the data, their ticket being the overlap of what
    each keeps (COLT, Hossain et al., arXiv 2212.12770)."""

    segments: int = Field(
        1, ge=1, le=64, description="Parts of the training data, one network each (P); 1: one network on all of it."
    )
    split: Literal["class", "random", "stratified"] = Field(
        "class", description="How data is parted: contiguous blocks of classes, at random, or evenly by class."
    )

    @property
    def members(self) -> int:
        return self.segments

    @property
    def _heads_differ(self) -> bool:
        """Whether members have heads of their own size."""
        return self.segments > 1 and self.split == "class"

    def rates(self) -> dict[str, float]:
        """As for every search, but one number for all does not reach heads that differ in size."""
        rates = super().rates()
        if self._heads_differ and not isinstance(self.rate, dict):  # type: ignore[attr-defined]
            del rates["head"]
        return rates

    @model_validator(mode="after")
    def _class_heads_differ(self) -> Segmented:
        if self.segments == 1 and self.split != "class":
            raise ValueError("split is read with segments of 2 or more: one segment is all the data")
        if self._heads_differ and self.rates().get("head", 0.0) > 0.0:
            raise ValueError('with split = "class" heads differ in size and cannot be pruned: give rates by kind')
        return self


class Colt(Segmented):
    """Cyclic overlapping lottery tickets (Hossain et al., arXiv 2212.12770)."""

    method: Literal["colt"]
    rate: Fraction | KindRates = Field(
        default_factory=lambda: dict(PUBLISHED_COLT_RATE),
        description="Fraction of the remaining weights each member prunes a round: one number, or by kind.",
    )
    scope: Literal["global", "kind", "layer"] = Field(
        "kind", description="One magnitude threshold for all kinds of equal rate, per layer kind, or per layer."
    )
    segments: int = Field(2, ge=2, le=64, description="Parts of the training data, one network each (P).")


PUBLISHED_PRAC_RATE: KindRates = {"conv": 0.2}


class Prac(Segmented):
    """Pruning-aware critical samples (PrAC, arXiv 2106.03225): each round on the few samples that matter; with
    segments, COLT's members each on those that matter of its own."""

    method: Literal["prac"]
    rate: Fraction | KindRates = Field(
        default_factory=lambda: dict(PUBLISHED_PRAC_RATE),
        description="Fraction of the remaining weights that a round, or each member, prunes: one number, or by kind.",
    )
    use: Literal["both", "training", "pruning"] = Field(
        "both", description="Samples of the next round: forgotten in training (CET), changed by pruning (CEP), or both."
    )
    forgotten: int = Field(0, ge=0, le=10_000, description="Forgetting events above which a sample is critical (E_F).")
    against: Literal["best", "first", "before"] = Field(
        "best",
        description="CEP: answers of this round's trained network against those of the first round's, of its best epoch"
        " on validation (the authors' code) or its last; or, of this round's alone, before pruning against after.",
    )
    length: Literal["linear", "quadratic"] = Field(
        "linear", description="Iterations of a round: in proportion to its set, or to its square (the authors' code)."
    )
    sizes: Like | None = Field(
        None,
        description="Sets drawn at random, as large, segment by segment, as those of another prac search: `like` names"
        " it.",
    )

    @model_validator(mode="after")
    def _random_sets_are_not_chosen(self) -> Prac:
        if self.sizes and (self.use, self.forgotten, self.against) != ("both", 0, "best"):
            raise ValueError("use, forgotten and against are not read with sizes: its sets are drawn at random")
        return self


class AtOnce(Finding):
    """What every search shares that finds tickets of all its sparsities in one go."""

    sparsity: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(
        min_length=1, max_length=100, description="Prunable sparsities, in rising order: a ticket for each."
    )
    layers: tuple[Kind, ...] = Field(
        ("conv", "linear", "head"), min_length=1, description="Layer kinds that are pruned."
    )

    @model_validator(mode="after")
    def _rising(self) -> AtOnce:
        if list(self.sparsity) != sorted(set(self.sparsity)):
            raise ValueError("sparsity: each once, in rising order")
        return self


class OneShot(AtOnce):
    """Train once, prune once (one-shot magnitude pruning, OMP), one ticket for each sparsity."""

    method: Literal["one-shot"]
    rewind: Length = Field("0 epochs", description="Where weights go back to; 0 is the initialisation (k of W_k).")
    stop: Stop | None = Field(None, description="End the training early, when the mask of the last sparsity rests.")
    scope: Literal["global", "kind", "layer"] = Field(
        "global", description="One magnitude threshold for all kinds, per layer kind, or per layer."
    )

    @model_validator(mode="after")
    def _starts_clean(self) -> OneShot:
        _clean_start(self)
        return self


class Snip(AtOnce):
    """Keep the weights of largest |w · gradient| at initialisation (Lee et al., arXiv 1810.02340)."""

    method: Literal["snip"]
    images: int = Field(10, ge=1, le=100_000, description="Training images of each class that gradients are taken on.")


class Grasp(AtOnce):
    """Remove the weights whose removal keeps the gradient's flow best: largest -w · (H g) (Wang et al., arXiv
    2002.07376)."""

    method: Literal["grasp"]
    images: int = Field(10, ge=1, le=100_000, description="Training images of each class that gradients are taken on.")


Ratios = Literal["uniform", "erk", "smart-ratio"]
"""How many weights each layer keeps: the same share; by its shape (Evci et al., arXiv 1911.11134); or by its depth (Su
et al., arXiv 2009.11094)."""


class RandomTickets(AtOnce):
    """Positions at random in every layer, its count by a rule that looks at no data."""

    method: Literal["random"]
    ratios: Ratios = Field("uniform", description="How many weights each layer keeps.")

    @model_validator(mode="after")
    def _looks_at_no_data(self) -> RandomTickets:
        if self.data != Corruption():
            raise ValueError("data is not read: random tickets look at none")
        return self


class Hybrid(AtOnce):
    """Each layer's largest weights after training, its count by a rule that looks at no data; the schedule begins anew
    with the trained weights (Su et al., arXiv 2009.11094, section 5)."""

    method: Literal["hybrid"]
    ratios: Ratios = Field("smart-ratio", description="How many weights each layer keeps.")


class Regrowing(AtOnce):
    """What set and rigl share: a training for each sparsity, from a random mask that moves at constant counts."""

    ratios: Literal["uniform", "erk"] = Field("uniform", description="How many weights each layer keeps.")
    every: int = Field(100, ge=1, le=1_000_000, description="Steps from one update of the mask to the next (ΔT).")
    alpha: float = Field(
        0.3, gt=0.0, le=1.0, description="Share of each layer's weights that the first update replaces; a half cosine."
    )
    until: float = Field(0.75, gt=0.0, le=1.0, description="Share of training after which the mask rests (T_end).")
    start: Literal["init", "sparse-neuron", "sparse-layer"] = Field(
        "init",
        description="Weights to train from: the initialisation, or that scaled to the first mask, by neuron or layer.",
    )

    @model_validator(mode="after")
    def _trains_what_is_evaluated(self) -> Regrowing:
        _clean_training(self)
        return self


def _clean_training(search: Regrowing | Gmp) -> None:
    """A ticket of a mask that moves is evaluated by the very training that found it."""
    if search.data != Corruption():
        raise ValueError("data is not read: the training that finds a ticket is the one that is evaluated")


class Set(Regrowing):
    """Sparse evolutionary training: the smallest weights go, others grow at random (Mocanu et al., arXiv 1707.04780, as
    in arXiv 1911.11134)."""

    method: Literal["set"]


class Rigl(Regrowing):
    """RigL: the smallest weights go, those of largest gradient grow (Evci et al., arXiv 1911.11134)."""

    method: Literal["rigl"]


class Gmp(AtOnce):
    """Gradual magnitude pruning while training, a training for each sparsity (Zhu & Gupta, arXiv 1710.01878)."""

    method: Literal["gmp"]
    begin: Length = Field(description="Where pruning begins (t0).")
    end: Length = Field(description="Where the sparsity is reached (t1), before the end of training.")
    every: int = Field(100, ge=1, le=1_000_000, description="Steps from one pruning to the next.")
    scope: Literal["global", "kind", "layer"] = Field(
        "layer", description="One magnitude threshold for all kinds, per layer kind, or per layer."
    )

    @model_validator(mode="after")
    def _trains_what_is_evaluated(self) -> Gmp:
        _clean_training(self)
        return self


class Transfer(Search):
    """The tickets of another run, for this data: its masks and starts, with a fresh head (arXiv 2212.12770)."""

    method: Literal["transfer"]
    run: str = Field("", max_length=100, description="Run whose tickets are taken; `--ticket RUN` fills it in.")
    search: Name | None = Field(None, description="Search of that run; may be left out where it has one only.")
    round: int | None = Field(None, ge=1, description="Only the ticket of this round; left out: every one.")


Pruning = Imp | Colt | Prac
"""Searches that prune by rounds, with rates and a rewind point of their own."""

Rewinding = Imp | Colt | Prac | OneShot
"""Searches with a rewind point."""

Moving = Set | Rigl | Gmp
"""Searches whose mask moves while they train: that training is their ticket's own."""

OneTraining = Imp | OneShot | Moving
"""Searches whose tickets each come from one network trained on all classes, and start from where it started."""

Found = Imp | Colt | Prac | OneShot | Snip | Grasp | RandomTickets | Hybrid | Moving
"""Searches that find tickets on this experiment's network."""

Searching = Found | Transfer

AnySearch = Annotated[Searching, Field(discriminator="method")]


def _each_once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(names)) != len(names):
        raise ValueError("each once")
    return names


Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_each_once)]
"""Searches, each once."""


class Arm(Part):
    """A network to train on all the data and evaluate: dense, or a ticket with one ingredient changed."""

    ticket: Literal["each"] | Name | Names | None = Field(
        None, description='Searches whose tickets are trained: "each", one name, a list; left out: the dense network.'
    )
    start: Literal["ticket", "init", "reinit", "trained", "sparse-neuron", "sparse-layer"] = Field(
        "ticket",
        description="Weights to start from: the ticket's own (rewound), the initialisation, a fresh one, or those that"
        " its mask was found on, after training; or the initialisation scaled to the mask, by neuron or by layer.",
    )
    weights: Literal["own", "shuffled"] = Field(
        "own", description="Starting weights as they are, or the kept ones of each layer in another order."
    )
    mask: Literal["found", "shuffled", "random", "uniform", "erk", "smart-ratio", "full"] = Field(
        "found",
        description="Mask: the ticket's; shuffled within each layer; at random over all layers; at random with counts"
        " by a rule (uniform, erk, smart-ratio); or none at all.",
    )
    network: Literal["own", "small"] = Field(
        "own", description="The network itself, or a narrower dense one of as many weights as the ticket keeps."
    )
    recipe: RecipeChange = Field(
        default_factory=RecipeChange, description="Keys of the recipe that differ from the search's."
    )
    begin: Length | None = Field(
        None, description="Where the schedule begins; left out: where the ticket's does, 0 for fresh weights."
    )
    at: tuple[Fraction, ...] | None = Field(
        None, min_length=1, description="Only the tickets nearest to these prunable sparsities; left out: every one."
    )

    @property
    def changes(self) -> tuple[str, ...]:
        """The ingredients that it has otherwise than the ticket itself; none for a dense arm of the plain recipe."""
        own = {key: getattr(self, key) != field.default for key, field in Arm.model_fields.items()}
        own["recipe"] = bool(self.recipe.model_fields_set)
        return tuple(key for key in INGREDIENTS if own[key])

    @model_validator(mode="after")
    def _fits_together(self) -> Arm:
        if self.ticket is None:
            if self.at is not None or self.changes not in ((), ("recipe",)):
                raise ValueError("start, weights, mask, network, begin and at are read with a ticket only")
        elif self.network == "small" and (self.start, self.weights, self.mask) != ("ticket", "own", "found"):
            raise ValueError('network = "small" is dense and starts afresh: leave start, weights and mask out')
        elif self.weights == "shuffled" and self.mask == "full":
            raise ValueError('weights = "shuffled" moves kept weights within each layer: mask = "full" keeps all')
        return self


FRESH = ("init", "reinit", "sparse-neuron", "sparse-layer")
"""Starts that no training has touched: their schedule is whole."""

INGREDIENTS = ("start", "weights", "mask", "network", "recipe", "begin")
"""What an arm may have otherwise than the ticket that it trains."""


class Side(Part):
    """Tickets that an arm has trained."""

    arm: Name = Field(description="Arm to compare.")
    search: Name | None = Field(None, description="Search whose tickets it takes; left out: each search in turn.")


class Asking(Part):
    """What every check shares."""

    question: str = Field("", max_length=300, description="What is asked, in words.")


class Contrast(Asking):
    """Is one arm's test accuracy above another's? Differences are paired by seed."""

    method: Literal["contrast"] = "contrast"
    this: Side = Field(description="The arm expected above.")
    that: Side = Field(description="The arm expected below.")
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets that both arms hold are compared.")
    match: Literal["sparsity", "rounds", "images", "images-with-tickets"] = Field(
        "sparsity",
        description="What two searches' tickets have in common: sparsity, rounds, training images of the search, or"
        " these with the training of its tickets.",
    )
    tolerance: float = Field(
        0.0, ge=0.0, le=100.0, description="Percentage points: clear above it, similar when the drop stays below it."
    )

    @model_validator(mode="after")
    def _sides_differ(self) -> Contrast:
        if self.this == self.that:
            raise ValueError("this and that are the same arm")
        if self.match != "sparsity" and self.this.search == self.that.search:
            raise ValueError("match is read with two searches: tickets of one are compared round by round")
        return self


class Winning(Asking):
    """Is it a winning ticket, by all five conditions of Ma et al. (arXiv 2107.00166), over a grid of learning rates?

    The grid is the searches: each with its own rate, which its tickets, and the arms of them, train with.
    """

    method: Literal["winning-ticket"]
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is judged.")
    searches: Names | None = Field(
        None, description="Searches that make the grid; left out: all whose tickets the arms train."
    )
    ticket: Name = Field("ticket", description="Arm that trains the ticket as it was found.")
    reinit: Name = Field("reinit", description="Arm of its mask with fresh weights.")
    dense: Name = Field("dense", description='Arm of the dense network: of the same searches, with mask = "full".')
    longer: Name = Field("longer", description="The same trained longer: training is long enough if that gains little.")
    small: Name = Field("small", description="Arm of the small dense network of as many weights.")
    sparsity: Fraction = Field(0.6, description="Sparsity from which a ticket is not trivial.")
    gap: float = Field(0.5, ge=0.0, le=100.0, description="Points that a clear gap exceeds (conditions 2 and 3).")
    drop: float | None = Field(
        None,
        ge=0.0,
        le=100.0,
        description="Points below dense that are still similar (conditions 1, 4 and 5); left out: 1 with 100 classes or"
        " more, else 0.5.",
    )


class Sanity(Asking):
    """Does a way to find tickets use what it is said to use? A corrupted ticket should be clearly worse (Su et al.,
    arXiv 2009.11094); where it is as good, the check fails."""

    method: Literal["sanity"]
    this: Side = Field(description="The ticket itself: an arm and its search.")
    against: dict[Name, Side] = Field(
        min_length=1, description="By name, each corrupted ticket: an arm and its search."
    )
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets are compared.")
    tolerance: float = Field(0.5, ge=0.0, le=100.0, description="Percentage points that count as worse.")

    @model_validator(mode="after")
    def _sides_differ(self) -> Sanity:
        for name, side in self.against.items():
            if (side.arm, side.search or self.this.search) == (self.this.arm, self.this.search):
                raise ValueError(f"against.{name} is the ticket itself")
        return self


class Correlation(Asking):
    """Do large weights stay large? Overlap of the top share of weights by size between initial, rewound, trained,
    ticket and reinitialised networks (R_p of Liu et al., arXiv 2102.11068)."""

    method: Literal["correlation"]
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at; left out: all that train a network."
    )
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is looked at.")
    share: float = Field(0.2, gt=0.0, lt=1.0, description="Share of each layer's weights that counts as large (p).")
    tolerance: float = Field(1.0, ge=0.0, le=100.0, description="Points beside chance that do not count.")


class Stability(Asking):
    """From which step on do two copies, trained on in different order, stay linearly connected? (Frankle et al., arXiv
    1912.05671, section 3; norm statistics are recomputed on training data at every point.)"""

    method: Literal["stability"]
    steps: tuple[Length, ...] = Field(
        (), max_length=100, description="Steps k of the dense network from which two copies are trained to the end."
    )
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at, from their own start; left out: all."
    )
    at: Annotated[tuple[Fraction, ...], Field(min_length=1), AfterValidator(_each_once)] = Field(
        (0.8,), description="Prunable sparsities; the nearest tickets are looked at."
    )
    points: int = Field(30, ge=3, le=1000, description="Networks along the line, the two ends included.")
    error: Literal["test", "train"] = Field("test", description="Error whose barrier is taken.")
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which it is stable.")


class Successive(Asking):
    """Do successive rounds find the same optimum? Barrier and angle between the weights that they end with (Maene et
    al., arXiv 2106.06955; norm statistics are recomputed on training data at every point)."""

    method: Literal["successive"]
    searches: Names | None = Field(
        None, description="Searches whose rounds are looked at; left out: all that go by rounds."
    )
    points: int = Field(20, ge=3, le=1000, description="Networks along the line, the two ends included.")
    error: Literal["test", "train"] = Field("test", description="Error whose barrier is taken.")
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which it is stable.")


class Solutions(Asking):
    """Is the ticket the pruned solution again? Disagreement, ensemble gain and barrier between ticket, pruned network
    and scratch (Evci et al., arXiv 2010.03533, section 4)."""

    method: Literal["solutions"]
    searches: Names | None = Field(
        None, description="Searches whose tickets are looked at; left out: all that prune one trained network."
    )
    at: Fraction = Field(0.8, description="Prunable sparsity; the nearest ticket of every search is looked at.")
    points: int = Field(20, ge=3, le=1000, description="Networks along the line, the two ends included.")
    error: Literal["test", "train"] = Field("test", description="Error whose barrier is taken.")
    threshold: float = Field(2.0, gt=0.0, le=100.0, description="Points of error below which there is no barrier.")
    tolerance: float = Field(
        0.0, ge=0.0, le=100.0, description="Points of disagreement by which the ticket must be nearer than scratch."
    )


class Agreement(Asking):
    """Do a round's members agree on what to remove more than chance would have them? By layer and round (COLT, arXiv
    2212.12770)."""

    method: Literal["agreement"]
    searches: Names | None = Field(
        None, description="Searches whose rounds are looked at; left out: all with several members."
    )
    tolerance: float = Field(1.0, ge=0.0, le=100.0, description="Points of overlap beside chance that do not count.")


class Savings(Asking):
    """How many training images does a search save at matched accuracy? Matched is not inferior by more than a margin,
    never merely no visible difference (PrAC, arXiv 2106.03225)."""

    method: Literal["savings"]
    this: Side = Field(description="The cheaper search's tickets.")
    that: Side = Field(description="Those they are to match.")
    at: Fraction = Field(description="Prunable sparsity; the nearest tickets are compared.")
    margin: float = Field(1.0, ge=0.0, le=100.0, description="Points below that still match.")

    @model_validator(mode="after")
    def _two_searches(self) -> Savings:
        if not self.this.search or not self.that.search or self.this.search == self.that.search:
            raise ValueError("name two searches, one on each side")
        return self


def _method(check: Any) -> str:
    """A check's method; a contrast need not say so."""
    return check.get("method", "contrast") if isinstance(check, dict) else getattr(check, "method", "contrast")


AnyCheck = Annotated[
    Annotated[Contrast, Tag("contrast")]
    | Annotated[Winning, Tag("winning-ticket")]
    | Annotated[Sanity, Tag("sanity")]
    | Annotated[Correlation, Tag("correlation")]
    | Annotated[Stability, Tag("stability")]
    | Annotated[Successive, Tag("successive")]
    | Annotated[Agreement, Tag("agreement")]
    | Annotated[Savings, Tag("savings")]
    | Annotated[Solutions, Tag("solutions")],
    Discriminator(_method),
]


class Published(Part):
    """Figures that a paper prints, drawn beside those measured and marked as published."""

    label: str = Field(min_length=1, max_length=60, description="What they are of.")
    source: str = Field(min_length=1, max_length=200, description="Where they are printed.")
    sparsity: tuple[Fraction, ...] = Field(min_length=1, description="Sparsities; 0 is the dense network.")
    accuracy: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = Field(
        min_length=1, description="Test accuracy at each of them."
    )

    @model_validator(mode="after")
    def _pairs(self) -> Published:
        if len(self.sparsity) != len(self.accuracy):
            raise ValueError(f"{len(self.sparsity)} sparsities, but {len(self.accuracy)} accuracies: give one for each")
        return self


OfWeights = Correlation | Stability | Successive | Solutions
"""Checks that look at trained weights."""


class Experiment(Part):
    """Everything that decides what a run computes. Equal experiments with equal seeds give equal numbers."""

    title: str = Field(min_length=1, max_length=200, description="One line: what is compared on what.")
    paper: str = Field("", max_length=200, description="Where the method comes from.")
    expect: str = Field("", max_length=1000, description="What the run is expected to show.")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (0, 1, 2), min_length=1, max_length=100, description="One whole experiment for each."
    )
    keep: Literal["tickets", "rounds", "all"] = Field(
        "tickets", description="Files kept: tickets; also members' trained weights; also arms' trained weights."
    )
    afresh: bool = Field(
        False, description="Train everything here, also what another run in the store has done to the bit."
    )
    flow: int | None = Field(
        None, ge=1, description="Epochs from one look at every training's gradient flow to the next; left out: none."
    )
    data: Data = Field(default_factory=Data, description="What to train on.")
    network: Network = Field(description="What to train.")
    recipe: Recipe = Field(description="How every training runs.")
    searches: dict[Name, AnySearch] = Field(default_factory=dict, description="How tickets are found.")
    arms: dict[Name, Arm] = Field(default_factory=dict, description="What is trained and evaluated.")
    checks: dict[Name, AnyCheck] = Field(default_factory=dict, description="Questions answered at the end.")
    published: dict[Name, Published] = Field(default_factory=dict, description="Figures of papers, for comparison.")

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("seeds must differ")
        return seeds

    @model_validator(mode="after")
    def _names_exist(self) -> Experiment:
        if not self.searches and not self.arms:
            raise ValueError("nothing to do: give at least one search or arm")
        for name, search in self.searches.items():
            if isinstance(search, Imp) and isinstance(search.rate, Like):
                place = f"searches.{name}.rate.like"
                leader = self._search(search.rate.like, place)
                if not isinstance(leader, Pruning) or isinstance(leader.rate, Like):
                    raise ValueError(f"{place}: name a search with a rate of its own")
                if search.rewind != leader.rewind:
                    raise ValueError(f"{place}: rewind must equal that of {search.rate.like!r} ({leader.rewind})")
            if isinstance(search, Prac) and search.sizes:
                place = f"searches.{name}.sizes.like"
                leader = self._search(search.sizes.like, place)
                if not isinstance(leader, Prac) or leader.sizes:
                    raise ValueError(f"{place}: name a prac search that chooses its sets")
                for key in ("segments", "split"):
                    if getattr(search, key) != getattr(leader, key):
                        theirs = f"that of {search.sizes.like!r} ({getattr(leader, key)})"
                        raise ValueError(f"{place}: {key} must equal {theirs}, since sizes are taken by segment")
            self._recipe_fits(f"searches.{name}.recipe", name)
            if isinstance(search, Moving) and self.recipe_of(name).weights == "best":
                raise ValueError(f'searches.{name}: weights = "best" may be of a mask that moved on: take the last')
        for name, arm in self.arms.items():
            for other in self.tickets_of(arm):
                search = self._search(other, f"arms.{name}.ticket")
                if arm.start == "trained" and not isinstance(search, OneTraining):
                    why = f"{other!r} ({search.method}) does not find its masks on one trained network"
                    raise ValueError(f'arms.{name}.start: "trained" is not defined: {why}')
            for other in self.tickets_of(arm) or ("",):
                self._recipe_fits(f"arms.{name}.recipe", other, arm)
        for name, check in self.checks.items():
            self._check_fits(check, f"checks.{name}")
        return self

    def _check_fits(self, check: AnyCheck, place: str) -> None:
        """Whether the arms and searches that a check names are there, and what it asks of is what they have."""
        for side, key in _sides(check):
            if side.arm not in self.arms:
                raise ValueError(f"{place}.{key}.arm: no arm {side.arm!r} (arms: {_listed(self.arms)})")
            held = self.tickets_of(self.arms[side.arm])
            if side.search is not None and side.search not in held:
                raise ValueError(f"{place}.{key}.search: arm {side.arm!r} has no tickets of {side.search!r}")
            if isinstance(check, Sanity):
                searches = [check.this.search or side.search] if key != "this" else [side.search, *held][:1]
                if not held or (len(held) > 1 and side.search is None and check.this.search is None):
                    raise ValueError(f"{place}.{key}: name the search, of an arm that trains tickets")
                if side.search is None and key != "this" and searches[0] not in (None, *held):
                    raise ValueError(f"{place}.{key}: arm {side.arm!r} has no tickets of {searches[0]!r}")
        if isinstance(check, Contrast):
            named = [side.search is not None for side in (check.this, check.that) if self._has_tickets(side)]
            if len(set(named)) > 1:
                raise ValueError(f"{place}: name a search on both sides or on neither")
        for other in getattr(check, "searches", None) or ():
            search = self._search(other, f"{place}.searches")
            for kinds, fits, words in LOOKED_AT:
                if isinstance(check, kinds) and not fits(search):
                    raise ValueError(f"{place}.searches: {other!r} ({search.method}) {words}")

    def _has_tickets(self, side: Side) -> bool:
        return bool(self.tickets_of(self.arms[side.arm]))

    def _search(self, name: str, place: str) -> Searching:
        if name not in self.searches:
            raise ValueError(f"{place}: no search {name!r} (searches: {_listed(self.searches)})")
        return self.searches[name]

    def _recipe_fits(self, place: str, search: str, arm: Arm | None = None) -> None:
        try:
            self.recipe_of(search, arm)
        except ValidationError as error:
            words = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise ValueError(f"{place}: with the rest of the recipe, {words}") from None

    def tickets_of(self, arm: Arm) -> tuple[str, ...]:
        """Names of the searches whose tickets `arm` trains, in the order of the preset."""
        if arm.ticket is None:
            return ()
        if arm.ticket == "each":
            return tuple(self.searches)
        return (arm.ticket,) if isinstance(arm.ticket, str) else arm.ticket

    def recipe_of(self, search: str = "", arm: Arm | None = None) -> Recipe:
        """The recipe that a search trains with; with `arm`, that which the arm trains the search's tickets with."""
        settings = self.searches.get(search)
        recipe = changed(self.recipe, settings.recipe) if isinstance(settings, Finding) else self.recipe
        return recipe if arm is None else changed(recipe, arm.recipe)


LOOKED_AT: tuple[tuple[Any, Callable[[Searching], bool], str], ...] = (
    (Successive, lambda search: isinstance(search, Imp | Colt), "does not train anew in every round"),
    (Agreement, lambda search: search.members > 1, "has no rounds of several members"),
    (Solutions, lambda search: isinstance(search, Imp | OneShot | Gmp), "does not prune one trained network"),
    ((Correlation, Stability), lambda search: isinstance(search, Found), "does not find its tickets here"),
)
"""Which searches the named checks can look at."""


def _sides(check: AnyCheck) -> list[tuple[Side, str]]:
    """The sides that a check compares, each with its place in the check."""
    if isinstance(check, Contrast | Savings):
        return [(check.this, "this"), (check.that, "that")]
    if isinstance(check, Sanity):
        return [(check.this, "this"), *((side, f"against.{name}") for name, side in check.against.items())]
    return []


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(names) or "none"
