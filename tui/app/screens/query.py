"""Any question in SQL, read-only: queries with a name and the schema at hand, the answer as a table and as a file."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import DataTable, OptionList, TextArea
from textual.widgets.option_list import Option

from store.errors import StoreError
from store.reading import Reader
from store.schema import OVERVIEW, SCHEMA
from tui import queries
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, STRONG, note
from tui.app.screens.ask import Ask, AskLine
from tui.app.screens.base import PlaceScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import short_path, title_line
from tui.plain import plain
from tui.rows import MOST_ROWS, cell, numbers, short, write_csv


class Answered(Message):
    """What a query came to: its first rows, whether there are more, and how long it took; or why there are none."""

    def __init__(
        self,
        number: int,
        columns: Sequence[str] = (),
        rows: Sequence[tuple[Any, ...]] = (),
        more: bool = False,
        seconds: float = 0.0,
        fault: str = "",
    ) -> None:
        super().__init__()
        self.number, self.columns, self.rows, self.more = number, columns, rows, more
        self.seconds, self.fault = seconds, fault


class QueryScreen(PlaceScreen):
    """A list at the left: what is chosen there is written into the editor, or explained below it; the answer below."""

    place = "query"
    BINDINGS = bindings("query")

    def __init__(self, run: str | None) -> None:
        super().__init__()
        self._run = run
        self._named: dict[str, queries.Query] = {}
        self._number = 0
        self._stop = threading.Event()
        self._began: float | None = None
        self._words = "^R runs what is written above"
        self._explained = ""

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Horizontal(id="body"):
            yield OptionList(id="names", markup=False)
            with Vertical(id="work"):
                yield TextArea(queries.EVERY_RUN, id="sql", compact=True, placeholder="SELECT …")
                yield Canvas(id="told")
                yield DataTable(id="rows", cursor_type="row", classes="off")
                yield Canvas(id="about")
        yield Canvas(id="foot")

    def on_mount(self) -> None:
        self._list()
        self.query_one("#sql").focus()

    def on_unmount(self) -> None:
        self._stop.set()

    def fit(self) -> None:
        line = title_line("query, read-only", short_path(self.tombola.db), self.size.width - 2)
        self.query_one("#head", Canvas).paint([line])
        self.draw_foot()
        told = self.query_one("#told", Canvas)
        told.paint([Text(plain(self._words), ACCENT if self._began is not None else DIM, no_wrap=True)])
        about = self.query_one("#about", Canvas)
        if about.display and about.size:
            about.paint(_explained(self._explained, about.size.width)[: about.size.height])

    # Names

    def _list(self) -> None:
        """Queries of the report, a person's own, and what there is to ask."""
        own = queries.own()
        self._named = {f"q:{i}": query for i, query in enumerate((*own, *queries.shipped(self._run)))}
        names = self.query_one("#names", OptionList)
        names.clear_options()
        if own:
            names.add_option(Option(Text("Yours", f"bold {ACCENT}"), disabled=True))
        for key, query in self._named.items():
            if query.name == "runs" and not query.own:
                names.add_option(Option(Text(f"About {self._run or 'runs'}", f"bold {ACCENT}"), disabled=True))
            names.add_option(Option(Text(f"  {plain(query.name)}"), id=key))
        for kind, title in (("view", "Views"), ("table", "Tables")):
            names.add_option(Option(Text(title, f"bold {ACCENT}"), disabled=True))
            for name, relation in SCHEMA.items():
                if relation.kind == kind:
                    names.add_option(Option(Text(f"  {name}"), id=f"t:{name}"))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Explain what the cursor is on, while the list has it."""
        if self.query_one("#names").has_focus and event.option_id:
            self._explain(event.option_id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        editor = self.query_one("#sql", TextArea)
        if event.option_id in self._named:
            editor.text = self._named[event.option_id].sql
        elif event.option_id:
            editor.insert(event.option_id.removeprefix("t:"))
        self.set_focus(editor)

    def _explain(self, key: str) -> None:
        query = self._named.get(key)
        self._explained = f"{query.name}\n{query.about}\n\n{query.sql}" if query else key
        self._show_rows(False)
        self.call_after_refresh(self.fit)

    def _show_rows(self, rows: bool) -> None:
        self.query_one("#rows").set_class(not rows, "off")
        self.query_one("#about").set_class(rows, "off")

    # Asking

    def action_ask(self) -> None:
        """Run what is written; what is still running ends."""
        sql = self.query_one("#sql", TextArea).text.strip()
        if not sql:
            self.tombola.say("there is no SQL to run: write some, or choose a query at the left")
            return
        self._stop.set()
        self._stop = threading.Event()
        self._number += 1
        self._began = time.monotonic()
        self._words = f"running; {self.tombola.key('query.back')} stops it"
        self.fit()
        self._ask(sql, self._number, self._stop)

    @work(thread=True, group="query", exit_on_error=False)
    def _ask(self, sql: str, number: int, stop: threading.Event) -> None:
        began = time.monotonic()
        try:
            with Reader(self.tombola.db) as reader:
                columns, found = reader.query(sql, stop.is_set)
                rows = list(itertools.islice(found, MOST_ROWS + 1))
        except (StoreError, sqlite3.Error) as error:
            self.post_message(Answered(number, fault=str(error)))
        except KeyboardInterrupt:
            self.post_message(Answered(number, fault="stopped"))
        else:
            more, seconds = len(rows) > MOST_ROWS, time.monotonic() - began
            self.post_message(Answered(number, columns, rows[:MOST_ROWS], more, seconds))

    def on_answered(self, answered: Answered) -> None:
        if answered.number != self._number:
            return
        self._began = None
        if answered.fault:
            self._words = answered.fault
        else:
            count = (
                f"the first {MOST_ROWS} rows of more: {self.tombola.key('query.export')} writes all"
                if answered.more
                else _rows(answered.rows)
            )
            self._words = f"{count}, in {1000 * answered.seconds:.0f} ms"
            self._fill(answered.columns, answered.rows)
            self._show_rows(True)
        self.fit()

    def _fill(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        table: DataTable[Text] = self.query_one("#rows", DataTable)
        table.clear(columns=True)
        right = set(numbers(rows, len(columns)))
        for place, column in enumerate(columns):
            table.add_column(Text(plain(column), justify="right" if place in right else "left"), key=str(place))
        for row in rows:
            cells = (short(cell(value)) for value in row)
            table.add_row(*(Text(c, justify="right" if i in right else "left") for i, c in enumerate(cells)))

    def action_back(self) -> None:
        """End what is running; else leave."""
        if self._began is not None:
            self._stop.set()
        else:
            self.dismiss()

    # Keeping

    def action_save(self) -> None:
        sql = self.query_one("#sql", TextArea).text

        def named(name: str | None) -> None:
            if not name:
                return
            try:
                path = queries.save(name, sql)
            except queries.QueryError as error:
                self.tombola.say(str(error), "error")
            else:
                self.tombola.say(f"saved as {short_path(path)}")
                self._list()

        if sql.strip():
            self.app.push_screen(AskLine("Save this query as", "letters, digits, - and _"), named)
        else:
            self.tombola.say("there is no SQL to save")

    def action_delete(self) -> None:
        names = self.query_one("#names", OptionList)
        chosen = names.highlighted_option.id if names.highlighted_option and names.has_focus else None
        query = self._named.get(chosen or "")
        if query is None or not query.own:
            self.tombola.say("only a query of yours can be deleted: put the cursor of the list on one")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                try:
                    queries.delete(query)
                except queries.QueryError as error:
                    self.tombola.say(str(error), "error")
                self._list()

        words = f"Its file goes: {query.about}"
        self.app.push_screen(Ask(f"Delete {plain(query.name)}?", plain(words), "delete it", "keep it"), answered)

    def action_export(self) -> None:
        """All rows of what is written, into a new CSV file in the folder that the app was started in."""
        sql = self.query_one("#sql", TextArea).text.strip()
        if sql:
            self._export(sql)
        else:
            self.tombola.say("there is no SQL to write the answer of")

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, sql: str) -> None:
        path = next(p for i in itertools.count(1) if not (p := Path.cwd() / f"query-{i}.csv").exists())
        begun = False
        try:
            with Reader(self.tombola.db) as reader:
                columns, rows = reader.query(sql, self._gone)
                with path.open("x", encoding="utf-8", newline="") as stream:
                    begun = True
                    count = write_csv(stream, columns, rows)
        except (StoreError, sqlite3.Error, OSError) as error:
            if begun:  # what is there is a part, and would read like the whole
                path.unlink(missing_ok=True)
            self.app.call_from_thread(self.tombola.say, f"{path.name}: {error}", "error")
        except KeyboardInterrupt:
            path.unlink(missing_ok=True)
        else:
            self.app.call_from_thread(self.tombola.say, f"{count} rows written to {short_path(path)}")

    def _gone(self) -> bool:
        return not self.app.is_running


def _rows(rows: Sequence[object]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _explained(what: str, width: int) -> list[Text]:
    """A table or view ("t:NAME") with its columns, or a query's words and text."""
    if not what:
        return note(OVERVIEW, width)
    if not what.startswith("t:"):
        name, about, _, *sql = what.split("\n")
        return [Text(plain(name), STRONG), *note(about, width), Text(), *(Text(plain(line)) for line in sql)]
    name = what.removeprefix("t:")
    relation = SCHEMA[name]
    longest = max(map(len, relation.columns))
    lines = [Text.assemble((name, STRONG), (f"  {relation.kind}", DIM)), *note(relation.row, width), Text()]
    for column, words in relation.columns.items():
        first, *rest = note(words, width - longest - 2)
        lines.append(Text.assemble((column.ljust(longest + 2), ""), first))
        lines += [Text(" " * (longest + 2)) + line for line in rest]
    return lines
