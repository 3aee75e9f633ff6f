"""The app: it holds the store's watcher and the screens together, and asks things of experiments.

What a first screen does not need is imported when it is first needed: the list of runs is on the screen in a third of
a second, over SSH too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import work
from textual.app import App
from textual.filter import LineFilter
from textual.screen import Screen

from store.errors import StoreError
from store.live import Run
from tui.app.actions import bindings, spelled
from tui.app.filters import LightGround, PlainCharacters
from tui.app.look import GROUNDS, LIGHT_THEME, THEME
from tui.app.screens.base import PlaceScreen
from tui.app.screens.runs import RunsScreen
from tui.app.watching import ComparisonSeen, RunSeen, RunsSeen, StoreFailed, Watch, Wish
from tui.app.wording import plural
from tui.plain import plain
from tui.settings import Settings

if TYPE_CHECKING:
    from tui.app.screens.choose import ChooseRuns

ENDED = "is {state}: there is nothing to {verb}"


class TombolaApp(App[None]):
    """The terminal app over one store. Experiments are other processes: leaving it stops none."""

    CSS_PATH = "app.tcss"
    TITLE = "Tombola"
    BINDINGS = bindings("anywhere")
    ENABLE_COMMAND_PALETTE = False  # our own key opens it

    def __init__(self, db: Path, files: Path, settings: Settings | None = None) -> None:
        # NO_COLOR means no colour at all: Textual's own colours would otherwise become greys.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.settings = settings or Settings()
        self.actions = spelled(self.settings.actions) if self.settings.ascii else self.settings.actions
        """The table of actions, with the keys that this person gave them."""
        self.set_keymap({one.id: ",".join(one.keys) for one in self.actions if one.id in self.settings.keys})
        self.register_theme(THEME)
        self.register_theme(LIGHT_THEME)
        self.ground = "plain" if "NO_COLOR" in os.environ else self.settings.theme
        self.theme = GROUNDS[self.ground]
        self._ascii = [PlainCharacters()] if self.settings.ascii else []
        self.db, self.files = db, files
        self.watch_store = Watch(self, db)
        self._live: tuple[Run, ...] = ()
        self._choosing: ChooseRuns | None = None

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What lines pass through on their way to the terminal."""
        light = [LightGround()] if self.ground == "light" else []
        return [*light, *super().get_line_filters(), *self._ascii]

    def _fatal_error(self) -> None:
        """A fault of ours ends the app with one line; its traceback goes into the log of faults."""
        from tui.crash import record

        fault = self._exception if isinstance(self._exception, Exception) else RuntimeError("unknown")
        self._exit_renderables[:] = [Text(f"tombola: {plain(record(fault, self.db))}")]
        self._close_messages_no_wait()

    def get_default_screen(self) -> RunsScreen:
        return RunsScreen()

    def on_mount(self) -> None:
        self.watch_store.start()

    def on_unmount(self) -> None:
        self.watch_store.stop()

    def say(self, words: str, severity: str = "information") -> None:
        """Tell a person something in passing, such as why a key cannot act."""
        self.notify(plain(words), severity=severity, markup=False)  # type: ignore[arg-type]

    def key(self, action: str) -> str:
        """The first key of the action with this id, as people know it."""
        return next(one.shown.split()[0] for one in self.actions if one.id == action)

    # Snapshots: for the screen on top alone. Whenever one below it is told anything, Textual sends all of the upper one
    # again. A screen that comes back on top asks anew.

    @property
    def _top(self) -> Screen[Any] | None:
        """The screen on top; None while the app closes."""
        return self.screen_stack[-1] if self.screen_stack else None

    def on_runs_seen(self, seen: RunsSeen) -> None:
        self._live = tuple(run for run in seen.runs if run.state == "running")
        if isinstance(top := self._top, RunsScreen):
            top.show(seen)
        elif top is self._choosing and self._choosing is not None:
            self._choosing.show(seen.runs)

    def on_comparison_seen(self, seen: ComparisonSeen) -> None:
        from tui.app.screens.compare import CompareScreen

        if isinstance(top := self._top, CompareScreen):
            top.show(seen)

    def on_run_seen(self, seen: RunSeen) -> None:
        from tui.app.screens.run import RunScreen

        if isinstance(top := self._top, RunScreen):
            top.show(seen)

    def on_store_failed(self, failed: StoreFailed) -> None:
        self.say(failed.reason, "error")

    # Screens

    def open_run(self, run: Run) -> None:
        """The screen of a run."""
        from tui.app.screens.run import RunScreen

        self.push_screen(RunScreen(run))

    def open_compare(self, runs: tuple[str, ...]) -> None:
        """The screen that shows these runs (ids) beside each other; the first is what others are held against."""
        from store.comparing import MOST

        if not 2 <= len(runs) <= MOST:
            self.say(f"compare two to {MOST} runs, not {len(runs)}")
            return
        from tui.app.screens.compare import CompareScreen

        self.push_screen(CompareScreen(runs))

    def choose_compared(self, run: Run) -> None:
        """Ask which runs to compare this one with."""
        from tui.app.screens.choose import ChooseRuns

        def chosen(others: tuple[str, ...] | None) -> None:
            self._choosing = None
            if others:
                self.open_compare((run.id, *others))

        self._choosing = ChooseRuns(run)
        self.push_screen(self._choosing, chosen)
        self.watch_store.look_at(Wish())

    def open_new(self, like: Run | None = None) -> None:
        """The screen that starts an experiment; maybe one like that of a run."""
        from tui.app.screens.new import NewScreen

        self.push_screen(NewScreen(like))

    def open_query(self, run: Run | None) -> None:
        """The screen that asks the store in SQL, with queries about a run."""
        from tui.app.screens.query import QueryScreen

        self.push_screen(QueryScreen(run.id if run else None))

    def started(self, run: str) -> None:
        """An experiment has been started: put the cursor on it, and see to it that its engine comes up."""
        self._look_after(run)
        self.say(f"{run} is running; it goes on when you leave")
        for screen in self.screen_stack:
            if isinstance(screen, RunsScreen):
                screen.point_at(run)

    # Asking things of a run

    def stop(self, run: Run) -> None:
        """After a question; what has been finished stays."""
        if run.state != "running":
            self.say(f"{run.id} {ENDED.format(state=run.state, verb='stop')}")
            return
        from tui.app.screens.ask import Ask

        def answered(yes: bool | None) -> None:
            if yes:
                self._request(run.id, "stop")

        self.push_screen(
            Ask(f"Stop {plain(run.id)}?", "What it has found stays; r resumes it later.", "stop it", "let it run"),
            answered,
        )

    def pause(self, run: Run) -> None:
        if run.state != "running":
            self.say(f"{run.id} {ENDED.format(state=run.state, verb='pause')}")
            return
        self._request(run.id, "pause")

    def resume(self, run: Run) -> None:
        if run.state in ("running", "finished"):
            self.say(f"{run.id} {ENDED.format(state=run.state, verb='resume')}")
            return
        self._resume(run.id)

    def delete(self, run: Run) -> None:
        """After a question; one that is running is left alone."""
        if run.state == "running":
            self.say(f"{run.id} is running: stop it first")
            return
        from tui.app.screens.ask import Ask

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(run.id)

        self.push_screen(
            Ask(f"Delete {plain(run.id)}?", "All its figures and files go, for good.", "delete it", "keep it"), answered
        )

    @work(thread=True, group="ask", exit_on_error=False)
    def _delete(self, run: str) -> None:
        from store.connection import connect
        from store.editing import delete_run

        try:
            conn = connect(self.db)
            try:
                row = conn.execute("SELECT files FROM runs WHERE id = ?", (run,)).fetchone()
                own = Path(row["files"]) if row else self.files
                delete_run(conn, run, own if own.is_dir() else self.files)
            finally:
                conn.close()
        except (StoreError, OSError) as error:
            self.call_from_thread(self.say, str(error), "error")
        else:
            self.call_from_thread(self.say, f"{run} is deleted")

    @work(thread=True, group="ask", exit_on_error=False)
    def _request(self, run: str, action: str) -> None:
        from store.connection import connect
        from store.editing import request

        try:
            conn = connect(self.db)
            try:
                request(conn, run, action)
            finally:
                conn.close()
        except StoreError as error:
            self.call_from_thread(self.say, str(error), "error")
        else:
            self.call_from_thread(self.say, f"asked {run} to {action}")

    @work(thread=True, group="ask", exit_on_error=False)
    def _resume(self, run: str) -> None:
        from tui.launch import LaunchError, resume

        try:
            resume(self.db, self.files, run)
        except (StoreError, LaunchError, OSError) as error:
            self.call_from_thread(self.say, str(error), "error")
        else:
            self.call_from_thread(self.say, f"{run} goes on")
            self.call_from_thread(self._look_after, run)

    def _look_after(self, run: str) -> None:
        """Look each second whether the engine started here has ended; if without a word, that is written down."""
        from tui.launch import gone

        def look() -> None:
            if gone(run):
                timer.stop()
                self._bury(run)

        timer = self.set_interval(1.0, look)

    @work(thread=True, group="ask", exit_on_error=False)
    def _bury(self, run: str) -> None:
        from tui.launch import bury

        with suppress(StoreError):
            bury(self.db, self.files, run)

    # Actions

    def action_help(self) -> None:
        from tui.app.screens.help import Help

        if isinstance(self.screen, PlaceScreen):
            self.push_screen(Help(self.screen.place, self.actions))

    def action_palette(self) -> None:
        from textual.command import CommandPalette

        from tui.app.palette import Actions

        if isinstance(self.screen, PlaceScreen):
            self.push_screen(CommandPalette([Actions], placeholder="what to do"))

    def action_ground(self) -> None:
        """The next ground: dark, light, the terminal's own."""
        if "NO_COLOR" in os.environ:
            self.say("NO_COLOR is set: there are no colours to choose from")
            return
        grounds = list(GROUNDS)
        self.ground = grounds[(grounds.index(self.ground) + 1) % len(grounds)]
        self.theme = GROUNDS[self.ground]
        self.refresh_css()
        self.say(f'colours: {self.ground}; theme = "{self.ground}" in the settings file keeps them')

    def action_leave(self) -> None:
        """Leave; what is running goes on, and the shell is told so."""
        self.exit(message=farewell(self._live))

    async def action_quit(self) -> None:
        self.action_leave()


def farewell(running: tuple[Run, ...]) -> str | None:
    """What the shell says after the app: how many experiments go on, and how to come back to them."""
    if not running:
        return None
    names = ", ".join(plain(run.id) for run in running[:3]) + (", …" if len(running) > 3 else "")
    verb = "keeps" if len(running) == 1 else "keep"
    return f"{plural(len(running), 'experiment')} {verb} running ({names}). Come back with: tombola"
