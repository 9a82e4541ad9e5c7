import subprocess
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt

COUNTS = list(range(9))


def measured() -> tuple[list[int], list[int]]:
    """Sizes of objects and tables that g++ gives classes with 2 doubles and v virtual functions."""
    parts, prints = [], []
    for v in COUNTS:
        functions = " ".join(f"virtual void f{i}();" for i in range(v))
        bodies = " ".join(f"void C{v}::f{i}() {{}}" for i in range(v))
        parts.append(f"struct C{v} {{ double a, b; {functions} }}; {bodies} C{v} object{v};")
        prints.append(f'std::printf("%zu ", sizeof(C{v}));')
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text("#include <cstdio>\n" + "\n".join(parts) + f"\nint main() {{ {' '.join(prints)} }}")
        subprocess.run(["g++", "-std=c++17", "-o", program, source], check=True)
        objects = [
            int(one) for one in subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
        ]
        symbols = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True).stdout
    sizes = {parts[3]: int(parts[1], 16) for line in symbols.split("\n") if len(parts := line.split()) == 4}
    return objects, [sizes.get(f"_ZTV2C{v}", 0) for v in COUNTS]


@figure("figure-sizes.svg")
def sizes_by_virtual_functions() -> Figure:
    """Size of an object and of the table of its class, by the number of virtual functions."""
    objects, tables = measured()
    assert objects == [16] + [24] * 8 and tables == [0, *(8 * (v + 2) for v in COUNTS[1:])]
    drawn, axes = plt.subplots(figsize=(5.6, 2.6))
    axes.plot(COUNTS, tables, color=ORANGE, marker="s", markersize=5, label="table, once per class")
    axes.plot(COUNTS, objects, color=BLUE, marker="o", markersize=5, label="each object (2 doubles)")
    axes.set_xlabel("virtual functions v")
    axes.set_ylabel("bytes")
    axes.set_ylim(-4, 92)
    axes.legend(loc="upper left")
    return drawn
