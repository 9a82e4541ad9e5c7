"""Shows that the checks of the notes can fail: mistakes are put into formulas, the checks must notice.

    python mutate_checks.py ROOT [--seed N] [--sample N] [--all] [TOPIC ...]

For each formula of a sample two mistakes are made, one at a time:

*  in what the reader sees: a sign of the TeX is flipped, a term dropped or two symbols swapped in one article. The claim of
   checks.py names the formula letter by letter, so this must be noticed without running anything.
*  in what is computed: the same is done to the arithmetic of the function that re-implements the formula (or of a function of
   checks.py that it calls), and the topic's checks are run against the real library. A mistake that nobody notices is either a
   weak check or changes nothing (a term that is 0 there, a sum in another order); the line printed lets a reader judge.

Prints a line per unnoticed mistake, the counts and last `1 passed, 0 failed`, or the other way when fewer than 95 % are caught.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).parent))

import check_notes
import note_checks

DEMANDED = 0.95
KINDS = ("flip a sign", "drop a term", "swap two symbols")

# Arithmetic inside these makes the inputs, not the formula.
RANDOM = {
    "rand",
    "randn",
    "rand_like",
    "randn_like",
    "randint",
    "randperm",
    "normal",
    "uniform",
    "geometric",
    "binomial",
    "choice",
}
INPUT_MAKERS = RANDOM | {
    "arange",
    "range",
    "linspace",
    "manual_seed",
    "default_rng",
    "zeros",
    "ones",
    "full",
    "empty",
    "tensor",
    "array",
    "stated",
    "assert_allclose",
    "allclose",
    "isclose",
    "print",
    "reshape",
    "view",
}


@dataclass(frozen=True)
class Formula:
    """A display formula of a topic and the function of its checks.py that claims it."""

    folder: Path
    tex: str
    function: str


@dataclass(frozen=True)
class Mutant:
    formula: Formula
    kind: str
    line: int
    before: str
    after: str
    source: str


def claims_of(folder: Path) -> Iterator[Formula]:
    """The formulas a checks.py claims, read by importing it without running a check."""
    claimed: list[tuple[str, str]] = []
    real = note_checks.formula

    def recording(*tex: str):
        def claim(check):
            claimed.extend((note_checks.normalised(one), check.__name__) for one in tex)
            return check

        return claim

    note_checks.formula = recording
    try:
        check_notes.load(folder / "checks.py")
    finally:
        note_checks.formula = real
    return (Formula(folder, tex, function) for tex, function in claimed)


# The computed formula


def reachable(tree: ast.Module, start: str) -> list[ast.FunctionDef]:
    """The function and what it calls of the same file, nearest first: helpers hold the arithmetic where there are any."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    order, waiting = [], [start]
    while waiting:
        name = waiting.pop(0)
        if name in functions and functions[name] not in order:
            order.append(functions[name])
            waiting += [node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)]
    return order


def arithmetic(function: ast.FunctionDef) -> Iterator[ast.BinOp | ast.UnaryOp]:
    """The operations of a function that belong to a formula: no shapes, indices, inputs, tolerances."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Subscript):
            waiting.append(node.value)
            continue
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in INPUT_MAKERS:
                # What is compared may be written where it is compared; what is made is an input.
                if name in ("assert_allclose", "allclose", "isclose", "stated"):
                    waiting += node.args[:3]
                continue
        if isinstance(node, (ast.JoinedStr, ast.Constant, ast.comprehension)):
            continue
        if isinstance(node, ast.Assert):
            waiting.append(node.test)
            continue
        if isinstance(node, ast.Compare):
            # The bound of `abs(a - b) < 1e-6` and the step over it are the comparison's.
            waiting.append(node.left)
            continue
        if isinstance(node, (ast.BinOp, ast.UnaryOp)) and not is_number(node) and not makes_input(node):
            yield node
        waiting += ast.iter_child_nodes(node)


def makes_input(node: ast.AST) -> bool:
    """`3 * torch.randn(4)` is an input as a whole."""
    called = (part.func for part in ast.walk(node) if isinstance(part, ast.Call))
    return any((name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")) in RANDOM for name in called)


def is_number(node: ast.AST) -> bool:
    return all(
        isinstance(part, (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)) for part in ast.walk(node)
    )


def changed(node: ast.expr, kind: str, choice: random.Random) -> ast.expr | None:
    """The operation with one mistake, or None where the kind does not apply."""
    if isinstance(node, ast.UnaryOp):
        return node.operand if kind == "flip a sign" and isinstance(node.op, ast.USub) else None
    if not isinstance(node, ast.BinOp):
        return None
    other = copy.deepcopy(node)
    if kind == "flip a sign" and isinstance(node.op, (ast.Add, ast.Sub)):
        other.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return other
    if kind == "drop a term" and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
        return node.left if not isinstance(node.left, ast.Constant) or choice.random() < 0.5 else node.right
    if kind == "swap two symbols" and isinstance(node.op, (ast.Sub, ast.Div, ast.Pow)):
        other.left, other.right = node.right, node.left
        return other
    return None


class Replacement(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutants_of(formula: Formula, choice: random.Random, wanted: int) -> list[Mutant]:
    """Up to `wanted` mistakes in what is computed for a formula, of different kinds first."""
    text = (formula.folder / "checks.py").read_text()
    tree = ast.parse(text)
    found: list[Mutant] = []
    nodes = [node for function in reachable(tree, formula.function) for node in arithmetic(function)]
    choice.shuffle(nodes)
    kinds = choice.sample(KINDS, len(KINDS))
    # Of each kind the first, then of each the second: no kind is left out because another has more places.
    candidates = sorted(
        ((rank, kind, node) for kind in kinds for rank, node in enumerate(nodes)), key=lambda candidate: candidate[0]
    )
    for _, kind, node in candidates:
        new = changed(node, kind, choice)
        if new is None or ast.dump(new) == ast.dump(node):
            continue
        mutated = Replacement(node, copy.deepcopy(new)).visit(copy_keeping(tree, node))
        source = ast.unparse(ast.fix_missing_locations(mutated))
        found.append(Mutant(formula, kind, node.lineno, ast.unparse(node), ast.unparse(new), source))
        if len(found) == wanted:
            break
    return found


def copy_keeping(tree: ast.Module, kept: ast.AST) -> ast.Module:
    """A copy of a tree in which one node is the very object of the original, so that it can be found."""
    return copy.deepcopy(tree, {id(kept): kept})


def notices(mutant: Mutant) -> bool:
    """Whether the topic's checks fail with the mistake."""
    folder = mutant.formula.folder
    texts = {language: (folder / f"{language}.md").read_text() for language in check_notes.LANGUAGES}
    formulas = {language: check_notes.formulas_of(text) for language, text in texts.items()}

    def work() -> None:
        subject = note_checks.Subject(texts=texts, formulas=formulas)
        note_checks.subject.__dict__.update(subject.__dict__)
        check_notes.load(folder / "checks.py", mutant.source)
        for _, check in list(note_checks.subject.checks):
            check_notes.seeded()
            check()

    return check_notes.isolated(work) is not None


