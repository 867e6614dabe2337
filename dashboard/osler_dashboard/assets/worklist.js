// The list of studies: filtered, sorted and searched here; only the rows in view are drawn, so that thousands cost nothing.
const lists = new WeakMap();
const LINE = 40;
const STATE = "osler-worklist"; // filters and place outlive a visit to a study
const COLUMNS = [
  { id: "name", head: "Study" },
  { id: "finding", head: "Finding" },
  { id: "share", head: "Probability", number: true },
  { id: "sure", head: "Uncertainty" },
  { id: "warned", head: "Warnings", number: true },
  { id: "state", head: "Review" },
  { id: "date", head: "Date", title: "Dates are shifted for each patient; the time between two studies of a patient is true" },
  { id: "site", head: "Site" },
];
const FILTERS = { site: "All sites", state: "Any review state", finding: "All findings", sure: "Any uncertainty", warned: "Any warnings" };

export default function (component) {
  const { parentElement } = component;
  // Bytes, since thousands of rows are written out once for all readers.
  const data = JSON.parse(new TextDecoder().decode(component.data));
  let list = lists.get(parentElement);
  if (!list) lists.set(parentElement, (list = new Worklist(parentElement.querySelector(".worklist"))));
  list.send = (name, order) => component.setTriggerValue("opened", { name, order });
  list.show(data);
}

// Words are sought by how they begin, single letters and figures whole: "hospital b 42" is study 0042 of Hospital B.
const words = (text) => text.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean).map((one) => one.replace(/^0+(?=\d)/, ""));

