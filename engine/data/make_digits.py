"""Makes digits.npz, the handwritten digits that ship with Tombola, from scikit-learn's copy of them.

Run `python engine/data/make_digits.py` to make the file again; only this script and its test need scikit-learn.
The same zlib gives the same bytes: the archive carries no dates. The pixels, whole numbers from 0 to 16, fit a byte.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). What
scikit-learn ships is that source's test part, 1,797 images; here its numbers are stored as bytes, otherwise unchanged.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

DIGITS = Path(__file__).with_name("digits.npz")


def arrays() -> dict[str, np.ndarray]:
    """scikit-learn's digits: `images` uint8 [1797, 8, 8] of 0 (paper) to 16 (ink), `labels` uint8 [1797] of 0 to 9."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    if not (images == bunch.images).all() or not (labels == bunch.target).all():
        raise ValueError("scikit-learn's digits are no longer whole numbers that fit a byte")
    return {"images": images, "labels": labels}


def packed(contents: dict[str, np.ndarray]) -> bytes:
    """An npz of `contents` as `numpy.savez_compressed` would make it, but undated and compressed as far as zlib can."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as entries:
        for name, array in contents.items():
            held = io.BytesIO()
            np.lib.format.write_array(held, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.create_system = 3  # else Windows would write another byte here
            entry.external_attr = 0o644 << 16
            entries.writestr(entry, held.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return archive.getvalue()


if __name__ == "__main__":
    DIGITS.write_bytes(packed(arrays()))
    print(f"{DIGITS}: {DIGITS.stat().st_size:,} bytes")
