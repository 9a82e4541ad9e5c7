import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { suite, test } from '../support/hostSuite';
import { ourExtension } from './ourExtension';

const name = 'mlFieldNotes_lookup_topic';

suite('the language-model tool', () => {
  test('is offered with what package.json says of it', async () => {
    await ourExtension().activate();
    const tool = vscode.lm.tools.find((each) => each.name === name);
    assert.match(tool?.description ?? '', /machine-learning topic/);
    const schema = tool?.inputSchema as { readonly required?: readonly string[] } | undefined;
    assert.deepEqual(schema?.required, ['query']);
  });

  test('answers with the reviewed text, its traps and its sources', async () => {
    const text = await lookUp({ query: 'layernrom', language: 'en' });
    assert.match(text, /^# Layer normalization/);
    for (const heading of ['## In one line', '## Formula', '## Pitfalls', '## Sources']) {
      assert.ok(text.includes(heading), heading);
    }
    assert.match(text, /topic\/layer-normalization/);
  });

  test('answers in Chinese', async () => {
    assert.match(await lookUp({ query: '交叉熵', language: 'zh-cn' }), /^# 交叉熵损失[\s\S]*## 常见陷阱/);
  });

  test('stays within the budget of its caller', async () => {
    const budget = 700;
    const text = await lookUp({ query: 'adam', language: 'en' }, budget);
    assert.match(text, /^# Adam/);
    assert.ok(text.length <= budget, `${text.length} letters`);
  });

  test('says so where there is nothing', async () => {
    assert.match(await lookUp({ query: 'zqxwv' }), /no topic/);
  });
});

/** Calls the tool; the budget counts letters. */
async function lookUp(input: object, tokenBudget?: number): Promise<string> {
  const tokenizationOptions =
    tokenBudget === undefined ? undefined : { tokenBudget, countTokens: async (text: string) => text.length };
  const { content } = await vscode.lm.invokeTool(name, {
    input,
    toolInvocationToken: undefined,
    ...(tokenizationOptions ? { tokenizationOptions } : {}),
  });
  return content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');
}
