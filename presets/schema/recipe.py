"""How a training runs, and how a search or an arm may change that for itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from presets.schema.parts import Length, Part


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
    milestones: tuple[Length, ...] = Field(
        (), description="Where the step schedule cuts the learning rate; steps are of all the data."
    )
    gamma: float = Field(0.1, gt=0.0, le=1.0, description="Factor at each milestone.")
    warmup: Length = Field(
        "0 epochs", description="Linear rise of the learning rate from 0 at the start; steps are of all the data."
    )
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
