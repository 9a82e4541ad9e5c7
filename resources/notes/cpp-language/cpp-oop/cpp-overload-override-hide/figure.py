import subprocess

from matplotlib.figure import Figure

from figure_style import BLUE, QUIET, figure, plt

BODIES = {
    "D declares nothing": "",
    "D declares f(int)": "void f(int) {}",
    "f(int), using B::f": "using B::f; void f(int) {}",
}
ARGUMENTS = {"int": "1", "string": "std::string()", "vector": "std::vector<int>()"}


def compiles(body: str, argument: str) -> bool:
    code = (
        "#include <string>\n#include <vector>\n"
        "struct B { void f(int) {} void f(std::string) {} void f(std::vector<int>) {} };"
        f"struct D : B {{ {body} }}; int main() {{ D d; d.f({argument}); }}"
    )
    return (
        subprocess.run(
            ["g++", "-std=c++17", "-fsyntax-only", "-x", "c++", "-"], input=code, text=True, capture_output=True
        ).returncode
        == 0
    )


@figure("figure-visible.svg")
def calls_that_compile() -> Figure:
    """Which of three calls through D compile, for three ways to declare f in D."""
    answers = [[compiles(body, argument) for argument in ARGUMENTS.values()] for body in BODIES.values()]
    assert [sum(row) for row in answers] == [3, 1, 3] and answers[1][0]
    drawn, axes = plt.subplots(figsize=(5.6, 2.2))
    for row, answer in enumerate(answers):
        for column, fine in enumerate(answer):
            axes.plot(
                column,
                row,
                marker="o" if fine else "x",
                markersize=13 if fine else 9,
                color=BLUE if fine else QUIET,
                markeredgewidth=2,
            )
    axes.set_xticks(range(3), ARGUMENTS)
    axes.set_yticks(range(3), BODIES)
    axes.set_xlim(-0.5, 2.5)
    axes.set_ylim(2.5, -0.5)
    axes.set_xlabel("argument of the call")
    axes.grid(False)
    return drawn
