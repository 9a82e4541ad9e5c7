/** A mistake in a resource, with the place an editor can jump to. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly reason: string;
}

/** Collects what is wrong, so that one run of the build reports everything. */
export class Problems {
  readonly #found: Problem[] = [];

  report(file: string, line: number, reason: string): void {
    this.#found.push({ file, line, reason });
  }

  get all(): readonly Problem[] {
    return this.#found;
  }
}

export function describeProblem({ file, line, reason }: Problem): string {
  return `${file}:${line}: ${reason}`;
}

/** The 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
