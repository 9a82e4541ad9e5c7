import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import type { Problems } from './problems';
import type { Notes } from './readNotes';
import { argumentsSchema, type CardSource, cardsSchema, type SignatureSource, signaturesSchema } from './schemas';
import { readYaml, type YamlFile } from './yamlFile';

export interface CardSources {
  readonly files: readonly YamlFile<readonly CardSource[]>[];
  readonly arguments: z.infer<typeof argumentsSchema>;
  readonly signatures: readonly SignatureSource[];
}

/** Reads `resources/symbols`. */
export function readCards(root: string, problems: Problems): CardSources {
  const named = (folder: string, ending: string) =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(ending)) : [];
  const files = named(root, '.yaml')
    .filter((name) => name !== 'arguments.yaml')
    .flatMap((name) => readYaml(join(root, name), cardsSchema, problems) ?? []);
  const signatures = named(join(root, 'signatures'), '.json').flatMap(
    (name) => readYaml(join(root, 'signatures', name), signaturesSchema, problems)?.value ?? [],
  );
  const sharedFile = join(root, 'arguments.yaml');
  const shared = existsSync(sharedFile) ? readYaml(sharedFile, argumentsSchema, problems)?.value : undefined;
  return { files, arguments: shared ?? {}, signatures };
}

/** Checks what a schema cannot say: one card a symbol, existing topics, a reading for every formula. */
export function checkCards(cards: CardSources, notes: Notes, problems: Problems): void {
  const topics = new Set(notes.topics.map((topic) => topic.source.value.id));
  const owners = new Map<string, string>();
  for (const { file, value, lineOf } of cards.files) {
    value.forEach((card, index) => {
      const report = (reason: string) => problems.report(file, lineOf(index), reason);
      for (const symbol of card.symbols) {
        if (owners.has(symbol)) {
          report(`${symbol} has a card in ${owners.get(symbol)} already`);
        }
        owners.set(symbol, file);
      }
      if (card.topic !== undefined && !topics.has(card.topic)) {
        report(`there is no topic ${card.topic}`);
      }
      if ((card.formula === undefined) !== (card.text === undefined)) {
        report('formula and text go together: the text is the formula for a screen reader');
      }
    });
  }
}
