import type { SyntaxNode } from '@lezer/common';
import type { SymbolFacts } from '../library/card';
import type { SymbolTable } from '../library/symbolTable';
import { absolutePath, importedPath, type ModuleName } from './moduleName';
import { type Binding, type BindingValue, enclosingClass, type Range } from './syntax/bindings';
import { argumentsOf, type Expression } from './syntax/expressions';
import type { Scope, Scopes } from './syntax/scopes';
import { agreed, unknown, type Value } from './value';

/** How far a chain of aliases is followed; real code needs four or five. */
const maximumDepth = 24;

/** How many expressions are looked at for one name; where loops bind names to each other their number has no bound. */
const maximumSteps = 2000;

/** Follows names through bindings, scopes and classes to what they stand for. */
export class Resolver {
  readonly #scopes: Scopes;
  readonly #table: SymbolTable;
  readonly #module: ModuleName | undefined;
  #depth = 0;
  #steps = 0;
  #hasLateAnnotations: boolean | undefined;

  constructor(scopes: Scopes, table: SymbolTable, module: ModuleName | undefined) {
    this.#scopes = scopes;
    this.#table = table;
    this.#module = module;
  }

  /** The value of an expression evaluated in a scope at an offset; bindings after the offset do not count. */
  expression(expression: Expression, scope: Scope, at: number): Value {
    this.#steps = this.#depth === 0 ? 0 : this.#steps + 1;
    if (this.#depth > maximumDepth || this.#steps > maximumSteps) {
      return unknown;
    }
    this.#depth += 1;
    try {
      return this.#expression(expression, scope, at);
    } finally {
      this.#depth -= 1;
    }
  }

