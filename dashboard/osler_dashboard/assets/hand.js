// What hands do: buttons, keys, wheel, drag and touch.
class Hand {
  buttons() {
    const actions = {
      invert: () => { this.active.invert = !this.active.invert; this.active.paint(); this.controls(); },
      in: () => this.look((pane) => pane.zoom(1.25)),
      out: () => this.look((pane) => pane.zoom(0.8)),
      fit: () => this.look((pane) => pane.look(1)),
      full: () => this.look((pane) => pane.look(pane.full(), pane.view.x, pane.view.y)),
      expand: () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen?.()),
      back: () => this.go(this.at - 1),
      next: () => this.go(this.at + 1),
      move: () => this.choose("move"),
      level: () => this.choose("level"),
      link: () => { this.linked = !this.linked; this.pressed("link", this.linked); this.look(() => {}); },
    };
    const keys = { i: "invert", "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full", f: "expand", pageup: "back" };
    Object.assign(keys, { pagedown: "next", v: "move", w: "level", l: "link" });
    for (const [name, action] of Object.entries(actions))
      this.control(name).addEventListener("click", () => this.data && action());
    this.root.addEventListener("keydown", (event) => {
      const name = keys[event.key.toLowerCase()];
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
      if (name && !this.control(name).hidden) actions[name]();
      else if (!this.step(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.fields();
  }

  // Arrows move the picture while the viewer itself is chosen; in a slider they are the slider's own.
  step(event) {
    const by = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (!by || event.target.matches("input")) return false;
    this.look((pane) => pane.move(...by));
    return true;
  }

  fields() {
    const on = (name, kind, action) => this.control(name).addEventListener(kind, (event) => action(event.target.value));
    on("preset", "change", (value) => {
      const preset = this.active.image?.presets[Number(value)];
      if (preset) this.window(preset.center, preset.width);
    });
    for (const name of ["center", "width"])
      on(name, "input", () => this.active.image && this.own(...["center", "width"].map((one) => Number(this.control(one).value))));
    on("opacity", "input", (value) => { this.now.opacity = value / 100; this.now.draw(); });
    on("slice", "input", (value) => this.go(Number(value) - 1));
    on("prior", "change", (value) => this.openPrior(value));
  }

  choose(tool) {
    this.tool = tool;
    this.pressed("move", tool === "move");
    this.pressed("level", tool === "level");
  }

  activate(pane) {
    if (this.active === pane || !pane.image) return;
    this.active = pane;
    this.controls();
  }

  pointers(pane) {
    const { stage } = pane;
    const held = new Map();
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !this.root.matches(":focus-within, :fullscreen")) return; // the page scrolls until the viewer is chosen
      event.preventDefault();
      this.activate(pane);
      this.look(() => pane.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, pane.from(event)));
    }, { passive: false });
    stage.addEventListener("dblclick", () => this.look(() => pane.image && pane.look(pane.view.zoom === 1 ? pane.full() : 1)));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
      this.root.focus({ preventScroll: true });
      this.activate(pane);
    });
    stage.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last || !pane.image) return;
      const others = [...held.entries()].filter(([id]) => id !== event.pointerId);
      if (others.length) this.pinch(pane, last, event, others[0][1]);
      else this.drag(pane, last, event);
      held.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY, button: last.button, shiftKey: last.shiftKey });
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => held.delete(event.pointerId));
  }

  // Drag moves the picture; with the right button, Shift or the window tool it sets level (down) and width (across).
  drag(pane, last, event) {
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    if (this.tool === "level" || last.button === 2 || last.shiftKey) {
      const step = Math.max(pane.image.high - pane.image.low, 1) / 600;
      this.own(pane.center - dy * step, pane.width + dx * step);
    } else this.look(() => pane.move(dx, dy));
  }

  // Two fingers zoom by their distance, around their middle, and move with it.
  pinch(pane, last, event, other) {
    const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    this.look(() => {
      pane.zoom(apart(event) / apart(last), pane.from(middle));
      pane.move((event.clientX - last.clientX) / 2, (event.clientY - last.clientY) / 2);
    });
  }
}
