// The viewer: which images of a study are shown and fetched, and what lies over them.
const viewers = new WeakMap();
const HELD = 48; // images kept of a study with many
const DETAIL = 2048; // longest side of a part that is fetched in full

export default function (component) {
  const { data, parentElement } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) viewers.set(parentElement, (viewer = new Viewer(parentElement.querySelector(".viewer"))));
  viewer.ask = (wanted) => component.setTriggerValue("wanted", wanted);
  viewer.show(data);
  return () => { viewer.stop(); viewers.delete(parentElement); };
}

class Viewer extends Hand {
  constructor(root) {
    super();
    this.root = root;
    this.stages = root.querySelector(".stages");
    [this.now, this.prior] = ["now", "prior"].map((name) => new Pane(root.querySelector(`[data-stage="${name}"]`)));
    this.active = this.now;
    this.images = new Map(); // by key, the latest used last
    this.linked = true;
    this.tool = "move";
    this.took = ({ detail }) => this.take(detail);
    this.signed = () => this.overlay();
    shelf.addEventListener("parcel", this.took);
    shelf.addEventListener("sign", this.signed);
    this.buttons();
    this.pointers(this.now);
    this.pointers(this.prior);
  }

  stop() {
    shelf.removeEventListener("parcel", this.took);
    shelf.removeEventListener("sign", this.signed);
  }

  part(name) { return this.root.querySelector(`:scope > [data-part="${name}"], .bar [data-part="${name}"]`); }
  control(name) { return this.root.querySelector(`[data-do="${name}"]`); }
  get panes() { return this.prior.stage.hidden ? [this.now] : [this.now, this.prior]; }

  show(data) {
    const other = data.study !== this.data?.study;
    this.data = data;
    if (other) this.begin();
    for (const key of [...shelf.waiting.keys()]) this.take(key);
  }

  begin() {
    this.images.clear();
    this.maps = null;
    this.asked = new Set();
    for (const key of [...shelf.waiting.keys()]) if (!this.ours(key)) shelf.waiting.delete(key);
    this.root.dataset.ready = "";
    this.at = this.data.start;
    this.active = this.now;
    this.now.clear(this.data.study, "Loading the image");
    this.closePrior();
    const many = this.data.images.length > 1;
    this.part("slices").hidden = !many;
    this.control("slice").max = this.data.images.length;
    const offered = [new Option("Compare with …", ""), ...this.data.priors.map((one) => new Option(one.text, one.study))];
    this.control("prior").replaceChildren(...offered);
    this.control("prior").hidden = !this.data.priors.length;
    this.count();
  }

  ours(key) {
    const study = key.split("|")[0];
    return study === this.data.study || this.data.priors.some((one) => one.study === study);
  }

  // A parcel is an image, a part of one in full, or the maps of the study's signs.
  async take(key) {
    const parcel = shelf.waiting.get(key);
    if (!parcel || !this.data || !this.ours(key)) return;
    shelf.waiting.delete(key);
    const of = this.data.study;
    const buffer = await inflate(parcel.bytes);
    if (of !== this.data.study) return; // another study was opened meanwhile
    if (parcel.kind === "maps") { this.maps = { ...parcel, values: new Uint8Array(buffer) }; this.overlay(); return; }
    if (parcel.kind === "refusal") { this.images.set(parcel.image, { refused: parcel.text }); this.place(parcel.image); return; }
    const image = { ...parcel, pixels: new Uint16Array(buffer) };
    if (parcel.kind === "detail") { this.detailed(image); return; }
    this.images.set(key, image);
    while (this.images.size > HELD) this.images.delete(this.images.keys().next().value);
    this.place(key);
  }

  key(index) { return `${this.data.study}|${index}`; }

  place(key) {
    if (key === this.key(this.at)) this.put(this.now, key, this.data.study);
    else if (!this.prior.stage.hidden && key.startsWith(`${this.compared}|`)) this.put(this.prior, key, this.compared);
  }

  put(pane, key, label) {
    const image = this.images.get(key);
    this.images.delete(key);
    this.images.set(key, image); // used last
    if (image.refused) { pane.clear(label, image.refused); pane.stage.dataset.ready = label; }
    else if (pane.put(image, label) && pane === this.active) this.controls();
    if (pane === this.now) { this.overlay(); this.root.dataset.ready = label; }
  }

  go(index) {
    const last = this.data.images.length - 1;
    this.at = Math.min(last, Math.max(0, index));
    this.count();
    const key = this.key(this.at);
    if (this.images.has(key)) this.put(this.now, key, this.data.study);
    else { this.now.say("Loading the image"); }
    clearTimeout(this.later);
    this.later = setTimeout(() => this.fetch(), this.images.has(key) ? 250 : 80);
  }