  #expression(expression: Expression, scope: Scope, at: number): Value {
    switch (expression.kind) {
      case 'name':
        return this.name(expression.name, scope, at);
      case 'attribute':
        return this.attribute(this.expression(expression.object, scope, at), expression.name);
      case 'call':
        return this.#call(expression, scope, at);
      case 'either':
        return agreed(expression.options.map((option) => this.expression(option, scope, at)));
      case 'literal':
        return expression.text === 'None' ? { kind: 'none' } : unknown;
      default:
        return unknown;
    }
  }

  /** From when on the names of an annotation count: under `from __future__ import annotations` it is read at another time. */
  annotationTime(at: number): number {
    this.#hasLateAnnotations ??= this.#importsAnnotations();
    return this.#hasLateAnnotations ? Number.POSITIVE_INFINITY : at;
  }

  #importsAnnotations(): boolean {
    const { byName } = this.#scopes.of(this.#scopes.module.tree.topNode).bindings;
    const imported = byName.get('annotations')?.map(({ value }) => value.kind === 'import' && value.path) ?? [];
    return imported.includes('__future__.annotations');
  }

  /** What an import reaches. */
  imported(path: string): Value {
    return this.#path(absolutePath(path, this.#module));
  }

  /** What a definition is: a symbol in the source of the library that offers it, else something of the user's own. */
  definition(node: SyntaxNode): Value {
    const path = this.#module && definedPath(node, this.#scopes.module.text);
    const symbol = path === undefined ? undefined : this.#table.canonical(`${this.#module?.name}.${path}`);
    if (symbol !== undefined && this.#table.card(symbol)) {
      return { kind: 'path', path: symbol };
    }
    return node.name === 'ClassDefinition'
      ? { kind: 'ownClass', scope: this.#scopes.of(node) }
      : { kind: 'ownFunction' };
  }

  #path(path: string): Value {
    return { kind: 'path', path: this.#table.canonical(path) };
  }

  /** Python's own order: the scope itself, enclosing functions (classes are passed over), the module, star imports, builtins. */
  name(name: string, start: Scope, at: number): Value {
    let passOver = false;
    // Classes and comprehensions run where they stand, functions at another time: then what is bound below counts too.
    let time = at;
    for (let scope: Scope | undefined = start; scope; scope = scope.parent) {
      const { kind, bindings } = scope;
      if ((kind !== 'class' || scope === start) && (!passOver || kind === 'module')) {
        passOver = bindings.globals.has(name);
        const value = passOver || bindings.nonlocals.has(name) ? undefined : this.#boundIn(scope, name, time);
        if (value) {
          return value;
        }
      }
      time = kind === 'function' ? Number.POSITIVE_INFINITY : time;
    }
    return this.#starred(name) ?? this.#builtin(name);
  }

  /** What a scope's own statements make of a name, and those of functions that declare it `global` or `nonlocal`. */
  #boundIn(scope: Scope, name: string, at: number): Value | undefined {
    const bindings = scope.bindings.byName.get(name);
    const own = bindings && this.#bound(bindings, scope, at);
    const word = scope.kind === 'module' ? 'global' : scope.kind === 'function' ? 'nonlocal' : undefined;
    const elsewhere = word === undefined ? [] : this.#scopes.declaring(word, name).filter((other) => other !== scope);
    const values = elsewhere.flatMap((other) => this.#valuesIn(other, name));
    return values.length > 0 ? agreed([...(own ? [own] : []), ...values]) : own;
  }

  #valuesIn(scope: Scope, name: string): readonly Value[] {
    const bindings = scope.bindings.byName.get(name) ?? [];
    return bindings.map((binding) => this.#value(binding.value, scope, binding.at));
  }

  /** The value the reaching bindings agree on; undefined where a class body has not bound the name yet. */
  #bound(bindings: readonly Binding[], scope: Scope, at: number): Value | undefined {
    const reaching = reachingBindings(bindings, at);
    if (reaching.length === 0) {
      return scope.kind === 'class' ? undefined : unknown;
    }
    const values = reaching.map((binding) => this.#value(binding.value, scope, binding.at));
    const imports = reaching.filter((binding) => binding.value.kind === 'import').length;
    return imports === 0
      ? agreed(values)
      : agreed(values, (path) => this.#isFallback(path, imports === reaching.length));
  }

  /** Whether a name gives way to another that it stands in for: it belongs to a library that we know nothing of. */
  #isFallback(path: string, areImports: boolean): boolean {
    const isForeign = !Object.hasOwn(this.#table.file.versions, path.split('.')[0] ?? '');
    return (isForeign || areImports) && !this.#table.card(path);
  }

  #value(value: BindingValue, scope: Scope, at: number): Value {
    switch (value.kind) {
      case 'import':
        return this.imported(value.path);
      case 'expression':
        return this.#held(this.expression(value.expression, scope, Math.min(value.expression.from, at)));
      case 'annotation':
        return this.#annotated(value.annotation, scope, this.annotationTime(at));
      case 'parameter':
        return this.#parameter(value, scope);
      case 'class':
      case 'function':
        return this.definition(value.node);
      default:
        return unknown;
    }
  }

  /** What a variable holds is not the property that its value was read from: `shape = x.shape` is some shape. */
  #held(value: Value): Value {
    return value.kind === 'path' && this.#kindOf(value.path) === 'property' ? unknown : value;
  }

  #kindOf(path: string): SymbolFacts['kind'] | undefined {
    return this.#table.facts(path)?.kind;
  }

  #parameter(parameter: BindingValue & { readonly kind: 'parameter' }, scope: Scope): Value {
    const owner = parameter.isSelf ? this.#scopes.classAround(scope) : undefined;
    if (owner) {
      return { kind: 'ownInstance', scope: owner };
    }
    const outside = scope.parent ?? scope;
    const usual = parameter.default && this.expression(parameter.default, outside, scope.node.from);
    if ((usual?.kind === 'path' && this.#kindOf(usual.path) !== 'value') || usual?.kind === 'instance') {
      return usual;
    }
    const time = this.annotationTime(scope.node.from);
    return parameter.annotation ? this.#annotated(parameter.annotation, outside, time) : unknown;
  }

  /** `x: torch.Tensor` and `x: Optional[torch.Tensor]` are objects of the class. */
  #annotated(annotation: Expression, scope: Scope, at: number): Value {
    if (annotation.kind === 'subscript') {
      const generic = this.expression(annotation.object, scope, at);
      return generic.kind === 'path' && generic.path === 'typing.Optional' && annotation.index
        ? this.#annotated(annotation.index, scope, at)
        : unknown;
    }
    return this.#instance(this.expression(annotation, scope, at));
  }

  #instance(type: Value): Value {
    if (type.kind === 'ownClass') {
      return { kind: 'ownInstance', scope: type.scope };
    }
    return type.kind === 'path' && this.#table.isClass(type.path) ? { kind: 'instance', type: type.path } : unknown;
  }

  #call(call: Expression & { readonly kind: 'call' }, scope: Scope, at: number): Value {
    const callee = this.expression(call.callee, scope, at);
    if (callee.kind !== 'path') {
      return this.#instance(callee);
    }
    if (callee.path === 'functools.partial') {
      const [called] = call.arguments;
      return called && !called.spread ? this.expression(called.value, scope, at) : unknown;
    }
    if (callee.path === 'builtins.super' || callee.path === 'super') {
      const owner = this.#scopes.classAround(scope);
      return owner ? { kind: 'super', scope: owner } : unknown;
    }
    const returns = this.#table.facts(callee.path)?.returns;
    if (returns === 'self') {
      return call.callee.kind === 'attribute' ? this.expression(call.callee.object, scope, at) : unknown;
    }
    if (returns !== undefined) {
      return { kind: 'instance', type: returns };
    }
    return this.#instance(callee);
  }

  attribute(object: Value, name: string): Value {
    switch (object.kind) {
      case 'path':
        return this.#memberOfPath(object.path, name);
      case 'instance':
        return this.#member(object.type, name);
      case 'ownInstance':
        return this.#ownAttribute(object.scope, name, new Set());
      case 'ownClass':
        return this.#ownAttribute(object.scope, name, new Set());
      case 'super':
        return this.#inherited(object.scope, name, new Set([object.scope]));
      default:
        return unknown;
    }
  }

  #memberOfPath(path: string, name: string): Value {
    const inherited = this.#table.isClass(path) ? this.#table.member(path, name) : undefined;
    return this.#path(inherited ?? `${path}.${name}`);
  }

  #member(type: string, name: string): Value {
    const path = this.#table.member(type, name);
    return path === undefined ? unknown : { kind: 'path', path };
  }

  /** What `self.name` is: bound in the class body, assigned by a method, or inherited. */
  #ownAttribute(owner: Scope, name: string, seen: Set<Scope>): Value {
    if (seen.has(owner) || this.#depth > maximumDepth) {
      return unknown;
    }
    seen.add(owner);
    const assigned = this.#assignedBySelf(owner, name);
    const inBody = owner.bindings.byName.get(name);
    if (inBody) {
      const value = this.#bound(inBody, owner, Number.POSITIVE_INFINITY) ?? unknown;
      return agreed([value, ...assigned]);
    }
    return assigned.length > 0 ? agreed(assigned) : this.#inherited(owner, name, seen);
  }

  #assignedBySelf(owner: Scope, name: string): readonly Value[] {
    const values: Value[] = [];
    this.#depth += 1;
    for (const method of [...owner.bindings.byName.values()].flat()) {
      const scope = method.value.kind === 'function' ? this.#scopes.of(method.value.node) : undefined;
      const self = scope && [...scope.bindings.byName.values()].flat().find(isSelf)?.name;
      for (const attribute of scope?.bindings.attributes ?? []) {
        if (scope && attribute.object === self && attribute.name === name) {
          values.push(this.#value(attribute.value, scope, Number.POSITIVE_INFINITY));
        }
      }
    }
    this.#depth -= 1;
    return values;
  }

  #inherited(owner: Scope, name: string, seen: Set<Scope>): Value {
    const list = owner.node.getChild('ArgList');
    const outside = owner.parent ?? owner;
    const bases = list ? argumentsOf(list, this.#scopes.module.text).filter((base) => base.keyword === undefined) : [];
    for (const base of bases) {
      const type = this.expression(base.value, outside, owner.node.from);
      const value =
        type.kind === 'ownClass'
          ? this.#ownAttribute(type.scope, name, seen)
          : type.kind === 'path'
            ? this.#member(type.path, name)
            : unknown;
      if (value.kind !== 'unknown') {
        return value;
      }
      if (type.kind === 'unknown') {
        // A base that cannot be known may define the attribute.
        return unknown;
      }
    }
    return unknown;
  }

  #starred(name: string): Value | undefined {
    const stars = this.#scopes.of(this.#scopes.module.tree.topNode).bindings.stars;
    return stars
      .map((module) => this.imported(importedPath(module, name)))
      .findLast((value) => value.kind === 'path' && this.#table.card(value.path) !== undefined);
  }

  #builtin(name: string): Value {
    const path = `builtins.${name}`;
    return this.#table.card(path) || name === 'super' ? { kind: 'path', path } : unknown;
  }
}

