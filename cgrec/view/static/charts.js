// Pictures that can be clicked: maps of bins, profiles, curves. Canvas, with a keyboard.

import { el, number } from "./dom.js";
import { cividis, css, OKABE_ITO, themed } from "./palette.js";

const PAD = { left: 40, right: 14, top: 8, bottom: 34 };

function sheet(title, height, chosen) {
  const canvas = el("canvas", { class: chosen ? "chart" : "chart still", tabindex: chosen ? 0 : null, role: "img", "aria-label": title });
  const figure = el("figure", {}, canvas);
  const ready = () => {
    const ratio = Math.min(2, window.devicePixelRatio || 1), width = canvas.clientWidth || 260;
    const tall = typeof height === "function" ? height(width) : height;
    canvas.style.height = `${tall}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(tall * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, tall);
    context.font = "11px system-ui, sans-serif";
    return { context, width, height: tall, w: width - PAD.left - PAD.right, h: tall - PAD.top - PAD.bottom };
  };
  return { canvas, figure, ready };
}

/** Round numbers between two. */
function ticks(low, high, most = 4) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 2.5, 3, 5, 6, 10].map((k) => k * power).find((s) => s >= rough * 0.999) || power;
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + 1e-9 * step; x += step) found.push(Math.abs(x) < 1e-9 ? 0 : x);
  return found;
}

function axes(page, x, y) {
  const { context, w, h } = page;
  context.fillStyle = themed("--quiet");
  context.strokeStyle = themed("--line");
  context.strokeRect(PAD.left - 0.5, PAD.top - 0.5, w + 1, h + 1);
  context.textAlign = "center";
  for (const value of x.ticks || ticks(x.low, x.high)) context.fillText(x.say ? x.say(value) : number(value), PAD.left + (w * (value - x.low)) / (x.high - x.low), PAD.top + h + 13);
  context.fillText(x.title, PAD.left + w / 2, PAD.top + h + 28);
  context.textAlign = "right";
  for (const value of y.ticks || ticks(y.low, y.high)) context.fillText(y.say ? y.say(value) : number(value), PAD.left - 4, PAD.top + h - (h * (value - y.low)) / (y.high - y.low) + 4);
  if (!y.title) return;
  context.save();
  context.translate(10, PAD.top + h / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(y.title, 0, 0);
  context.restore();
}

/** A rectangle of bins chosen by mouse, finger or keys; `bins`: [nx, ny]; gives it to `chosen`. */
function choosing(canvas, bins, flipped, redraw, chosen) {
  let start = null, cursor = [Math.floor(bins[0] / 2), Math.floor(bins[1] / 2)];
  const state = { span: null, cursor: null };
  const bin = (event) => {
    const box = canvas.getBoundingClientRect();
    const fx = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    const fy = (event.clientY - box.top - PAD.top) / (box.height - PAD.top - PAD.bottom);
    return [fx, flipped ? 1 - fy : fy].map((f, k) => Math.min(bins[k] - 1, Math.max(0, Math.floor(f * bins[k]))));
  };
  const between = (a, b) => a.map((_, k) => [Math.min(a[k], b[k]), Math.max(a[k], b[k])]);
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); start = bin(event); state.span = between(start, start); redraw(); });
  canvas.addEventListener("pointermove", (event) => { if (start) { state.span = between(start, bin(event)); redraw(); } });
  canvas.addEventListener("pointerup", () => { if (start) { start = null; chosen(state.span); } });
  canvas.addEventListener("pointercancel", () => { start = null; });
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) { state.cursor = cursor; redraw(); } });
  canvas.addEventListener("blur", () => { state.cursor = null; redraw(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, flipped ? 1 : -1], ArrowDown: [0, flipped ? -1 : 1] }[event.key];
    if (step) cursor = cursor.map((x, k) => Math.min(bins[k] - 1, Math.max(0, x + step[k])));
    else if (event.key === "Enter") { state.span = between(cursor, cursor); chosen(state.span); }
    else return;
    event.preventDefault();
    event.stopPropagation();
    state.cursor = cursor;
    redraw();
  });
  return state;
}

function outline(page, bins, flipped, state) {
  const { context, w, h } = page;
  for (const [span, colour] of [[state.span, OKABE_ITO[5]], [state.cursor && state.cursor.map((x) => [x, x]), themed("--accent")]]) {
    if (!span) continue;
    const [x0, x1] = [span[0][0] / bins[0], (span[0][1] + 1) / bins[0]], [y0, y1] = [span[1][0] / bins[1], (span[1][1] + 1) / bins[1]];
    const top = flipped ? 1 - y1 : y0;
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(PAD.left + w * x0 - 1, PAD.top + h * top - 1, Math.max(5, w * (x1 - x0)) + 2, Math.max(5, h * (y1 - y0)) + 2);
    context.lineWidth = 1;
  }
}

/** A map of bins: values[x][y], null where nothing was seen; the lowest is the lightest, as a basin is. */
export function heatmap({ title, values, x, y, low, high, flipped = true, dark = false, chosen }) {
  const bins = [values.length, values[0].length];
  const { canvas, figure, ready } = sheet(title, (width) => Math.min(300, width), chosen);
  let state = { span: null, cursor: null };
  const draw = () => {
    const page = ready(), { context, w, h } = page;
    context.fillStyle = themed("--soft");
    context.fillRect(PAD.left, PAD.top, w, h);
    for (let i = 0; i < bins[0]; i++) for (let j = 0; j < bins[1]; j++) {
      const value = values[i][j];
      if (value === null) continue;
      const share = (value - low) / (high - low);
      context.fillStyle = css(cividis(dark ? share : 1 - share));
      const row = flipped ? bins[1] - 1 - j : j;
      context.fillRect(PAD.left + (w * i) / bins[0], PAD.top + (h * row) / bins[1], w / bins[0] + 0.6, h / bins[1] + 0.6);
    }
    axes(page, x, y);
    outline(page, bins, flipped, state);
  };
  if (chosen) state = choosing(canvas, bins, flipped, draw, chosen);
  figure.append(el("figcaption", {}, title));
  return { figure, draw, forget: () => { state.span = null; draw(); } };
}

/** Bars of one error up and down. */
function whiskers(context, line, errors, px, py) {
  context.strokeStyle = line.colour;
  context.lineWidth = 1;
  context.beginPath();
  line.x.forEach((value, k) => {
    if (line.y[k] === null || errors[k] === null) return;
    context.moveTo(px(value), py(line.y[k] - errors[k]));
    context.lineTo(px(value), py(line.y[k] + errors[k]));
  });
  context.stroke();
}

/** Curves over x: [{name, x, y, colour, dashed}]; with `bins`, a span of x can be chosen. */
export function curves({ title, lines, x, y, bins = 0, height = 210, log = false, chosen }) {
  const { canvas, figure, ready } = sheet(title, height, chosen);
  let state = { span: null, cursor: null }, errors = null;
  const scaled = (value) => (log ? Math.log10(value) : value);
  const draw = () => {
    const page = ready(), { context, w, h } = page;
    const px = (value) => PAD.left + (w * (value - x.low)) / (x.high - x.low);
    const py = (value) => PAD.top + h - (h * (scaled(value) - y.low)) / (y.high - y.low);
    context.save();
    context.beginPath();
    context.rect(PAD.left, PAD.top, w, h);
    context.clip();
    if (errors) whiskers(context, lines[lines.length - 1], errors, px, py);
    for (const line of lines) {
      context.strokeStyle = line.colour;
      context.lineWidth = 1.7;
      context.setLineDash(line.dashed ? [5, 4] : []);
      context.beginPath();
      let down = false;
      line.x.forEach((value, k) => {
        if (line.y[k] === null) { down = false; return; }
        context[down ? "lineTo" : "moveTo"](px(value), py(line.y[k]));
        down = true;
      });
      context.stroke();
      context.setLineDash([]);
    }
    context.restore();
    context.lineWidth = 1;
    axes(page, x, log ? { ...y, say: (value) => (10 ** value).toExponential(1).replace("e+", "e") } : y);
    if (bins) outline(page, [bins, 1], true, state);
  };
  if (chosen) state = choosing(canvas, [bins, 1], true, draw, (span) => chosen(span[0]));
  const key = lines.filter((line) => line.name).map((line) => {
    const mark = el("span", { "aria-hidden": "true" }, line.dashed ? " ╌ " : " ━ ");
    mark.style.color = line.colour;
    return el("span", {}, mark, line.name, "  ");
  });
  figure.append(el("figcaption", {}, title ? `${title} ` : "", ...key));
  return { figure, draw, forget: () => { state.span = null; draw(); }, bars: (found) => { errors = found; draw(); } };
}
