// Hands on a drawing: mouse, fingers, keys.

/** Turn by dragging, come nearer by wheel or two fingers, pick by a click. */
export function handle(canvas, drawing, draw, pick) {
  const held = new Map();
  let moved = 0, spread = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    [moved, spread] = [0, 0];
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved += Math.abs(dx) + Math.abs(dy);
    if (held.size === 1) drawing.turnBy(0.01 * dx, 0.01 * dy);
    else {
      const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (spread) nearer(drawing, now / spread);
      spread = now;
    }
    draw();
  });
  const end = (event) => {
    if (held.delete(event.pointerId) && moved < 4 && event.type === "pointerup") {
      const box = canvas.getBoundingClientRect();
      pick(event.clientX - box.left, event.clientY - box.top);
    }
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); nearer(drawing, Math.exp(-0.0012 * event.deltaY)); draw(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (!turns) return;
    event.preventDefault();
    event.stopPropagation();
    drawing.turnBy(...turns);
    draw();
  });
}

export function nearer(drawing, factor) {
  drawing.near = Math.min(40, Math.max(0.2, drawing.near * factor));
}