/** The bindings that an offset may see, the nearest first. */
function reachingBindings(bindings: readonly Binding[], at: number): readonly Binding[] {
  const reaching: Binding[] = [];
  let certainFrom = -1;
  for (const binding of bindings.toReversed().filter((candidate) => candidate.at <= at)) {
    const isCertain = !binding.place.branch || isWithin(binding.place.branch, at);
    if (isCertain || binding.value.kind !== 'deleted') {
      reaching.push(binding);
    }
    if (isCertain) {
      certainFrom = binding.at;
      break;
    }
  }
  const nextRound = bindings.filter(
    (binding) => binding.at > at && binding.place.loops.some((loop) => loop.from > certainFrom && isWithin(loop, at)),
  );
  return [...reaching, ...nextRound];
}

function isWithin({ from, to }: Range, at: number): boolean {
  return from <= at && at < to;
}

function isSelf(binding: Binding): boolean {
  return binding.value.kind === 'parameter' && binding.value.isSelf;
}

/** `Linear.forward` for a method, `relu` for a function; nothing for what a function defines inside itself. */
function definedPath(definition: SyntaxNode, text: string): string | undefined {
  const name = definition.getChild('VariableName');
  const owner = enclosingClass(definition);
  const around = owner && definedPath(owner, text);
  if (!name || (owner ? around === undefined : isNested(definition))) {
    return undefined;
  }
  const own = text.slice(name.from, name.to);
  return around === undefined ? own : `${around}.${own}`;
}

function isNested(definition: SyntaxNode): boolean {
  for (let parent = definition.parent; parent; parent = parent.parent) {
    if (parent.name === 'FunctionDefinition' || parent.name === 'ClassDefinition') {
      return true;
    }
  }
  return false;
}
