import { type Tree, TreeFragment } from '@lezer/common';
import { parser } from '@lezer/python';

/** A parsed text. Error-tolerant: half-typed code has a tree as well. */
export interface PythonTree {
  readonly text: string;
  readonly tree: Tree;
}

/** How long the parser may run before others get a turn, in milliseconds. */
const slice = 12;

/**
 * Parses Python, reusing what an earlier tree of the same document has unchanged. Long texts are parsed in slices, so that
 * nothing else in the extension host waits; `cancelled` is asked between them, and undefined is returned when it says yes.
 */
export async function parsePython(
  text: string,
  previous: PythonTree | undefined,
  cancelled: () => boolean,
): Promise<PythonTree | undefined> {
  if (previous?.text === text) {
    return previous;
  }
  const parse = parser.startParse(text, previous ? unchangedParts(previous, text) : []);
  let turnEnds = performance.now() + slice;
  for (;;) {
    const tree = parse.advance();
    if (tree) {
      return { text, tree };
    }
    if (performance.now() > turnEnds) {
      await new Promise((resolve) => setTimeout(resolve));
      if (cancelled()) {
        return undefined;
      }
      turnEnds = performance.now() + slice;
    }
  }
}

/** One changed range lies between the common start and the common end of the two texts. */
function unchangedParts(previous: PythonTree, text: string): readonly TreeFragment[] {
  const before = previous.text;
  const shorter = Math.min(before.length, text.length);
  let start = 0;
  while (start < shorter && before.charCodeAt(start) === text.charCodeAt(start)) {
    start += 1;
  }
  let end = 0;
  while (
    end < shorter - start &&
    before.charCodeAt(before.length - 1 - end) === text.charCodeAt(text.length - 1 - end)
  ) {
    end += 1;
  }
  return TreeFragment.applyChanges(TreeFragment.addTree(previous.tree), [
    { fromA: start, toA: before.length - end, fromB: start, toB: text.length - end },
  ]);
}
