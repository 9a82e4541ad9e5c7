from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

WORDS = ("tell", "Ada", "Alan", "left", "New", "York", "City")
SPANS = [("PER", 1, 2), ("PER", 2, 3), ("LOC", 4, 7)]


def encoded(scheme):
    """Tags of the spans in one scheme."""
    tags = ["O"] * len(WORDS)
    for kind, start, end in SPANS:
        for i in range(start, end):
            first, last = i == start, i == end - 1
            mark = {
                "IO": "I",
                "BIO": "B" if first else "I",
                "BIOES": "S" if first and last else "B" if first else "E" if last else "I",
            }[scheme]
            tags[i] = f"{mark}-{kind}"
    return tags


def decoded(tags):
    """Spans again: a new one starts at B, S or where the type changes."""
    found, start = [], None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and (tag[0] in "OBS" or tag[2:] != tags[start][2:]):
            found.append((tags[start][2:], start, i))
            start = None
        if start is None and tag != "O":
            start = i
    return found


@figure("figure-schemes.svg")
def schemes() -> Figure:
    """Three spans in three schemes, and how many of them come back."""
    drawn, panel = plt.subplots(figsize=(5.6, 2.4))
    panel.set_axis_off()
    for i, word in enumerate(WORDS):
        panel.text(i, 4, word, ha="center", va="center", fontweight="bold")
    panel.text(-0.75, 3, "spans", ha="right", va="center")
    for (kind, start, end), colour in zip(SPANS, (BLUE, ORANGE, BLUE)):
        panel.add_patch(
            plt.Rectangle((start - 0.44, 2.68), end - start - 0.12, 0.64, color=colour, linewidth=0, alpha=0.85)
        )
        panel.text((start + end - 1) / 2, 3, kind, ha="center", va="center", color="white")
    results = {}
    for row, scheme in enumerate(("IO", "BIO", "BIOES")):
        tags = encoded(scheme)
        results[scheme] = sorted(set(decoded(tags)) & set(SPANS))
        panel.text(-0.75, 2 - row, scheme, ha="right", va="center")
        for i, tag in enumerate(tags):
            panel.text(i, 2 - row, tag, ha="center", va="center", fontsize=9, color=QUIET if tag == "O" else INK)
        kept = len(results[scheme])
        panel.text(7.35, 2 - row, f"{kept} of 3", ha="center", va="center", color=ORANGE if kept < 3 else INK)
    assert (
        len(decoded(encoded("IO"))) == 2
        and len(results["IO"]) == 1
        and len(results["BIO"]) == len(results["BIOES"]) == 3
    )
    panel.text(7.35, 4, "recovered", ha="center", va="center", fontsize=9)
    panel.set_xlim(-1.6, 8)
    panel.set_ylim(-0.5, 4.5)
    return drawn
