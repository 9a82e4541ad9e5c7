import subprocess

from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt

LEVELS = ("public", "protected", "private")


def compiles(code: str) -> bool:
    return (
        subprocess.run(
            ["g++", "-std=c++17", "-fsyntax-only", "-x", "c++", "-"], input=code, text=True, capture_output=True
        ).returncode
        == 0
    )


def access(member: str, mode: str) -> str:
    """Access of a base member in the derived class, found by compiling who may name it."""
    classes = f"class B {{ {member}: int x = 0; }}; class D : {mode} B {{"
    if compiles(f"{classes} }}; int main() {{ D d; return d.x; }}"):
        return "public"
    if compiles(f"{classes} }}; class E : public D {{ int g() {{ return x; }} }};"):
        return "protected"
    return "private" if compiles(f"{classes} int g() {{ return x; }} }};") else "inaccessible"


@figure("figure-access.svg")
def access_after_inheritance() -> Figure:
    """What a public, protected or private member becomes under the three modes of inheritance."""
    found = {(member, mode): access(member, mode) for member in LEVELS for mode in LEVELS}
    for (member, mode), result in found.items():
        wanted = "inaccessible" if member == "private" else LEVELS[max(LEVELS.index(member), LEVELS.index(mode))]
        assert result == wanted
    colours = {"public": GREEN, "protected": BLUE, "private": ORANGE, "inaccessible": QUIET}
    drawn, axes = plt.subplots(figsize=(5.6, 2.3))
    for (member, mode), result in found.items():
        axes.text(
            LEVELS.index(mode),
            LEVELS.index(member),
            result,
            ha="center",
            va="center",
            color=colours[result],
            fontweight="bold",
        )
    axes.set_xticks(range(3), LEVELS)
    axes.set_yticks(range(3), LEVELS)
    axes.set_xlim(-0.5, 2.5)
    axes.set_ylim(2.5, -0.5)
    axes.set_xlabel("mode of inheritance")
    axes.set_ylabel("member in the base")
    axes.grid(False)
    return drawn
