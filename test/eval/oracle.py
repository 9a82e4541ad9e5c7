"""Says what every name of Python files means, by Python's own grammar and scoping rules.

    python oracle.py RESOURCES FOLDER_OR_FILE... [--files N] [--seed S]

An oracle for the hover evaluation: it shares no code with the extension. Files are read with Python's own `ast`; each scope is run
abstractly, statement by statement, so that a name has the set of things it may be bound to at that point. Library names are
looked up in the installed libraries themselves. The one thing shared with the extension is data: under which public
name a symbol is listed (RESOURCES/symbols/signatures).

Writes one JSON object a line for each position (lines and columns from 0, columns in UTF-16 code units):
    file, line, column, endColumn, text
    qualified    the public dotted name, or null
    certainty    sure: by imports alone; alias: by an assignment too; unsure: what it is depends on the run
    context      code, import, definition, parameter, keyword-argument, keyword, string, comment, number
    why          value (something computed), own (defined in this file), builtin, unbound, text; absent where imports lead there
    candidates   of unsure: the names it may stand for
    path         where the code reaches it under another path than the public one
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import io
import json
import keyword
import random
import re
import sys
import tokenize
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

# ---------------------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Atom:
    """One thing that a name may stand for."""

    kind: str  # path, own, member (of something own), builtin, starred (perhaps), none, value, unbound
    dotted: str = ""
    alias: bool = False


Atoms = frozenset[Atom]
VALUE: Atoms = frozenset({Atom("value")})
NONE: Atoms = frozenset({Atom("none")})
UNBOUND: Atoms = frozenset({Atom("unbound")})
Environment = dict[str, Atoms]


def path(dotted: str) -> Atoms:
    return frozenset({Atom("path", dotted)})


def attribute(atoms: Atoms, name: str) -> Atoms:
    """What `.name` of each is: only of modules and what they hold it is known by its path."""
    kinds = {"path": "path", "own": "member", "member": "member"}
    return frozenset(Atom(kinds[atom.kind], f"{atom.dotted}.{name}", atom.alias) if atom.kind in kinds else Atom("value") for atom in atoms)


def merged(states: Iterable[Environment | None]) -> Environment | None:
    """What holds where control flow meets; None stands for a place that is not reached."""
    reached = [state for state in states if state is not None]
    if not reached:
        return None
    names = {name for state in reached for name in state}
    return {name: frozenset().union(*(state.get(name, UNBOUND) for state in reached)) for name in names}


# -------------------------------------------------------------------------------------------------------------- libraries


class Libraries:
    """The installed libraries and the public names that the cards list."""

    ROOTS = ("torch", "torchvision", "sklearn", "numpy", "scipy")

    def __init__(self, resources: Path) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "build" / "python"))
        self.find("torch")
        try:
            importlib.import_module("torchvision_operators")  # Without it torchvision cannot be imported beside every torch.
        except Exception:  # noqa: BLE001 then it is missing, which is said
            pass
        self.listed: set[str] = set()
        self.aliases: dict[str, str] = {}
        for file in sorted((resources / "symbols" / "signatures").glob("*.json")):
            facts = json.loads(file.read_text())
            self.listed.update(facts["symbols"])
            self.aliases.update(facts["aliases"])
        self.missing = [root for root in self.ROOTS if self.find(root) is None]
        self.known: dict[str, str] = {}
        self.by_identity: dict[int, str] = {}
        for symbol in sorted(self.listed, reverse=True):
            value = self.find(symbol)
            if value is not None and self.is_definition(value):
                self.by_identity[id(value)] = symbol

    @staticmethod
    def is_definition(value: Any) -> bool:
        return inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, types.ModuleType)

    def find(self, dotted: str) -> Any:
        """The object at a path of an installed library, as `import` and `.` would find it."""
        parts = dotted.split(".")
        if parts[0] not in self.ROOTS and parts[0] not in sys.stdlib_module_names:
            return None
        try:
            found: Any = importlib.import_module(parts[0])
            for depth, part in enumerate(parts[1:], start=2):
                if not hasattr(found, part):
                    importlib.import_module(".".join(parts[:depth]))
                found = getattr(found, part)
        except Exception:  # noqa: BLE001 an optional dependency, another platform: there is no such thing here
            return None
        return found

    def public(self, dotted: str) -> str:
        """The listed name of what stands at a path, or the path itself."""
        known = self.known.get(dotted)
        if known is None:
            known = self.known[dotted] = self.looked_up(dotted)
        return known

    def looked_up(self, dotted: str) -> str:
        if dotted in self.listed:
            return dotted
        if dotted in self.aliases:
            return self.aliases[dotted]
        owner, _, name = dotted.rpartition(".")
        if owner and self.public(owner) != owner and f"{self.public(owner)}.{name}" in self.listed:
            return f"{self.public(owner)}.{name}"  # A class method is another object each time it is asked for.
        value = self.find(dotted) if dotted.startswith(tuple(f"{root}." for root in self.ROOTS)) else None
        if value is None or not self.is_definition(value):
            return dotted
        return self.by_identity.get(id(value), dotted)

    def overridden(self, dotted: str) -> str | None:
        """The listed method that a method overrides: it keeps its contract, and `inspect.getdoc` goes there too."""
        if self.public(dotted) in self.listed:
            return None
        owner, _, name = dotted.rpartition(".")
        found = self.find(owner)
        bases = found.__mro__[1:] if inspect.isclass(found) else ()
        names = (f"{self.by_identity[id(base)]}.{name}" for base in bases if id(base) in self.by_identity)
        return next((symbol for symbol in names if symbol in self.listed), None)

    def starred(self, module: str) -> dict[str, Atoms] | None:
        """What `from module import *` binds; None where that cannot be known."""
        found = self.find(module)
        if not isinstance(found, types.ModuleType):
            return None
        names = getattr(found, "__all__", None) or [name for name in vars(found) if not name.startswith("_")]
        # A name that the module has from somewhere else still is reached through it; `public` finds where it is listed.
        return {name: path(f"{module}.{name}") for name in names}


# ------------------------------------------------------------------------------------------------------------ source text


class Source:
    """A file's text, its tokens, and positions in the three ways of counting columns."""

    def __init__(self, text: str) -> None:
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline)]
        self.index = {token.start: at for at, token in enumerate(self.tokens)}

    def character(self, line: int, byte: int) -> int:
        """A column of `ast` (bytes of UTF-8) as a column in characters."""
        text = self.lines[line - 1]
        return byte if text.isascii() else len(text.encode()[:byte].decode(errors="ignore"))

    def utf16(self, line: int, character: int) -> int:
        text = self.lines[line - 1]
        return character if text.isascii() else len(text[:character].encode("utf-16-le")) // 2

    def token_at(self, node: ast.AST) -> int | None:
        return self.index.get((node.lineno, self.character(node.lineno, node.col_offset)))  # type: ignore[attr-defined]

    def names_from(self, at: int, until: tuple[int, int] | None = None) -> Iterator[tokenize.TokenInfo]:
        """NAME tokens from an index on, up to a place or the end of the statement."""
        for token in self.tokens[at:]:
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER) or (until is not None and token.start >= until):
                return
            if token.type == tokenize.NAME:
                yield token


