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
  /** The innermost branch or loop that the statement stands in; outside of it the binding may not have happened. */
  readonly branch: { readonly from: number; readonly to: number } | undefined;
  readonly value: BindingValue;
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

const comprehension = /Comprehension/;
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
      reader.readChildren(body, undefined);
    }
  } else if (scope.name === 'ClassDefinition') {
    const body = scope.getChild('Body');
    if (body) {
      reader.readChildren(body, undefined);
    }
  } else if (comprehension.test(scope.name)) {
    reader.readComprehension(scope);
  } else {
    reader.readChildren(scope, undefined);
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

type Branch = Binding['branch'];

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

  readChildren(node: SyntaxNode, branch: Branch): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      this.#read(child, branch);
    }
  }

  #read(node: SyntaxNode, branch: Branch): void {
    switch (node.name) {
      case 'ImportStatement':
        return this.#readImport(node, branch);
      case 'AssignStatement':
        this.#readAssignment(node, branch);
        return this.readChildren(node, branch);
      case 'UpdateStatement':
        return this.#bindTarget(node.firstChild, node.to, branch, { kind: 'unknown' });
      case 'FunctionDefinition':
      case 'ClassDefinition':
        return this.#bindDefinition(node, branch);
      case 'ForStatement':
        this.#readFor(node, branch);
        return this.readChildren(node, { from: node.from, to: node.to });
      case 'WithStatement':
        this.#readAs(node, branch);
        return this.readChildren(node, branch);
      case 'TryStatement':
        this.#readAs(node, { from: node.from, to: node.to });
        return this.#readBlocks(node);
      case 'IfStatement':
      case 'WhileStatement':
        return this.#readBlocks(node);
      case 'MatchClause':
        this.#readCaptures(node, { from: node.from, to: node.to });
        return this.readChildren(node, { from: node.from, to: node.to });
      case 'DeleteStatement':
        return this.#readTargets(node, node.to, branch, { kind: 'deleted' });
      case 'ScopeStatement':
        return this.#readScopeStatement(node);
      case 'NamedExpression':
        this.#bindTarget(node.firstChild, node.to, branch, this.#valueOf(node.lastChild));
        return this.readChildren(node, branch);
      case 'TypeDefinition':
        return this.#bindTarget(node.getChild('VariableName'), node.to, branch, { kind: 'unknown' });
      case 'LambdaExpression':
        return;
      default:
        return comprehension.test(node.name) ? undefined : this.readChildren(node, branch);
    }
  }

  /** Each block of an `if`, `while` or `try` is a branch of its own. */
  #readBlocks(node: SyntaxNode): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      this.#read(child, child.name === 'Body' ? { from: child.from, to: child.to } : { from: node.from, to: node.to });
    }
  }

  #bind(name: string, at: number, branch: Branch, value: BindingValue): void {
    const bindings = this.#byName.get(name);
    const binding = { name, at, branch, value };
    if (bindings) {
      bindings.push(binding);
    } else {
      this.#byName.set(name, [binding]);
    }
  }

  #bindDefinition(node: SyntaxNode, branch: Branch): void {
    const name = node.getChild('VariableName');
    if (name) {
      const kind = node.name === 'ClassDefinition' ? 'class' : 'function';
      this.#bind(this.#slice(name), node.from, branch, { kind, node });
    }
  }

  #readImport(node: SyntaxNode, branch: Branch): void {
    const module = moduleOf(node, this.#text);
    let path = '';
    let alias: SyntaxNode | undefined;
    const finish = () => {
      if (path !== '' && module === undefined) {
        const bound = alias ? this.#slice(alias) : (path.split('.')[0] ?? path);
        this.#bind(bound, node.to, branch, { kind: 'import', path: alias ? path : bound });
      } else if (path !== '' && module !== undefined) {
        const bound = alias ? this.#slice(alias) : path;
        this.#bind(bound, node.to, branch, { kind: 'import', path: importedPath(module, path) });
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

  #readAssignment(node: SyntaxNode, branch: Branch): void {
    const operators = node.getChildren('AssignOp');
    const last = operators.at(-1);
    const annotation = node.getChild('TypeDef');
    if (!last) {
      const type = annotation?.lastChild;
      if (type) {
        this.#bindTarget(node.firstChild, node.to, branch, {
          kind: 'annotation',
          annotation: expressionOf(type, this.#text),
        });
      }
      return;
    }
    const value = last.nextSibling?.nextSibling ? ({ kind: 'unknown' } as const) : this.#valueOf(last.nextSibling);
    for (let child = node.firstChild; child && child.from < last.from; child = child.nextSibling) {
      const isAlone =
        [null, undefined, 'AssignOp', 'TypeDef'].includes(child.nextSibling?.name) && child.prevSibling?.name !== ',';
      if (child.name !== 'TypeDef') {
        this.#bindTarget(child, node.to, branch, isAlone ? value : { kind: 'unknown' });
      }
    }
  }

  #valueOf(node: SyntaxNode | null): BindingValue {
    return node ? { kind: 'expression', expression: expressionOf(node, this.#text) } : { kind: 'unknown' };
  }

  /** Binds a target: a name, an attribute of a name, or what a tuple or list unpacks. */
  #bindTarget(node: SyntaxNode | null, at: number, branch: Branch, value: BindingValue): void {
    switch (node?.name) {
      case 'VariableName':
        return this.#bind(this.#slice(node), at, branch, value);
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
        return this.#readTargets(node, at, branch, { kind: 'unknown' });
      default:
    }
  }

  #readTargets(node: SyntaxNode, at: number, branch: Branch, value: BindingValue): void {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      this.#bindTarget(child, at, branch, value);
    }
  }

  #readFor(node: SyntaxNode, branch: Branch): void {
    for (let child = node.firstChild; child && child.name !== 'in'; child = child.nextSibling) {
      this.#bindTarget(child, child.to, branch ?? { from: node.from, to: node.to }, { kind: 'unknown' });
    }
  }

  /** `with … as name` and `except … as name`. */
  #readAs(node: SyntaxNode, branch: Branch): void {
    for (const word of node.getChildren('as')) {
      this.#bindTarget(word.nextSibling, word.to, branch, { kind: 'unknown' });
      // `as (a, b)` is parsed as `as a, b`; a plain name that follows may be the rest of a target.
      for (let next = word.nextSibling; next?.nextSibling?.name === ','; next = next.nextSibling.nextSibling) {
        const following = next.nextSibling.nextSibling;
        this.#bindTarget(following?.nextSibling?.name === 'as' ? null : following, word.to, branch, {
          kind: 'unknown',
        });
      }
    }
  }

  #readCaptures(node: SyntaxNode, branch: Branch): void {
    if (node.name === 'Body') {
      return;
    }
    for (let child = node.firstChild; child; child = child.nextSibling) {
      const captured =
        node.name === 'CapturePattern' || (node.name === 'AsPattern' && child.prevSibling?.name === 'as');
      if (captured && child.name === 'VariableName') {
        this.#bind(this.#slice(child), child.to, branch, { kind: 'unknown' });
      }
      this.#readCaptures(child, branch);
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
      this.#bind(this.#slice(child), list.from, undefined, {
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
        this.#bindTarget(child, node.from, undefined, { kind: 'unknown' });
      }
    }
  }

  #slice(node: SyntaxNode): string {
    return this.#text.slice(node.from, node.to);
  }
}
