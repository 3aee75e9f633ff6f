"""Tests, in the order of the houses, and what they share: `conftest.py` for pytest, `bench/` for `make bench`.

A package, so that another one named `tests` among an interpreter's packages does not take its place.
"""
