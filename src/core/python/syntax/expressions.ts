import type { SyntaxNode } from '@lezer/common';

/** An expression as far as it matters for the meaning of names; offsets are those of the text. */
export type Expression =
  | { readonly kind: 'name'; readonly name: string; readonly from: number; readonly to: number }
  | {
      readonly kind: 'attribute';
      readonly object: Expression;
      readonly name: string;
      /** Start of the attribute's own name. */
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: 'call';
      readonly callee: Expression;
      readonly arguments: readonly Argument[];
      readonly from: number;
      readonly to: number;
    }
  /** `None`, `True`, `False` or a string. */
  | { readonly kind: 'literal'; readonly text: string; readonly from: number; readonly to: number }
  /** A number, or arithmetic of numbers: `16 * 4 * 4`. */
  | { readonly kind: 'number'; readonly value: number; readonly from: number; readonly to: number }
  | { readonly kind: 'tuple'; readonly items: readonly Expression[]; readonly from: number; readonly to: number }
  | { readonly kind: 'either'; readonly options: readonly Expression[]; readonly from: number; readonly to: number }
  | {
      readonly kind: 'subscript';
      readonly object: Expression;
      readonly index: Expression | undefined;
      readonly from: number;
      readonly to: number;
    }
  | { readonly kind: 'other'; readonly from: number; readonly to: number };

export interface Argument {
  readonly keyword?: string | undefined;
  /** Where the keyword stands, for an argument that has one. */
  readonly keywordFrom?: number | undefined;
  readonly spread: boolean;
  readonly value: Expression;
}

const literals = new Set(['Boolean', 'None', 'String']);

/** Reads an expression node. */
export function expressionOf(node: SyntaxNode, text: string): Expression {
  const { from, to } = node;
  switch (node.name) {
    case 'VariableName':
      return { kind: 'name', name: text.slice(from, to), from, to };
    case 'MemberExpression':
      return memberOf(node, text);
    case 'CallExpression':
      return callOf(node, text);
    case 'ParenthesizedExpression': {
      const inner = node.firstChild?.nextSibling;
      return inner && inner.nextSibling?.name === ')' ? expressionOf(inner, text) : { kind: 'other', from, to };
    }
    case 'ConditionalExpression':
      return { kind: 'either', options: conditionalOf(node, text), from, to };
    case 'BinaryExpression':
      return binaryOf(node, text);
    case 'UnaryExpression':
      return negated(node, text);
    case 'Number':
      return numberOf(Number(text.slice(from, to).replaceAll('_', '')), node);
    case 'TupleExpression':
    case 'ArrayExpression':
      return { kind: 'tuple', items: operandsOf(node, text), from, to };
    case 'AwaitExpression':
    case 'NamedExpression':
      return node.lastChild ? expressionOf(node.lastChild, text) : { kind: 'other', from, to };
    default:
      return literals.has(node.name)
        ? { kind: 'literal', text: text.slice(from, to), from, to }
        : { kind: 'other', from, to };
  }
}

/** `a if test else b` is `a` or `b`. */
function conditionalOf(node: SyntaxNode, text: string): readonly Expression[] {
  const [value, , otherwise] = operandsOf(node, text);
  return [value, otherwise].filter((option) => option !== undefined);
}

function memberOf(node: SyntaxNode, text: string): Expression {
  const object = node.firstChild;
  const name = node.getChild('PropertyName');
  if (object && name) {
    return {
      kind: 'attribute',
      object: expressionOf(object, text),
      name: text.slice(name.from, name.to),
      from: name.from,
      to: name.to,
    };
  }
  const bracket = node.getChild('[');
  if (object && bracket) {
    const index = bracket.nextSibling;
    return {
      kind: 'subscript',
      object: expressionOf(object, text),
      index: index && index.nextSibling?.name === ']' ? expressionOf(index, text) : undefined,
      from: node.from,
      to: node.to,
    };
  }
  return { kind: 'other', from: node.from, to: node.to };
}

function callOf(node: SyntaxNode, text: string): Expression {
  const callee = node.firstChild;
  const list = node.getChild('ArgList');
  return callee && list
    ? {
        kind: 'call',
        callee: expressionOf(callee, text),
        arguments: argumentsOf(list, text),
        from: node.from,
        to: node.to,
      }
    : { kind: 'other', from: node.from, to: node.to };
}

/** The name before `=` in a call; before `:=` it is a variable. */
export function isKeyword(node: SyntaxNode, text: string): node is SyntaxNode & { readonly nextSibling: SyntaxNode } {
  return node.name === 'VariableName' && node.nextSibling?.name === 'AssignOp' && text[node.nextSibling.from] === '=';
}

/** The arguments of a call in order. */
export function argumentsOf(list: SyntaxNode, text: string): readonly Argument[] {
  const found: Argument[] = [];
  let spread = false;
  for (let child = list.firstChild; child; child = child.nextSibling) {
    if (child.name === '*' || child.name === '**') {
      spread = true;
    } else if (child.name === ',') {
      spread = false;
    } else if (isKeyword(child, text)) {
      const value = child.nextSibling.nextSibling;
      found.push({
        keyword: text.slice(child.from, child.to),
        keywordFrom: child.from,
        spread: false,
        value:
          value && value.name !== ',' && value.name !== ')'
            ? expressionOf(value, text)
            : { kind: 'other', from: child.to, to: child.to },
      });
      child = value && value.name !== ',' && value.name !== ')' ? value : child.nextSibling;
    } else if (child.name === 'AssignOp') {
      // Of `name := value` the value is the argument; the name before it was taken for one.
      found.pop();
    } else if (!['(', ')', 'Comment', '⚠'].includes(child.name)) {
      found.push({ spread, value: expressionOf(child, text) });
    }
  }
  return found;
}

/** `a or b` is one of the two, arithmetic of numbers is a number; other operators compute something new. */
function binaryOf(node: SyntaxNode, text: string): Expression {
  const { from, to } = node;
  const operands = operandsOf(node, text).slice(0, 2);
  if (node.getChild('or')) {
    return { kind: 'either', options: operands, from, to };
  }
  const [left, right] = operands;
  const operator = node.getChild('ArithOp');
  return left?.kind === 'number' && right?.kind === 'number' && operator
    ? numberOf(computed(left.value, text.slice(operator.from, operator.to), right.value), node)
    : { kind: 'other', from, to };
}

function computed(left: number, operator: string, right: number): number {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '//':
      return Math.floor(left / right);
    case '**':
      return left ** right;
    default:
      return Number.NaN;
  }
}

function negated(node: SyntaxNode, text: string): Expression {
  const [operand] = operandsOf(node, text);
  const isMinus = text[node.from] === '-';
  return operand?.kind === 'number' && isMinus
    ? numberOf(-operand.value, node)
    : { kind: 'other', from: node.from, to: node.to };
}

function numberOf(value: number, { from, to }: SyntaxNode): Expression {
  return Number.isFinite(value) ? { kind: 'number', value, from, to } : { kind: 'other', from, to };
}

/** The expressions directly below a node, without operators, brackets and comments. */
function operandsOf(node: SyntaxNode, text: string): readonly Expression[] {
  const operands: Expression[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling) {
    if (/^[A-Z]/.test(child.name) && !['Comment', 'ArithOp', 'BitOp', 'CompareOp'].includes(child.name)) {
      operands.push(expressionOf(child, text));
    }
  }
  return operands;
}
