"""Draws the figures of all topics, or of the named ones: python draw_figures.py ROOT [TOPIC ...]."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import figure_style  # noqa: E402
from check_notes import load, seeded  # noqa: E402

root, wanted = Path(sys.argv[1]), sys.argv[2:]
for script in sorted(root.glob("notes/**/figure.py")):
    if wanted and script.parent.name not in wanted:
        continue
    figure_style.figures.clear()
    load(script)
    for file, draw in figure_style.figures.items():
        seeded()
        text = figure_style.svg_of(draw)
        (script.parent / file).write_text(text)
        print(f"{script.parent.name}/{file} {len(text) // 1024} KB")
