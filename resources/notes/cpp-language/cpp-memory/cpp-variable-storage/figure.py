import subprocess
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


def object_file(code: str) -> float:
    """KB of the object file that g++ makes."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "a.cpp"), Path(folder, "a.o")
        source.write_text(code)
        subprocess.run(["g++", "-c", "-o", made, source], check=True)
        return made.stat().st_size / 1000


@figure("figure-file.svg")
def size_of_the_object_file() -> Figure:
    """Size of the object file by the size of a global array, with and without a nonzero start value."""
    sizes = [1, 25, 50, 75, 100]
    zero = [object_file(f"char a[{size * 1000}];") for size in sizes]
    given = [object_file(f"char a[{size * 1000}] = {{1}};") for size in sizes]
    assert max(zero) - min(zero) < 0.1 and abs(given[-1] - given[0] - 99) < 0.1
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    axes.plot(sizes, given, color=ORANGE, marker="s", markersize=5, label="char a[N] = {1};")
    axes.plot(sizes, zero, color=BLUE, marker="o", markersize=5, label="char a[N];")
    axes.set_xlabel("array size (KB)")
    axes.set_ylabel("object file (KB)")
    axes.set_ylim(-4, 112)
    axes.legend(loc="upper left")
    return drawn
