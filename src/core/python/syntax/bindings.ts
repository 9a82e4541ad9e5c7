import type { SyntaxNode } from '@lezer/common';
import { importedPath } from '../moduleName';
import { type Expression, expressionOf } from './expressions';

/** What a statement makes of a name. */
export type BindingValue =
  /** A path, with the dots of a relative import. */
  | { readonly kind: 'import'; readonly path: string }
  | { readonly kind: 'expression'; readonly expression: Expression }
  | { readonly kind: 'annotation'; readonly annotation: Expression }
  | {
      readonly kind: 'parameter';
      readonly annotation: Expression | undefined;
      readonly default: Expression | undefined;
      /** The first one of a function that stands in a class. */
      readonly isSelf: boolean;
    }
  | { readonly kind: 'class'; readonly node: SyntaxNode }
  | { readonly kind: 'function'; readonly node: SyntaxNode }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'unknown' };

export interface Binding {
  readonly name: string;
  /** From here on the name means this. */
  readonly at: number;
  readonly place: Place;
  readonly value: BindingValue;
}

/** Where in the flow of its scope a statement stands. */
export interface Place {
  /** The innermost branch or loop around it; outside of it the binding may not have happened. */
  readonly branch: Range | undefined;
  /** All loops around it, outermost first; in them what is bound below is bound above in the next round. */
  readonly loops: readonly Range[];
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface AttributeBinding {
  readonly object: string;
  readonly name: string;
  readonly value: BindingValue;
}

/** Everything one scope says about names; nested scopes are not entered. */
export interface ScopeBindings {
  readonly byName: ReadonlyMap<string, readonly Binding[]>;
  /** Modules of `from … import *`, in order. */
  readonly stars: readonly string[];
  readonly globals: ReadonlySet<string>;
  readonly nonlocals: ReadonlySet<string>;
  /** `self.norm = …` and the like: assignments to attributes of a name. */
  readonly attributes: readonly AttributeBinding[];
}

const always: Place = { branch: undefined, loops: [] };
const branching = new Set(['IfStatement', 'WhileStatement', 'ForStatement', 'TryStatement', 'MatchClause']);

/** Reads the bindings of a module, function, lambda, class or comprehension. */
export function bindingsOf(scope: SyntaxNode, text: string): ScopeBindings {
  const reader = new BindingReader(text);
  if (scope.name === 'FunctionDefinition' || scope.name === 'LambdaExpression') {
    const parameters = scope.getChild('ParamList');
    const inClass = scope.name === 'FunctionDefinition' && enclosingClass(scope) !== undefined;
    if (parameters) {
      reader.readParameters(parameters, inClass && !isStatic(scope, text));
    }
    const body = scope.getChild('Body') ?? (scope.name === 'LambdaExpression' ? scope.lastChild : null);
    if (body) {
      reader.readChildren(body, always);
    }
  } else if (scope.name === 'ClassDefinition') {
    const body = scope.getChild('Body');
    if (body) {
      reader.readChildren(body, always);
    }
  } else if (isComprehension(scope)) {
    reader.readComprehension(scope);
  } else {
    reader.readChildren(scope, always);
  }
  return reader.result();
}

/** The module of `from … import`, with the dots of a relative one; undefined for a plain `import`. */
export function moduleOf(statement: SyntaxNode, text: string): string | undefined {
  const [from, word] = [statement.getChild('from'), statement.getChild('import')];
  return from && word ? text.slice(from.to, word.from).replace(/[\s\\]/g, '') : undefined;
}

/** The class whose body a function stands in directly. */
export function enclosingClass(definition: SyntaxNode): SyntaxNode | undefined {
  let node = definition.parent;
  while (node && (node.name === 'DecoratedStatement' || node.name === 'Body' || branching.has(node.name))) {
    node = node.parent;
  }
  return node?.name === 'ClassDefinition' ? node : undefined;
}

function isStatic(definition: SyntaxNode, text: string): boolean {
  const decorators = definition.parent?.name === 'DecoratedStatement' ? definition.parent.getChildren('Decorator') : [];
  return decorators.some((decorator) =>
    /^@\s*(?:staticmethod|classmethod)\b/.test(text.slice(decorator.from, decorator.to)),
  );
}

/** Also the lone argument of a call: `sum(x for x in y)`. */
export function isComprehension(node: SyntaxNode): boolean {
  return node.name === 'ArgList'
    ? isForClause(node.firstChild?.nextSibling?.nextSibling)
    : /Comprehension/.test(node.name);
}

function isForClause(node: SyntaxNode | null | undefined): boolean {
  return node?.name === 'Comment' ? isForClause(node.nextSibling) : node?.name === 'for' || node?.name === 'async';
}

function rangeOf({ from, to }: SyntaxNode): Range {
  return { from, to };
}

/** What stands between the `=` of an assignment, each part as its elements: `a, b = c, d` has two parts of two. */
function assignedParts(statement: SyntaxNode): SyntaxNode[][] {
  const parts: SyntaxNode[][] = [[]];
  for (let child = statement.firstChild; child; child = child.nextSibling) {
    if (child.name === 'AssignOp') {
      parts.push([]);
    } else if (/^[A-Z]/.test(child.name) && child.name !== 'TypeDef' && child.name !== 'Comment') {
      parts.at(-1)?.push(child);
    }
  }
  return parts;
}

function isStarred(node: SyntaxNode): boolean {
  return node.prevSibling?.name === '*';
}

/** Where the rounds of a `for` begin: its names are bound there. */
export function startOfRounds(statement: SyntaxNode): number {
  return statement.getChild('Body')?.from ?? statement.to;
}

/** The place of what stands in a branch: a block that may be passed over. */
function inBranch({ loops }: Place, branch: SyntaxNode): Place {
  return { branch: rangeOf(branch), loops };
}

class BindingReader {
  readonly #text: string;
  readonly #byName = new Map<string, Binding[]>();
  readonly #stars: string[] = [];
  readonly #globals = new Set<string>();
  readonly #nonlocals = new Set<string>();
  readonly #attributes: AttributeBinding[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  result(): ScopeBindings {
    return {
      byName: this.#byName,
      stars: this.#stars,
      globals: this.#globals,
      nonlocals: this.#nonlocals,
      attributes: this.#attributes,
    };
  }

