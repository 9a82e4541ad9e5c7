import type { SyntaxNode } from '@lezer/common';
import { bindingsOf, enclosingClass, isComprehension, type ScopeBindings } from './bindings';
import type { PythonTree } from './parse';

/** A scope of Python: module, class, function or lambda, comprehension. Its bindings are read when they are needed. */
export interface Scope {
  readonly kind: 'module' | 'class' | 'function' | 'comprehension';
  readonly node: SyntaxNode;
  readonly parent: Scope | undefined;
  readonly bindings: ScopeBindings;
}

const kinds: Readonly<Record<string, Scope['kind']>> = {
  Script: 'module',
  ClassDefinition: 'class',
  FunctionDefinition: 'function',
  LambdaExpression: 'function',
};

function kindOf(node: SyntaxNode): Scope['kind'] | undefined {
  return kinds[node.name] ?? (isComprehension(node) ? 'comprehension' : undefined);
}

/** The scopes of one parsed text, each made once. */
export class Scopes {
  readonly module: PythonTree;
  #declaring: ReadonlyMap<string, readonly Scope[]> | undefined;
  readonly #made = new Map<number, Map<string, Scope>>();

  constructor(module: PythonTree) {
    this.module = module;
  }

  /** The scope in which the code of a node is evaluated. */
  around(node: SyntaxNode): Scope {
    let child: SyntaxNode = node;
    for (let parent = node.parent; parent; child = parent, parent = parent.parent) {
      if (kindOf(parent) && isInside(child, parent, node)) {
        return this.of(parent);
      }
    }
    return this.of(this.module.tree.topNode);
  }

  /** The scope that a node makes. */
  of(node: SyntaxNode): Scope {
    const known = this.#made.get(node.from)?.get(node.name);
    if (known) {
      return known;
    }
    const { text } = this.module;
    let bindings: ScopeBindings | undefined;
    const scope: Scope = {
      kind: kindOf(node) ?? 'module',
      node,
      parent: node.parent ? this.around(node) : undefined,
      get bindings() {
        bindings ??= bindingsOf(node, text);
        return bindings;
      },
    };
    const here = this.#made.get(node.from) ?? new Map<string, Scope>();
    this.#made.set(node.from, here.set(node.name, scope));
    return scope;
  }

  /** The scopes that declare a name `global` or `nonlocal`. */
  declaring(word: 'global' | 'nonlocal', name: string): readonly Scope[] {
    this.#declaring ??= this.#findDeclaring();
    return this.#declaring.get(`${word} ${name}`) ?? [];
  }

  #findDeclaring(): ReadonlyMap<string, readonly Scope[]> {
    const found = new Map<string, Scope[]>();
    for (const { index } of this.module.text.matchAll(/\b(?:global|nonlocal)\b/g)) {
      const node = this.module.tree.resolveInner(index, 1).parent;
      if (node?.name === 'ScopeStatement') {
        const scope = this.around(node);
        for (const name of node.getChildren('VariableName')) {
          const key = `${node.firstChild?.name} ${this.module.text.slice(name.from, name.to)}`;
          found.set(key, [...(found.get(key) ?? []), scope]);
        }
      }
    }
    return found;
  }

  /** The class scope whose method a scope belongs to, through functions nested in the method. */
  classAround(scope: Scope): Scope | undefined {
    for (let at: Scope | undefined = scope; at; at = at.parent) {
      const definition = at.node.name === 'FunctionDefinition' ? enclosingClass(at.node) : undefined;
      if (definition) {
        return this.of(definition);
      }
    }
    return undefined;
  }
}

/** Defaults, annotations, decorators, base classes and what is iterated over are evaluated outside the scope they introduce. */
function isInside(child: SyntaxNode, scope: SyntaxNode, asked: SyntaxNode): boolean {
  switch (scope.name) {
    case 'FunctionDefinition':
    case 'LambdaExpression':
      return child.name === 'ParamList'
        ? isParameterName(asked, child)
        : child.name === 'Body' || scope.name === 'LambdaExpression';
    case 'ClassDefinition':
      return child.name === 'Body';
    case 'Script':
      return true;
    default:
      // What a comprehension first runs over is evaluated outside of it.
      return scope.getChild('in')?.nextSibling?.from !== child.from;
  }
}

function isParameterName(node: SyntaxNode, list: SyntaxNode): boolean {
  return (
    node.name === 'VariableName' &&
    node.parent?.from === list.from &&
    node.parent.name === 'ParamList' &&
    node.prevSibling?.name !== 'AssignOp'
  );
}