# The shown formula


def mutated_tex(tex: str, choice: random.Random) -> str | None:
    """TeX with one mistake: a sign, a term or two symbols."""
    signs = [match.start() for match in re.finditer(r"(?<![\\^_{a-zA-Z])[+-](?![}])", tex)]
    symbols = sorted(
        {
            match[0]
            for match in re.finditer(
                r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])|\\(?:alpha|beta|gamma|mu|sigma|theta|lambda|eta|epsilon)\b", tex
            )
        }
    )
    kind = choice.choice(
        [kind for kind, possible in zip(KINDS, (signs, signs, len(symbols) > 1)) if possible] or [None]
    )
    if kind is None:
        return None
    if kind == "swap two symbols":
        first, second = choice.sample(symbols, 2)
        swapped = {first: second, second: first}
        pattern = "|".join(rf"(?<![\\a-zA-Z]){re.escape(one)}(?![a-zA-Z])" for one in (first, second))
        return re.sub(pattern, lambda match: swapped[match[0]], tex)
    at = choice.choice(signs)
    if kind == "flip a sign":
        return tex[:at] + ("-" if tex[at] == "+" else "+") + tex[at + 1 :]
    return tex[:at] + re.sub(r"^[+-]\s*(\\?[A-Za-z]+|\d+|\S)", "", tex[at:])


def shown_notices(formula: Formula, choice: random.Random) -> bool | None:
    """Whether a mistake in the TeX of one article breaks the claim; None where the TeX has nothing to change."""
    wrong = mutated_tex(formula.tex, choice)
    if wrong is None or wrong == formula.tex:
        return None
    language = choice.choice(check_notes.LANGUAGES)
    text = (formula.folder / f"{language}.md").read_text()
    shown = [note_checks.normalised(one) for one in check_notes.formulas_of(text)]
    with_mistake = [note_checks.normalised(wrong) if one == formula.tex else one for one in shown]
    return formula.tex not in with_mistake


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("topics", nargs="*")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--all", action="store_true", help="every formula, three mistakes each")
    options = parser.parse_args()
    folders = sorted(file.parent for file in options.root.glob("notes/**/checks.py"))
    formulas = [
        one for folder in folders if not options.topics or folder.name in options.topics for one in claims_of(folder)
    ]
    choice = random.Random(options.seed)
    everything = options.all or bool(options.topics)
    drawn = formulas if everything else choice.sample(formulas, len(formulas))
    mutants: list[Mutant] = []
    shown: list[bool | None] = []
    without: list[Formula] = []
    for formula in drawn:
        made = mutants_of(formula, choice, 3 if everything else 1)
        if not made:
            without.append(formula)
            continue
        mutants += made
        shown.append(shown_notices(formula, choice))
        if not everything and len(shown) == options.sample:
            break
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        caught = list(pool.map(notices, mutants))
    for mutant, noticed in zip(mutants, caught, strict=True):
        if not noticed:
            place = os.path.relpath(mutant.formula.folder / "checks.py")
            print(
                f"{place}:{mutant.line}: {mutant.kind}: {mutant.before}  →  {mutant.after}   (of {mutant.formula.tex[:60]})"
            )
    for formula in without:
        print(f"no arithmetic to change: {formula.folder.name}: {formula.tex[:60]}")
    texts = [noticed for noticed in shown if noticed is not None]
    print(f"mistakes in the shown formula: {sum(texts)} caught of {len(texts)}")
    print(
        f"mistakes in the computed formula: {sum(caught)} caught, {len(caught) - sum(caught)} unnoticed of {len(caught)} in {len(shown)} formulas"
    )
    sound = bool(caught) and sum(caught) >= DEMANDED * len(caught) and all(texts)
    print(f"{int(sound)} passed, {int(not sound)} failed")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
