import type { SyntaxNode } from '@lezer/common';
import type { SymbolTable } from '../library/symbolTable';
import { importedPath, type ModuleName } from './moduleName';
import { Resolver } from './resolver';
import { moduleOf, startOfRounds } from './syntax/bindings';
import { type Argument, argumentsOf, type Expression, expressionOf, isKeyword } from './syntax/expressions';
import type { PythonTree } from './syntax/parse';
import { Scopes } from './syntax/scopes';
import type { Value } from './value';

/** What a piece of Python means to the field guide. */
export type Meaning = { readonly from: number; readonly to: number } & (
  | {
      readonly kind: 'symbol';
      readonly symbol: string;
      /** Whether the text names the symbol itself, or a variable that holds an object of it. */
      readonly holds: 'itself' | 'instance';
      /** What it is called with, where the name is called. */
      readonly call?: readonly Argument[] | undefined;
    }
  /** An argument of a call: its keyword, or a literal given by position. */
  | { readonly kind: 'argument'; readonly symbol: string; readonly parameter: string }
  /** A definition of the user's own, or the use of one, that may be named like a topic. */
  | { readonly kind: 'ownName'; readonly name: string }
);

/** Objects of these classes are everywhere; to explain each variable that holds one would be noise. */
const tooCommon = new Set(['torch.Tensor']);

const literalNodes = new Set(['Number', 'Boolean', 'None']);

/** Answers what stands at an offset of one parsed text. */
export class MeaningFinder {
  readonly #tree: PythonTree;
  readonly #table: SymbolTable;
  readonly #scopes: Scopes;
  readonly #resolver: Resolver;

  /** `module` is the name of the text where it is a library's own source. */
  constructor(tree: PythonTree, table: SymbolTable, module?: ModuleName) {
    this.#tree = tree;
    this.#table = table;
    this.#scopes = new Scopes(tree);
    this.#resolver = new Resolver(this.#scopes, table, module);
  }

  /** The meaning of the name or literal at an offset; a cursor at the end of a name counts as on it. */
  at(offset: number): Meaning | undefined {
    const node = this.#nodeAt(offset);
    if (!node || isInString(node)) {
      return undefined;
    }
    return literalNodes.has(node.name) ? this.#positional(node) : this.#ofName(node);
  }

  /** The meanings of all names of the text in order; a generator, so that a long text can be read in slices. */
  *all(): Generator<Meaning> {
    const cursor = this.#tree.tree.cursor();
    do {
      if (cursor.name === 'VariableName' || cursor.name === 'PropertyName') {
        const meaning = isInString(cursor.node) ? undefined : this.#ofName(cursor.node);
        if (meaning) {
          yield meaning;
        }
      }
    } while (cursor.next());
  }

