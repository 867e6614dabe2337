// Signs for and against a finding as bars from a middle line; a click (or Enter) chooses one, a letter answers it.
const lists = new WeakMap();
const ANSWERS = { p: "present", a: "absent", c: "confirm", d: "doubt", backspace: "", delete: "" };

export default function (component) {
  const { data, parentElement } = component;
  let list = lists.get(parentElement);
  if (!list) lists.set(parentElement, (list = new Evidence(parentElement.querySelector(".evidence"))));
  list.choose = (id) => component.setTriggerValue("chosen", id);
  list.answer = (id, answer) => component.setTriggerValue("answered", { sign: id, answer });
  list.show(data);
}

class Evidence {
  constructor(root) {
    this.root = root;
    this.rows = root.querySelector(".rows");
    this.more = root.querySelector('[data-do="more"]');
    this.all = false;
    this.made = new Map();
    this.unheard = new Map(); // answers that the server has not confirmed yet
    this.more.addEventListener("click", () => { this.all = !this.all; this.show(this.data); });
    this.rows.addEventListener("click", (event) => this.pick(event.target.closest(".row")));
    this.rows.addEventListener("keydown", (event) => this.key(event));
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  show(data) {
    if (data.study !== this.data?.study) { this.made.clear(); this.rows.replaceChildren(); this.all = false; }
    if (data.study !== this.data?.study) this.unheard.clear();
    this.data = data;
    this.root.dataset.study = data.study;
    for (const row of data.rows) if (this.unheard.get(row.id) === row.answer) this.unheard.delete(row.id);
    this.part("against").replaceChildren("◂\u00a0speaks for ", element("b", "", data.runner_up));
    this.part("for").replaceChildren("speaks for ", element("b", "", `${data.finding}\u00a0▸`));
    this.part("dashed").textContent = data.dashed;
    this.part("keys").hidden = !data.answerable;
    this.part("sum").textContent = data.sum;
    const shown = data.rows.filter((row, index) => this.all || index < data.first || row.corrected || row.id === data.selected);
    const focused = this.root.getRootNode().activeElement?.dataset?.id; // rows that are put in again lose it
    this.rows.replaceChildren(...shown.map((row) => this.row(row)));
    if (focused) this.made.get(focused)?.focus({ preventScroll: true });
    this.more.hidden = data.rows.length <= data.first;
    this.more.textContent = this.all ? "Show the strongest" : `Show all ${data.rows.length} signs`;
    this.point(data.selected);
  }

  // The viewer on the page shows where this sign was seen, without asking the server.
  point(id) {
    if (shelf.sign === id) return;
    shelf.sign = id;
    shelf.dispatchEvent(new Event("sign"));
  }

  row(row) {
    if (!this.made.has(row.id)) this.made.set(row.id, this.build(row.id));
    const line = this.made.get(row.id);
    line.className = `row${row.answered ? " answered" : ""}${row.corrected ? " corrected" : ""}${row.masked ? " masked" : ""}`;
    line.setAttribute("aria-selected", String(row.id === this.data.selected));
    line.querySelector("b").textContent = line.title = row.name;
    line.querySelector("small").textContent = row.note;
    line.querySelector(".value").textContent = row.text;
    this.bar(line.querySelector(".bar"), row.value);
    line.querySelector(".bar").className = `bar ${row.value < 0 ? "against" : "for"}`;
    const ghost = line.querySelector(".ghost");
    ghost.hidden = row.before === null;
    if (row.before !== null) this.bar(ghost, row.before);
    return line;
  }

  build(id) {
    const line = element("div", "row");
    const [name, track] = [element("div", "name"), element("div", "track")];
    name.append(element("b", ""), element("small", ""));
    track.append(element("div", "bar"), element("div", "ghost"));
    line.append(name, track, element("div", "value"));
    line.dataset.id = id;
    line.tabIndex = 0;
    line.setAttribute("role", "option");
    return line;
  }

  bar(bar, value) {
    const share = Math.min(1, Math.abs(value) / this.data.largest) * 48;
    bar.style.width = `${share}%`;
    bar.style.left = `${value < 0 ? 50 - share : 50}%`;
  }

  pick(line) {
    if (!line) return;
    for (const one of this.rows.children) one.setAttribute("aria-selected", String(one === line));
    this.point(line.dataset.id);
    this.choose(line.dataset.id);
  }

  // A page that is drawn anew at this very moment may miss an answer: it is told again until the row says it.
  tell(id, answer, again = 3) {
    this.unheard.set(id, answer);
    this.answer(id, answer);
    setTimeout(() => again && this.unheard.get(id) === answer && this.tell(id, answer, again - 1), 2500);
  }

  key(event) {
    const line = event.target.closest(".row");
    const neighbour = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling }[event.key];
    if (neighbour) neighbour.focus();
    else if (event.key === "Enter" || event.key === " ") this.pick(line);
    else if (line && this.data.answerable && event.key.toLowerCase() in ANSWERS && !event.ctrlKey && !event.metaKey)
      this.tell(line.dataset.id, ANSWERS[event.key.toLowerCase()]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
