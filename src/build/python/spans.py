"""Spans of tagged text, as the labelling topics score them."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[str, int, int]


def spans_of(tags: Sequence[str], lenient: bool = False) -> set[Span]:
    """(type, start, end) of BIO tags; an I that continues nothing is dropped, or, if lenient, opens a span."""
    found: set[Span] = set()
    start = None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != "I-" + tags[start][2:]:
            found.add((tags[start][2:], start, i))
            start = None
        if tag.startswith("B-") or (lenient and start is None and tag != "O"):
            start = i
    return found


def span_f1(gold: set[Span], found: set[Span]) -> float:
    """F1 of spans that agree in type and both ends."""
    return 2 * len(gold & found) / (len(gold) + len(found))