# ------------------------------------------------------------------------------------------------------------------ scopes

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Scope:
    kind: str  # module, class, function, comprehension
    parent: Scope | None
    dotted: str
    locals: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    # What names are bound to now; once the scope has been run, what they were bound to at its end.
    now: Environment = field(default_factory=dict)
    # Everything that names were ever bound to, for code that runs at another time.
    ever: Environment = field(default_factory=dict)
    ended: bool = False

    def module(self) -> Scope:
        return self if self.parent is None else self.parent.module()


class LocalNames(ast.NodeVisitor):
    """The names that a scope's own code binds, without what nested scopes bind."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals.update(node.names)

    def definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.bound.add(node.name)
        for outside in outside_of(node):
            self.visit(outside)
        for annotation in [] if isinstance(node, ast.ClassDef) else annotations_of(node):
            self.visit(annotation)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = definition  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)

    def comprehension(self, node: Any) -> None:
        # Only `:=` reaches out of a comprehension.
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr) and isinstance(inner.target, ast.Name):
                self.bound.add(inner.target.id)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self.bound.add(alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0]))

    visit_Import = visit_ImportFrom = imported

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bound.add(node.name)
        self.generic_visit(node)

    def captured(self, node: Any) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.bound.add(name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = captured


def outside_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    """The parts of a definition that are evaluated where the definition stands."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(each.value for each in node.keywords)]
    found = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]
    return [part for part in found if part is not None]


def annotations_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    found = [*(argument.annotation for argument in parameters_of(node.args)), node.returns]
    return [part for part in found if part is not None]


def parameters_of(arguments: ast.arguments) -> list[ast.arg]:
    variadic = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *variadic]


def names_bound_by(statements: Iterable[ast.AST]) -> LocalNames:
    names = LocalNames()
    for statement in statements:
        names.visit(statement)
    return names


