"""What is trained on: a data set, and how a search may see it corrupted or in part."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from presets.schema.parts import Name, Part, Range

DataName = Literal["digits", "glyphs", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet", "folder"]

Pixels = Annotated[
    Literal["plain", "permuted", "scrambled"],
    Field(description="Order of pixels: as they are, one permutation for all images, or one for each image."),
]


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
    pixels: Pixels = "plain"

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
    pixels: Pixels = "plain"
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of the training samples that are seen.")
