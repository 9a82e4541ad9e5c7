import { readFileSync } from 'node:fs';
import { isNode, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { Problems } from './problems';

/** A YAML file that fits its schema, and where each of its values stands. */
export interface YamlFile<T> {
  readonly file: string;
  readonly value: T;
  /** The line of the value under a path, or of the nearest one above it. */
  readonly lineOf: (...path: readonly PropertyKey[]) => number;
}

/** Reads a YAML file; reports what is broken or does not fit the schema with its line and returns undefined then. */
export function readYaml<T>(file: string, schema: z.ZodType<T>, problems: Problems): YamlFile<T> | undefined {
  const lines = new LineCounter();
  const document = parseDocument(readFileSync(file, 'utf8'), { lineCounter: lines });
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      problems.report(file, lines.linePos(error.pos[0]).line, error.message.split('\n')[0] ?? 'broken YAML');
    }
    return undefined;
  }
  const lineOf = (...path: readonly PropertyKey[]): number => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true);
      if (isNode(node) && node.range) {
        return lines.linePos(node.range[0]).line;
      }
    }
    return 1;
  };
  const result = schema.safeParse(document.toJS());
  if (result.success) {
    return { file, value: result.data, lineOf };
  }
  for (const issue of result.error.issues) {
    problems.report(file, lineOf(...issue.path), `${issue.path.join('.') || 'file'}: ${issue.message}`);
  }
  return undefined;
}
