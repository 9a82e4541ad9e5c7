import { readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { Paint } from '../paints';

/** The file to which the observer of the browser writes what was painted. */
function paints(): readonly Paint[] {
  const file = vscode.workspace.getConfiguration('bench').get<string>('paints', '');
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Paint);
}

export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Does something that ends in a painted topic, and returns when it began, when it was ready and when it was painted. */
export async function untilPainted(topic: string, body: () => unknown): Promise<Paint & { readonly start: number }> {
  const before = paints().length;
  const start = now();
  await body();
  const deadline = Date.now() + 20_000;
  for (;;) {
    const paint = paints()
      .slice(before)
      .find((each) => each.topic === topic);
    if (paint !== undefined) return { ...paint, start };
    if (Date.now() > deadline) throw new Error(`${topic} was not painted`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
