"""The UCI handwritten digits: 1,797 grey images of 8 × 8 pixels, shipped with the engine.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi 10.24432/C50P49, CC BY 4.0; the test part, as scikit-learn ships it. `make_digits.py` made the file.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch

from engine.data.dataset import Dataset, Facts, constants
from engine.draws import permutation
from presets.schema import Data

HELD_OUT = 30  # images of each class in validation, and as many in test
WHITE = 16.0


def facts(data: Data) -> Facts:
    return Facts((1, 8, 8), 10, 1197, 300, 300)


def there(data: Data) -> bool:
    return True


def load(data: Data) -> Dataset:
    """1,197 training, 300 validation and 300 test images; the split is fixed and even by class."""
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        images = torch.from_numpy(arrays["images"])[:, None]
        labels = torch.from_numpy(arrays["labels"]).long()
    validation, test, train = [], [], []
    for digit in range(10):
        samples = (labels == digit).nonzero()[:, 0]
        samples = samples[permutation(len(samples), "digits", "split", digit)]
        validation.append(samples[:HELD_OUT])
        test.append(samples[HELD_OUT : 2 * HELD_OUT])
        train.append(samples[2 * HELD_OUT :])
    first, second, rest = (torch.cat(part).sort().values for part in (validation, test, train))
    mean, deviation = constants(images, rest, WHITE)
    return Dataset("digits", "digits", images, labels, 10, WHITE, mean, deviation, rest, first, second)
