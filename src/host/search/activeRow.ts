/**
 * The row that Enter means. VS Code reports the active row as a number, and the extension host looks that number up in
 * the rows that were set last: a report on older rows, under way when new ones were set, then names a row that the user
 * never saw marked. So reports on new rows count from the one on that says the row is active which VS Code marks first.
 */
export class ActiveRow<Row> {
  #marked: Row | undefined;
  #isShown = false;

  /** New rows were set, of which VS Code will mark this one. */
  expect(row: Row | undefined): void {
    this.#marked = row;
    this.#isShown = false;
  }

  report(row: Row | undefined): void {
    this.#isShown ||= row === this.#marked;
    if (this.#isShown) {
      this.#marked = row;
    }
  }

  get row(): Row | undefined {
    return this.#marked;
  }
}