def names_declared(tree: ast.AST, kind: type[ast.Global] | type[ast.Nonlocal]) -> set[str]:
    return {name for node in ast.walk(tree) if isinstance(node, kind) for name in node.names}


# -------------------------------------------------------------------------------------------------------------- evaluation


class Evaluation:
    """Runs one file abstractly and notes what each name was found to be."""

    def __init__(self, tree: ast.Module, source: Source, module: str, is_package: bool, libraries: Libraries) -> None:
        self.source = source
        self.libraries = libraries
        self.package = module if is_package else module.rpartition(".")[0]
        # (line, character column) of a name's first character → (text, atoms, context)
        self.found: dict[tuple[int, int], tuple[str, Atoms, str]] = {}
        self.unknown_star = False
        self.later: list[tuple[Any, Scope]] = []
        self.queued: set[int] = set()
        # What the elements of a tuple were found to be, for an assignment that unpacks it.
        self.elements: dict[int, list[Atoms]] = {}
        self.handlers: list[list[Environment | None]] = []
        names = names_bound_by(tree.body)
        self.scope = Scope("module", None, module, locals=names.bound)
        self.exits: list[list[Environment]] = []
        self.reassigned_elsewhere = names_declared(tree, ast.Global)
        # A nonlocal name is assigned by an inner function at an unknown time, whichever function it belongs to.
        self.nonlocal_names = names_declared(tree, ast.Nonlocal)
        self.loops: list[tuple[list[Environment], list[Environment]]] = []
        self.alive = True
        imported = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        self.has_walrus = any(isinstance(node, ast.NamedExpr) for node in ast.walk(tree))
        self.lazy_annotations = any(alias.name == "annotations" for node in imported for alias in node.names)
        self.block(tree.body)
        self.finish(self.scope)

    def finish(self, scope: Scope) -> None:
        """Runs the functions whose bodies were put off, now that their surroundings are complete."""
        scope.ended = True
        put_off, self.later = self.later, []
        for node, around in put_off:
            if isinstance(node, ast.expr) and not isinstance(node, ast.Lambda):
                self.scope = around
                self.value(node)
            else:
                self.function(node, around)

    # Names

    def read(self, name: str, deferred: bool = False) -> Atoms:
        return self.looked_up(name, self.scope, deferred)

    def looked_up(self, name: str, start: Scope, deferred: bool) -> Atoms:
        scope: Scope | None = start
        at_another_time = deferred
        while scope is not None:
            is_here = scope is start or (start.kind == "comprehension" and self.reaches(start, scope))
            if scope.kind == "class" and not (scope is start):
                # The first iterable of a comprehension is evaluated by its surroundings and never comes here.
                scope = scope.parent
                continue
            if name in scope.globals:
                if name in scope.now:
                    return scope.now[name] | self.at_other_time(scope.module(), name)
                return self.of_module(name, scope)
            if name in scope.locals and name not in scope.nonlocals:
                if scope.ended or at_another_time and not is_here:
                    return self.at_other_time(scope, name)
                bound = scope.now.get(name, UNBOUND)
                if scope.kind == "class" and bound <= UNBOUND:
                    return self.of_module(name, scope)
                if Atom("unbound") in bound and scope.kind == "class":
                    return (bound - UNBOUND) | self.of_module(name, scope)
                return self.or_outside(bound, name, scope)
            if scope.kind == "function":
                at_another_time = True
            scope = scope.parent
        return self.of_builtins(name)

    def reaches(self, start: Scope, scope: Scope) -> bool:
        """Whether only comprehensions lie between: they run at once."""
        between: Scope | None = start
        while between is not None and between is not scope:
            if between.kind != "comprehension":
                return False
            between = between.parent
        return True

    def or_outside(self, bound: Atoms, name: str, scope: Scope) -> Atoms:
        """At module level a name that is not bound yet may be a builtin."""
        return self.of_builtins(name) if scope.kind == "module" and bound <= UNBOUND else bound

    def of_module(self, name: str, scope: Scope) -> Atoms:
        module = scope.module()
        if name not in module.locals and name not in module.ever:
            return self.of_builtins(name)
        bound = self.at_other_time(module, name) if module.ended else module.now.get(name, UNBOUND)
        return self.or_outside(bound, name, module)

    def at_other_time(self, scope: Scope, name: str) -> Atoms:
        """What code that runs later or at an unknown time finds."""
        ever = scope.ever.get(name, UNBOUND)
        if scope.kind == "module" and name in self.reassigned_elsewhere:
            ever |= VALUE
        if scope.kind == "function" and name in self.nonlocal_names:
            ever |= VALUE
        return ever

    def of_builtins(self, name: str) -> Atoms:
        if not hasattr(builtins, name):
            return UNBOUND
        builtin = Atom("builtin", name)
        return frozenset({builtin, Atom("starred")}) if self.unknown_star else frozenset({builtin})

    def bind(self, name: str, atoms: Atoms) -> None:
        scope = self.scope
        while scope.kind == "comprehension" and name not in scope.locals and scope.parent is not None:
            scope = scope.parent  # `:=`
        scope.now[name] = atoms
        target = scope.module() if name in scope.globals else scope
        target.ever[name] = target.ever.get(name, frozenset()) | atoms
        if name in scope.globals:
            target.locals.add(name)

    # Notes

    def note(self, line: int, character: int, text: str, atoms: Atoms, context: str) -> None:
        self.found[line, character] = (text, atoms, context)

    def note_token(self, token: tokenize.TokenInfo, atoms: Atoms, context: str) -> None:
        self.note(*token.start, token.string, atoms, context)

    # Expressions

    def value(self, node: ast.expr | None) -> Atoms:
        """Evaluates an expression and everything in it."""
        if node is None:
            return VALUE
        method = getattr(self, f"value_{type(node).__name__}", None)
        if method is not None:
            return method(node)
        for child in ast.iter_child_nodes(node):
            self.part(child)
        return VALUE

    def part(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self.value(node)
        elif isinstance(node, ast.keyword):
            if node.arg is not None:
                at = self.source.token_at(node)
                if at is not None:
                    self.note_token(self.source.tokens[at], VALUE, "keyword-argument")
            self.value(node.value)
        else:
            for child in ast.iter_child_nodes(node):
                self.part(child)

    def value_Tuple(self, node: ast.Tuple | ast.List) -> Atoms:
        self.elements[id(node)] = [self.value(each) for each in node.elts]
        return VALUE

    value_List = value_Tuple

    def value_Name(self, node: ast.Name) -> Atoms:
        atoms = self.read(node.id)
        self.note(node.lineno, self.source.character(node.lineno, node.col_offset), node.id, atoms, "code")
        return atoms

    def value_Attribute(self, node: ast.Attribute) -> Atoms:
        atoms = attribute(self.value(node.value), node.attr)
        end = self.source.character(node.end_lineno or node.lineno, node.end_col_offset or 0)
        self.note(node.end_lineno or node.lineno, end - len(node.attr), node.attr, atoms, "code")
        return atoms

    def value_Constant(self, node: ast.Constant) -> Atoms:
        return NONE if node.value is None else VALUE

    def value_JoinedStr(self, node: ast.JoinedStr) -> Atoms:
        return VALUE  # Text to the reader; this Python has no positions in it either.

    def perhaps(self, node: ast.expr) -> Atoms:
        """Evaluates what may be passed over: what `:=` binds there may not have been bound."""
        before = dict(self.scope.now) if self.has_walrus else None
        atoms = self.value(node)
        if before is not None:
            self.scope.now = merged([before, self.scope.now]) or before
        return atoms

    def value_IfExp(self, node: ast.IfExp) -> Atoms:
        self.value(node.test)
        return self.perhaps(node.body) | self.perhaps(node.orelse)

    def value_BoolOp(self, node: ast.BoolOp) -> Atoms:
        first, *others = node.values
        return self.value(first).union(*[self.perhaps(each) for each in others])

    def annotation(self, node: ast.expr) -> None:
        """Under `from __future__ import annotations` names of the whole module count, also those bound below."""
        if self.lazy_annotations:
            self.put_off(node)
        else:
            self.value(node)

    def value_NamedExpr(self, node: ast.NamedExpr) -> Atoms:
        atoms = self.value(node.value)
        self.assign(node.target, atoms)
        return atoms

    def value_Lambda(self, node: ast.Lambda) -> Atoms:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            self.value(default)
        self.put_off(node)
        return VALUE

    def comprehension(self, node: Any) -> Atoms:
        first, *rest = node.generators
        self.value(first.iter)
        outer = self.scope
        before = dict(outer.now) if self.has_walrus else None
        targets = names_bound_by(each.target for each in node.generators)
        self.scope = Scope("comprehension", outer, outer.dotted, locals=targets.bound)
        self.assign(first.target, VALUE)
        for test in first.ifs:
            self.value(test)
        for generator in rest:
            self.value(generator.iter)
            self.assign(generator.target, VALUE)
            for test in generator.ifs:
                self.value(test)
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.value(part)
        self.scope = outer
        if before is not None:
            outer.now = merged([before, outer.now]) or before
        return VALUE

    value_ListComp = value_SetComp = value_DictComp = value_GeneratorExp = comprehension

    # Targets

    def assign(self, target: ast.expr, atoms: Atoms, value: ast.expr | None = None) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, frozenset(Atom(atom.kind, atom.dotted, True) if atom.kind in ("path", "own") else atom for atom in atoms))
            self.note(target.lineno, self.source.character(target.lineno, target.col_offset), target.id, self.read(target.id), "code")
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = value.elts if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts) else []
            plain = values and not any(isinstance(each, ast.Starred) for each in [*values, *target.elts])
            for at, element in enumerate(target.elts):
                self.assign(element, self.elements[id(value)][at] if plain else VALUE, values[at] if plain else None)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, VALUE)
        else:
            self.value(target)

    # Statements

    def block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)
            for states in self.handlers:
                states.append(dict(self.scope.now) if self.alive else None)

    def statement(self, node: ast.stmt) -> None:
        method = getattr(self, f"run_{type(node).__name__}", None)
        if method is not None:
            method(node)
            return
        for child in ast.iter_child_nodes(node):
            self.part(child)

    def branch(self, statements: Iterable[ast.stmt], start: Environment) -> Environment | None:
        """Runs a block from a state; gives the state at its end where that is reached."""
        before, self.alive = self.alive, True
        self.scope.now = dict(start)
        self.block(statements)
        state = self.scope.now if self.alive else None
        self.alive = before
        return state

    def join(self, states: Iterable[Environment | None], otherwise: Environment) -> None:
        """Goes on with what holds after several branches; code that is never reached sees what stood before it."""
        state = merged(states)
        self.alive = self.alive and state is not None
        self.scope.now = dict(otherwise) if state is None else state

    def run_If(self, node: ast.If) -> None:
        self.value(node.test)
        start = dict(self.scope.now)
        self.join([self.branch(node.body, start), self.branch(node.orelse, start)], start)

    def loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        if isinstance(node, ast.While):
            endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
            head = lambda: self.value(node.test)  # noqa: E731
        else:
            endless = False
            self.value(node.iter)
            head = lambda: self.assign(node.target, VALUE)  # noqa: E731
        entry: Environment | None = dict(self.scope.now)
        start = dict(self.scope.now)
        for _ in range(2):  # The second round sees what the first has bound.
            breaks: list[Environment] = []
            continues: list[Environment] = []
            self.loops.append((breaks, continues))
            self.scope.now = dict(entry or start)
            head()
            end = self.branch(node.body, self.scope.now)
            self.loops.pop()
            entry = merged([entry, end, *continues])
        after = None if endless else self.branch(node.orelse, entry or start)
        self.join([after, *breaks], start)

    run_For = run_AsyncFor = run_While = loop  # type: ignore[assignment]

    def try_(self, node: Any) -> None:
        start = dict(self.scope.now)
        states: list[Environment | None] = [start]
        self.handlers.append(states)
        body = self.branch(node.body, start)
        self.handlers.pop()
        raised = merged(states) or start
        ends: list[Environment | None] = []
        for handler in node.handlers:
            self.scope.now = dict(raised)
            if handler.type is not None:
                self.value(handler.type)
            if handler.name:
                self.bind(handler.name, VALUE)
                self.note_handler_name(handler)
            end = self.branch(handler.body, self.scope.now)
            if end is not None and handler.name:
                end[handler.name] = UNBOUND
            ends.append(end)
        ends.append(None if body is None else self.branch(node.orelse, body))
        if node.finalbody:
            state = merged(ends)
            # It runs on the way out of an exception as well, but then nothing after it does.
            final = self.branch(node.finalbody, merged([state, raised]) or raised)
            if state is not None and final is not None:
                state = self.branch(node.finalbody, state)
            self.join([state if final is not None else None], raised)
        else:
            self.join(ends, start)

    run_Try = run_TryStar = try_

    def note_handler_name(self, handler: ast.ExceptHandler) -> None:
        at = self.source.token_at(handler)
        if at is None:
            return
        names = list(self.source.names_from(at, (handler.body[0].lineno, 0) if handler.body[0].lineno > handler.lineno else None))
        for before, name in zip(names, names[1:], strict=False):
            if before.string == "as" and name.string == handler.name:
                self.note_token(name, VALUE, "code")
                return

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.value(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, VALUE)
        self.block(node.body)

    run_With = run_AsyncWith = with_  # type: ignore[assignment]

    def run_Match(self, node: ast.Match) -> None:
        self.value(node.subject)
        start = dict(self.scope.now)
        states: list[Environment | None] = [start]
        for case in node.cases:
            self.scope.now = dict(start)
            self.pattern(case.pattern)
            if case.guard is not None:
                self.value(case.guard)
            states.append(self.branch(case.body, self.scope.now))
        self.join(states, start)

    def pattern(self, node: ast.AST) -> None:
        name = getattr(node, "rest", None) if isinstance(node, ast.MatchMapping) else getattr(node, "name", None)
        if isinstance(node, (ast.MatchAs, ast.MatchStar)) and name:
            self.bind(name, VALUE)
            end = self.source.character(node.end_lineno or node.lineno, node.end_col_offset or 0)
            self.note(node.end_lineno or node.lineno, end - len(name), name, VALUE, "code")
        elif name:
            self.bind(name, VALUE)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.pattern):
                self.pattern(child)
            elif isinstance(child, ast.expr):
                self.value(child)

    def leave(self, node: ast.Return | ast.Raise) -> None:
        for child in ast.iter_child_nodes(node):
            self.part(child)
        self.alive = False

    run_Return = run_Raise = leave  # type: ignore[assignment]

    def run_Break(self, _node: ast.Break) -> None:
        if self.alive and self.loops:
            self.loops[-1][0].append(dict(self.scope.now))
        self.alive = False

    def run_Continue(self, _node: ast.Continue) -> None:
        if self.alive and self.loops:
            self.loops[-1][1].append(dict(self.scope.now))
        self.alive = False

    def run_Assign(self, node: ast.Assign) -> None:
        atoms = self.value(node.value)
        for target in node.targets:
            self.assign(target, atoms, node.value)

    def run_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.annotation(node.annotation)
        if node.value is not None:
            self.assign(node.target, self.value(node.value), node.value)
        elif isinstance(node.target, ast.Name):
            character = self.source.character(node.target.lineno, node.target.col_offset)
            self.note(node.target.lineno, character, node.target.id, VALUE, "code")
        else:
            self.value(node.target)

    def run_AugAssign(self, node: ast.AugAssign) -> None:
        self.value(node.target)  # It is read first: that is what the name means there.
        self.value(node.value)
        if isinstance(node.target, ast.Name):
            self.bind(node.target.id, VALUE)

    def run_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self.value(target)
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Del):
                    self.scope.now[name.id] = UNBOUND

    def declared(self, node: ast.Global | ast.Nonlocal) -> None:
        at = self.source.token_at(node)
        for token in [] if at is None else list(self.source.names_from(at + 1)):
            self.note_token(token, VALUE, "definition")

    run_Global = run_Nonlocal = declared  # type: ignore[assignment]

    def run_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            parts = alias.name.split(".")
            tokens = self.alias_tokens(alias)
            for depth, token in enumerate(tokens[: len(parts)], start=1):
                self.note_token(token, path(".".join(parts[:depth])), "import")
            if alias.asname:
                self.bind(alias.asname, path(alias.name))
                self.note_token(tokens[-1], path(alias.name), "import")
            else:
                self.bind(parts[0], path(parts[0]))

    def run_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self.absolute(node)
        self.note_module(node, module)
        for alias in node.names:
            if alias.name == "*":
                self.import_all(module)
                continue
            atoms = VALUE if module is None else path(f"{module}.{alias.name}")
            for token in self.alias_tokens(alias):
                self.note_token(token, atoms, "import")
            self.bind(alias.asname or alias.name, atoms)

    def absolute(self, node: ast.ImportFrom) -> str | None:
        if node.level == 0:
            return node.module
        parts = self.package.split(".") if self.package else []
        if node.level - 1 >= len(parts):
            return None
        return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])

    def note_module(self, node: ast.ImportFrom, module: str | None) -> None:
        at = self.source.token_at(node)
        if at is None or node.module is None:
            return
        written = node.module.split(".")
        above = (module or "").split(".")[: -len(written)]
        for depth, token in enumerate(list(self.source.names_from(at + 1))[: len(written)], start=1):
            self.note_token(token, VALUE if module is None else path(".".join([*above, *written[:depth]])), "import")

    def alias_tokens(self, alias: ast.alias) -> list[tokenize.TokenInfo]:
        at = self.source.token_at(alias)
        if at is None:
            return []
        end = (alias.end_lineno or alias.lineno, self.source.character(alias.end_lineno or alias.lineno, alias.end_col_offset or 0))
        return [token for token in self.source.names_from(at, end) if token.string != "as"]

    def import_all(self, module: str | None) -> None:
        names = None if module is None else self.libraries.starred(module)
        if names is None:
            self.unknown_star = True
            return
        for name, atoms in names.items():
            self.scope.locals.add(name)
            self.bind(name, atoms)

    # Definitions

    def definition_name(self, node: Any) -> None:
        at = self.source.token_at(node)
        if at is None:
            return
        own = frozenset({Atom("own", f"{self.scope.dotted}.{node.name}")})
        for token in self.source.names_from(at):
            if token.string not in ("async", "def", "class"):
                self.note_token(token, own, "definition")
                return

    def run_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in outside_of(node):
            self.value(outside)
        for annotation in annotations_of(node):
            self.annotation(annotation)
        self.bind(node.name, frozenset({Atom("own", f"{self.scope.dotted}.{node.name}")}))
        self.definition_name(node)
        self.put_off(node)

    run_AsyncFunctionDef = run_FunctionDef

    def run_ClassDef(self, node: ast.ClassDef) -> None:
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.part(part)
        outer = self.scope
        names = names_bound_by(node.body)
        self.scope = Scope("class", outer, f"{outer.dotted}.{node.name}", names.bound, names.globals, names.nonlocals)
        # A function around it has not ended: the class sees it as it is now.
        alive, self.alive = self.alive, True
        handlers, self.handlers = self.handlers, []
        self.block(node.body)
        self.handlers = handlers
        self.alive = alive
        self.scope = outer
        self.bind(node.name, frozenset({Atom("own", f"{outer.dotted}.{node.name}")}))
        self.definition_name(node)

    def put_off(self, node: Any) -> None:
        if id(node) not in self.queued:
            self.queued.add(id(node))
            self.later.append((node, self.scope))

    def function(self, node: Any, around: Scope) -> None:
        body = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
        names = names_bound_by(body)
        name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        parameters = parameters_of(node.args)
        local = (names.bound | {each.arg for each in parameters}) - names.globals - names.nonlocals
        self.scope = Scope("function", around, f"{around.dotted}.{name}", local, names.globals, names.nonlocals)
        self.alive, self.loops, self.handlers = True, [], []
        for parameter in parameters:
            self.bind(parameter.arg, VALUE)
            self.note(parameter.lineno, self.source.character(parameter.lineno, parameter.col_offset), parameter.arg, VALUE, "parameter")
        self.block(body)
        self.finish(self.scope)


