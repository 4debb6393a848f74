// A run while it is made: what it does now, losses over their noise floor, verdicts as they come.

import { json, listen, name, post } from "./api.js";
import { curves } from "./charts.js";
import { $, counted, duration, el, fill, number, SIGNS } from "./dom.js";
import { facts } from "./panels.js";

/** ms between looks at the status of a run. */
const LOOK = 3000;

export class Live {
  /** renewed(): a product was made, so the ladder has changed; stated(): the run is in another state; told(error). */
  constructor(renewed, stated, told) {
    this.renewed = renewed;
    this.stated = stated;
    this.told = told;
    this.shown = false;
    this.end = null;
  }

  /** Follow a run from its first event on. */
  follow(run, ladder) {
    this.stop();
    this.run = run;
    this.ladder = ladder;
    this.state = null;
    this.now = null;
    this.heard = false;
    this.verdicts = [];
    this.remarks = [];
    this.fits = new Map();
    this.speeds = new Map();
    this.end = listen(run, (events) => this.#hear(events));
    this.#look();
    this.timer = setInterval(() => this.#look(), LOOK);
  }

  stop() {
    if (this.end) this.end();
    clearInterval(this.timer);
  }

  #hear(events) {
    let made = false;
    for (const event of events) {
      if (event.event.startsWith("climb_")) { this.now = null; made = true; }
      if (event.event === "step_begin") this.now = event;
      if (event.event === "step_begin" || event.event === "step_end") made = true;
      if (event.event === "verdict") this.verdicts.push(event);
      if (event.event === "remark") this.remarks.push(event.text);
      if (event.event !== "progress") continue;
      this.now = event;
      if (typeof event.ns_per_day === "number") this.speeds.set(event.task, event);
      if (event.step === "fit" && typeof event.loss === "number") {
        if (!this.fits.has(event.task)) this.fits.set(event.task, { x: [], y: [] });
        const fit = this.fits.get(event.task);
        if (fit.x.length && event.done < fit.x[fit.x.length - 1]) [fit.x, fit.y] = [[], []];
        fit.x.push(event.done);
        fit.y.push(event.loss);
      }
    }
    // the ladder was read before the first events came: of a run at work it may be older than these
    if (made && (this.heard || !this.ladder.complete)) this.renewed();
    this.heard = true;
    this.draw();
  }

  async #look() {
    const run = this.run;
    try {
      const state = await json(`jobs/${name(run)}`);
      if (run !== this.run) return;
      const before = this.state && this.state.status && this.state.status.state;
      this.state = state;
      this.#pill();
      if (!this.now || before !== (state.status && state.status.state)) this.draw();
      if (state.status && before !== state.status.state) {
        this.stated();
        if (before) this.renewed();
      }
    } catch (error) {
      if (error.status === 0) this.told(error);
    }
  }

