// Runs in every frame of the browser, as it stands here: reports when a topic stands in its page and when it is painted.
// A webview's frame is blank when this starts and gets its page later by document.open, which timers survive.
if (window !== window.top) {
  let shown = null;
  const now = () => performance.timeOrigin + performance.now();
  const twoFrames = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
  setInterval(() => {
    const topic = document.getElementById('article')?.getAttribute('data-topic') ?? null;
    if (topic === null || topic === shown) return;
    shown = topic;
    const ready = now();
    const report = () => globalThis.reportPaint({ topic, ready, painted: now() });
    // A layout asks for the fonts, and the frame after their arrival shows them.
    requestAnimationFrame(() => document.fonts.ready.then(() => twoFrames(report)));
  }, 4);
}
