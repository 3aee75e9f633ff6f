"""Text on a terminal: whatever it holds, it takes the room that it is said to take, and nothing of it acts."""

from __future__ import annotations

import textwrap
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.cells import cut, cut_before, left, right, width, wrap
from tui.plain import plain
from tui.rows import MOST_WIDE, short

SHOWN = st.text(alphabet="ab -_,·±é\u0301世界👍", max_size=60)
"""Text as `plain` leaves it."""
ANYTHING = st.text(
    st.characters(codec=None) | st.sampled_from("\x1b\x00\x9b\r\n\t\u200d\ufe0f\u202e世👩\u0301[]"), max_size=80
)


@given(SHOWN)
def test_width_is_that_of_the_framework_which_lays_lines_out(text):
    assert width(text) == cell_len(text)


@given(SHOWN, st.integers(1, 40))
def test_what_is_cut_fits_and_keeps_all_that_does(text, most):
    for piece in (cut(text, most), cut_before(text, most)):
        assert width(piece) <= most

    if width(text) > most:
        assert cut(text, most).endswith("…")
        assert text.startswith(cut(text, most)[:-1])
        assert cut_before(text, most).startswith("…")
        assert text.endswith(cut_before(text, most)[1:])


@given(SHOWN, st.integers(0, 40))
def test_padding_fills_up_to_a_width_and_never_cuts(text, size):
    for padded in (left(text, size), right(text, size)):
        assert width(padded) == max(size, width(text))
        assert padded.strip() == text.strip()


@given(SHOWN, st.integers(2, 40), st.sampled_from(["", " ", "    "]), st.sampled_from(["", "  "]))
def test_wrapped_lines_fit_and_lose_nothing_but_blanks(text, size, first, rest):
    lines = wrap(text, size, first, rest)
    assert all(width(line) <= max(size, len(first) + 2, len(rest) + 2) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(alphabet="abc -,.", max_size=80), st.integers(1, 40))
def test_plain_letters_are_wrapped_as_the_standard_library_does(text, size):
    assert wrap(text, max(size, 2)) == textwrap.wrap(text, max(size, 2))


@given(SHOWN, st.integers(4, 40), st.integers(1, 3))
def test_of_too_many_lines_the_last_says_that_there_are_more(text, size, most):
    whole, some = wrap(text, size), wrap(text, size, most=most)
    assert len(some) == min(len(whole), most)
    assert all(width(line) <= size for line in some)
    assert some == whole if len(whole) <= most else some[-1].endswith("…")


@given(ANYTHING, st.integers(1, 60))
def test_nothing_that_a_terminal_would_obey_is_left(text, most):
    for shown in (plain(text), plain(text, most), short(text)):
        kinds = {unicodedata.category(character) for character in shown}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}, "no control character"
        assert not set(shown) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")
        assert width(shown) == sum(map(cell_len, shown)), "no character changes how wide another is"
    assert width(plain(text, most)) <= most
    assert width(short(text)) <= MOST_WIDE


def test_markup_is_text():
    assert plain("[red]a[/] [@click=app.leave]b[/]") == "[red]a[/] [@click=app.leave]b[/]"


def test_accents_do_not_pile_up_without_end():
    assert plain("z" + "\u0301" * 10_000) == "z" + "\u0301" * 4