  #nodeAt(offset: number): SyntaxNode | undefined {
    const wanted = (node: SyntaxNode) =>
      node.name === 'VariableName' || node.name === 'PropertyName' || literalNodes.has(node.name);
    const right = this.#tree.tree.resolveInner(offset, 1);
    if (wanted(right)) {
      return right;
    }
    const left = this.#tree.tree.resolveInner(offset, -1);
    return wanted(left) ? left : undefined;
  }

  #ofName(node: SyntaxNode): Meaning | undefined {
    const parent = node.parent;
    switch (parent?.name) {
      case 'ImportStatement':
        return this.#symbol(node, this.#imported(node, parent));
      case 'ArgList':
        if (isKeyword(node, this.#tree.text)) {
          return this.#keyword(node, parent);
        }
        break;
      case 'FunctionDefinition':
      case 'ClassDefinition':
        return this.#symbol(node, this.#resolver.definition(parent));
      case 'ParamList':
        if (node.prevSibling?.name !== 'AssignOp') {
          return undefined;
        }
        break;
      case 'ScopeStatement':
      case 'KeywordPattern':
      case 'TypeDefinition':
        return undefined;
      default:
    }
    return this.#symbol(node, this.#valueOf(node));
  }

  #valueOf(node: SyntaxNode): Value {
    const scope = this.#scopes.around(node);
    const at = isInAnnotation(node) ? this.#resolver.annotationTime(node.from) : bindingOffset(node);
    return this.#resolver.expression(this.#expressionUpTo(node), scope, at);
  }

  /** The name with everything before it in its dotted chain. */
  #expressionUpTo(node: SyntaxNode): Expression {
    if (node.name === 'PropertyName' && node.parent?.name === 'MemberExpression') {
      return expressionOf(node.parent, this.#tree.text);
    }
    // Decorators and patterns keep their dotted names flat.
    const dot = node.prevSibling;
    if (dot?.name === '.' && dot.prevSibling && /^(?:Variable|Property)Name$/.test(dot.prevSibling.name)) {
      return {
        kind: 'attribute',
        object: this.#expressionUpTo(dot.prevSibling),
        name: this.#slice(node),
        from: node.from,
        to: node.to,
      };
    }
    return expressionOf(node, this.#tree.text);
  }

  #symbol(node: SyntaxNode, value: Value): Meaning | undefined {
    const { from, to } = node;
    if (value.kind === 'path' && this.#table.card(value.path)) {
      return { kind: 'symbol', symbol: value.path, holds: 'itself', call: this.#calledWith(node), from, to };
    }
    if (value.kind === 'instance' && this.#table.card(value.type) && !tooCommon.has(value.type)) {
      return { kind: 'symbol', symbol: value.type, holds: 'instance', from, to };
    }
    const isOwn = value.kind === 'ownClass' || value.kind === 'ownFunction';
    return isOwn ? { kind: 'ownName', name: this.#slice(node), from, to } : undefined;
  }

  #calledWith(node: SyntaxNode): readonly Argument[] | undefined {
    const called = node.name === 'PropertyName' ? node.parent : node;
    const list = called?.nextSibling;
    return called?.parent?.name === 'CallExpression' && list?.name === 'ArgList'
      ? argumentsOf(list, this.#tree.text)
      : undefined;
  }

  /** What an import statement names at a node: the module up to there, or the thing imported from it. */
  #imported(node: SyntaxNode, statement: SyntaxNode): Value {
    const text = this.#tree.text;
    const named = node.prevSibling?.name === 'as' ? node.prevSibling.prevSibling : node;
    const word = statement.getChild('import');
    if (!named || !word) {
      return { kind: 'unknown' };
    }
    const module = moduleOf(statement, text);
    if (module !== undefined && node.from > word.from) {
      return this.#resolver.imported(importedPath(module, this.#slice(named)));
    }
    let first = named;
    while (first.prevSibling?.name === '.' && first.prevSibling.prevSibling) {
      first = first.prevSibling.prevSibling;
    }
    const start = module === undefined ? first.from : (statement.firstChild?.to ?? first.from);
    return this.#resolver.imported(text.slice(start, named.to).replace(/[\s\\]/g, ''));
  }

  #callee(list: SyntaxNode): string | undefined {
    const call = list.parent;
    const called =
      call?.name === 'Decorator' ? list.prevSibling : call?.name === 'CallExpression' ? call.firstChild : null;
    if (!called) {
      return undefined;
    }
    const value = this.#resolver.expression(
      call?.name === 'Decorator' ? this.#expressionUpTo(called) : expressionOf(called, this.#tree.text),
      this.#scopes.around(list),
      list.from,
    );
    return value.kind === 'path' ? value.path : undefined;
  }

  #keyword(node: SyntaxNode, list: SyntaxNode): Meaning | undefined {
    const name = this.#slice(node);
    const callee = this.#callee(list);
    const place = { from: node.from, to: node.to };
    const target = callee === 'functools.partial' ? this.#firstArgument(list) : callee;
    if (target === undefined) {
      return { kind: 'ownName', name, ...place };
    }
    return this.#explains(target, name) ? { kind: 'argument', symbol: target, parameter: name, ...place } : undefined;
  }

  #firstArgument(list: SyntaxNode): string | undefined {
    const first = list.firstChild?.nextSibling;
    const value =
      first && this.#resolver.expression(expressionOf(first, this.#tree.text), this.#scopes.around(list), list.from);
    return value?.kind === 'path' ? value.path : undefined;
  }

  /** A literal given by position stands for the parameter it fills. */
  #positional(node: SyntaxNode): Meaning | undefined {
    const list = node.parent;
    if (list?.name !== 'ArgList' || node.prevSibling?.name === '*') {
      return undefined;
    }
    const keyword = node.prevSibling?.name === 'AssignOp' ? node.prevSibling.prevSibling : null;
    if (keyword && isKeyword(keyword, this.#tree.text)) {
      const meaning = this.#keyword(keyword, list);
      return meaning?.kind === 'argument' ? { ...meaning, from: node.from, to: node.to } : undefined;
    }
    const callee = this.#callee(list);
    const parameter = callee === undefined ? undefined : this.#filled(node, list, callee);
    return callee !== undefined && parameter !== undefined && this.#explains(callee, parameter)
      ? { kind: 'argument', symbol: callee, parameter, from: node.from, to: node.to }
      : undefined;
  }

  /** The parameter that an argument given by position fills, where no `*` before it hides how many there are. */
  #filled(node: SyntaxNode, list: SyntaxNode, callee: string): string | undefined {
    const given = argumentsOf(list, this.#tree.text);
    const position = given.findIndex(({ value }) => value.from === node.from);
    if (position < 0 || given.slice(0, position).some(({ spread }) => spread) || this.#isUnbound(list, callee)) {
      return undefined;
    }
    const keywords = given.map(({ keyword }) => keyword).filter((keyword) => keyword !== undefined);
    const call = { positional: given.length - keywords.length, keywords, spread: given.some(({ spread }) => spread) };
    return this.#table.parameterAt(callee, position, call)?.name;
  }

  /** Of `Tensor.add(x, 1)` the first argument is the object. */
  #isUnbound(list: SyntaxNode, callee: string): boolean {
    const called = list.parent?.firstChild?.name === 'MemberExpression' ? list.parent.firstChild.firstChild : null;
    if (!called || this.#table.facts(callee)?.kind !== 'method') {
      return false;
    }
    const object = this.#resolver.expression(
      expressionOf(called, this.#tree.text),
      this.#scopes.around(list),
      list.from,
    );
    return object.kind === 'path' && this.#table.isClass(object.path);
  }

  #explains(symbol: string, parameter: string): boolean {
    const card = this.#table.card(symbol);
    return (
      card !== undefined &&
      (card.arguments?.[parameter] !== undefined || this.#table.parameter(symbol, parameter) !== undefined)
    );
  }

  #slice(node: SyntaxNode): string {
    return this.#tree.text.slice(node.from, node.to);
  }
}

