// The waterfall of a trace: a tree that is opened and closed without asking the server, by mouse and by keyboard.
// Only rows in sight are in the page, so two thousand steps are as quick as ten. Names come from strangers: they are
// set as text, never as HTML.

const ROW = 26;
const AHEAD = 12;
const MOST_INDENT = 12;
const INDENT = 14;
const MARKS = { agent: "◆", tool: "⚙", call: "●", other: "○" };

const shown = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let waterfall = shown.get(parentElement);
  if (!waterfall) {
    waterfall = new Waterfall(parentElement);
    shown.set(parentElement, waterfall);
  }
  waterfall.show(data, (id) => setTriggerValue("picked", id), () => setTriggerValue("drawn", data.trace));
  return () => shown.delete(parentElement);
}

function element(kind, name, text) {
  const made = document.createElement(kind);
  made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

class Waterfall {
  constructor(parent) {
    this.root = element("div", "waterfall");
    this.tools = element("div", "tools");
    this.head = element("div", "head columns");
    this.box = element("div", "box");
    this.canvas = element("div", "canvas");
    this.lines = element("div", "lines columns");
    this.tip = element("div", "tip");
    this.box.setAttribute("role", "tree");
    this.box.tabIndex = 0;
    this.tip.setAttribute("aria-hidden", "true");
    this.box.append(this.canvas);
    this.root.append(this.tools, this.head, this.box, this.tip);
    this.box.onscroll = () => this.draw();
    this.box.onkeydown = (event) => this.key(event);
    this.box.onmousemove = (event) => this.point(event);
    this.box.onmouseleave = () => this.tip.classList.remove("seen");
    this.box.onclick = (event) => this.click(event);
    parent.append(this.root);
  }

  show(data, pick, drawn) {
    this.pick = pick;
    const another = data.trace !== this.trace;
    const before = this.picked;
    // A request that is under way has more steps than it had.
    const other = another || data.rows.length !== this.rows.length || data.rows.some((row, place) => row.id !== this.rows[place].id);
    const known = new Map(another ? [] : this.rows.map((row, place) => [row.id, this.opened.has(place)]));
    Object.assign(this, { trace: data.trace, rows: data.rows, folds: data.folds, picked: data.picked });
    this.root.style.setProperty("--tallest", `${data.tallest}px`);
    this.box.setAttribute("aria-label", data.label);
    if (other) {
      this.children = new Map();
      this.rows.forEach((row, place) => {
        if (!this.children.has(row.parent)) this.children.set(row.parent, []);
        this.children.get(row.parent).push(place);
      });
      this.reset();
      this.rows.forEach((row, place) => {
        if (known.has(row.id)) this.opened[known.get(row.id) ? "add" : "delete"](place);
      });
      this.header(data);
      this.active = 0;
    }
    if (other || this.picked !== before) this.reveal(this.picked);
    this.lay();
    // Two frames later it is on the screen.
    if (another && data.waited) requestAnimationFrame(() => requestAnimationFrame(drawn));
  }

  below(place) {
    return this.children.get(place) ?? [];
  }

  reset() {
    this.opened = new Set(this.rows.flatMap((row, place) => (row.open ? [place] : [])));
    this.unfolded = new Set();
  }

  header(data) {
    this.head.replaceChildren(element("div", "", "step"), element("div", "time"), element("div", "cost", "cost"));
    this.lines.replaceChildren(element("div", ""), element("div", "time"), element("div", ""));
    for (const tick of data.ticks) {
      for (const [axis, text] of [[this.head, tick.text], [this.lines, ""]]) {
        const mark = element("span", "tick", text);
        mark.style.left = `${tick.at * 100}%`;
        mark.classList.toggle("late", tick.at > 0.9);
        axis.children[1].append(mark);
      }
    }
    this.tools.replaceChildren();
    if (!this.folds.length && this.rows.every((row) => row.open)) return;
    this.count = element("span", "count");
    const ways = [
      ["Dearest steps", () => this.reset()],
      ["Expand all", () => this.all(true)],
      ["Collapse all", () => this.all(false)],
    ];
    for (const [text, way] of ways) {
      const button = element("button", "", text);
      button.type = "button";
      button.onclick = () => {
        way();
        this.active = 0;
        this.box.scrollTop = 0;
        this.lay();
      };
      this.tools.append(button);
    }
    this.tools.append(this.count);
  }

  all(open) {
    this.opened = new Set(open ? this.rows.keys() : []);
    this.unfolded = new Set(open ? this.folds.keys() : []);
  }

  reveal(id) {
    const place = id ? this.rows.findIndex((row) => row.id === id) : -1;
    if (place < 0) return;
    for (let above = place; above !== null; above = this.rows[above].parent) {
      if (this.rows[above].fold !== null) this.unfolded.add(this.rows[above].fold);
      if (above !== place) this.opened.add(above);
    }
    this.wanted = place;
  }

  // What is visible now, from top to bottom: places of rows, and folds as {fold}.
  lay() {
    const seen = [];
    const stack = [...this.below(null)].reverse();
    let last = null;
    while (stack.length) {
      const place = stack.pop();
      const row = this.rows[place];
      const hidden = row.fold !== null && !this.unfolded.has(row.fold);
      if (hidden) {
        if (row.fold !== last) seen.push({ fold: row.fold, parent: row.parent });
        last = row.fold;
        continue;
      }
      seen.push({ place, parent: row.parent });
      if (this.opened.has(place)) stack.push(...[...this.below(place)].reverse());
    }
    this.seen = seen;
    this.active = Math.min(this.active, seen.length - 1);
    this.canvas.style.height = `${seen.length * ROW}px`;
    // The header has no scroll bar, so it keeps as much free.
    this.head.style.paddingRight = `${this.box.offsetWidth - this.box.clientWidth}px`;
    if (this.count) {
      const steps = seen.filter((each) => each.place !== undefined).length;
      this.count.textContent = `${steps.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} steps shown`;
    }
    if (this.wanted !== undefined) {
      this.active = Math.max(0, seen.findIndex((each) => each.place === this.wanted));
      this.wanted = undefined;
      this.into();
    }
    this.draw();
  }

  into() {
    const top = this.active * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    const room = this.box.clientHeight || ROW * 10;
    if (top + ROW > this.box.scrollTop + room) this.box.scrollTop = top + ROW - room;
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - AHEAD);
    const room = this.box.clientHeight || 640;
    const end = Math.min(this.seen.length, Math.ceil((this.box.scrollTop + room) / ROW) + AHEAD);
    const drawn = [this.lines];
    for (let at = first; at < end; at++) drawn.push(this.line(at));
    this.canvas.replaceChildren(...drawn);
    this.box.setAttribute("aria-activedescendant", `step-${this.active}`);
  }

  line(at) {
    const { place, fold } = this.seen[at];
    const row = fold === undefined ? this.rows[place] : this.folds[fold];
    const line = element("div", "row columns");
    line.id = `step-${at}`;
    line.dataset.at = at;
    line.style.top = `${at * ROW}px`;
    line.setAttribute("role", "treeitem");
    line.setAttribute("aria-level", row.depth + 1);
    line.classList.toggle("active", at === this.active);
    if (fold !== undefined) {
      line.classList.add("fold");
      line.setAttribute("aria-expanded", "false");
      line.setAttribute("aria-label", [row.name, row.cost].filter(Boolean).join(", "));
    } else {
      this.describe(line, row, place);
    }
    line.append(this.name(row, place, fold), this.time(row, fold), this.cost(row));
    return line;
  }

  describe(line, row, place) {
    const picked = row.id === this.picked;
    line.classList.toggle("picked", picked);
    line.setAttribute("aria-selected", picked);
    if (this.children.has(place)) line.setAttribute("aria-expanded", this.opened.has(place));
    const said = [row.name, row.failed ? "failed" : "", row.cost, row.took];
    line.setAttribute("aria-label", said.filter(Boolean).join(", "));
  }

  name(row, place, fold) {
    const name = element("div", "name");
    name.style.paddingLeft = `${Math.min(row.depth, MOST_INDENT) * INDENT}px`;
    const closed = fold !== undefined || (this.children.has(place) && !this.opened.has(place));
    const twist = element("span", "twist", fold !== undefined ? "⋯" : this.children.has(place) ? (closed ? "▸" : "▾") : "");
    name.append(twist);
    if (fold === undefined) {
      const mark = element("span", "mark", MARKS[row.kind]);
      if (row.kind === "call") mark.style.color = row.colour;
      name.append(mark);
      if (row.failed) name.append(element("span", "failure", "✕"));
    }
    name.append(element("span", "text", row.name));
    if (row.attempts > 1) name.append(element("span", "chip", `${row.attempts} attempts`));
    if (fold === undefined && closed && row.errors > (row.failed ? 1 : 0)) {
      name.append(element("span", "failure", `✕ ${row.errors}`));
    }
    return name;
  }

  time(row, fold) {
    const cell = element("div", "time");
    if (fold === undefined) {
      const bar = element("span", row.failed ? "bar failed" : "bar");
      bar.style.left = `${Math.min(row.start, 1 - row.width) * 100}%`;
      bar.style.width = `${row.width * 100}%`;
      bar.style.background = row.colour;
      cell.append(bar);
    }
    return cell;
  }

  cost(row) {
    const cell = element("div", "cost");
    if (row.bar || row.part) {
      const bar = element("span", row.bar ? "money" : "money sum");
      bar.style.width = `calc(${row.bar || row.part} * var(--money))`;
      cell.append(bar);
    }
    cell.append(element("span", "amount", row.cost));
    return cell;
  }

  at(event) {
    const line = event.target.closest?.(".row");
    return line ? Number(line.dataset.at) : -1;
  }

  click(event) {
    const at = this.at(event);
    if (at < 0) return;
    this.active = at;
    if (event.target.closest(".twist") && this.seen[at].fold === undefined) this.toggle(at);
    else this.choose(at);
  }

  choose(at) {
    const { place, fold } = this.seen[at];
    if (fold !== undefined) {
      this.unfolded.add(fold);
      this.lay();
      return;
    }
    const { id } = this.rows[place];
    this.picked = id === this.picked ? null : id;
    this.draw();
    this.pick(this.picked ?? "");
  }

  toggle(at) {
    const { place } = this.seen[at];
    if (place === undefined || !this.children.has(place)) return;
    if (!this.opened.delete(place)) this.opened.add(place);
    this.lay();
  }

  key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };
    const { place, fold, parent } = this.seen[this.active];
    const open = place !== undefined && this.opened.has(place);
    if (event.key in moves) this.move(this.active + moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose(this.active);
    else if (event.key === "ArrowRight" && fold !== undefined) this.choose(this.active);
    else if (event.key === "ArrowRight" && open && this.children.has(place)) this.move(this.active + 1);
    else if (event.key === "ArrowRight") this.toggle(this.active);
    else if (event.key === "ArrowLeft" && open && this.children.has(place)) this.toggle(this.active);
    else if (event.key === "ArrowLeft" && parent !== null) this.move(this.seen.findIndex((each) => each.place === parent));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(to) {
    this.active = Math.max(0, Math.min(this.seen.length - 1, to));
    this.into();
    this.draw();
  }

  point(event) {
    const at = this.at(event);
    this.tip.classList.toggle("seen", at >= 0);
    if (at < 0) return;
    const { place, fold } = this.seen[at];
    const lines = (fold === undefined ? this.rows[place] : this.folds[fold]).hover;
    this.tip.replaceChildren(...lines.map((line) => element("div", "", line)));
    const left = Math.min(event.clientX + 14, window.innerWidth - this.tip.offsetWidth - 8);
    const below = event.clientY + 16 + this.tip.offsetHeight < window.innerHeight;
    this.tip.style.left = `${Math.max(8, left)}px`;
    this.tip.style.top = `${below ? event.clientY + 16 : event.clientY - this.tip.offsetHeight - 8}px`;
  }
}
