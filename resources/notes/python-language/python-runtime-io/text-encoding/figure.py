from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt

CHARACTERS = {"ASCII letter": "a", "accented letter": "é", "Chinese character": "中", "emoji": "😀"}


def size(character: str, encoding: str) -> int:
    try:
        return len(character.encode(encoding))
    except UnicodeEncodeError:
        return 0


@figure("figure-bytes.svg")
def bytes_of_four_characters() -> Figure:
    """Bytes of four kinds of characters in UTF-8 and GBK."""
    sizes = {encoding: [size(one, encoding) for one in CHARACTERS.values()] for encoding in ("utf-8", "gbk")}
    assert sizes == {"utf-8": [1, 2, 3, 4], "gbk": [1, 2, 2, 0]}
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    for shift, (encoding, colour) in zip((-0.19, 0.19), (("utf-8", BLUE), ("gbk", ORANGE)), strict=True):
        places = [index + shift for index in range(4)]
        axes.bar(places, sizes[encoding], width=0.34, color=colour, label=encoding.upper())
        for place, value in zip(places, sizes[encoding], strict=True):
            axes.text(place, value + 0.1, str(value) if value else "—", ha="center", color=QUIET if not value else None)
    axes.set_xticks(range(4), CHARACTERS, fontsize=8.5)
    axes.set_ylim(0, 4.8)
    axes.set_ylabel("bytes per character")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left")
    return drawn
