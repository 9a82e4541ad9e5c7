import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { NoteFiles } from '../../../src/host/noteFiles';
import { TopicFinder } from '../../../src/host/search/topicFinder';
import { shippedSearch } from '../../search/shippedSearch';

suite('the topic finder', () => {
  test('reads and indexes once, and answers only the newest of the questions that wait for it', async () => {
    const { library, file } = await shippedSearch();
    let reads = 0;
    const files: Pick<NoteFiles, 'search'> = {
      search: async () => {
        reads += 1;
        return file;
      },
    };
    const finder = new TopicFinder(library, files as NoteFiles);
    let box = '';
    const answers = ['a', 'ad', 'ada', 'adam'].map((typed) => {
      box = typed;
      return finder.find(typed, () => box !== typed);
    });
    const found = await Promise.all(answers);
    assert.deepEqual(
      found.map((results) => results[0]?.topic.id),
      [undefined, undefined, undefined, 'adam'],
    );
    assert.equal(reads, 1);
  });
});