class Worklist {
  constructor(root) {
    this.root = root;
    this.grid = root.querySelector(".grid");
    this.body = root.querySelector(".body");
    this.space = root.querySelector(".space");
    this.kept = { filters: {}, search: "", sort: null, down: true, at: null, ...this.remembered() };
    this.rows = new Map();
    this.heads();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.body);
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }
  control(name) { return this.root.querySelector(`[data-do="${name}"]`); }

  remembered() {
    try { return JSON.parse(sessionStorage.getItem(STATE)) ?? {}; } catch { return {}; }
  }

  remember() {
    try { sessionStorage.setItem(STATE, JSON.stringify(this.kept)); } catch { /* a browser may forbid it */ }
  }

  show(data) {
    const first = !this.data;
    this.data = data;
    this.studies = data.rows.map((row, order) => ({ ...row, order, words: words(`${row.name} ${row.finding} ${row.date.replace(/^\d+ /, "")}`) }));
    for (const name of Object.keys(FILTERS)) this.offer(name);
    this.control("search").value = this.kept.search;
    this.choose();
    if (first) { this.reveal(); this.grid.focus({ preventScroll: true }); }
  }

  // The values of a column, each with its number of studies.
  offer(name) {
    const counts = new Map();
    for (const row of this.studies) counts.set(this.group(row, name), (counts.get(this.group(row, name)) ?? 0) + 1);
    const options = [...counts].sort(([a], [b]) => String(a).localeCompare(String(b)));
    const held = this.kept.filters[name] ?? "";
    const select = this.control(name);
    select.replaceChildren(new Option(FILTERS[name], ""), ...options.map(([value, count]) => new Option(`${value} (${count})`, value)));
    if (held && !counts.has(held)) select.append(new Option(`${held} (0)`, held));
    select.value = held;
  }

  group(row, name) {
    if (name === "warned") return row.warned.length ? "With warnings" : "Without warnings";
    return row[name];
  }

  choose() {
    const sought = words(this.kept.search);
    const set = Object.entries(this.kept.filters).filter(([, value]) => value);
    this.chosen = this.studies.filter((row) =>
      set.every(([name, value]) => this.group(row, name) === value) && sought.every((word) => row.words.some((one) => (word.length > 1 ? one.startsWith(word) : one === word))));
    if (this.kept.sort) this.sort();
    if (!this.chosen.some((row) => row.name === this.kept.at)) this.kept.at = this.chosen[0]?.name ?? null;
    this.control("clear").hidden = !set.length && !sought.length;
    const all = this.studies.length;
    this.part("count").textContent = this.chosen.length === all ? `${all} studies` : `${this.chosen.length} of ${all} studies`;
    this.part("empty").hidden = this.chosen.length > 0;
    this.part("empty").textContent = all ? "No study matches. Clear the filters to see all." : "";
    for (const head of this.root.querySelectorAll(".heads > *")) {
      const own = head.dataset.column === this.kept.sort;
      head.setAttribute("aria-sort", own ? (this.kept.down ? "ascending" : "descending") : "none");
    }
    this.remember();
    this.grid.setAttribute("aria-rowcount", this.chosen.length + 1); // most are not drawn
    this.rows.clear();
    this.space.replaceChildren();
    this.draw();
  }

  sort() {
    const { sort, down } = this.kept;
    const value = { share: (row) => row.share ?? -1, warned: (row) => row.warned.length, date: (row) => row.day, name: (row) => row.order }[sort] ?? ((row) => row[sort]);
    const order = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
    this.chosen.sort((a, b) => (down ? 1 : -1) * order(value(a), value(b)) || a.order - b.order);
  }

  heads() {
    this.root.querySelector(".heads").replaceChildren(...COLUMNS.map(({ id, head, number, title }) => {
      const made = element("button", `cell ${id}${number ? " number" : ""}`, head);
      made.dataset.column = id;
      made.setAttribute("role", "columnheader");
      made.title = title ?? `Sort by ${head.toLowerCase()}`;
      made.addEventListener("click", () => this.by(id));
      return made;
    }));
  }

  by(id) {
    const first = !["share", "warned", "date"].includes(id); // large and late first
    if (this.kept.sort !== id) Object.assign(this.kept, { sort: id, down: first });
    else if (this.kept.down === first) this.kept.down = !first;
    else this.kept.sort = null;
    this.choose();
    this.body.scrollTop = 0;
  }

  draw() {
    if (!this.chosen) return;
    this.space.style.height = `${this.chosen.length * LINE}px`;
    const from = Math.max(0, Math.floor(this.body.scrollTop / LINE) - 8);
    const to = Math.min(this.chosen.length, from + Math.ceil(this.body.clientHeight / LINE) + 16);
    for (const [index, row] of this.rows) if (index < from || index >= to) { row.remove(); this.rows.delete(index); }
    let at = "";
    for (let index = from; index < to; index++) {
      if (!this.rows.has(index)) { const row = this.row(this.chosen[index], index); this.rows.set(index, row); this.space.append(row); }
      const [row, own] = [this.rows.get(index), this.chosen[index].name === this.kept.at];
      row.setAttribute("aria-selected", String(own));
      if (own) at = row.id;
    }
    this.grid.setAttribute("aria-activedescendant", at); // a screen reader says the chosen row, which has no focus of its own
  }

  row(study, index) {
    const line = element("div", "line");
    line.style.top = `${index * LINE}px`;
    line.id = `row-${index}`;
    line.dataset.name = study.name;
    line.setAttribute("role", "row");
    line.setAttribute("aria-rowindex", index + 2); // the heads are the first
    for (const { id, number } of COLUMNS) {
      const cell = element("div", `cell ${id}${number ? " number" : ""}`);
      cell.setAttribute("role", "gridcell");
      this.fill(cell, id, study);
      line.append(cell);
    }
    return line;
  }

  fill(cell, id, study) {
    if (id === "share") {
      if (study.share === null) return;
      const bar = element("i", "share");
      bar.style.setProperty("--share", `${100 * study.share}%`);
      cell.append(bar, element("span", "", study.percent));
    } else if (id === "warned") {
      if (study.warned.length) cell.append(element("span", "chip warned", String(study.warned.length)));
      cell.title = study.warned.join("\n");
    } else if (id === "sure" || id === "state") {
      cell.append(element("span", `chip ${study[`${id}_kind`]}`, study[id]));
      cell.title = study[`${id}_note`];
    } else cell.textContent = cell.title = study[id];
  }

  place() { return this.chosen.findIndex((row) => row.name === this.kept.at); }

  move(to) {
    if (!this.chosen.length) return;
    this.kept.at = this.chosen[Math.min(this.chosen.length - 1, Math.max(0, to))].name;
    this.remember();
    this.reveal();
  }

  // Bring the chosen row into view.
  reveal() {
    const top = this.place() * LINE;
    if (top < 0) return;
    const { scrollTop, clientHeight } = this.body;
    if (top < scrollTop) this.body.scrollTop = top;
    else if (top + LINE > scrollTop + clientHeight) this.body.scrollTop = top + LINE - clientHeight;
    this.draw();
  }

  open(name) {
    if (!name) return;
    this.kept.at = name;
    this.remember();
    this.draw();
    this.root.dataset.opening = name;
    this.send(name, this.chosen.map((row) => row.order));
  }

  listen() {
    this.body.addEventListener("scroll", () => this.draw(), { passive: true });
    this.body.addEventListener("click", (event) => this.open(event.target.closest(".line")?.dataset.name));
    this.control("search").addEventListener("input", (event) => { this.kept.search = event.target.value; this.choose(); });
    for (const name of Object.keys(FILTERS))
      this.control(name).addEventListener("change", (event) => { this.kept.filters[name] = event.target.value; this.choose(); });
    this.control("clear").addEventListener("click", () => {
      Object.assign(this.kept, { filters: {}, search: "" });
      this.show(this.data);
      this.grid.focus({ preventScroll: true });
    });
    this.root.addEventListener("keydown", (event) => this.key(event));
    const anywhere = (event) => {
      if (!this.root.isConnected) document.removeEventListener("keydown", anywhere);
      else if (event.target === document.body) this.key(event); // nothing else is chosen on the page
    };
    document.addEventListener("keydown", anywhere);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const searching = event.target === this.control("search");
    const page = Math.max(1, Math.floor(this.body.clientHeight / LINE) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (event.key === "/" && !searching) this.control("search").focus();
    else if (event.key === "Escape" && searching) this.grid.focus();
    else if (event.target.matches("select, button")) return; // theirs
    else if (event.key in steps && !(searching && event.key === "ArrowUp")) {
      this.move(this.place() + steps[event.key]);
      if (searching) this.grid.focus({ preventScroll: true });
    } else if (event.key === "Home" && !searching) this.move(0);
    else if (event.key === "End" && !searching) this.move(this.chosen.length - 1);
    else if (event.key === "Enter") this.open(this.kept.at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
