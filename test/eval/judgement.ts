import type { SymbolTable } from '../../src/core/library/symbolTable';
import type { Answer } from './answer';
import type { OracleRow } from './oracleRow';

/** How an answer stands to what the oracle says. */
export type Verdict =
  /** Nothing to explain, nothing explained. */
  | { readonly kind: 'silent' }
  | { readonly kind: 'right' }
  | { readonly kind: 'missed'; readonly of: string }
  | { readonly kind: 'wrong'; readonly of: string }
  /** A covered symbol's own definition, or a use of it in the very file that defines it: only the library's source has these. */
  | { readonly kind: 'definition'; readonly of: 'explained' | 'own name' | 'silent' }
  /** Explained by following values (instances, arguments, defaults), which the oracle does not do. */
  | { readonly kind: 'beyond'; readonly of: string }
  /** The oracle itself names several possibilities. */
  | { readonly kind: 'unsure'; readonly of: 'explained' | 'silent' };

/** Judges one answer. Only what is shown counts: a meaning without a hover says nothing to anybody. */
export function judge(row: OracleRow, answer: Answer | null, table: SymbolTable): Verdict {
  const shown = answer?.shown ? answer : null;
  if (row.qualified !== null && table.card(row.qualified)) {
    return row.why === 'own' ? definition(row.qualified, shown) : covered(row, row.qualified, shown, table);
  }
  if (!shown) {
    return candidates(row, table).length > 0 ? { kind: 'unsure', of: 'silent' } : { kind: 'silent' };
  }
  return explained(row, shown, table);
}

function candidates(row: OracleRow, table: SymbolTable): readonly string[] {
  return (row.candidates ?? []).filter((name) => table.card(name));
}

function definition(symbol: string, shown: Answer | null): Verdict {
  if (!shown) {
    return { kind: 'definition', of: 'silent' };
  }
  const { meaning } = shown;
  if (meaning.kind === 'ownName') {
    return { kind: 'definition', of: 'own name' };
  }
  return meaning.kind === 'symbol' && meaning.symbol === symbol
    ? { kind: 'definition', of: 'explained' }
    : { kind: 'wrong', of: 'a definition taken for something else' };
}

function covered(row: OracleRow, symbol: string, shown: Answer | null, table: SymbolTable): Verdict {
  if (!shown) {
    return { kind: 'missed', of: classOfMiss(row, symbol, table) };
  }
  const { meaning } = shown;
  if (meaning.kind !== 'symbol' || meaning.holds !== 'itself') {
    return {
      kind: 'wrong',
      of: `the symbol itself taken for ${meaning.kind === 'symbol' ? 'an instance' : meaning.kind}`,
    };
  }
  return meaning.symbol === symbol ? { kind: 'right' } : { kind: 'wrong', of: 'another symbol' };
}

/** Why a covered symbol may have been missed, by what the oracle knows of its place. */
function classOfMiss(row: OracleRow, symbol: string, table: SymbolTable): string {
  const root = symbol.split('.')[0];
  const where = row.context === 'import' ? 'import' : row.certainty === 'alias' ? 'assigned alias' : 'use';
  const reached = row.path === undefined || table.canonical(row.path) === symbol ? '' : ' by a path not listed';
  const inside = row.file.includes(`/${root}/`) ? ' inside its own library' : '';
  return `${where}${reached}${inside}`;
}

function explained(row: OracleRow, { meaning }: Answer, table: SymbolTable): Verdict {
  const byKind = meaning.kind === 'symbol' ? (meaning.holds === 'itself' ? 'symbol' : 'instance') : meaning.kind;
  if (row.certainty === 'unsure' && meaning.kind === 'symbol' && candidates(row, table).includes(meaning.symbol)) {
    return { kind: 'unsure', of: 'explained' };
  }
  const isLiteral = row.context === 'number' || /^(?:True|False|None)$/.test(row.text);
  if (row.why === 'text') {
    return isLiteral && byKind === 'argument'
      ? { kind: 'beyond', of: 'argument' }
      : { kind: 'wrong', of: `${byKind} in a ${row.context}` };
  }
  if (byKind === 'ownName') {
    return row.why === 'own' || row.why === 'value' || row.certainty === 'unsure'
      ? { kind: 'beyond', of: 'own name' }
      : { kind: 'wrong', of: `own name where it is ${row.qualified ?? row.why}` };
  }
  if (row.qualified !== null) {
    return {
      kind: 'wrong',
      of: row.why === 'own' ? `${byKind} for an own definition` : `${byKind} for an uncovered name`,
    };
  }
  return row.why === 'value' || row.why === 'own'
    ? { kind: 'beyond', of: byKind }
    : { kind: 'wrong', of: `${byKind} for a ${row.why} name` };
}
