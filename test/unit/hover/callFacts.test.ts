import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { type CallFact, callFacts, describeFact } from '../../../src/core/hover/callFacts';
import { meaningAtCursor, table } from '../python/cursor';

/** What the real library computes, written by `src/build/python/call_facts.py`. */
const library: {
  readonly calls: readonly {
    readonly call: string;
    readonly parameters?: number;
    readonly size?: number;
    readonly headSize?: number;
  }[];
  readonly indivisible: readonly string[];
  readonly keptScale: { readonly call: string; readonly value: number };
  readonly shrinkage: { readonly call: string; readonly value: number };
} = JSON.parse(readFileSync('test/fixtures/call-facts.json', 'utf8'));

async function factsOf(call: string): Promise<readonly CallFact[]> {
  const name = call.slice(0, call.indexOf('('));
  const meaning = await meaningAtCursor(`from torch import nn, optim\n${name}|${call.slice(name.length)}`);
  assert.equal(meaning?.kind, 'symbol', call);
  return meaning.kind === 'symbol' && meaning.call ? callFacts(meaning.symbol, meaning.call, table) : [];
}

suite('facts of a call equal what the library computes', () => {
  for (const { call, parameters, size, headSize } of library.calls) {
    test(call, async () => {
      const facts = await factsOf(call);
      const found = {
        parameters: facts.find((fact) => fact.kind === 'parameters')?.count,
        size: facts.find((fact) => fact.kind === 'size')?.to,
        headSize: facts.find((fact) => fact.kind === 'headSize')?.size,
      };
      assert.deepEqual(found, { parameters, size, headSize });
    });
  }

  for (const call of library.indivisible) {
    test(`${call} is said to fail`, async () => {
      assert.deepEqual((await factsOf(call)).map((fact) => fact.kind).includes('indivisible'), true);
    });
  }

  test('scale of dropout and decay of AdamW', async () => {
    const [kept] = await factsOf(library.keptScale.call);
    assert.ok(kept?.kind === 'keptScale' && Math.abs(kept.scale - library.keptScale.value) < 1e-5);
    const [shrunk] = await factsOf(library.shrinkage.call);
    assert.ok(shrunk?.kind === 'shrinkage' && Math.abs(shrunk.share - library.shrinkage.value) < 1e-9);
  });
});

suite('facts of a call', () => {
  test('are left out where an argument that matters is no literal', async () => {
    for (const call of [
      'nn.Linear(width, 10)',
      'nn.Linear(*sizes)',
      'nn.Conv2d(3, 8, k)',
      'nn.Dropout(p)',
      'nn.LSTM(10, hidden)',
    ]) {
      assert.deepEqual(await factsOf(call), [], call);
    }
  });

  test('read in both languages', () => {
    assert.equal(describeFact({ kind: 'parameters', count: 9472 }, 'en'), '9,472 parameters');
    assert.equal(describeFact({ kind: 'size', from: 224, to: 112 }, 'zh-cn'), '尺寸 224 → 112');
  });
});
