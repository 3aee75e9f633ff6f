"""The thread that reads the store: it asks once a second whether anything changed, and hands over snapshots.

Widgets are never touched from here. What is on the screen is said with `look_at`; an answer comes as a message.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from store.errors import StoreError
from store.live import Live, Preview, Run
from tui.crash import record

if TYPE_CHECKING:  # the first screen does without
    from textual.app import App

    from store.comparing import Comparison
    from store.viewing import Focus, View

POLL_SECONDS = 1.0
"""Between two looks at the store; the engine writes about as often."""

LISTING_SECONDS = (0.02, 0.2)
"""A first list of runs may take this long to read; of long ones, the rest comes at once, in looks that take longer."""


class RunsSeen(Message):
    """The list of runs, and a preview of the one under the cursor."""

    def __init__(self, runs: tuple[Run, ...], preview: Preview | None) -> None:
        super().__init__()
        self.runs, self.preview = runs, preview


class RunSeen(Message):
    """The run on the screen; None when it has been deleted."""

    def __init__(self, run: str, view: View | None) -> None:
        super().__init__()
        self.run, self.view = run, view


class ComparisonSeen(Message):
    """The runs beside each other, as they were asked for; without those that have been deleted."""

    def __init__(self, runs: tuple[str, ...], comparison: Comparison) -> None:
        super().__init__()
        self.runs, self.comparison = runs, comparison


class StoreFailed(Message):
    """The store cannot be read; it is tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True)
class Wish:
    """What the screen shows: the list with a run under its cursor, (`whole`) one run with a focus, perhaps with the
    curves of the rounds before, or runs compared."""

    run: str | None = None
    whole: bool = False
    focus: Focus | None = None
    compared: tuple[str, ...] = ()
    before: bool = False


class Watch:
    """Reads in a thread of its own from `start` to `stop`."""

    def __init__(self, app: App[None], db: Path) -> None:
        self._app, self._db = app, db
        self._wish = Wish()
        self._wake = threading.Event()
        self._ended = False
        self._listed: tuple[Run, ...] | None = None
        """The list as it was last read; None when it may be another."""
        self._running = False
        """Whether an engine should live on a run that is shown."""
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for a read under way, a few milliseconds."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def look_at(self, wish: Wish) -> None:
        """From now on show this, beginning at once."""
        self._wish = wish
        self._wake.set()

    def _read(self) -> None:
        live: Live | None = None
        wish: Wish | None = None
        shown: object = None
        failure = ""
        while not self._ended:
            self._wake.clear()
            if self._wish is not wish:
                wish, shown = self._wish, None
            try:
                live = live or Live(self._db)
                # Whether an engine lives is not in the store: while one should, it is looked for every time.
                if live.changed() or self._running or self._behind(live):
                    self._listed = None
                if shown is None or self._listed is None:
                    shown = self._answer(live, wish, shown)
                failure = ""
            except Exception as error:  # whatever it is: without this thread the screen would stand still
                if repr(error) != failure:
                    failure = repr(error)
                    own = isinstance(error, StoreError | sqlite3.Error)
                    self._app.post_message(StoreFailed(str(error) if own else record(error, self._db)))
                if live is not None:
                    live.close()
                    live, shown = None, None
            if live is None or not self._behind(live):
                self._wake.wait(POLL_SECONDS)
        if live is not None:
            live.close()

    def _behind(self, live: Live) -> bool:
        """Whether the list lacks figures, where that is what is shown."""
        return live.behind and not self._wish.whole and not self._wish.compared

    def _answer(self, live: Live, wish: Wish, shown: object) -> object:
        """Read what is wished for, and hand it over where it differs from what was."""
        if wish.whole and wish.run is not None:
            self._listed = ()  # not read here: to be read when it is looked at again
            view = live.view(wish.run, wish.focus, wish.before)
            if view is None or view != shown:
                self._app.post_message(RunSeen(wish.run, view))
            self._running = view is not None and view.run.state == "running"
            return view or "gone"
        if wish.compared:
            self._listed = ()
            comparison = live.comparison(wish.compared)
            if comparison != shown:
                self._app.post_message(ComparisonSeen(wish.compared, comparison))
            self._running = any(side.state == "running" for side in comparison.sides)
            return comparison
        # Where only the cursor has moved, the list is as it was.
        runs = self._listed = self._listed or live.runs(LISTING_SECONDS[live.behind])
        preview = live.preview(wish.run or runs[0].id) if runs else None
        if (runs, preview) != shown:
            self._app.post_message(RunsSeen(runs, preview))
        self._running = any(run.state == "running" for run in runs)
        return runs, preview
