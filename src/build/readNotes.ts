import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Language, languages } from '../core/library/language';
import type { Problems } from './problems';
import { type CategorySource, categorySchema, type TopicSource, topicSchema } from './schemas';
import { readYaml, type YamlFile } from './yamlFile';

/** A category of either level as its folder holds it. */
export interface CategoryFolder {
  readonly id: string;
  readonly parent?: string | undefined;
  readonly source: YamlFile<CategorySource>;
}

/** A topic's folder: its YAML, its articles (both or none when it is sound) and its figures. */
export interface TopicFolder {
  readonly folder: string;
  readonly source: YamlFile<TopicSource>;
  readonly articles: ReadonlyMap<Language, string>;
  readonly figures: ReadonlyMap<string, string>;
}

export interface Notes {
  readonly categories: readonly CategoryFolder[];
  readonly topics: readonly TopicFolder[];
}

/** Reads `resources/notes` in the order that the category files give. */
export function readNotes(root: string, problems: Problems): Notes {
  const categories: CategoryFolder[] = [];
  const topics: TopicFolder[] = [];
  const visit = (folder: string, parent: string | undefined): void => {
    const file = join(folder, 'category.yaml');
    if (!existsSync(file)) {
      problems.report(folder, 1, 'category.yaml is missing');
      return;
    }
    const source = readYaml(file, categorySchema, problems);
    if (!source) {
      return;
    }
    const id = basename(folder);
    categories.push({ id, parent, source });
    const { categories: children, topics: members } = source.value;
    reportUnlisted(folder, [...(children ?? []), ...(members ?? [])], source, problems);
    for (const child of children ?? []) {
      visit(join(folder, child), id);
    }
    for (const member of members ?? []) {
      const topic = readTopic(join(folder, member), id, problems);
      if (topic) {
        topics.push(topic);
      }
    }
  };
  visit(root, undefined);
  const guide = basename(root);
  const withoutRoot = categories
    .filter((category) => category.id !== guide)
    .map((category) => (category.parent === guide ? { ...category, parent: undefined } : category));
  return { categories: withoutRoot, topics };
}

function subfolders(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('__'))
    .map((entry) => entry.name);
}

function reportUnlisted(
  folder: string,
  listed: readonly string[],
  source: YamlFile<CategorySource>,
  problems: Problems,
): void {
  const present = new Set(subfolders(folder));
  for (const name of present) {
    if (!listed.includes(name)) {
      problems.report(source.file, 1, `the folder ${name} is not listed`);
    }
  }
  for (const name of listed) {
    if (!present.has(name)) {
      problems.report(source.file, 1, `${name} is listed but has no folder`);
    }
  }
}

function readTopic(folder: string, category: string, problems: Problems): TopicFolder | undefined {
  const file = join(folder, 'topic.yaml');
  if (!existsSync(file)) {
    problems.report(folder, 1, 'topic.yaml is missing');
    return undefined;
  }
  const source = readYaml(file, topicSchema, problems);
  if (!source) {
    return undefined;
  }
  if (source.value.id !== basename(folder)) {
    problems.report(file, source.lineOf('id'), `id must be the folder's name, ${basename(folder)}`);
  }
  if (source.value.category !== category) {
    problems.report(file, source.lineOf('category'), `category must be the folder above, ${category}`);
  }
  return { folder, source, articles: readArticles(folder, problems), figures: readFigures(folder) };
}

function readArticles(folder: string, problems: Problems): ReadonlyMap<Language, string> {
  const present = languages.filter((language) => existsSync(join(folder, `${language}.md`)));
  if (present.length === 1) {
    const missing = languages.find((language) => !present.includes(language));
    problems.report(join(folder, `${present[0]}.md`), 1, `${missing}.md is missing: a topic has both articles or none`);
  }
  return new Map(present.map((language) => [language, readFileSync(join(folder, `${language}.md`), 'utf8')]));
}

function readFigures(folder: string): ReadonlyMap<string, string> {
  const files = readdirSync(folder).filter((name) => /^figure-.*\.svg$/.test(name));
  return new Map(files.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}
