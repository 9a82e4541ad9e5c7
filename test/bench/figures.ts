/** Values of one thing, in milliseconds, beside those of the least that could be done, measured in the same run. */
export interface Comparison {
  readonly ours: readonly number[];
  readonly floor: readonly number[];
}

/** Joins the values of several rounds. */
export function joinRounds(rounds: readonly Comparison[]): Comparison {
  return { ours: rounds.flatMap(({ ours }) => ours), floor: rounds.flatMap(({ floor }) => floor) };
}

/** The value below which the given share of the values lies, by the nearest rank. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? Number.NaN;
}

/** Measures two things in turn, `count` times each, and leaves out the first rounds, which load what the later ones use. */
export async function alternate(
  count: number,
  ours: (round: number) => Promise<number>,
  floor: (round: number) => Promise<number>,
  warmUp = 0,
): Promise<Comparison> {
  const values: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  for (let round = 0; round < count + warmUp; round++) {
    const first = round % 2 === 0 ? await ours(round) : await floor(round);
    const second = round % 2 === 0 ? await floor(round) : await ours(round);
    if (round < warmUp) continue;
    values.ours.push(round % 2 === 0 ? first : second);
    values.floor.push(round % 2 === 0 ? second : first);
  }
  return values;
}

/** How long something takes, in milliseconds. */
export async function timed(body: () => unknown): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}
