import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { searchEntries } from '../../src/core/search/searchIndex';
import { PlainFuse } from '../bench/search/plainFuse';
import { type JudgedQuery, judge, readQueries } from '../search/queries';
import { shippedSearch } from '../search/shippedSearch';

const demanded = { first: 95, withinThree: 99 };
const queries = readQueries();

suite('what users type finds the topic', () => {
  test('the list holds enough, and each query once', async () => {
    const { library } = await shippedSearch();
    assert.ok(queries.length >= 420);
    assert.ok(queries.filter(({ part }) => part === 'held').length >= 0.3 * queries.length);
    assert.equal(new Set(queries.map(({ query }) => query)).size, queries.length);
    for (const { query, topics } of queries) {
      assert.deepEqual(
        topics.filter((id) => !library.topic(id)),
        [],
        query,
      );
    }
  });

  for (const part of ['tuned', 'held'] as const) {
    test(`at the first row and within three rows: the ${part} part`, async (context) => {
      const { search } = await shippedSearch();
      const asked = queries.filter((each) => each.part === part);
      const { first, withinThree, misses } = judge(asked, (query) =>
        search.find(query, 3).map((result) => result.topic.id),
      );
      const figures = `${asked.length} queries, first row ${first.toFixed(1)} %, within three ${withinThree.toFixed(1)} %`;
      context.diagnostic(figures);
      const report = `${figures}\n${misses.join('\n')}`;
      assert.ok(first >= demanded.first && withinThree >= demanded.withinThree, report);
    });
  }

  test('each typing error that plain fuse.js finds', async () => {
    const { library, file, search } = await shippedSearch();
    const fuse = new PlainFuse(searchEntries(library, file));
    const isFound = (found: readonly string[], { topics }: JudgedQuery) => found.some((id) => topics.includes(id));
    const lost = queries
      .filter(({ kind }) => kind === 'typo')
      .filter((each) => isFound(fuse.find(each.query, 3), each))
      .filter(
        (each) =>
          !isFound(
            search.find(each.query, 3).map(({ topic }) => topic.id),
            each,
          ),
      );
    assert.deepEqual(
      lost.map(({ query }) => query),
      [],
    );
  });
});
