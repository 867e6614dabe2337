// Signs for and against a finding as bars from a middle line; a click (or Enter) chooses one.
const lists = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  let list = lists.get(parentElement);
  if (!list) lists.set(parentElement, (list = new Evidence(parentElement.querySelector(".evidence"))));
  list.choose = (id) => component.setTriggerValue("chosen", id);
  list.show(data);
}

const element = (kind, name, text) => {
  const made = document.createElement(kind);
  made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
};

class Evidence {
  constructor(root) {
    this.root = root;
    this.rows = root.querySelector(".rows");
    this.more = root.querySelector('[data-do="more"]');
    this.all = false;
    this.made = new Map();
    this.more.addEventListener("click", () => { this.all = !this.all; this.show(this.data); });
    this.rows.addEventListener("click", (event) => this.pick(event.target.closest(".row")));
    this.rows.addEventListener("keydown", (event) => this.key(event));
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  show(data) {
    if (data.study !== this.data?.study) { this.made.clear(); this.rows.replaceChildren(); this.all = false; }
    this.data = data;
    this.part("against").replaceChildren("◂ speaks for ", element("b", "", data.runner_up));
    this.part("for").replaceChildren("speaks for ", element("b", "", data.finding), " ▸");
    this.part("dashed").textContent = data.dashed;
    this.part("sum").textContent = data.sum;
    const shown = data.rows.filter((row, index) => this.all || index < data.first || row.corrected || row.id === data.selected);
    this.rows.replaceChildren(...shown.map((row) => this.row(row)));
    this.more.hidden = data.rows.length <= data.first;
    this.more.textContent = this.all ? "Show the strongest" : `Show all ${data.rows.length} signs`;
  }

  row(row) {
    if (!this.made.has(row.id)) this.made.set(row.id, this.build(row.id));
    const line = this.made.get(row.id);
    line.className = `row${row.corrected ? " corrected" : ""}${row.masked ? " masked" : ""}`;
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

  pick(line) { if (line) this.choose(line.dataset.id); }

  key(event) {
    const line = event.target.closest(".row");
    const neighbour = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling }[event.key];
    if (neighbour) neighbour.focus();
    else if (event.key === "Enter" || event.key === " ") this.pick(line);
    else return;
    event.preventDefault();
  }
}
