import type { Scope } from './syntax/scopes';

/** What an expression stands for, as far as it can be known without running the program. */
export type Value =
  /** Something of a library, by its canonical path. */
  | { readonly kind: 'path'; readonly path: string }
  /** An object made by a class of a library. */
  | { readonly kind: 'instance'; readonly type: string }
  /** A class of the user's own. */
  | { readonly kind: 'ownClass'; readonly scope: Scope }
  | { readonly kind: 'ownInstance'; readonly scope: Scope }
  /** `super()`: an attribute is looked up from the bases on. */
  | { readonly kind: 'super'; readonly scope: Scope }
  | { readonly kind: 'ownFunction' }
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' };

export const unknown: Value = { kind: 'unknown' };

/**
 * What a name means that several statements may have bound. `None` is a placeholder; of several imports only one needs to be known
 * (a fallback in `try … except ImportError`); any other disagreement means that nothing is said.
 */
export function agreed(values: readonly Value[], isKnown: (path: string) => boolean): Value {
  const real = values.filter((value) => value.kind !== 'none');
  const [first] = real;
  if (!first) {
    return values[0] ?? unknown;
  }
  if (real.every((value) => isSame(value, first))) {
    return first;
  }
  const paths = new Set(real.map((value) => (value.kind === 'path' ? value.path : undefined)));
  const known = [...paths].filter((path) => path !== undefined && isKnown(path));
  return !paths.has(undefined) && known.length === 1 && known[0] !== undefined
    ? { kind: 'path', path: known[0] }
    : unknown;
}

function isSame(one: Value, other: Value): boolean {
  if (one === other) {
    return true;
  }
  if (one.kind === 'path' && other.kind === 'path') {
    return one.path === other.path;
  }
  if (one.kind === 'instance' && other.kind === 'instance') {
    return one.type === other.type;
  }
  return 'scope' in one && 'scope' in other && one.kind === other.kind && one.scope === other.scope;
}
