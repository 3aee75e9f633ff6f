"""Where the store, the folder of files and the data sets lie, unless someone says otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def db_path(given: str | None) -> Path:
    """The store: as given, else `TOMBOLA_DB`, else in the person's data folder. Always absolute."""
    if chosen := given or os.environ.get("TOMBOLA_DB"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path  # costs 25 ms, and only the default place needs it

    return user_data_path("tombola") / "tombola.db"


def files_path(given: str | None, db: Path) -> Path:
    """The folder of files: as given, else `TOMBOLA_FILES`, else beside the store. Always absolute."""
    if chosen := given or os.environ.get("TOMBOLA_FILES"):
        return Path(chosen).expanduser().absolute()
    return db.parent / f"{db.stem}-files"


def data_path() -> Path:
    """The folder of data sets that were downloaded or drawn: `TOMBOLA_DATA`, else in the person's cache folder."""
    if chosen := os.environ.get("TOMBOLA_DATA"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("tombola") / "data"