  readChildren(node: SyntaxNode, place: Place): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      this.#read(child, place);
    }
  }

  #read(node: SyntaxNode, place: Place): void {
    switch (node.name) {
      case 'ImportStatement':
        return this.#readImport(node, place);
      case 'AssignStatement':
        this.readChildren(node, place);
        return this.#readAssignment(node, place);
      case 'UpdateStatement':
        this.readChildren(node, place);
        return this.#bindTarget(node.firstChild, node.to, place, { kind: 'unknown' });
      case 'FunctionDefinition':
      case 'ClassDefinition':
        return this.#readDefinition(node, place);
      case 'ForStatement':
        return this.#readFor(node, place);
      case 'WithStatement':
        this.#readAs(node, place);
        return this.readChildren(node, place);
      case 'TryStatement':
        this.#readAs(node, inBranch(place, node));
        return this.#readBlocks(node, place);
      case 'IfStatement':
        return this.#readBlocks(node, place);
      case 'WhileStatement':
        return this.#readBlocks(node, { branch: place.branch, loops: [...place.loops, rangeOf(node)] });
      case 'MatchClause':
        this.#readCaptures(node, inBranch(place, node));
        return this.readChildren(node, inBranch(place, node));
      case 'DeleteStatement':
        return this.#readTargets(node, node.to, place, { kind: 'deleted' });
      case 'ScopeStatement':
        return this.#readScopeStatement(node);
      case 'NamedExpression':
        this.readChildren(node, place);
        return this.#bindTarget(node.firstChild, node.to, place, this.#valueOf(node.lastChild));
      case 'ArgList':
        return this.#readArguments(node, place);
      case 'ConditionalExpression':
      case 'BinaryExpression':
        // Of `a and (b := c)` the second part may not be evaluated.
        return this.readChildren(node, inBranch(place, node));
      case 'TypeDefinition':
        return this.#bindTarget(node.getChild('VariableName'), node.to, place, { kind: 'unknown' });
      case 'LambdaExpression':
        return this.#readDefaults(node.getChild('ParamList'), place);
      default:
        return isComprehension(node) ? this.#readNamed(node, inBranch(place, node)) : this.readChildren(node, place);
    }
  }

  /** Each block of an `if`, `while` or `try` is a branch of its own; that of `finally` runs in any case. */
  #readBlocks(node: SyntaxNode, place: Place): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      const always = child.prevSibling?.name === 'finally';
      this.#read(child, always ? place : inBranch(place, child.name === 'Body' ? child : node));
    }
  }

  /** In a call `name := value` looks like a keyword to the parser. */
  #readArguments(list: SyntaxNode, place: Place): void {
    if (isComprehension(list)) {
      return this.#readNamed(list, inBranch(place, list));
    }
    for (const operator of list.getChildren('AssignOp')) {
      if (this.#slice(operator) === ':=') {
        this.#bindTarget(
          operator.prevSibling,
          operator.nextSibling?.to ?? operator.to,
          place,
          this.#valueOf(operator.nextSibling),
        );
      }
    }
    this.readChildren(list, place);
  }

  /** Of all that a comprehension binds only `:=` reaches out of it. */
  #readNamed(node: SyntaxNode, place: Place): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      if (child.name === 'NamedExpression') {
        this.#bindTarget(child.firstChild, child.to, place, this.#valueOf(child.lastChild));
      }
      if (child.name !== 'LambdaExpression') {
        this.#readNamed(child, place);
      }
    }
  }

  #readDefinition(node: SyntaxNode, place: Place): void {
    this.#readDefaults(node.getChild('ParamList'), place);
    const bases = node.getChild('ArgList');
    if (bases) {
      this.#read(bases, place);
    }
    this.#bindDefinition(node, place);
  }

  /** Defaults and annotations are evaluated where the function is defined. */
  #readDefaults(list: SyntaxNode | null, place: Place): void {
    if (list) {
      this.readChildren(list, place);
    }
  }

  #bind(name: string, at: number, place: Place, value: BindingValue): void {
    const bindings = this.#byName.get(name);
    const binding = { name, at, place, value };
    if (bindings) {
      bindings.push(binding);
    } else {
      this.#byName.set(name, [binding]);
    }
  }

  #bindDefinition(node: SyntaxNode, place: Place): void {
    const name = node.getChild('VariableName');
    if (name) {
      const kind = node.name === 'ClassDefinition' ? 'class' : 'function';
      this.#bind(this.#slice(name), node.to, place, { kind, node });
    }
  }

  #readImport(node: SyntaxNode, place: Place): void {
    const module = moduleOf(node, this.#text);
    let path = '';
    let alias: SyntaxNode | undefined;
    const finish = () => {
      if (path !== '' && module === undefined) {
        const bound = alias ? this.#slice(alias) : (path.split('.')[0] ?? path);
        this.#bind(bound, node.to, place, { kind: 'import', path: alias ? path : bound });
      } else if (path !== '' && module !== undefined) {
        const bound = alias ? this.#slice(alias) : path;
        this.#bind(bound, node.to, place, { kind: 'import', path: importedPath(module, path) });
      }
      path = '';
      alias = undefined;
    };
    for (let child = node.getChild('import'); child; child = child.nextSibling) {
      if (child.name === 'as') {
        alias = child.nextSibling?.name === 'VariableName' ? child.nextSibling : undefined;
        child = alias ?? child;
      } else if (child.name === '.' || child.name === 'VariableName') {
        path += this.#slice(child);
      } else if (child.name === ',') {
        finish();
      } else if (child.name === '*' && module !== undefined) {
        this.#stars.push(module);
      }
    }
    finish();
  }

  #readAssignment(node: SyntaxNode, place: Place): void {
    const parts = assignedParts(node);
    const values = parts.pop() ?? [];
    const type = node.getChild('TypeDef')?.lastChild;
    if (parts.length === 0 && type) {
      const annotation = expressionOf(type, this.#text);
      this.#bindTarget(node.firstChild, node.to, place, { kind: 'annotation', annotation });
    }
    for (const targets of parts) {
      const isPairwise = targets.length === values.length && ![...targets, ...values].some(isStarred);
      targets.forEach((target, at) => {
        this.#bindTarget(target, node.to, place, isPairwise ? this.#valueOf(values[at] ?? null) : { kind: 'unknown' });
      });
    }
  }

  #valueOf(node: SyntaxNode | null): BindingValue {
    return node ? { kind: 'expression', expression: expressionOf(node, this.#text) } : { kind: 'unknown' };
  }

  /** Binds a target: a name, an attribute of a name, or what a tuple or list unpacks. */
  #bindTarget(node: SyntaxNode | null, at: number, place: Place, value: BindingValue): void {
    switch (node?.name) {
      case 'VariableName':
        return this.#bind(this.#slice(node), at, place, value);
      case 'MemberExpression': {
        const target = expressionOf(node, this.#text);
        if (target.kind === 'attribute' && target.object.kind === 'name') {
          this.#attributes.push({ object: target.object.name, name: target.name, value });
        }
        return;
      }
      case 'TupleExpression':
      case 'ArrayExpression':
      case 'ParenthesizedExpression':
        return this.#readTargets(node, at, place, { kind: 'unknown' });
      default:
    }
  }

  #readTargets(node: SyntaxNode, at: number, place: Place, value: BindingValue): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      this.#bindTarget(child, at, place, value);
    }
  }

  /** The names are bound anew in each round, after what is iterated over was evaluated once. */
  #readFor(node: SyntaxNode, place: Place): void {
    const round = { from: startOfRounds(node), to: node.to };
    const inside: Place = { branch: rangeOf(node), loops: [...place.loops, round] };
    for (let child = node.firstChild; child && child.name !== 'in'; child = child.nextSibling) {
      this.#bindTarget(child, round.from, inside, { kind: 'unknown' });
    }
    this.readChildren(node, inside);
  }

  /** `with … as name` and `except … as name`. */
  #readAs(node: SyntaxNode, place: Place): void {
    for (const word of node.getChildren('as')) {
      this.#bindTarget(word.nextSibling, word.to, place, { kind: 'unknown' });
      // `as (a, b)` is parsed as `as a, b`; a plain name that follows may be the rest of a target.
      for (let next = word.nextSibling; next?.nextSibling?.name === ','; next = next.nextSibling.nextSibling) {
        const following = next.nextSibling.nextSibling;
        this.#bindTarget(following?.nextSibling?.name === 'as' ? null : following, word.to, place, {
          kind: 'unknown',
        });
      }
    }
  }

  #readCaptures(node: SyntaxNode, place: Place): void {
    if (node.name === 'Body') {
      return;
    }
    for (let child = node.firstChild; child; child = child.nextSibling) {
      const captured =
        node.name === 'CapturePattern' || (node.name === 'AsPattern' && child.prevSibling?.name === 'as');
      if (captured && child.name === 'VariableName') {
        this.#bind(this.#slice(child), child.to, place, { kind: 'unknown' });
      }
      this.#readCaptures(child, place);
    }
  }

  #readScopeStatement(node: SyntaxNode): void {
    const names = node.firstChild?.name === 'global' ? this.#globals : this.#nonlocals;
    for (const name of node.getChildren('VariableName')) {
      names.add(this.#slice(name));
    }
  }

  readParameters(list: SyntaxNode, inClass: boolean): void {
    let isFirst = true;
    for (let child = list.firstChild; child; child = child.nextSibling) {
      if (child.name !== 'VariableName' || child.prevSibling?.name === 'AssignOp') {
        continue;
      }
      const type = child.nextSibling?.name === 'TypeDef' ? child.nextSibling : undefined;
      const assigned = (type ?? child).nextSibling;
      const value = assigned?.name === 'AssignOp' ? assigned.nextSibling : undefined;
      const collects = child.prevSibling?.name === '*' || child.prevSibling?.name === '**';
      this.#bind(this.#slice(child), list.from, always, {
        kind: 'parameter',
        annotation: type?.lastChild && !collects ? expressionOf(type.lastChild, this.#text) : undefined,
        default: value ? expressionOf(value, this.#text) : undefined,
        isSelf: inClass && isFirst,
      });
      isFirst = false;
    }
  }

  readComprehension(node: SyntaxNode): void {
    for (const word of node.getChildren('for')) {
      for (let child = word.nextSibling; child && child.name !== 'in'; child = child.nextSibling) {
        this.#bindTarget(child, node.from, always, { kind: 'unknown' });
      }
    }
  }

  #slice(node: SyntaxNode): string {
    return this.#text.slice(node.from, node.to);
  }
}
