import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { contentCounts, type SeedEntry, seedCounts } from '../../src/build/contentCoverage';
import { Problems } from '../../src/build/problems';
import { readNotes } from '../../src/build/readNotes';

const notes = readNotes('resources/notes', new Problems());
const counts = contentCounts(notes);

suite('the field guide is whole', () => {
  test('every topic has an article in both languages', () => {
    const unwritten = notes.topics.filter(({ articles }) => articles.size < 2).map(({ source }) => source.value.id);
    assert.deepEqual(unwritten, []);
    assert.ok(counts.topics >= 220);
  });

  test('no section is without content, no article without a figure or a calculator', () => {
    assert.deepEqual(counts.stubs, []);
    assert.deepEqual(counts.unshown, []);
  });

  test('every entry of the collections is answered', () => {
    const file = 'test/fixtures/inventory/seed-entries.json';
    const entries: readonly SeedEntry[] = JSON.parse(readFileSync(file, 'utf8'));
    const open = seedCounts(entries, notes).filter(({ entries: all, answered }) => answered < all);
    assert.deepEqual(open, []);
  });
});