  // The image in view and those that come next, whichever are not here.
  fetch() {
    const near = [0, 1, 2, 3, -1].map((step) => this.at + step);
    const missing = near.filter((one) => this.data.images[one] && !this.images.has(this.key(one)));
    if (missing.length) this.ask({ study: this.data.study, images: missing });
  }

  count() {
    const { images } = this.data;
    this.control("slice").value = this.at + 1;
    const one = images[this.at];
    this.part("count").textContent = `${this.at + 1} of ${images.length}${one?.name ? ` · ${one.name}` : ""}`;
  }

  openPrior(study) {
    if (!study) { this.closePrior(); return; }
    this.compared = study;
    this.prior.stage.hidden = false;
    this.control("link").hidden = false;
    this.stages.classList.add("two");
    const key = [...this.images.keys()].find((one) => one.startsWith(`${study}|`));
    this.prior.clear(study, "Loading the earlier image");
    if (key) this.put(this.prior, key, study);
    else this.ask({ study, images: [] }); // the one by which the model knows it
    this.stages.dataset.compared = study;
    requestAnimationFrame(() => this.panes.forEach((pane) => pane.draw()));
  }

  closePrior() {
    this.compared = null;
    this.active = this.now;
    this.prior.stage.hidden = true;
    this.control("link").hidden = true;
    this.control("prior").value = "";
    this.stages.classList.remove("two");
    delete this.stages.dataset.compared;
    if (this.now.image) { this.now.draw(); this.controls(); }
  }

  overlay() {
    const place = this.maps?.image === this.at ? this.maps.signs.indexOf(shelf.sign) : -1;
    this.part("legend").hidden = this.part("opacity").hidden = place < 0;
    if (place < 0) { this.now.map = null; this.now.draw(); return; }
    const { rows, columns, values, box, caption } = this.maps;
    this.part("legend").textContent = caption;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const target = new ImageData(columns, rows);
    const size = rows * columns;
    for (let cell = 0; cell < size; cell++) target.data.set([255, 190, 70, values[place * size + cell]], 4 * cell);
    canvas.getContext("2d").putImageData(target, 0, 0);
    this.now.map = { canvas, box };
    this.now.draw();
  }

  // Where a shrunk image is looked at closely, the part in view is fetched in full.
  closer() {
    const pane = this.now;
    if (!pane.image || pane.image.factor === 1) return;
    const close = pane.place().scale * pane.image.factor > 1.2;
    if (!close) { if (pane.detail) { pane.detail = null; pane.draw(); } return; }
    clearTimeout(this.closing);
    this.closing = setTimeout(() => {
      const region = pane.region(DETAIL);
      const held = pane.detail?.box;
      const inside = held && region[0] >= held[0] && region[1] >= held[1] &&
        region[0] + region[2] <= held[0] + held[2] && region[1] + region[3] <= held[1] + held[3];
      if (!inside) this.ask({ study: this.data.study, images: [], image: this.at, region });
    }, 350);
  }

  detailed(part) {
    const pane = this.now;
    if (part.image !== this.at || !pane.image) return;
    pane.detail = { ...pane.image, ...part };
    pane.paint();
    this.root.dataset.detail = part.box.join(" ");
  }

  controls() {
    const { image, center, width } = this.active;
    if (!image) return;
    const select = this.control("preset");
    select.replaceChildren(...image.presets.map((preset, index) => new Option(preset.name, index)), new Option("Own", "own"));
    const { low, high } = image;
    const step = (high - low) / 1000 || 1;
    Object.assign(this.control("center"), { min: low, max: Math.max(high, low + 1), step });
    Object.assign(this.control("width"), { min: Math.max(1, (high - low) / 200), max: 2 * (high - low) || 2, step });
    const preset = image.presets.findIndex((one) => one.center === center && one.width === width);
    select.value = preset < 0 ? "own" : preset;
    this.window(center, width);
    this.pressed("invert", this.active.invert !== image.inverted);
  }

  pressed(name, on) { this.control(name).setAttribute("aria-pressed", String(on)); }

  window(center, width) {
    this.control("center").value = center;
    this.control("width").value = width;
    this.active.window(center, width);
  }

  own(center, width) {
    this.control("preset").value = "own";
    this.window(center, width);
  }

  // What is done to one pane is done to the other while they are linked.
  look(change) {
    change(this.active);
    const other = this.active === this.now ? this.prior : this.now;
    if (this.linked && this.panes.length === 2 && other.image && this.active.image) {
      other.view = { ...this.active.view };
      other.draw();
    }
    this.closer();
  }
}