# ------------------------------------------------------------------------------------------------------------------ answers


class Reporter:
    """Turns what was found in a file into positions with names."""

    def __init__(self, libraries: Libraries, chance: random.Random) -> None:
        self.libraries = libraries
        self.chance = chance
        self.ends = {symbol.rpartition(".")[2] for symbol in libraries.listed}

    def rows(self, file: str, source: Source, evaluation: Evaluation) -> Iterator[dict[str, Any]]:
        for (line, character), (text, atoms, context) in sorted(evaluation.found.items()):
            # An identifier in another Unicode form is longer or shorter in the file; such names are no library's.
            if source.lines[line - 1][character : character + len(text)] == text:
                yield self.row(file, source, line, character, text, context, self.judged(atoms, evaluation))
        for token in source.tokens:
            if token.start not in evaluation.found:
                yield from self.of_token(file, source, token)

    def row(self, file: str, source: Source, line: int, character: int, text: str, context: str, answer: dict[str, Any]) -> dict[str, Any]:
        start, end = source.utf16(line, character), source.utf16(line, character + len(text))
        return {"file": file, "line": line - 1, "column": start, "endColumn": end, "text": text, "context": context, **answer}

    def judged(self, found: Atoms, evaluation: Evaluation) -> dict[str, Any]:
        atoms = found - UNBOUND or found
        kinds = {atom.kind for atom in atoms}
        if "path" in kinds and "none" in kinds:
            # `X = None` where an import failed: nobody means that None.
            atoms -= NONE
            kinds.discard("none")
        if kinds == {"member"} and len(atoms) == 1 and (symbol := self.libraries.public(next(iter(atoms)).dotted)) in self.libraries.listed:
            return {"qualified": symbol, "certainty": "sure", "why": "own"}  # Of a class that this library file defines itself.
        paths = sorted({atom.dotted for atom in atoms if atom.kind == "path"})
        names = sorted({self.libraries.overridden(each) or self.libraries.public(each) for each in paths})
        if kinds == {"path"} and len(names) == 1:
            written = {} if names == paths else {"path": paths[0]}
            return {"qualified": names[0], "certainty": "alias" if any(atom.alias for atom in atoms) else "sure", **written}
        if kinds == {"builtin"}:
            return {"qualified": f"builtins.{next(iter(atoms)).dotted}", "certainty": "sure", "why": "builtin"}
        if "path" in kinds:
            return {"qualified": None, "certainty": "unsure", "why": "value", "candidates": names}
        if kinds == {"own"} and len(atoms) == 1:
            atom = next(iter(atoms))
            return {"qualified": self.libraries.public(atom.dotted), "certainty": "alias" if atom.alias else "sure", "why": "own"}
        if kinds == {"builtin", "starred"}:
            candidates = [f"builtins.{atom.dotted}" for atom in atoms if atom.kind == "builtin"]
            return {"qualified": None, "certainty": "unsure", "why": "builtin", "candidates": candidates}
        why = "own" if "own" in kinds else "value" if kinds & {"value", "none", "member"} else "builtin" if "builtin" in kinds else "unbound"
        return {"qualified": None, "certainty": "unsure" if evaluation.unknown_star and why == "unbound" else "sure", "why": why}

    def of_token(self, file: str, source: Source, token: tokenize.TokenInfo) -> Iterator[dict[str, Any]]:
        """Samples of what is no name: words in strings and comments, keywords, numbers."""
        text = {"qualified": None, "certainty": "sure", "why": "text"}
        line, character = token.start
        if token.type == tokenize.NAME and (self.chance.random() < 0.2 or not keyword.iskeyword(token.string)):
            yield self.row(file, source, line, character, token.string, "keyword", text)
        elif token.type == tokenize.NUMBER and self.chance.random() < 0.5:
            yield self.row(file, source, line, character, token.string, "number", text)
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            context = "string" if token.type == tokenize.STRING else "comment"
            words = list(self.words(token))
            telling = [word for word in words if word[2] in self.ends or word[2] in ("nn", "torch", "optim")]
            chosen = self.chance.sample(words, min(2, len(words))) + self.chance.sample(telling, min(3, len(telling)))
            for where in sorted(set(chosen)):
                yield self.row(file, source, *where, context, text)

    @staticmethod
    def words(token: tokenize.TokenInfo) -> Iterator[tuple[int, int, str]]:
        for depth, line in enumerate(token.string.split("\n")):
            start = token.start[1] if depth == 0 else 0
            for match in re.finditer(r"[A-Za-z_]\w*", line):
                yield token.start[0] + depth, start + match.start(), match.group()


