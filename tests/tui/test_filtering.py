"""The language that picks runs, held against a plain reading of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.live import Run
from tui.filtering import KEYS, Filter, FilterError, Term, parse, typed

RUN = Run(
    id="colt-cifar-bcdf",
    name="Colt on CIFAR",
    title="COLT against IMP",
    preset="colt-cifar10",
    paper="COLT, arXiv 2212.12770",
    expect="",
    state="finished",
    message="",
    note="",
    created="2026-01-01T00:00:00.000Z",
    device="cuda:0",
    seeds=3,
    methods="colt, imp",
    data="cifar10",
    network="resnet18",
    round=12,
    planned=14,
    sparsity=0.934,
    accuracy=0.91,
    best=0.95,
    dense=0.94,
    overlap=None,
    images_done=1_500_000,
    images_planned=2_000_000,
    seconds=7_300.0,
    seconds_left=None,
    doing="",
)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", True),
        ("cifar", True),
        ("CIFAR colt", True),
        ("cifar vgg", False),
        ("-vgg", True),
        ('"against imp"', True),
        ('"imp against"', False),
        ("method:imp data:cifar10 sparsity>=0.9 -state:failed", True),
        ("method=imp", False),
        ('method="COLT, imp"', True),
        ("method!=imp", True),
        ("state!=finished", False),
        ("network:RES", True),
        ("sparsity>=93.4%", True),
        ("sparsity>93.4%", False),
        ("sparsity=93%", True),
        ("sparsity=92%", False),
        ("sparsity:93%", True),
        ("sparsity!=93%", False),
        ("cost>1M", True),
        ("cost<1.5m", False),
        ("cost<=1500k", True),
        ("elapsed>2h", True),
        ("elapsed=2h", True),
        ("elapsed<121m", False),
        ("elapsed>1d", False),
        ("seeds=3 round>=12", True),
        ("overlap>0", False),
        ("overlap<1", False),
        ("-overlap>0", True),
        ("overlap!=0.5", True),
        ("left<1h", False),
        ('note=""', True),
        ('id!=""', True),
        (":colt", False),
        ("Sparsity>0.9", True),
    ],
)
def test_a_filter_holds_for_the_runs_that_it_describes(text, held):
    assert parse(text).holds(RUN) is held


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sparsty>0.9", "no run has 'sparsty'; did you mean sparsity?"),
        ("zzzz:1", "there is id, name"),
        ("sparsity>=high", "sparsity is not 'high': write 0.9 or 90%"),
        ("sparsity>=90", "sparsity is at most 1: write 90% for percent"),
        ("elapsed>2y", "elapsed is not '2y': write 90s, 15m, 2h or 1d"),
        ("cost>-1", "cost is not '-1'"),
        ("cost>" + "9" * 400, "cost is not '999"),
        ("state>failed", "state is text"),
        ("state:", "state: wants a word after it"),
        ("round>=", "round>= wants 12 after it"),
        ("colt -", "- turns round the term after it"),
    ],
)
def test_what_cannot_be_understood_is_said_in_one_line(text, words):
    with pytest.raises(FilterError) as refused:
        parse(text)
    assert words in str(refused.value)
    assert refused.value.before in (parse(""), parse("colt"))
    assert "\n" not in str(refused.value)


def test_a_word_that_may_become_a_key_is_not_looked_for_while_it_is_typed():
    assert typed("cifar spars") == parse("cifar")
    assert typed("cifar spars ") == typed('cifar "spars"') == parse("cifar spars")
    assert typed("cifar sparse") == parse("cifar sparse")
    assert typed("cifar sparsity>=0.9") == parse("cifar sparsity>=0.9")


PIECES = st.sampled_from(
    ["-", '"', '""', " ", ":", "=", ">=", "<", "!=", "%", "sparsity", "cost", "name", "9", ".", "M"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(TEXTS)
def test_any_text_is_a_filter_or_refused_in_one_line_and_what_is_printed_is_read_back(text):
    refused = ""
    try:
        found = parse(text)
    except FilterError as error:
        refused = str(error)
    if refused:
        assert "\n" not in refused
        assert len(refused) < 250
        return
    assert parse(str(found)) == found
    assert found.holds(RUN) in (True, False)


WORDS = st.text(min_size=1, max_size=6)
TEXT_TERMS = st.builds(
    Term,
    st.sampled_from([name for name, key in KEYS.items() if key.sort == "text"]),
    st.sampled_from([":", "=", "!="]),
    st.one_of(WORDS, st.sampled_from(["colt", "cifar10", "finished", "", "a b", '"', "-x", "=", ":"])),
    st.booleans(),
)
WORD_TERMS = st.builds(lambda text, negated: Term("", "", text, negated), WORDS, st.booleans())
NUMBER_TERMS = st.builds(
    lambda key, sign, percent, negated: Term(key, sign, f"{percent}%", negated),
    st.sampled_from(["sparsity", "best", "overlap"]),
    st.sampled_from(["<", ">", "<=", ">=", "=", "!=", ":"]),
    st.integers(0, 100),
    st.booleans(),
)


@given(st.lists(st.one_of(TEXT_TERMS, WORD_TERMS, NUMBER_TERMS), max_size=5))
def test_every_filter_can_be_written_down_and_read_back(terms):
    assert parse(str(Filter(tuple(terms)))) == Filter(tuple(terms))


@given(
    st.lists(st.one_of(TEXT_TERMS, NUMBER_TERMS), max_size=3),
    st.one_of(st.none(), st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)),
    st.sampled_from(["finished", "failed"]),
)
def test_all_terms_hold_as_a_plain_reading_has_it(terms, sparsity, state):
    run = replace(RUN, sparsity=sparsity, state=state)

    def plainly(term: Term) -> bool:
        value = KEYS[term.key].of(run)
        if KEYS[term.key].sort == "text":
            mine, theirs = term.text.casefold(), str(value).casefold()
            met = {":": mine in theirs, "=": mine == theirs, "!=": mine != theirs}[term.sign]
        elif value is None:
            met = term.sign == "!="
        else:
            at, percent = float(value), int(term.text[:-1])
            equal = abs(100 * at - percent) <= 0.5 + 1e-9
            edge = math.isclose(at, percent / 100, abs_tol=1e-12)
            met = {
                "<": at < percent / 100 and not edge,
                ">": at > percent / 100 and not edge,
                "<=": at <= percent / 100 or edge,
                ">=": at >= percent / 100 or edge,
                "=": equal,
                ":": equal,
                "!=": not equal,
            }[term.sign]
        return met is not term.negated

    assert parse(str(Filter(tuple(terms)))).holds(run) is all(map(plainly, terms))
