// Linked views: a click in a picture gives frames, and the stage shows them at all levels.

import { download, json, name } from "./api.js";
import { heatmap, curves } from "./charts.js";
import { $, counted, el, fill, number, percent, SIGNS, duration } from "./dom.js";
import { css, kindColour } from "./palette.js";

const DEGREES = 180 / Math.PI;
/** kT up to which a surface is coloured, as in the report. */
const TOP = 7;
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

export class Panels {
  constructor(stage, told) {
    this.stage = stage;
    this.told = told;
    this.charts = [];
    this.turn = 0;
    new ResizeObserver(() => this.charts.forEach((chart) => chart.draw())).observe($("panel"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.charts.forEach((chart) => chart.draw()));
  }

  show(run, ladder) {
    this.run = run;
    this.ladder = ladder;
  }

  /** Put charts and other nodes into the panel. */
  #put(charts, ...nodes) {
    this.charts = charts;
    fill($("panel"), ...nodes);
    charts.forEach((chart) => chart.draw());
  }

  #wait(text) {
    this.#put([], el("p", { class: "quiet" }, text));
    return ++this.turn;
  }

  /** Another panel is shown now: what was asked for comes too late. */
  leave() {
    this.turn++;
    this.charts = [];
  }

  #level(number) {
    return this.ladder.levels.find((level) => level.number === number);
  }

  /** Show frames that a picture stands for. */
  async #frames(found, text, exports = []) {
    if (!found.count) { this.told(new Error(`${text}: no frame lies there`)); return; }
    await this.stage.choose(found.moments, found.places, { ...found, text, exports });
    this.told(null);
  }

  // ---- overview --------------------------------------------------------------------------------

  overview() {
    const { levels, steps, problems, command } = this.ladder;
    const rows = levels.map((level) => el("section", { class: "level" },
      el("h3", {}, `${level.name} `, el("span", { class: `word ${level.verdict.css}` }, `${SIGNS[level.verdict.word] || "…"} ${level.verdict.word}`)),
      ...level.verdict.reasons.map((reason) => el("p", { class: "small" }, `${reason.found}; expected ${reason.expected}. ${reason.do}.`)),
      facts([["sites", number(level.n_sites, 6)], ["frames", level.n_frames ? level.n_frames.toLocaleString("en") : "not yet"], ["simulated", level.ns ? `${number(level.ns)} ns` : null],
        ["speed", level.ns_per_day ? `${number(level.ns_per_day)} ns/day` : null], ["replicas lost", level.started ? `${level.lost} of ${level.started}` : null],
        ["explained", typeof level.explained === "number" ? percent(level.explained, level.explained_error) : null], ["time", level.seconds ? duration(level.seconds) : null]]),
      level.verdict.said.length ? el("details", {}, el("summary", {}, counted(level.verdict.said.length, "note")), ...level.verdict.said.map((text) => el("p", { class: "small" }, text))) : null));
    this.#put([],
      el("p", {}, this.ladder.state),
      ...problems.map((text) => el("p", { class: "notice" }, text)),
      ...rows,
      steps.length ? el("h3", {}, "What to do next") : null,
      el("ul", { class: "plain" }, ...steps.map((step) => el("li", {}, step.level ? el("b", {}, `${step.level}: `) : null, step.do, step.command ? el("pre", {}, step.command) : null))),
      this.#takeaway(),
      command ? el("details", {}, el("summary", {}, "Command of this run"), el("pre", {}, command)) : null);
  }

  #takeaway() {
    const button = (text, path, file) => el("button", { type: "button", onclick: async (event) => {
      event.target.disabled = true;
      try { await download(path, file); this.told(null); } catch (error) { this.told(error); }
      event.target.disabled = false;
    } }, text);
    const base = `runs/${name(this.run)}/files`;
    return el("p", { class: "bar" }, button("Download report", `${base}/report.html`, `${this.run}.html`), button("Download package", `${base}/package`, `${this.run}.cgrec`));
  }

  // ---- free energy -----------------------------------------------------------------------------

  async energies(chosen = null) {
    const all = this.ladder.landscapes;
    if (!all.length) { this.#wait("No free energies yet: they are there when a level has been compared with another in variables that both have."); return; }
    const widest = [...all].sort((a, b) => b.variables.length - a.variables.length || b.levels.length - a.levels.length)[0];
    const now = all.find((one) => one.name === chosen) || widest;
    const title = (one) => `${one.variables.map((v) => v.name).join(", ")} (${one.levels.map((k) => this.#level(k).name).join(", ")})`;
    const pick = all.length > 1 ? el("select", { "aria-label": "Free energy over", onchange: (event) => this.energies(event.target.value).catch(this.told) },
      ...all.map((one) => el("option", { value: one.name, selected: one === now }, title(one)))) : el("b", {}, title(now));
    const turn = this.#wait("Free energies are counted …");
    const found = await json(`runs/${name(this.run)}/landscapes/${name(now.name)}`);
    if (turn !== this.turn) return;
    const factor = found.variables.map((v) => (v.unit === "rad" ? DEGREES : 1));
    const axis = (k) => axisOf(found.variables[k], found.ranges[k], factor[k]);
    const charts = [];
    if (found.variables.length === 2) {
      for (const surface of found.surfaces) {
        const values = surface.values.map((row) => row.map((value) => (value === null || value > TOP ? null : value)));
        charts.push(heatmap({ title: `${surface.title}: F / kT, light 0, dark ${TOP}`, values, x: axis(0), y: { ...axis(1) }, low: 0, high: TOP,
          chosen: (span) => this.#inside(found, surface, span, charts) }));
      }
    } else {
      const x = axis(0), step = (x.high - x.low) / found.surfaces[0].values.length;
      for (const surface of found.surfaces) {
        const colour = COLOURS[surface.level % COLOURS.length];
        const others = found.surfaces.filter((one) => one !== surface).map((one) => this.#profile(one, x, step, COLOURS[one.level % COLOURS.length], true));
        charts.push(curves({ title: "", lines: [...others, this.#profile(surface, x, step, colour, false)], x, y: { low: 0, high: TOP, title: "F / kT" }, bins: surface.values.length,
          chosen: (span) => this.#inside(found, surface, [span], charts) }));
      }
    }
    const grid = el("div", { class: "charts" }, ...charts.map((chart) => chart.figure));
    this.#put(charts, pick, el("p", { class: "quiet small", id: "errors" }, "Errors are counted …"), el("p", { class: "quiet small" }, found.variables.length === 2 ? "Light is low. Click a bin or drag over a region: its frames are shown at every level." : "Each picture is of one level, with its error, the others dashed. Click a bin or drag over a range: the frames of that level are shown."), grid);
    await this.#errors(found, charts, turn);
  }

  /** Errors of the surfaces on the screen: bars of profiles, and how large they are. */
  async #errors(found, charts, turn) {
    const { errors } = await json(`runs/${name(this.run)}/landscapes/${name(found.name)}/errors`);
    if (turn !== this.turn) return;
    const said = found.surfaces.map((surface, k) => {
      const low = surface.values.flat().map((value) => value !== null && value <= TOP);
      const shown = errors[k].values.flat().filter((error, i) => error !== null && low[i]).sort((a, b) => a - b);
      if (!shown.length) return `${surface.title}: not known`;
      return `${surface.title}: ± ${number(shown[shown.length >> 1], 2)} in half of the bins, ± ${number(shown[shown.length - 1], 2)} at most`;
    });
    $("errors").textContent = `Errors of F / kT. ${said.join("; ")}.`;
    if (found.variables.length === 1) charts.forEach((chart, k) => chart.bars(errors[k].values));
  }

  #profile(surface, x, step, colour, dashed) {
    return { name: surface.title, x: surface.values.map((_, k) => x.low + step * (k + 0.5)), y: surface.values, colour, dashed };
  }

  async #inside(found, surface, spans, charts) {
    charts.forEach((chart, k) => { if (found.surfaces[k] !== surface) chart.forget(); });
    const bins = spans.map(([a, b]) => `${a}-${b}`).join(",");
    const path = `runs/${name(this.run)}/landscapes/${name(found.name)}/${surface.level}`;
    try {
      const frames = await json(`${path}?bins=${bins}`);
      const take = (file) => async () => { try { await download(`${path}/${file}?bins=${bins}`, `${this.run}_${surface.title.replace(/\W+/g, "_")}_${file}`); } catch (error) { this.told(error); } };
      await this.#frames(frames, `${surface.title}, ${this.#region(found, spans)}`, [{ text: "CSV", act: take("frames.csv") }, { text: "PDB", act: take("frames.pdb") }]);
    } catch (error) { this.told(error); }
  }

  #region(found, spans) {
    return spans.map(([a, b], k) => {
      const v = found.variables[k], [low, high] = found.ranges[k], factor = v.unit === "rad" ? DEGREES : 1;
      const n = found.surfaces[0].values.length;
      const edge = (i) => number(factor * (low + ((high - low) * i) / n));
      return `${v.name} ${edge(a)} to ${edge(b + 1)}${v.unit === "rad" ? "°" : v.unit === "1" ? "" : ` ${v.unit}`}`;
    }).join(", ");
  }

  // ---- contacts and shells ---------------------------------------------------------------------

  #levels(now, go) {
    const there = this.ladder.levels.filter((level) => level.n_frames);
    return el("select", { "aria-label": "Level", onchange: (event) => go.call(this, Number(event.target.value)).catch(this.told) },
      ...there.map((level) => el("option", { value: level.number, selected: level.number === now }, level.name)));
  }

  async contacts(number_ = null) {
    const there = this.ladder.levels.filter((level) => level.n_frames);
    if (!there.length) { this.#wait("No frames yet."); return; }
    const now = number_ ?? (there[1] || there[0]).number, pick = this.#levels(now, this.contacts);
    if (!this.#level(now).contacts) {
      this.leave();
      this.#put([], pick, el("p", { class: "quiet" }, `${this.#level(now).name}: no chain that is long enough, so no contact map.`));
      return;
    }
    const turn = this.#wait("Contacts are counted …");
    const found = await json(`runs/${name(this.run)}/contacts/${now}`);
    if (turn !== this.turn) return;
    const n = found.labels.length, charts = [], step = Math.ceil(n / 5);
    const places = Array.from({ length: Math.ceil(n / step) }, (_, k) => k * step);
    const axis = { low: -0.5, high: n - 0.5, title: "site along the chain", ticks: places, say: (k) => String(k + 1) };
    for (const [title, values] of [[`${this.#level(now).name}: share in contact, under ${found.cutoff} nm`, found.own], ["its parent, mapped up", found.parent]]) {
      if (!values) continue;
      const own = values === found.own;
      charts.push(heatmap({ title, values, x: axis, y: axis, low: 0, high: 1, dark: true, chosen: own ? ([[a], [b]]) => this.#touch(now, a, b, found.labels) : null }));
    }
    this.#put(charts, pick, el("p", { class: "quiet small" }, "Click a pair: the frames in which it touches are shown. Dark is rare, bright is always."), el("div", { class: "charts" }, ...charts.map((chart) => chart.figure)));
  }

  async #touch(level, a, b, labels) {
    try {
      await this.#frames(await json(`runs/${name(this.run)}/contacts/${level}/${a}/${b}`), `${this.#level(level).name}, ${labels[a]} touches ${labels[b]}`);
    } catch (error) { this.told(error); }
  }

  async shells(number_ = null) {
    const there = this.ladder.levels.filter((level) => level.n_frames && level.periodic);
    if (!there.length) { this.#wait("No level lies in a periodic box: there is no g(r)."); return; }
    const now = number_ ?? there[there.length - 1].number;
    const turn = this.#wait("g(r) is counted …");
    const found = await json(`runs/${name(this.run)}/shells/${now}`);
    if (turn !== this.turn) return;
    const pick = el("select", { "aria-label": "Level", onchange: (event) => this.shells(Number(event.target.value)).catch(this.told) },
      ...there.map((level) => el("option", { value: level.number, selected: level.number === now }, level.name)));
    const charts = found.curves.map((curve) => {
      const top = Math.max(1.5, ...curve.own, ...(curve.parent || [])), step = curve.r[1] - curve.r[0] || 0.01;
      const lines = [{ name: this.#level(now).name, x: curve.r, y: curve.own, colour: COLOURS[0] }];
      if (curve.parent) lines.push({ name: "parent", x: curve.r, y: curve.parent, colour: COLOURS[5], dashed: true });
      return curves({ title: `g(r) ${curve.types.join("–")}`, lines, x: { low: 0, high: curve.r[curve.r.length - 1] + step / 2, title: "r / nm" }, y: { low: 0, high: 1.08 * top, title: "" }, bins: curve.r.length,
        chosen: ([a, b]) => this.#shell(now, curve, curve.r[a] - step / 2, curve.r[b] + step / 2) });
    });
    this.#put(charts, pick, el("p", { class: "quiet small" }, "Drag over a shell: the frames with most pairs in it are shown, of some hundred."), el("div", { class: "charts" }, ...charts.map((chart) => chart.figure)));
  }

  async #shell(level, curve, low, high) {
    const words = new URLSearchParams({ first: curve.types[0], second: curve.types[1], low: Math.max(0, low).toFixed(4), high: high.toFixed(4) });
    try {
      await this.#frames(await json(`runs/${name(this.run)}/shells/${level}/frames?${words}`), `${this.#level(level).name}, most ${curve.types.join("–")} between ${number(low)} and ${number(high)} nm`);
    } catch (error) { this.told(error); }
  }

  // ---- ledger ----------------------------------------------------------------------------------

  ledger(go) {
    const rows = this.ladder.ledger;
    if (!rows.length) {
      this.#wait(this.ladder.complete ? "No rows: this run has no variables that its levels are compared in. Of a liquid, the report compares g(r)." : "No rows yet: they are there when the first level above the atoms is done.");
      return;
    }
    const most = rows.reduce((top, row) => Math.max(top, (row.excess || 0) + (row.error || 0)), 1e-6);
    const bars = rows.map((row) => {
      const level = this.ladder.levels.find((one) => one.name === row.level || row.level.startsWith(`${one.name} (`));
      const landscape = this.ladder.landscapes.find((one) => row.variables.every((v) => one.variables.some((w) => w.name === v)) && (!level || one.levels.includes(level.number)));
      const beam = el("i", { "width%": (100 * Math.max(0, row.excess || 0)) / most });
      beam.style.background = css(kindColour(level ? level.number : 7));
      const error = el("u", { "width%": (200 * Math.min(row.error || 0, row.excess || 0)) / most || 0 });
      error.style.left = `${(100 * Math.max(0, (row.excess || 0) - (row.error || 0))) / most}%`;
      return el("button", { type: "button", disabled: !landscape, title: landscape ? "Show the free energies behind it" : "no free energy over these", onclick: () => go(landscape.name) },
        el("span", {}, `${row.level} from ${row.against}`, el("br"), el("span", { class: "quiet" }, row.variables.join(", ") || "structure")),
        el("span", { class: "beam" }, beam, error), el("span", {}, `${number(row.excess, 2)} ± ${number(row.error, 2)}`));
    });
    this.#put([], el("p", { class: "quiet small" }, "Divergence (Jensen-Shannon, nats) above what chance shows. Click a bar: the free energies behind it."), el("div", { class: "bars" }, ...bars));
  }
}

function axisOf(variable, [low, high], factor) {
  const unit = variable.unit === "rad" ? "°" : variable.unit === "1" ? "" : variable.unit;
  const axis = { low: low * factor, high: high * factor, title: variable.name + (unit ? ` / ${unit}` : "") };
  return variable.unit === "rad" && variable.periodic ? { ...axis, ticks: [-180, -90, 0, 90, 180] } : axis;
}

export function facts(pairs) {
  return el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]));
}
