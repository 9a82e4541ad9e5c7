import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { articleViewType, commands, contextKeys, settings, views } from '../../src/contributions';

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
const manifest = read('package.json');
const english: Readonly<Record<string, string>> = read('package.nls.json');
const chinese: Readonly<Record<string, string>> = read('package.nls.zh-cn.json');
const sorted = (values: Iterable<string>) => [...values].sort();

suite('package.json and contributions.ts', () => {
  test('hold the same commands', () => {
    const declared = manifest.contributes.commands.map((command: { command: string }) => command.command);
    assert.deepEqual(sorted(declared), sorted(Object.values(commands)));
  });

  test('hold the same settings', () => {
    assert.deepEqual(
      sorted(Object.keys(manifest.contributes.configuration.properties)),
      sorted(Object.values(settings)),
    );
  });

  test('hold the same views', () => {
    const declared = manifest.contributes.views[views.container].map((view: { id: string }) => view.id);
    const { container: _container, ...ids } = views;
    assert.deepEqual(sorted(declared), sorted(Object.values(ids)));
  });

  test('activate for Python, restored articles and links only', () => {
    assert.deepEqual(manifest.activationEvents, ['onLanguage:python', `onWebviewPanel:${articleViewType}`, 'onUri']);
  });

  test('name every command, key and view that menus use', () => {
    const text = JSON.stringify(manifest.contributes);
    const known = new Set<string>([
      ...Object.values(commands),
      ...Object.values(views),
      ...Object.values(settings),
      ...Object.values(contextKeys),
      articleViewType,
    ]);
    for (const [id] of text.matchAll(/mlFieldNotes(?:\.[A-Za-z]+)+/g)) {
      assert.ok(known.has(id), `${id} is not in contributions.ts`);
    }
  });
});

suite('interface languages', () => {
  test('package.nls has every key of package.json, in both languages and no other', () => {
    const used = sorted(new Set([...JSON.stringify(manifest).matchAll(/%([\w.]+)%/g)].map((match) => match[1] ?? '')));
    assert.deepEqual(sorted(Object.keys(english)), used);
    assert.deepEqual(sorted(Object.keys(chinese)), used);
  });

  test('the zh-cn bundle translates every string of the host and no other, with the same placeholders', () => {
    const bundle: Readonly<Record<string, string>> = read('resources/l10n/bundle.l10n.zh-cn.json');
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const used = new Set<string>();
    for (const file of files) {
      for (const match of readFileSync(join('src', file), 'utf8').matchAll(/l10n\.t\(\s*'((?:[^'\\]|\\.)*)'/g)) {
        used.add(match[1] ?? '');
      }
    }
    assert.deepEqual(sorted(Object.keys(bundle)), sorted(used));
    for (const [source, translation] of Object.entries(bundle)) {
      assert.deepEqual(translation.match(/\{\d\}/g)?.sort(), source.match(/\{\d\}/g)?.sort(), source);
      assert.match(translation, /\p{Script=Han}/u);
    }
  });
});
