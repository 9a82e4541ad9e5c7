// Runs in every frame of the browser, as it stands here: reports when a topic stands in its page and when it is painted.
// A webview's frame is blank when this starts and gets its page later by document.open, which timers survive.
if (window !== window.top) {
  let shown = null;
  const now = () => performance.timeOrigin + performance.now();
  // A message sent from a frame's callback arrives when that frame is painted.
  const nextPaint = () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = resolve;
      requestAnimationFrame(() => port2.postMessage(0));
    });
  const look = async () => {
    const topic = document.getElementById('article')?.getAttribute('data-topic') ?? null;
    if (topic === null || topic === shown) return;
    shown = topic;
    const ready = now();
    await nextPaint();
    // The layout of that frame asked for the fonts it lacks; a frame after their arrival shows them.
    if (document.fonts.status === 'loading') {
      await document.fonts.ready;
      await nextPaint();
    }
    globalThis.reportPaint({ topic, ready, painted: now() });
  };
  setInterval(look, 2);
}
