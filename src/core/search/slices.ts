/** Lets what waits run first: a keystroke, a hover. */
export type Pause = () => Promise<void>;

const sliceMilliseconds = 8;

const nextTurn: Pause = () => new Promise((resolve) => setTimeout(resolve));

/** Goes through many items without holding up the rest of the extension host for longer than a slice. */
export async function inSlices<T>(items: Iterable<T>, each: (item: T) => void, pause: Pause = nextTurn): Promise<void> {
  let end = performance.now() + sliceMilliseconds;
  for (const item of items) {
    each(item);
    if (performance.now() > end) {
      await pause();
      end = performance.now() + sliceMilliseconds;
    }
  }
}
