"""Every table, view and column is documented, and nothing is documented that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.reading import Reader
from store.schema import SCHEMA, as_text


def test_the_documentation_names_exactly_what_a_fresh_store_holds(path: Path) -> None:
    reader = Reader(path)
    found = {
        row["name"]: (row["type"], [column["name"] for column in reader.rows(f"PRAGMA table_xinfo({row['name']})")])
        for row in reader.rows("SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY rowid")
    }
    documented = {name: (relation.kind, list(relation.columns)) for name, relation in SCHEMA.items()}
    assert documented == found
    # By a later migration: last in the file, but told where it belongs.
    made_anew = {"epochs", "checks", "points", "measurements", "check_curves", "cost_by_round", "cost_to_sparsity"}
    made_anew |= {"file_uses", "traces", "sets", "machine", "checkpoints"}
    assert [name for name in documented if name not in made_anew] == [name for name in found if name not in made_anew]


def test_every_table_is_strict(path: Path) -> None:
    tables = Reader(path).rows("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
    assert {row["name"] for row in tables if not row["strict"]} == {"sqlite_schema"}


def test_every_meaning_is_said() -> None:
    for relation in SCHEMA.values():
        assert relation.row.endswith(".")
        assert all(meaning and not meaning.endswith(".") for meaning in relation.columns.values())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_text_fits_the_terminal_and_holds_every_name(width: int) -> None:
    text = as_text(width)
    assert max(map(len, text.splitlines())) <= width
    for name, relation in SCHEMA.items():
        assert f"{name} ({relation.kind}): " in text
        assert all(f"\n  {column} " in text for column in relation.columns)
