// One image in the viewer. Stored 16-bit values are windowed here, so that level, width, zoom and overlays answer at once.
// Where an image was shrunk on its way (1:N), every length is still in pixels of the whole image.

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
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

function bitmap(image, pixels, center, width, invert) {
  const levels = greyLevels(image, center, width, invert);
  const target = new ImageData(image.shown_columns, image.shown_rows);
  const out = new Uint32Array(target.data.buffer); // one write a pixel: red, green and blue below an opaque alpha
  if (image.channels === 1) {
    const grey = Uint32Array.from(levels, (level) => 0xff000000 | (level << 16) | (level << 8) | level);
    for (let pixel = 0; pixel < out.length; pixel++) out[pixel] = grey[pixels[pixel]];
  } else {
    for (let pixel = 0, at = 0; pixel < out.length; pixel++, at += 3)
      out[pixel] = 0xff000000 | (levels[pixels[at + 2]] << 16) | (levels[pixels[at + 1]] << 8) | levels[pixels[at]];
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.shown_columns, image.shown_rows];
  canvas.getContext("2d").putImageData(target, 0, 0);
  return canvas;
}

class Pane {
  // `view` is where one looks: zoom 1 shows the whole image, x and y say what is in the middle, as shares of the image.
  constructor(stage) {
    this.stage = stage;
    this.canvas = stage.querySelector("canvas");
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.image = this.map = this.detail = null;
    this.opacity = 0.4;
    new ResizeObserver(() => this.draw()).observe(stage);
  }

  part(name) { return this.stage.querySelector(`[data-part="${name}"]`); }

  say(text) {
    this.part("said").textContent = text;
    this.part("said").hidden = !text;
  }

  clear(label, text) {
    this.image = this.map = this.detail = this.picture = null;
    this.stage.dataset.ready = "";
    this.part("label").textContent = label;
    for (const name of ["scale", "window", "ruler"]) this.part(name).hidden = true;
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.say(text);
  }

  // Another image of like shape, such as the next slice, keeps window and place.
  put(image, label) {
    const like = this.image && ["rows", "columns", "channels"].every((one) => this.image[one] === image[one]);
    this.image = image;
    this.detail = null;
    if (!like) {
      this.view = { zoom: 1, x: 0.5, y: 0.5 };
      this.invert = image.inverted;
      ({ center: this.center, width: this.width } = image.presets[0]);
    }
    for (const name of ["scale", "window"]) this.part(name).hidden = false;
    this.part("label").textContent = label;
    this.say("");
    this.paint();
    this.stage.dataset.ready = label;
    return !like;
  }

  window(center, width) {
    this.center = center;
    this.width = Math.max(width, 1);
    if (!this.due) this.due = requestAnimationFrame(() => { this.due = 0; this.paint(); });
  }

  paint() {
    if (!this.image) return;
    this.picture = bitmap(this.image, this.image.pixels, this.center, this.width, this.invert);
    if (this.detail) this.detail.canvas = bitmap(this.detail, this.detail.pixels, this.center, this.width, this.invert);
    this.part("window").textContent = `Level ${Math.round(this.center)}  Width ${Math.round(this.width)}`;
    this.draw();
  }

  fit() { return Math.min(this.canvas.width / this.image.columns, this.canvas.height / this.image.rows); }
  full() { return 1 / this.fit(); }

  // Left and top of the image on the canvas, and screen pixels for one of its own.
  place() {
    const scale = this.fit() * this.view.zoom;
    return {
      scale,
      left: Math.round(this.canvas.width / 2 - this.view.x * this.image.columns * scale),
      top: Math.round(this.canvas.height / 2 - this.view.y * this.image.rows * scale),
    };
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight].map((one) => Math.round(one * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!this.image || !this.picture || !width || !height) return;
    const { rows, columns, factor } = this.image;
    const { scale, left, top } = this.place();
    context.imageSmoothingEnabled = scale * factor !== 1 && scale * factor < 8; // close up, pixels are seen as they are
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, left, top, columns * scale, rows * scale);
    if (this.detail) {
      const [y, x, high, wide] = this.detail.box;
      context.drawImage(this.detail.canvas, left + x * scale, top + y * scale, wide * scale, high * scale);
    }
    this.drawMap(context, left, top, scale);
    this.tell(scale, ratio);
  }

  drawMap(context, left, top, scale) {
    if (!this.map) return;
    const [y, x, height, width] = this.map.box;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = this.opacity;
    context.drawImage(this.map.canvas, left + x * scale, top + y * scale, width * scale, height * scale);
    context.globalAlpha = 1;
  }

  tell(scale, ratio) {
    const { rows, columns, factor } = this.image;
    const sharp = factor === 1 || this.detail;
    const shrunk = sharp ? "" : `   shown at 1:${factor}`;
    const fitted = this.view.zoom === 1 ? "fitted, " : "";
    this.part("scale").textContent = `${columns} × ${rows}   ${fitted}${Math.round(100 * scale)}%${shrunk}`;
    this.ruler(scale / ratio);
  }

  ruler(scale) {
    const spacing = this.image.spacing_mm;
    const ruler = this.part("ruler");
    const lengths = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.1];
    const length = spacing && lengths.find((mm) => (mm / spacing[1]) * scale < 140);
    ruler.hidden = !length;
    if (!length) return;
    ruler.querySelector("i").style.width = `${(length / spacing[1]) * scale}px`;
    const text = length < 10 ? `${length} mm` : `${length / 10} cm`;
    ruler.querySelector("span").textContent = `${text}${this.image.at_detector ? " at the detector" : ""}`;
  }

  // A point of the screen, from the middle of the stage in canvas pixels.
  from(event) {
    const ratio = window.devicePixelRatio || 1;
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left - box.width / 2) * ratio, (event.clientY - box.top - box.height / 2) * ratio];
  }

  // Zoom so that what lies under the pointer stays there.
  zoom(factor, [dx, dy] = [0, 0]) {
    if (!this.image) return;
    const before = this.place().scale;
    const most = Math.max(16, 4 * this.fit());
    const scale = Math.min(most, Math.max(this.fit() / 2, before * factor));
    const [x, y] = [dx / before - dx / scale, dy / before - dy / scale];
    this.view = { zoom: scale / this.fit(), x: this.view.x + x / this.image.columns, y: this.view.y + y / this.image.rows };
    this.kept();
  }

  move(dx, dy) {
    if (!this.image) return;
    const { scale } = this.place();
    const ratio = window.devicePixelRatio || 1;
    this.view.x -= (dx * ratio) / (this.image.columns * scale);
    this.view.y -= (dy * ratio) / (this.image.rows * scale);
    this.kept();
  }

  // The middle of the stage never leaves the image: it cannot be lost.
  kept() {
    this.view.x = Math.min(1, Math.max(0, this.view.x));
    this.view.y = Math.min(1, Math.max(0, this.view.y));
    this.draw();
  }

  look(zoom, x = 0.5, y = 0.5) {
    this.view = { zoom, x, y };
    this.draw();
  }

  // What is on the screen, in pixels of the whole image: top, left, height, width.
  region(most) {
    const { scale } = this.place();
    const { rows, columns } = this.image;
    const high = Math.min(most, rows, Math.ceil(this.canvas.height / scale));
    const wide = Math.min(most, columns, Math.ceil(this.canvas.width / scale));
    const top = Math.min(rows - high, Math.max(0, Math.round(this.view.y * rows - high / 2)));
    const left = Math.min(columns - wide, Math.max(0, Math.round(this.view.x * columns - wide / 2)));
    return [top, left, high, wide];
  }
}
