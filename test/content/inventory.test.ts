import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { renderArticle } from '../../src/core/article/renderArticle';
import { languages } from '../../src/core/library/language';
import { NoteLibrary, parseLibraryIndex } from '../../src/core/library/noteLibrary';
import type { Topic, TopicSources } from '../../src/core/library/topic';
import { unescapeHtml } from '../support/html';

interface InventoryTopic {
  readonly id: string;
  readonly en: string;
  readonly zh: string;
  readonly category: string;
  readonly aliases: readonly string[];
  readonly symbols: readonly string[];
  readonly seedEntries: readonly string[];
}

interface InventoryCategory {
  readonly id: string;
  readonly en: string;
  readonly zh: string;
  readonly children?: readonly InventoryCategory[];
}

interface InventoryEntry {
  readonly id: string;
  readonly kind: string;
  readonly title: string | null;
  readonly url: string | null;
  readonly annotation?: string;
  readonly topics: readonly string[];
}

const read = (file: string) => JSON.parse(readFileSync(`test/fixtures/inventory/${file}`, 'utf8'));
const inventory: { categories: readonly InventoryCategory[]; topics: readonly InventoryTopic[] } = read('topics.json');
const entries: readonly InventoryEntry[] = read('seed-entries.json');
const library = new NoteLibrary(parseLibraryIndex(readFileSync('dist/index.json', 'utf8')));
const sources: Readonly<Record<string, TopicSources>> = JSON.parse(readFileSync('dist/sources.json', 'utf8'));

/** The topics a reader comes to from the roots of the tree. */
function topicsOfTheTree(): ReadonlyMap<string, Topic> {
  const subcategories = library.rootCategories().flatMap((category) => library.subcategoriesOf(category));
  return new Map(subcategories.flatMap((category) => library.topicsOf(category)).map((topic) => [topic.id, topic]));
}

/** The references a reader sees at the end of a topic's article. */
function shownLinks(topic: Topic, language: 'en' | 'zh-cn'): readonly string[] {
  const own = sources[topic.id];
  assert.ok(own, `${topic.id} has no sources`);
  const { opening, rest } = renderArticle(
    { topic, language, text: undefined, sources: own, figures: new Map() },
    library,
  );
  return [...(opening + rest()).matchAll(/<a href="([^"]+)" data-external>/g)].map((match) =>
    unescapeHtml(match[1] ?? ''),
  );
}

suite('the inventory', () => {
  test('has every category in the tree, at its place and with its titles', () => {
    const roots = library.rootCategories();
    assert.deepEqual(
      roots.map((category) => category.id),
      inventory.categories.map((category) => category.id),
    );
    for (const category of inventory.categories) {
      for (const listed of [category, ...(category.children ?? [])]) {
        assert.deepEqual(library.category(listed.id)?.title, { en: listed.en, 'zh-cn': listed.zh });
      }
      const root = library.category(category.id);
      assert.deepEqual(
        root?.categories,
        category.children?.map((child) => child.id),
      );
    }
  });

  test('has every topic in the tree, with its category, titles, aliases and symbols', () => {
    const tree = topicsOfTheTree();
    const missing = inventory.topics.filter((topic) => !tree.has(topic.id)).map((topic) => topic.id);
    assert.deepEqual(missing, []);
    for (const listed of inventory.topics) {
      const topic = tree.get(listed.id);
      assert.equal(topic?.category, listed.category);
      assert.deepEqual(topic?.title, { en: listed.en, 'zh-cn': listed.zh });
      assert.deepEqual(
        listed.aliases.filter((alias) => !topic?.aliases.includes(alias)),
        [],
        listed.id,
      );
      assert.deepEqual(
        listed.symbols.filter((symbol) => !topic?.symbols.includes(symbol)),
        [],
        listed.id,
      );
    }
  });

  test('has every link on the page of each of its topics, in both languages, with its title and remark', () => {
    const tree = topicsOfTheTree();
    const links = entries.filter((entry) => entry.kind === 'link');
    const missing: string[] = [];
    for (const [id, topic] of tree) {
      const expected = links.filter((entry) => entry.topics.includes(id));
      for (const language of languages) {
        const shown = new Set(shownLinks(topic, language));
        missing.push(
          ...expected
            .filter((entry) => !shown.has(entry.url ?? ''))
            .map((entry) => `${entry.id} in ${id} (${language})`),
        );
      }
      for (const entry of expected) {
        const reference = sources[id]?.references.find((candidate) => candidate.url === entry.url);
        const titles = [reference?.title, reference?.pageTitle, ...(reference?.alsoTitled ?? [])];
        assert.ok(entry.title === null || titles.includes(entry.title), `${entry.id}: the title is lost in ${id}`);
        assert.ok(
          !entry.annotation || reference?.remark?.includes(entry.annotation),
          `${entry.id}: the remark is lost in ${id}`,
        );
      }
    }
    assert.deepEqual(missing, []);
    assert.equal(new Set(links.flatMap((entry) => entry.topics.length)).has(0), false);
  });

  test('has every remark, formula, term, snippet and picture answered by an article once its topic is written', () => {
    const answered: Readonly<Record<string, readonly string[]>> = JSON.parse(
      readFileSync('dist/test/answers.json', 'utf8'),
    );
    const missing = entries
      .filter((entry) => entry.kind !== 'link')
      .flatMap((entry) =>
        entry.topics
          .filter((id) => library.topic(id)?.hasArticle && !answered[id]?.includes(entry.id))
          .map((id) => `${entry.id} (${entry.kind}) in ${id}`),
      );
    assert.deepEqual(missing, []);
  });
});
