// Brings what later steps are drawn with while the browser has nothing to do: Streamlit fetches and compiles a kind of
// element when the first one is drawn, so the first click of every visitor would wait for it.

const QUIET = 100;

function stands() {
  const app = document.querySelector("[data-testid=stApp]");
  return app?.dataset.testScriptState === "notRunning" && !document.querySelector("[data-testid=stSkeleton]");
}

function bring(names, base) {
  const [name, ...others] = names;
  if (!name) return;
  const next = () => bring(others, base);
  const file = new URL(name, base).href;
  requestIdleCallback(() => (name.endsWith(".css") ? fetch(file) : import(file)).then(next, next));
}

function begin(names) {
  const own = document.querySelector("script[type=module][src*='static/js/']");
  if (!own || window.broughtAhead) return;
  window.broughtAhead = true;
  const wait = () => (stands() ? bring(names, own.src) : setTimeout(wait, QUIET));
  setTimeout(wait, QUIET);
}
