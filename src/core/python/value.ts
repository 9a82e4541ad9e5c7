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
 * What a name means that several statements may have bound. `None` is a placeholder, and so is what `givesWay` to the others (in
 * `try … except ImportError`); any other disagreement means that nothing is said.
 */
export function agreed(values: readonly Value[], givesWay: (path: string) => boolean = () => false): Value {
  const real = values.filter((value) => value.kind !== 'none');
  const lasting = real.filter((value) => value.kind !== 'path' || !givesWay(value.path));
  const [first] = lasting.length > 0 ? lasting : real;
  if (!first) {
    return values[0] ?? unknown;
  }
  return (lasting.length > 0 ? lasting : real).every((value) => isSame(value, first)) ? first : unknown;
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
