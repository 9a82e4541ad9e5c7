import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { type FormulaFile, formulaImage } from '../../../src/core/hover/formulaPicture';
import { type HoverOptions, hoverContent } from '../../../src/core/hover/hoverContent';
import { topicNamed } from '../../../src/core/hover/topicNamed';
import { NoteLibrary, parseLibraryIndex } from '../../../src/core/library/noteLibrary';
import type { Meaning } from '../../../src/core/python/meaning';
import { table } from '../python/cursor';

const library = new NoteLibrary(parseLibraryIndex(readFileSync('dist/index.json', 'utf8')));
const formulas: FormulaFile = JSON.parse(readFileSync('dist/formulas.json', 'utf8'));
const all: HoverOptions = { mode: 'full', formula: true, shapes: true, facts: true, trap: true, links: true };
const layerNorm: Meaning = { kind: 'symbol', symbol: 'torch.nn.LayerNorm', holds: 'itself', from: 0, to: 1 };
const kinds = (meaning: Meaning, options: Partial<HoverOptions> = {}) =>
  hoverContent(meaning, table, library, 'en', { ...all, ...options })?.map((part) => part.kind);

suite('a hover', () => {
  test('has its parts in order', () => {
    assert.deepEqual(kinds(layerNorm), ['headline', 'formula', 'shapes', 'trap', 'links']);
  });

  test('leaves out what the user switched off', () => {
    assert.equal(kinds(layerNorm, { mode: 'off' }), undefined);
    assert.deepEqual(kinds(layerNorm, { mode: 'compact' }), ['headline', 'links']);
    assert.deepEqual(kinds(layerNorm, { formula: false, trap: false }), ['headline', 'shapes', 'links']);
  });

  test('says that a variable holds an object', () => {
    assert.deepEqual(kinds({ ...layerNorm, holds: 'instance' } as Meaning)?.slice(0, 2), ['headline', 'note']);
  });

  test('says a name once where the other language holds it', () => {
    const own: Meaning = { kind: 'ownName', name: 'FocalLoss', from: 0, to: 1 };
    const [headline] = hoverContent(own, table, library, 'en', all) ?? [];
    assert.ok(headline?.kind === 'headline');
    assert.deepEqual([headline.name, headline.otherName], ['Focal Loss 焦点损失', '']);
  });

  test('explains an argument with the default of the installed library', () => {
    const parts = hoverContent(
      { kind: 'argument', symbol: 'torch.nn.LayerNorm', parameter: 'eps', from: 0, to: 1 },
      table,
      library,
      'zh-cn',
      all,
    );
    const argument = parts?.find((part) => part.kind === 'argument');
    assert.equal(argument?.default, '1e-05');
    assert.match(argument?.prose ?? '', /\p{Script=Han}/u);
  });

  test('links to the article of the topic and to the official page', () => {
    const links = hoverContent(layerNorm, table, library, 'en', all)?.find((part) => part.kind === 'links');
    assert.deepEqual(links, {
      kind: 'links',
      topic: 'layer-normalization',
      docs: 'https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html',
    });
  });

  test('explains a name of the user by a topic of several words, and common words never', () => {
    assert.equal(topicNamed('FocalLoss', library)?.id, 'focal-loss');
    assert.equal(topicNamed('focal_loss', library)?.id, 'focal-loss');
    for (const common of ['train', 'accuracy', 'Dataset', 'LR', 'x', 'loss', 'main']) {
      assert.equal(topicNamed(common, library), undefined, common);
    }
  });
});

suite('the picture of a formula', () => {
  const tex = table.card('torch.nn.LayerNorm')?.formula ?? '';

  test('is an SVG in the colour asked for, with every glyph it uses', () => {
    const image = formulaImage(formulas, tex, '#123456', 15);
    assert.ok(image && image.width > 50 && image.width < 480 && image.height > 10);
    assert.match(image.svg, /fill="#123456"/);
    const defined = new Set([...image.svg.matchAll(/<path id="([^"]+)"/g)].map((match) => match[1]));
    for (const [, used] of image.svg.matchAll(/href="#([^"]+)"/g)) {
      assert.ok(defined.has(used), `${used} is not defined`);
    }
    assert.doesNotMatch(image.svg, /currentColor|<script|on\w+=/);
  });

  test('exists for every card with a formula and fits a hover', () => {
    for (const card of table.file.cards.filter((candidate) => candidate.formula !== undefined)) {
      const image = formulaImage(formulas, card.formula ?? '', '#000', 15);
      assert.ok(image, card.symbols[0]);
      assert.ok(image.width <= 640, `${card.symbols[0]}: ${image.width} px wide`);
      assert.ok(image.svg.length < 60_000, `${card.symbols[0]}: ${image.svg.length} characters`);
    }
  });

  test('is missing for an unknown formula, also for one named like an object member', () => {
    assert.equal(formulaImage(formulas, 'x^{99}', '#000', 15), undefined);
    assert.equal(formulaImage(formulas, 'constructor', '#000', 15), undefined);
  });
});
