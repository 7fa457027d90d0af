// Runs in every page before its own scripts: notes when something was clicked, what came over the wire, and when what
// was asked for stood on the screen. All times are milliseconds of the page's performance.now().
(() => {
  const noted = { start: -1, sent: [], received: [], changed: 0 };

  const begin = (at) => Object.assign(noted, { start: at, sent: [], received: [], changed: 0 });
  // A press that the page took no notice of is made again: the time runs from the first.
  addEventListener("pointerup", (event) => noted.start < 0 && begin(event.timeStamp), { capture: true });
  window.wasNoticed = () => noted.start >= 0 && noted.sent.length > 0;
  window.goBack = () => {
    begin(performance.now());
    history.back();
  };

  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...parameters) {
      super(...parameters);
      this.addEventListener("message", ({ data }) => {
        noted.received.push([performance.now(), data.byteLength ?? data.size ?? data.length]);
      });
    }
    send(data) {
      noted.sent.push(performance.now());
      super.send(data);
    }
  };

  // What a figure shows of a pointer that rests on it is no part of the figure.
  const isHover = ({ target }) => target.closest?.(".hoverlayer");
  const observer = new MutationObserver((changes) => {
    if (!changes.every(isHover)) noted.changed = performance.now();
  });
  observer.observe(document, { childList: true, subtree: true });

  // Finds what a part of the page holds, in components of their own, too.
  window.holds = (part, wanted) =>
    [...document.querySelectorAll(part)].some((found) =>
      found.querySelector(wanted) || [...found.querySelectorAll("*")].some((one) => one.shadowRoot?.querySelector(wanted)));

  const frame = () => new Promise(requestAnimationFrame);

  // Resolves when `stands`, a function, holds and nothing has changed for `quiet` ms; `from` is when the wait began, if
  // no click is to be waited for.
  window.untilShown = async (stands, quiet, patience, from = -1) => {
    const asked = performance.now();
    noted.start = from;
    while (noted.start < 0 || !stands()) {
      if (performance.now() - asked > patience) throw new Error(`${location.search} ${document.title} never showed ${stands}`);
      await frame();
    }
    await frame();
    const shown = performance.now();
    const sent = noted.sent[0] ?? NaN;
    const received = [...noted.received];
    while (performance.now() - Math.max(noted.changed, shown) < quiet) await frame();
    return {
      shown: shown - noted.start,
      changed: noted.changed - noted.start,
      sent: sent - noted.start,
      first: (received[0]?.[0] ?? NaN) - noted.start,
      last: (received.at(-1)?.[0] ?? NaN) - noted.start,
      bytes: received.reduce((sum, [, size]) => sum + size, 0),
    };
  };
})();
