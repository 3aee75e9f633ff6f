"""The command palette: every action of the place one is at, found by its words; the table of actions once more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Provider

from tui.app.actions import Action, of
from tui.app.screens.base import PlaceScreen

if TYPE_CHECKING:
    from tui.app.app import TombolaApp


class Actions(Provider):
    """What can be done here, and anywhere."""

    @property
    def _here(self) -> list[Action]:
        table = cast("TombolaApp", self.app).actions
        here = of(self.screen.place, table) if isinstance(self.screen, PlaceScreen) else []
        return [action for action in (*here, *of("anywhere", table)) if action.call != "palette"]

    async def discover(self) -> AsyncIterator[DiscoveryHit]:
        for action in self._here:
            yield DiscoveryHit(_words(action), partial(self._do, action))

    async def search(self, query: str) -> AsyncIterator[Hit]:
        matcher = self.matcher(query)
        for action in self._here:
            if (score := matcher.match(_words(action))) > 0:
                yield Hit(score, matcher.highlight(_words(action)), partial(self._do, action), text=_words(action))

    async def _do(self, action: Action) -> None:
        await self.app.run_action(action.call, self.app if action.place == "anywhere" else self.screen)


def _words(action: Action) -> str:
    return f"{action.help}  {action.shown}"