/** A name that is being bound means what it is bound to: it is asked for after its own statement. */
function bindingOffset(node: SyntaxNode): number {
  let child = node;
  while (child.parent && ['TupleExpression', 'ArrayExpression'].includes(child.parent.name)) {
    child = child.parent;
  }
  const statement = child.parent;
  if (node.name !== 'VariableName' || !statement) {
    return node.from;
  }
  switch (statement.name) {
    case 'AssignStatement':
      return isTarget(child) ? statement.to : node.from;
    case 'ForStatement':
      return isBefore(child, 'in') ? startOfRounds(statement) : node.from;
    case 'NamedExpression':
      return isBefore(child, 'AssignOp') ? statement.to : node.from;
    case 'ArgList':
      return child.nextSibling?.name === 'AssignOp' ? (child.nextSibling.nextSibling?.to ?? node.from) : node.from;
    default:
      return node.from;
  }
}

function isInAnnotation(node: SyntaxNode): boolean {
  let child = node;
  while (child.parent && /^(?:Member|Call|Binary|Parenthesized|Tuple|Array)Expression$/.test(child.parent.name)) {
    child = child.parent;
  }
  return child.parent?.name === 'TypeDef';
}

function isTarget(child: SyntaxNode): boolean {
  const isValue = child.prevSibling?.name === 'AssignOp' && child.nextSibling?.name !== 'AssignOp';
  return child.nextSibling !== null && !isValue && child.name !== 'TypeDef';
}

function isBefore(node: SyntaxNode, name: string): boolean {
  for (let next = node.nextSibling; next; next = next.nextSibling) {
    if (next.name === name) {
      return true;
    }
  }
  return false;
}

/** Code in an f-string is still text to the reader: nothing is said there. */
function isInString(node: SyntaxNode): boolean {
  for (let parent = node.parent; parent; parent = parent.parent) {
    if (parent.name === 'FormatString') {
      return true;
    }
  }
  return false;
}
