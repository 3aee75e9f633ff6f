"""A canvas sends what has changed, all of it, and little more."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text
from textual.app import App, ComposeResult
from textual.strip import Strip

from tui.app.widgets.canvas import Canvas

STYLES = st.sampled_from(["", "bold", "color(208)", "on color(237)", "reverse"])
WORDS = st.text(alphabet="ab █▲é世\u0301", max_size=12)


@st.composite
def lines(draw) -> Text:
    line = Text(style=draw(STYLES))
    for words, style in draw(st.lists(st.tuples(WORDS, STYLES), max_size=4)):
        line.append(words, style)
    return line


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Canvas(id="canvas")


def cells(strip: Strip) -> list[tuple[str, object]]:
    """Every cell of a strip; the second half of a wide character is empty."""
    found = []
    for text, style, _ in strip:
        for character in text:
            width = cell_len(character)
            if width == 0 and found:
                found[-1] = (found[-1][0] + character, style)
            found += [(character, style)][:width] + [("", style)] * (width - 1)
    return found


def test_between_what_is_sent_and_what_was_there_nothing_is_missing():
    app = Bare()

    async def go() -> None:
        async with app.run_test(size=(30, 4)) as pilot:
            await pilot.pause()
            canvas = app.query_one(Canvas)

            @settings(max_examples=150, deadline=None)
            @given(st.none() | lines(), st.none() | lines())
            def check(before: Text | None, after: Text | None) -> None:
                canvas._lines = [before] if before is not None else []
                was = cells(canvas.render_line(0))
                start, end = canvas._changed(before, after)
                canvas._lines = [after] if after is not None else []
                now = cells(canvas.render_line(0))
                assert len(was) == len(now) == 30
                assert [*was[:start], *now[start:end], *was[end:]] == now

            check()

    asyncio.run(go())


def test_of_a_line_only_what_differs_is_sent():
    app = Bare()

    async def go() -> None:
        async with app.run_test(size=(30, 4)) as pilot:
            await pilot.pause()
            canvas = app.query_one(Canvas)
            assert canvas._changed(Text("12:01 round 3"), Text("12:02 round 3")) == (4, 5)
            assert canvas._changed(Text("same"), Text("same")) == (0, 0)
            assert canvas._changed(Text("ab", "bold"), Text("ab")) == (0, 30)
            assert canvas._changed(Text.assemble(("a", "bold"), "b"), Text("ab")) == (0, 1)
            start, end = canvas._changed(Text("ab"), Text("abc"))
            assert (start, end) == (2, 3)

    asyncio.run(go())
