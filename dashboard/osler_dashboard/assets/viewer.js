// Windows stored 16-bit values in the browser, so that level, width, zoom and overlay answer at once and nothing is resampled unseen.
const viewers = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) viewers.set(parentElement, (viewer = new Viewer(parentElement.querySelector(".viewer"))));
  viewer.show(data);
}

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// The VOI LUT functions of DICOM PS3.3 C.11.2.1, as a table of grey levels for every stored value.
function greyLevels({ slope, offset, function: kind }, center, width, invert) {
  const levels = new Uint8ClampedArray(65536);
  const [middle, span] = kind === "LINEAR" ? [center - 0.5, width - 1] : [center, width];
  for (let stored = 0; stored < 65536; stored++) {
    const value = slope * stored + offset;
    let fraction;
    if (kind === "SIGMOID") fraction = 1 / (1 + Math.exp((-4 * (value - center)) / width));
    else if (span <= 0) fraction = value > middle ? 1 : 0;
    else fraction = Math.min(1, Math.max(0, (value - middle) / span + 0.5));
    levels[stored] = Math.round(255 * (invert ? 1 - fraction : fraction));
  }
  return levels;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.stage = root.querySelector(".stage");
    this.canvas = root.querySelector("canvas");
    this.picture = document.createElement("canvas");
    this.map = null;
    this.opacity = 0.4;
    this.view = { scale: 0, x: 0, y: 0 };
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }
  control(name) { return this.root.querySelector(`[data-do="${name}"]`); }

  async show(data) {
    this.latest = data;
    this.part("label").textContent = data.label;
    if (data.label !== this.label) {
      this.label = data.label;
      this.root.dataset.ready = "";
      const pixels = new Uint16Array(await inflate(data.image.values));
      if (this.label !== data.label) return; // another study was opened meanwhile
      this.image = { ...data.image, pixels };
      this.view = { scale: 0, x: 0, y: 0 };
      this.invert = data.image.inverted;
      this.fillPresets();
      this.choose(0);
    }
    await this.overlay(data.overlay);
    this.draw();
    this.root.dataset.ready = this.label;
  }

  fillPresets() {
    const select = this.control("preset");
    select.replaceChildren(...this.image.presets.map((preset, index) => new Option(preset.name, index)));
    select.append(new Option("Own", "own"));
    const { low, high } = this.image;
    Object.assign(this.control("center"), { min: low, max: high, step: (high - low) / 1000 || 1 });
    Object.assign(this.control("width"), { min: Math.max(1, (high - low) / 200), max: 2 * (high - low) || 2, step: (high - low) / 1000 || 1 });
  }

  choose(index) {
    const preset = this.image.presets[index];
    this.control("preset").value = index;
    this.window(preset.center, preset.width);
  }

  window(center, width) {
    this.center = center;
    this.width = Math.max(width, 1);
    this.control("center").value = center;
    this.control("width").value = this.width;
    this.paint();
  }

  paint() {
    const { rows, columns, channels, pixels } = this.image;
    const levels = greyLevels(this.image, this.center, this.width, this.invert);
    this.picture.width = columns;
    this.picture.height = rows;
    const context = this.picture.getContext("2d");
    const target = context.createImageData(columns, rows);
    for (let pixel = 0, out = 0; pixel < rows * columns; pixel++, out += 4) {
      for (let colour = 0; colour < 3; colour++)
        target.data[out + colour] = levels[pixels[channels === 1 ? pixel : 3 * pixel + colour]];
      target.data[out + 3] = 255;
    }
    context.putImageData(target, 0, 0);
    this.control("invert").setAttribute("aria-pressed", String(this.invert !== this.image.inverted));
    this.part("window").textContent = `Level ${Math.round(this.center)}  Width ${Math.round(this.width)}`;
    this.draw();
  }

  async overlay(overlay) {
    this.part("legend").hidden = this.part("opacity").hidden = !overlay;
    if (!overlay) { this.map = null; return; }
    this.part("legend").textContent = overlay.caption;
    const values = new Uint8Array(await inflate(overlay.values));
    const map = document.createElement("canvas");
    [map.width, map.height] = [overlay.columns, overlay.rows];
    const context = map.getContext("2d");
    const target = context.createImageData(overlay.columns, overlay.rows);
    values.forEach((value, pixel) => target.data.set([255, 190, 70, value], 4 * pixel));
    context.putImageData(target, 0, 0);
    this.map = { canvas: map, box: overlay.box };
  }

  fitScale() {
    return Math.min(this.canvas.width / this.image.columns, this.canvas.height / this.image.rows);
  }

  draw() {
    if (!this.image) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.stage.clientWidth * ratio);
    this.canvas.height = Math.round(this.stage.clientHeight * ratio);
    const { rows, columns } = this.image;
    const scale = this.view.scale || this.fitScale();
    const left = Math.round((this.canvas.width - columns * scale) / 2 + this.view.x * ratio);
    const top = Math.round((this.canvas.height - rows * scale) / 2 + this.view.y * ratio);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = scale !== 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, left, top, columns * scale, rows * scale);
    if (this.map) {
      const [y, x, height, width] = this.map.box;
      context.globalAlpha = this.opacity;
      context.drawImage(this.map.canvas, left + x * scale, top + y * scale, width * scale, height * scale);
      context.globalAlpha = 1;
    }
    this.part("scale").textContent = `${columns} × ${rows}   ${this.view.scale ? "" : "fitted, "}${Math.round(100 * scale)}%`;
    this.ruler(scale / ratio);
  }

  ruler(scale) {
    const ruler = this.part("ruler");
    const spacing = this.image.spacing_mm;
    ruler.hidden = !spacing;
    if (!spacing) return;
    const length = [100, 50, 20, 10, 5].find((mm) => (mm / spacing[1]) * scale < 140) || 2;
    ruler.querySelector("i").style.width = `${(length / spacing[1]) * scale}px`;
    ruler.querySelector("span").textContent = `${length / 10} cm${this.image.at_detector ? " at the detector" : ""}`;
  }

  zoom(factor, event) {
    const before = this.view.scale || this.fitScale();
    const scale = Math.min(16, Math.max(this.fitScale() / 2, before * factor));
    const box = this.stage.getBoundingClientRect();
    const [x, y] = event ? [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2] : [0, 0];
    const change = scale / before;
    this.view = { scale, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change };
    this.draw();
  }

  place(scale) { this.view = { scale, x: 0, y: 0 }; this.draw(); }

  listen() {
    const actions = {
      invert: () => { this.invert = !this.invert; this.paint(); },
      in: () => this.zoom(1.25),
      out: () => this.zoom(0.8),
      fit: () => this.place(0),
      full: () => this.place(1),
      expand: () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen()),
    };
    const keys = { i: "invert", "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full", f: "expand" };
    for (const [name, action] of Object.entries(actions)) this.control(name).addEventListener("click", () => this.image && action());
    this.root.addEventListener("keydown", (event) => {
      const name = keys[event.key.toLowerCase()];
      if (!name || event.ctrlKey || event.metaKey || event.target.matches("select")) return;
      event.preventDefault();
      actions[name]();
    });
    this.control("preset").addEventListener("change", (event) => event.target.value !== "own" && this.choose(Number(event.target.value)));
    for (const name of ["center", "width"]) this.control(name).addEventListener("input", () => this.own(Number(this.control("center").value), Number(this.control("width").value)));
    this.control("opacity").addEventListener("input", (event) => { this.opacity = event.target.value / 100; this.draw(); });
    this.stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !this.root.matches(":focus-within, :fullscreen")) return; // the page scrolls until the viewer is chosen
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
    }, { passive: false });
    this.stage.addEventListener("dblclick", () => this.place(this.view.scale ? 0 : 1));
    this.stage.addEventListener("contextmenu", (event) => event.preventDefault());
    this.drag();
  }

  own(center, width) {
    this.control("preset").value = "own";
    this.window(center, width);
  }

  // Drag moves the picture; with the right button or Shift it sets level (down) and width (across), as reading stations do.
  drag() {
    let last = null;
    this.stage.addEventListener("pointerdown", (event) => {
      last = event;
      this.stage.setPointerCapture(event.pointerId);
      this.root.focus({ preventScroll: true });
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (!last || !this.image) return;
      const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
      if (last.button === 2 || last.shiftKey) {
        const step = (this.image.high - this.image.low) / 600;
        this.own(this.center - dy * step, this.width + dx * step);
      } else {
        this.view = { scale: this.view.scale, x: this.view.x + dx, y: this.view.y + dy };
        this.draw();
      }
      last = { clientX: event.clientX, clientY: event.clientY, button: last.button, shiftKey: last.shiftKey };
    });
    for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, () => (last = null));
  }
}