def module_of(file: Path) -> tuple[str, bool]:
    """The dotted name by which Python would import a file, from the packages it lies in."""
    is_package = file.name == "__init__.py"
    parts = [] if is_package else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), is_package


def rows_of(file: Path, libraries: Libraries, reporter: Reporter) -> Iterator[dict[str, Any]]:
    text = file.read_bytes().decode("utf-8-sig")
    if re.search(r"^[ \t\f]*#.*?coding[:=]", "\n".join(text.split("\n")[:2])) and not re.search(r"coding[:=]\s*utf-?8", text[:200]):
        raise UnicodeError("another encoding")
    source = Source(re.sub(r"\r\n|\r", "\n", text))
    tree = ast.parse(text)
    module, is_package = module_of(file)
    yield from reporter.rows(str(file), source, Evaluation(tree, source, module, is_package, libraries))


def main(arguments: list[str]) -> int:
    options = {name: arguments[arguments.index(name) + 1] for name in ("--files", "--seed") if name in arguments}
    resources, *folders = [each for at, each in enumerate(arguments) if not each.startswith("--") and (at == 0 or not arguments[at - 1].startswith("--"))]
    files = [file for folder in folders for file in ([Path(folder)] if folder.endswith(".py") else sorted(Path(folder).rglob("*.py")))]
    # Some modules print when they are imported: that is no row.
    rows, sys.stdout = sys.stdout, sys.stderr
    chance = random.Random(int(options.get("--seed", "1")))
    if "--files" in options:
        files = sorted(chance.sample(files, min(int(options["--files"]), len(files))))
    libraries = Libraries(Path(resources))
    if libraries.missing:
        print(f"not installed, so names that they re-export are not followed: {', '.join(libraries.missing)}", file=sys.stderr)
    sys.setrecursionlimit(10_000)
    reporter = Reporter(libraries, chance)
    for file in files:
        try:
            for row in rows_of(file.resolve(), libraries, reporter):
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
        except (SyntaxError, UnicodeError, tokenize.TokenError) as error:
            print(f"{file}: not readable by this Python, left out: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
