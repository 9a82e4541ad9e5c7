/** The files that hovers are measured in, and how often: cold, warm, right after an edit. */
export const hoverSizes = [
  { lines: 200, colds: 10, warms: 100, edits: 40 },
  { lines: 2000, colds: 8, warms: 100, edits: 40 },
  { lines: 20000, colds: 4, warms: 60, edits: 20 },
] as const;
