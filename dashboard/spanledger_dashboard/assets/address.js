// Has a page drawn again that stands for another address than the browser's. What a reader does before the browser has
// heard of the click before tells the server an address of the past, and that is then drawn under the new one.

(() => {
  const TRIES = 4;
  const BETWEEN = 250;

  function told(query, beside) {
    const all = new URLSearchParams(query);
    for (const name of [...all.keys()]) if (beside.includes(name) || name.startsWith("embed")) all.delete(name);
    all.sort();
    return all.toString();
  }

  function stands(page, query) {
    const here = location.pathname.split("/").findLast(Boolean) ?? "";
    if (page.dataset.page ? here !== page.dataset.page : page.dataset.others.split(" ").includes(here)) return false;
    const beside = query?.dataset.beside.split(" ");
    return !query || told(query.dataset.query, beside) === told(location.search, beside);
  }

  function watch() {
    if (window.watchesAddress) return;
    window.watchesAddress = true;
    let seen = 0;
    let asked = null;
    setInterval(() => {
      const [page, query] = ["page", "query"].map((part) => document.querySelector(`[data-drawn=${part}]`));
      const app = document.querySelector("[data-testid=stApp]");
      if (!page || app?.dataset.testScriptState !== "notRunning") return (seen = 0);
      if (stands(page, query)) return (seen = 0), (asked = null);
      if (++seen < TRIES || asked === location.href) return;
      asked = location.href;
      // What Streamlit's page takes for Back: it tells the server where it is.
      window.dispatchEvent(new PopStateEvent("popstate"));
    }, BETWEEN);
  }

  watch();
})();
