import { type ChangedRange, type Tree, TreeFragment } from '@lezer/common';
import { parser } from '@lezer/python';

/** A parsed text. Error-tolerant: half-typed code has a tree as well. */
export interface PythonTree {
  readonly text: string;
  /** What the parser was given: every offset is the same, and it ends with a line of its own. */
  readonly parsed: string;
  readonly tree: Tree;
  /** The newest tree of the document without a mistake, this one included. */
  readonly sound: PythonTree | undefined;
}

/** How long the parser may run before others get a turn, in milliseconds. */
const slice = 12;

/**
 * Parses Python, reusing what the newest tree of the same document without a mistake has unchanged: in a tree with one, a
 * definition below it may have been taken for a part of what is above it, and would stay there after it is mended. Long texts are parsed in slices, so that
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
  const parsed = withinGrammar(text);
  const parse = parser.startParse(parsed, previous?.sound ? unchangedParts(previous.sound, parsed) : []);
  let turnEnds = performance.now() + slice;
  for (;;) {
    const tree = parse.advance();
    if (tree) {
      return withSound({ text, parsed, tree }, previous?.sound);
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

/**
 * What Python allows and the grammar does not know, in other words of the same length: `1.` before something else than a digit,
 * form feeds, `with … as (a, b):`. What stands in a string changes too, but its text is never taken from here. With a line
 * break at the end every block ends behind its last statement.
 */
function withinGrammar(text: string): string {
  return `${text}\n`
    .replace(/(?<![\w.])(\d[\d_]*)\.(?=[eE][+-]?\d|[jJ]\b|(?:and|else|for|if|in|is|not|or)\b|(?![\w.]))/g, (number) =>
      number.replace('.', '0'),
    )
    .replaceAll('\f', ' ')
    .replace(/(\bas[ \t]*)(\([\w\s,]*\))(?=[ \t]*:)/g, (_, word: string, target: string) => word + bare(target));
}

/** A target without its parentheses, on one line. */
function bare(target: string): string {
  return target.replace(/[()\s]/g, ' ').replace(/,( *)$/, ' $1');
}

function unchangedParts(sound: PythonTree, text: string): readonly TreeFragment[] {
  return TreeFragment.applyChanges(TreeFragment.addTree(sound.tree), [changedRange(sound.parsed, text)]);
}

/** A sound tree holds itself, and not the one before it: that would keep every text of a session. */
function withSound(made: Omit<PythonTree, 'sound'>, before: PythonTree | undefined): PythonTree {
  if (hasMistakes(made.tree)) {
    return { ...made, sound: before };
  }
  const sound: PythonTree = { ...made, sound: undefined };
  return { ...made, sound };
}

function hasMistakes(tree: Tree): boolean {
  const cursor = tree.cursor();
  do {
    if (cursor.type.isError) {
      return true;
    }
  } while (cursor.next());
  return false;
}

/** One changed range lies between the common start and the common end of the two texts. */
function changedRange(before: string, text: string): ChangedRange {
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
  return { fromA: start, toA: before.length - end, fromB: start, toB: text.length - end };
}
