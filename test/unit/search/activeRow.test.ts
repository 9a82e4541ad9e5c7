import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ActiveRow } from '../../../src/host/search/activeRow';

suite('the row that Enter means', () => {
  const [first, second, third] = ['first', 'second', 'third'];

  test('is the first before VS Code has said anything', () => {
    const active = new ActiveRow<string>();
    active.expect(first);
    assert.equal(active.row, first);
  });

  test('is not one of an older list, whose number is looked up in the new one', () => {
    const active = new ActiveRow<string>();
    active.expect('older');
    active.report('older');
    active.expect(first);
    active.report(second);
    assert.equal(active.row, first);
  });

  test('follows the reader once the new rows are on the screen', () => {
    const active = new ActiveRow<string>();
    active.expect(first);
    active.report(first);
    active.report(second);
    active.report(third);
    assert.equal(active.row, third);
  });

  test('is none while VS Code marks none, and none where there are no rows', () => {
    const active = new ActiveRow<string>();
    active.expect(first);
    active.report(first);
    active.report(undefined);
    assert.equal(active.row, undefined);
    active.report(first);
    assert.equal(active.row, first);
    active.expect(undefined);
    assert.equal(active.row, undefined);
  });
});
