"""How the computed figures of the notes look, and how they are written.

A topic's figure.py registers functions with `@figure("figure-name.svg")`; each returns a matplotlib Figure. Colours are
named here once (Okabe-Ito, safe for colour-blind readers) and are written as CSS variables, so that the article page can
give each theme its own; text stays text, so that it can be read aloud, searched and translated.
"""

from __future__ import annotations

import io
import re
from typing import Callable

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
SERIES = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
INK, QUIET = "#1b1b1b", "#8a8a8a"

_VARIABLES = {colour: f"var(--figure-{index}, {colour})" for index, colour in enumerate(SERIES, start=1)} | {
    INK: f"var(--figure-ink, {INK})",
    QUIET: f"var(--figure-quiet, {QUIET})",
}

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ml-field-notes",
    "font.family": "sans-serif",
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
    "axes.prop_cycle": plt.cycler(color=SERIES),
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": QUIET,
    "grid.alpha": 0.25,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.figsize": (5.6, 2.8),
    "figure.constrained_layout.use": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}

Draw = Callable[[], Figure]
figures: dict[str, Draw] = {}


def figure(file: str) -> Callable[[Draw], Draw]:
    """Registers the function that draws `file` from values of the real library."""

    def register(draw: Draw) -> Draw:
        figures[file] = draw
        return draw

    return register


def svg_of(draw: Draw) -> str:
    """Draws and returns the SVG text, with theme variables and without anything that changes from run to run."""
    with matplotlib.rc_context(STYLE):
        drawn = draw()
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(drawn)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    labels = _labels_of(text)
    # Inlined into a page, a figure's own style sheet would style the page; only ids that something refers to may stay.
    text = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", text, flags=re.S)
    referred = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([\w-]+)"', lambda named: named[0] if named[1] in referred else "", text)
    for colour, variable in _VARIABLES.items():
        text = re.sub(re.escape(colour), variable, text, flags=re.I)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px; font-family: inherit", text)
    # Coordinates to a hundredth of a point: nobody sees more, and the file stays small. Labels stay as they are.
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{3,}", _to_a_hundredth, tag[0]), text)
    text = re.sub(r"\n\s*", "\n", text)
    assert _labels_of(text) == labels, "shortening the file changed a label"
    return text


def _labels_of(svg: str) -> list[str]:
    return [label.strip() for label in re.findall(r"<(?:text|tspan)[^>]*>([^<]*)", svg)]


def _to_a_hundredth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
