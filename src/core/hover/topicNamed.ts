import type { NoteLibrary } from '../library/noteLibrary';
import type { Topic } from '../library/topic';

const byName = new WeakMap<NoteLibrary, ReadonlyMap<string, Topic>>();

/**
 * The topic that a user's own name is called like: `FocalLoss`, `focal_loss` and `focal loss` are one. Single words (`training`,
 * `accuracy`) are too common as names of anything to explain them; abbreviations say nothing for sure.
 */
export function topicNamed(name: string, library: NoteLibrary): Topic | undefined {
  let names = byName.get(library);
  if (!names) {
    names = new Map(
      library.topics.flatMap((topic) => namesOf(topic).map((alias) => [alias, topic] as const)).reverse(),
    );
    byName.set(library, names);
  }
  return names.get(squeezed(name));
}

function namesOf(topic: Topic): readonly string[] {
  return [topic.title.en, ...topic.aliases].filter(hasSeveralWords).map(squeezed);
}

function hasSeveralWords(alias: string): boolean {
  return /^[\x20-\x7e]+$/.test(alias) && /[a-z][ -]?[A-Z]|[a-z][ -][a-z]/.test(alias) && squeezed(alias).length >= 7;
}

function squeezed(name: string): string {
  return name.toLowerCase().replace(/[\s_-]/g, '');
}
