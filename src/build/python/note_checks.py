"""What a topic's checks.py is written with: claims about its formulas and its numbers.

A checks.py holds plain functions. `@formula(TEX)` says that the function re-implements the display formula TEX, as it is
written in both articles, and compares it with the real library; the run fails when an article shows a display formula that
no function claims, or when a claimed formula is not in both articles letter by letter. `stated(TEXT, value)` says that the
number TEXT stands in both articles and equals the value that was just computed, to the digits printed. `@pitfall(HEADING)` says
that the function brings about the symptom of that pitfall by the cause the article names, and cures it by the fix as written;
`unexecuted(HEADING, REASON)` says why one cannot run here. `@holds(ENTRY)` says that the function executes what an entry asserts: a
row of a table, named by its first cell, or the answer to a question, named by its heading; `by_definition(ENTRY)` and
`sourced(SOURCE, ENTRY)` say what an entry rests on that asserts nothing to run. `@card(SYMBOL)` does for the hover card of a symbol what `@formula`
does for an article. `raises(KIND, WORK, WORDS)` says that something fails, and how.
"""

from __future__ import annotations

import importlib.util
import re
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

Check = Callable[[], None]


@dataclass
class Subject:
    """The texts that the running checks.py makes claims about."""

    texts: dict[str, str] = field(default_factory=dict)
    formulas: dict[str, list[str]] = field(default_factory=dict)
    cards: dict[str, Any] = field(default_factory=dict)
    checks: list[tuple[str, Check]] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    sourced: set[str] = field(default_factory=set)


subject = Subject()


def normalised(tex: str) -> str:
    """TeX with runs of white space folded, so that line breaks in an article do not matter."""
    return re.sub(r"\s+", " ", tex).strip()


def formula(*tex: str) -> Callable[[Check], Check]:
    """Claims one or more display formulas of the articles; the function must compare them with the library."""

    def claim(function: Check) -> Check:
        for one in tex:
            wanted = normalised(one)
            for language, formulas in subject.formulas.items():
                if wanted not in formulas:
                    raise AssertionError(f"{language}.md has no display formula {wanted!r}")
            subject.claimed.add(wanted)
        return check(function)

    return claim


def check(function: Check) -> Check:
    """Registers a check that claims nothing by name (a number, a property, an edge case)."""
    if function not in (registered for _, registered in subject.checks):  # two claims may stand over one function
        subject.checks.append((function.__name__, function))
    return function


def pitfall(*headings: str) -> Callable[[Check], Check]:
    """Claims pitfalls of en.md; the function must bring about each symptom by its cause and cure it by its fix."""

    def claim(function: Check) -> Check:
        subject.settled.update(headings)
        return check(function)

    return claim


def unexecuted(heading: str, reason: str) -> None:
    """Says why neither the symptom nor the fix of a pitfall can run here (a GPU, several machines, a library not installed)."""
    if len(reason.split()) < 3:
        raise AssertionError(f"{reason!r} is no reason")
    subject.settled.add(heading)


def holds(*entries: str) -> Callable[[Check], Check]:
    """Claims table rows (first cell) and answers (question) of en.md; the function must execute what each asserts."""

    def claim(function: Check) -> Check:
        subject.held.update(entries)
        return check(function)

    return claim


def by_definition(*entries: str) -> None:
    """Names table rows and answers that only say what a word means or what follows from it in one step."""
    subject.defined.update(entries)


def sourced(source: str, *entries: str) -> None:
    """Names table rows and answers that cannot run here, and the paper, page or thread that says what they say."""
    if len(source.split()) < 2:
        raise AssertionError(f"{source!r} names no source")
    subject.sourced.update(entries)


def card(*symbols: str, formula: str | None = None) -> Callable[[Check], Check]:
    """Claims the cards of symbols: with `formula`, each card must show exactly this TeX."""

    def claim(function: Check) -> Check:
        for symbol in symbols:
            entry = subject.cards.get(symbol)
            if entry is None:
                raise AssertionError(f"no card for {symbol}")
            if formula is not None and normalised(entry.get("formula", "")) != normalised(formula):
                raise AssertionError(f"the card of {symbol} does not show {formula!r}")
            subject.claimed.add(symbol)
        return check(function)

    return claim


def quietly(work: Callable[[], Any]) -> Any:
    """The result of `work`, its warnings not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work()


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], work: Callable[[], Any], *words: str) -> None:
    """Asserts that `work` fails with an error of a kind, in whose message all the words stand."""
    try:
        quietly(work)
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return
    raise AssertionError(f"no {kind}")


def processor_seconds(*works: Callable[[], Any], rounds: int = 6) -> list[float]:
    """Least processor time of each work; they take turns, so that a busy machine slows all alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(taken, works, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    return [min(times) for times in taken]


def figure_of(checks: str) -> ModuleType:
    """The figure.py beside a checks.py (its `__file__`): a check may assert something of the training that a figure draws."""
    spec = importlib.util.spec_from_file_location("figure", Path(checks).with_name("figure.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _number(text: str) -> tuple[float, float]:
    """The value of a printed number and half a unit of its last digit."""
    plain = text.replace(",", "").replace("\u2212", "-").replace(" ", "")
    scale = 1.0
    if plain.endswith("%"):
        plain, scale = plain[:-1], 0.01
    mantissa, _, exponent = plain.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    return float(plain) * scale, 0.5 * unit * scale


def stated(text: str, value: Any) -> None:
    """Asserts that `text` is printed in both articles and equals `value` to the digits it shows."""
    pattern = re.compile(
        r"(?<![\d.])" + re.escape(text).replace("\\-", "[-\u2212]").replace("\u2212", "[-\u2212]") + r"(?![\d]|\.\d)"
    )
    for language, article in subject.texts.items():
        if not pattern.search(article.replace("{,}", ",")):
            raise AssertionError(f"{language}.md does not state {text}")
    printed, half_unit = _number(text)
    actual = float(value)
    if not abs(printed - actual) <= half_unit * (1 + 1e-6) + 1e-12 * abs(actual):
        raise AssertionError(f"the articles state {text}, the library gives {actual!r}")