  #pill() {
    const state = this.state.working && this.state.working !== "climb" ? `cgrec ${this.state.working}` : (this.state.status && this.state.status.state) || "not begun";
    $("state").textContent = state;
    $("state").className = `pill ${{ finished: "good", failed: "bad", killed: "bad", refused: "bad", stopped: "warn" }[state] || ""}`;
  }

  /** Put it into the panel, where that shows it. */
  draw() {
    if (!this.shown || !this.state) return;
    const status = this.state.status, running = (status && status.state === "running") || this.state.working;
    const charts = this.#losses();
    const last = [...this.speeds.values()].pop();
    const open = [...$("panel").querySelectorAll("details[open]")].map((node) => node.dataset.key);
    const folded = (key, title, ...nodes) => el("details", { "data-key": key, open: open.includes(key) }, el("summary", {}, title), ...nodes);
    fill($("panel"),
      el("p", { class: "bar" }, this.#buttons(running, status)),
      status && status.said && !(this.state.working && status.state !== "running") ? el("p", { class: "notice" }, status.said) : null,
      ...(running && this.now ? this.#progress(this.now) : []),
      last ? facts([["speed", `${number(last.ns_per_day)} ns/day`], ["temperature", typeof last.temperature === "number" ? `${number(last.temperature)} K` : null], ["replicas lost", last.lost_replicas === undefined ? null : String(last.lost_replicas)]]) : null,
      el("h3", {}, "Verdicts"),
      this.verdicts.length ? el("ul", { class: "plain" }, ...this.verdicts.map((v) => el("li", {}, el("b", {}, `${SIGNS[v.value] || ""} ${v.name}: `), v.text))) : el("p", { class: "quiet" }, "None yet."),
      charts.length ? el("h3", {}, "Losses") : null,
      el("div", { class: "charts" }, ...charts.map((chart) => chart.figure)),
      this.remarks.length ? folded("notes", counted(this.remarks.length, "note"), ...this.remarks.map((text) => el("p", { class: "small" }, text))) : null,
      ...Object.entries(this.state.said).filter(([, text]) => text).map(([kind, text]) => folded(kind, `What cgrec ${kind} said`, el("pre", {}, text))));
    charts.forEach((chart) => chart.draw());
  }

  #buttons(running, status) {
    const act = (text, what, main, body = {}) => el("button", { type: "button", class: main ? "main" : null, onclick: async (event) => {
      event.target.disabled = true;
      try {
        this.told(null);
        this.state = await post(`jobs/${name(this.run)}/${what}`, body);
        this.asked = what === "stop";
      } catch (error) { this.told(error); }
      this.draw();
    } }, text);
    if (!running) this.asked = false;
    if (running && this.asked) return el("span", { class: "quiet" }, "Asked to stop: it ends at its next checkpoint, and all that is made is kept.");
    if (running) return act("Stop at the next checkpoint", "stop", false);
    if (status && status.state === "finished") return el("span", { class: "quiet" }, `Finished${status.seconds ? ` in ${duration(status.seconds)}` : ""}.`);
    if (status && status.said.includes("go_on=true")) return act("Go on in spite of the verdict", "climb", true, { go_on: true });
    return act("Go on", "climb", true);
  }

  #progress(event) {
    const said = `${event.name || ""}: ${event.step || event.event}`;
    if (typeof event.total !== "number") return [el("p", {}, said)];
    const share = Math.min(1, event.done / Math.max(1, event.total));
    return [el("p", {}, `${event.task}: ${event.done.toLocaleString("en")} of ${counted(event.total, event.unit)}${typeof event.left === "number" ? `, ${duration(event.left)} left of this step` : ""}`),
      el("div", { class: "track", role: "progressbar", "aria-valuenow": Math.round(100 * share), "aria-valuemin": 0, "aria-valuemax": 100 }, el("i", { "width%": 100 * share }))];
  }

  #losses() {
    const names = new Set([...Object.keys(this.ladder.losses), ...[...this.fits.keys()].map((task) => task.replace(/: fit$/, ""))]);
    return [...names].map((level) => {
      const kept = this.ladder.losses[level], fit = this.fits.get(`${level}: fit`), lines = [];
      if (kept && kept.step) {
        lines.push({ name: "training", x: kept.step, y: kept.training_loss, colour: "#0072b2" }, { name: "validation", x: kept.step, y: kept.validation_loss, colour: "#e69f00" });
        const noise = (kept.noise_estimate || []).filter((x) => x !== null).pop();
        if (noise) lines.push({ name: "noise floor", x: [kept.step[0], kept.step[kept.step.length - 1]], y: [noise, noise], colour: "#d55e00", dashed: true });
      } else if (fit) lines.push({ name: "training", x: fit.x, y: fit.y, colour: "#0072b2" });
      const values = lines.flatMap((line) => line.y).filter((y) => typeof y === "number" && y > 0).map(Math.log10);
      const steps = lines.flatMap((line) => line.x);
      if (values.length < 2) return null;
      const [low, high] = [Math.min(...values), Math.max(...values)], pad = Math.max(0.02, 0.08 * (high - low));
      for (const line of lines) line.y = line.y.map((y) => (y > 0 ? y : null));
      return curves({ title: level, lines, log: true, x: { low: Math.min(0, ...steps), high: Math.max(1, ...steps), title: "step" }, y: { low: low - pad, high: high + pad, title: "" }, height: 180 });
    }).filter((chart) => chart !== null);
  }
}
