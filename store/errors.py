"""The errors this house raises on purpose: a single line that a person can act on."""


class StoreError(Exception):
    """What is wrong with the store or with what was asked of it, in one line."""


class NoStore(StoreError):
    """There is no store at that place yet."""


class Unusable(StoreError):
    """The file cannot be used as it is now: locked, on a full disk, read-only, damaged. No fault of what was asked."""
