import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { checkNotes } from '../../../src/build/checkNotes';
import { describeProblem, Problems } from '../../../src/build/problems';
import { readNotes } from '../../../src/build/readNotes';

const topic = 'layers/normalization-layers/layer-normalization';

/** What the build reports on the shipped notes after one file was changed; paths are relative to the notes. */
function problemsAfter(file: string, change: (text: string) => string | undefined): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'notes-'));
  try {
    cpSync('resources/notes', folder, { recursive: true });
    const path = join(folder, file);
    const changed = change(readFileSync(path, 'utf8'));
    if (changed === undefined) {
      rmSync(path);
    } else {
      writeFileSync(path, changed);
    }
    const problems = new Problems();
    checkNotes(readNotes(folder, problems), problems);
    return problems.all.map((problem) => describeProblem(problem).replace(`${folder}/`, ''));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const lineOf = (text: string, part: string) => text.slice(0, text.indexOf(part)).split('\n').length;
const english = readFileSync(`resources/notes/${topic}/en.md`, 'utf8');

suite('the build names the place and the reason of', () => {
  const cases: readonly (readonly [string, string, (text: string) => string | undefined, RegExp])[] = [
    ['broken YAML', 'topic.yaml', (text) => text.replace('aliases:', 'aliases: [\n'), /topic\.yaml:\d+: /],
    ['a missing field', 'topic.yaml', (text) => text.replace(/^type: .*\n/m, ''), /topic\.yaml:1: type: /],
    ['an unknown field', 'topic.yaml', (text) => `${text}colour: red\n`, /topic\.yaml:\d+: .*colour/],
    [
      'a summary that is too long',
      'topic.yaml',
      (text) => text.replace(/(\n {2}en: Rescales)/, `$1${' very'.repeat(40)}`),
      /summary\.en: must be at most 140/,
    ],
    ['a missing language', 'zh-cn.md', () => undefined, /en\.md:1: zh-cn\.md is missing/],
    [
      'a formula that does not compile',
      'en.md',
      (text) => text.replace('\\frac{1}{H}\\sum', '\\frac{1}{H\\sum'),
      new RegExp(`en\\.md:${lineOf(english, '$$\n\\mu')}: formula does not compile`),
    ],
    [
      'a dead link to a topic',
      'en.md',
      (text) => text.replace('topic:dropout)', 'topic:dropot)'),
      new RegExp(`en\\.md:${lineOf(english, 'topic:dropout)')}: there is no topic dropot`),
    ],
    [
      'a dead link to a heading',
      'en.md',
      (text) => text.replace('topic:dropout)', 'topic:dropout#nowhere)'),
      /has no heading nowhere/,
    ],
    [
      'a dead related topic',
      'topic.yaml',
      (text) => text.replace('related: [', 'related: [nothing, '),
      /topic\.yaml:\d+: related: there is no topic nothing/,
    ],
    [
      'a missing figure',
      'en.md',
      (text) => text.replace('figure-rows.svg', 'figure-row.svg'),
      /there is no figure figure-row\.svg/,
    ],
    ['an unknown section', 'en.md', (text) => text.replace('## Pitfalls', '## Traps'), /"Traps" is not a section/],
    [
      'a section out of order',
      'en.md',
      (text) => text.replace('## Formula', '## Questions'),
      /out of order or stands twice/,
    ],
    [
      'outlines that differ',
      'zh-cn.md',
      (text) => text.replace(/\n### 为什么常数[\s\S]*$/, '\n'),
      /zh-cn\.md:1: the outline differs/,
    ],
    [
      'a folder that no category lists',
      '../category.yaml',
      (text) => text.replace('  - layer-normalization\n', ''),
      /the folder layer-normalization is not listed/,
    ],
    [
      'an id that is not the folder',
      'topic.yaml',
      (text) => text.replace('id: layer-normalization', 'id: layer-norm'),
      /id must be the folder's name/,
    ],
  ];
  for (const [name, file, change, expected] of cases) {
    test(name, () => {
      const found = problemsAfter(join(topic, file), change);
      assert.ok(
        found.some((problem) => expected.test(problem)),
        `expected ${expected}, found:\n${found.join('\n')}`,
      );
    });
  }

  test('nothing in the shipped notes', () => {
    assert.deepEqual(
      problemsAfter(join(topic, 'en.md'), (text) => text),
      [],
    );
  });
});
