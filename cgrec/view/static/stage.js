// The structure at all levels, its frames, its colours; what is shown is one moment.

import { floats, json, name, post } from "./api.js";
import { $, el, fill, number, percent, SIGNS } from "./dom.js";
import { Drawing } from "./draw.js";
import { Frames } from "./frames.js";
import { handle } from "./hands.js";
import { cividis, css, kindColour, rgb, themed } from "./palette.js";

/** How much larger the balls of a level are drawn than those of the level below. */
const GROWN = 1.2;

export class Stage {
  /** told(text): what went wrong. */
  constructor(told) {
    this.told = told;
    this.canvas = $("canvas");
    this.drawing = new Drawing(this.canvas);
    this.scale = 0;
    this.beside = false;
    this.at = 0;
    this.timer = null;
    this.site = null;
    this.#listen();
    new ResizeObserver(() => this.draw()).observe($("canvas-box"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  /** Show a run by its ladder; `keep` leaves frame and scale as they are, where they are still there. */
  show(run, ladder, keep = false) {
    this.run = run;
    this.ladder = ladder;
    this.looks = new Map(ladder.levels.map((level) => [level.number, level.look]));
    fill($("moments"), ...ladder.moments.map((m) => el("option", { value: m.name }, m.title)));
    $("imaged").hidden = !ladder.levels.some((level) => level.periodic);
    const known = keep && this.about && ladder.moments.find((m) => m.name === this.about.name);
    const first = known || ladder.moments.find((m) => m.level === 0) || ladder.moments[0];
    this.#blank(first ? "" : "No frames yet. They appear here when the first level is made.");
    $("zoom").max = Math.max(0, ladder.levels.length - 1);
    if (!first) {
      this.pause();
      this.about = this.shown = this.frames = null;
      $("chosen").hidden = true;
      fill($("says"));
      this.#cards();
      return Promise.resolve();
    }
    if (known && known.n_frames === this.about.n_frames && known.levels.length === this.about.levels.length) {
      $("moments").value = known.name;
      this.#cards();
      return Promise.resolve();
    }
    return this.choose(first.name);
  }

  /** Look at an ensemble; `places`: only these frames of it, with what is said of them. */
  async choose(moments, places = null, said = null) {
    this.pause();
    this.about = this.ladder.moments.find((m) => m.name === moments);
    this.frames = new Frames(this.run, this.about, places);
    this.said = said;
    this.measured = null;
    this.weights = null;
    $("moments").value = moments;
    fill($("says"), `${this.about.says} `, this.#back());
    const drawn = this.about.levels.map((number) => ({ number, look: this.looks.get(number) })).filter((one) => one.look);
    this.shown = drawn.map((one) => one.number);
    this.drawing.setLevels(drawn.map(({ look }) => ({ n: look.kind.length, bonds: look.bonds, stick: look.atoms ? 0.013 : 0.022 })));
    this.scale = Math.min(Math.max(this.scale, this.shown[0]), this.shown[this.shown.length - 1]);
    this.fitted = false;
    this.site = null;
    $("picked").hidden = true;
    $("frame").max = this.frames.count - 1;
    this.#chosen();
    this.#cards();
    await this.go(0);
    this.paint();
  }

  /** A button that brings the atoms back from these frames, where nobody has. */
  #back() {
    const { level, name: own } = this.about, run = this.run;
    const done = this.ladder.moments.some((one) => one.name === `descent_${level}_0`);
    const periodic = this.ladder.levels.some((one) => one.periodic);
    if (!level || done || periodic || own !== `level${level}` || !this.ladder.complete) return null;
    const button = el("button", { type: "button", id: "back", onclick: async () => {
      button.disabled = true;
      button.textContent = "Atoms are brought back …";
      try { await this.descend(run, level); } catch (error) { this.told(error); }
      button.disabled = false;
      button.textContent = "Bring the atoms back";
    } }, "Bring the atoms back");
    return button;
  }

  /** Wait for cgrec descend, then look at what it made. */
  async descend(run, level) {
    let state = await post(`jobs/${name(run)}/descend`, { from: level });
    while (state.working === "descend") {
      await new Promise((wait) => setTimeout(wait, 1500));
      state = await json(`jobs/${name(run)}`);
    }
    if (state.code) throw new Error(state.said.descend.trim().split("\n").pop());
    const ladder = await json(`runs/${name(run)}`);
    if (run !== this.run) return;
    await this.show(run, ladder, true);
    await this.choose(`descent_${level}_0`);
    this.setScale(0);
  }

  /** Forget the frames that were chosen. */
  all() {
    if (this.frames && this.frames.places) {
      const place = this.frames.place(this.at);
      this.choose(this.about.name).then(() => this.go(place));
    }
  }

  /** Show frame k. What comes late, after another one was asked for, is not shown. */
  async go(k) {
    if (!this.frames) return;
    this.at = Math.min(this.frames.count - 1, Math.max(0, k));
    $("frame").value = this.at;
    const frames = this.frames, at = this.at;
    let moment = frames.now(at);
    if (!moment) {
      try { moment = await frames.get(at); } catch (error) { this.pause(); this.told(error); return; }
    }
    frames.ahead(at);
    if (frames !== this.frames || at !== this.at) return;
    this.#lay(moment);
    this.#when();
    this.draw();
  }

  #lay(moment) {
    this.shown.forEach((level, k) => this.drawing.setPositions(k, moment.positions[level]));
    this.drawing.cell = moment.cell;
    if (!this.fitted) {
      this.drawing.fit(moment.positions[this.shown[0]], moment.cell);
      if (moment.cell) this.drawing.turnBy(0.35, 0.25);
      this.fitted = true;
    }
    if (["weight", "uncertainty"].includes($("colour").value)) this.paint();
  }

  draw() {
    if (!this.about) return;
    this.drawing.resize();
    this.drawing.background = rgb(hex(themed("--scene")));
    this.drawing.render(this.views());
    this.canvas.dataset.frame = this.at;
    this.canvas.dataset.drawn = Number(this.canvas.dataset.drawn || 0) + 1;
  }

  /** Beads over the atoms that they stand for: the finer level stays until the coarser one is there. */
  views() {
    const n = this.shown.length;
    if (this.beside) return this.shown.map((_, k) => ({ x: k / n, width: 1 / n, layers: [{ level: k, alpha: 1 }] }));
    const place = Math.max(0, Math.min(n - 1, this.scale - this.shown[0]));
    const fine = Math.floor(place), f = place - fine;
    const layers = [{ level: fine, alpha: f < 0.5 ? 1 : 2 * (1 - f) }];
    if (f > 0.01) layers.push({ level: fine + 1, alpha: Math.min(1, 1.15 * f) });
    return [{ x: 0, width: 1, layers: f > 0.97 ? layers.slice(1) : layers }];
  }

  setScale(scale) {
    const n = this.ladder ? this.ladder.levels.length : 1;
    this.scale = Math.max(0, Math.min(n - 1, scale));
    if (this.shown) this.scale = Math.min(Math.max(this.scale, this.shown[0]), this.shown[this.shown.length - 1]);
    this.#cards();
    this.#legend($("colour").value);
    this.draw();
  }

  setBeside(beside) {
    this.beside = beside;
    $("zoomed").setAttribute("aria-pressed", !beside);
    $("beside").setAttribute("aria-pressed", beside);
    this.#names();
    this.#legend($("colour").value);
    this.draw();
  }

  // ---- colours ---------------------------------------------------------------------------------

  paint() {
    if (!this.about) return;
    const by = $("colour").value;
    if (by === "weight" && !this.weights) {
      const about = this.about;
      floats(`runs/${name(this.run)}/moments/${name(about.name)}/weights`).then((weights) => {
        if (about !== this.about) return;
        this.weights = weights;
        this.heaviest = weights.reduce((a, b) => Math.max(a, b), 0);
        this.paint();
      }, this.told);
    }
    if (by === "uncertainty") this.#measure();
    this.shown.forEach((level, k) => this.drawing.setLooks(k, this.#look(this.looks.get(level), by, level)));
    this.#legend(by);
    this.draw();
  }

  /** Ask how far out the sites of this frame are; one question at a time, the latest counts. */
  #measure() {
    const key = `${this.run}/${this.about.name}/${this.frames.place(this.at)}`;
    if (this.measured && this.measured.key === key) return;
    if (this.measuring) return;
    this.measuring = true;
    json(`runs/${name(this.run)}/moments/${name(this.about.name)}/uncertainty/${this.frames.place(this.at)}`).then(
      (found) => { this.measured = { key, found }; this.measuring = false; this.paint(); },
      (error) => { this.measuring = false; $("colour").value = "kind"; this.paint(); this.told(error); });
  }

  #look(look, by, level) {
    const n = look.kind.length, values = new Float32Array(4 * n);
    const grown = GROWN ** (level - this.shown[0]); // a bead that lies on an atom is seen over it
    const residues = look.residue.reduce((a, b) => Math.max(a, b), 0);
    const kinds = look.kinds.map((kind) => rgb(kind.colour));
    const weight = this.weights ? cividis(this.weights[this.frames.place(this.at)] / (this.heaviest || 1)) : [0.5, 0.5, 0.5];
    const out = this.measured ? this.measured.found[level] : null;
    for (let i = 0; i < n; i++) {
      const kind = look.kind[i];
      let colour = kinds[kind];
      if (by === "residue") colour = cividis(residues ? look.residue[i] / residues : 0);
      else if (by === "bead") colour = kindColour(look.bead[i]);
      else if (by === "weight") colour = weight;
      else if (by === "uncertainty") colour = out ? (out[i] > 1 ? rgb("#d55e00") : cividis(out[i])) : [0.6, 0.62, 0.65];
      if (this.site && this.site.level === level && this.site.index === i) colour = rgb("#d55e00");
      values.set(colour, 4 * i);
      values[4 * i + 3] = look.kinds[kind].radius * grown;
    }
    return values;
  }

  #legend(by) {
    if (!this.about) return;
    const place = $("legend");
    place.hidden = false;
    if (by === "kind") {
      const seen = this.beside ? this.shown : this.views()[0].layers.map((layer) => this.shown[layer.level]);
      const kinds = seen.flatMap((level) => this.looks.get(level).kinds.map((kind) => [kind.name, kind.colour]));
      const once = [...new Map(kinds)];
      place.hidden = once.length > 8;
      fill(place, ...once.flatMap(([text, colour]) => [dot(rgb(colour)), text]));
    } else if (by === "bead") fill(place, "one colour for each site of the level above");
    else if (by === "residue") fill(place, "first residue", band(), "last");
    else if (by === "uncertainty") {
      const known = this.measured && Object.keys(this.measured.found).length;
      fill(place, ...(this.measured ? known ? ["as trained on", band(), "1, the bound", dot(rgb("#d55e00")), "beyond; grey: not known"] : ["no level shown has a guard"] : ["is measured …"]));
    } else {
      const weight = this.weights ? this.weights[this.frames.place(this.at)] : null;
      fill(place, "weight 0", band(), number(this.heaviest), weight === null ? "" : `; this frame: ${number(weight)}`);
    }
  }

  // ---- words -----------------------------------------------------------------------------------

  #blank(text) {
    $("blank").hidden = !text;
    $("blank").textContent = text;
    for (const id of ["canvas", "player", "legend"]) $(id).style.visibility = text ? "hidden" : "";
  }

  #when() {
    let rest = this.frames.place(this.at), replica = 0;
    const counts = this.about.replicas;
    while (replica < counts.length - 1 && rest >= counts[replica]) rest -= counts[replica++];
    const which = this.frames.places ? `${this.at + 1} of ${this.frames.count} chosen: ` : "";
    const whose = counts.length > 1 ? `replica ${replica + 1}, ` : "";
    $("when").textContent = `${which}${whose}frame ${rest + 1} of ${counts[replica]}`;
  }

  #chosen() {
    const said = this.said;
    $("chosen").hidden = !said;
    if (!said) return;
    const listed = said.count > this.frames.count ? `, the first ${this.frames.count} are played` : "";
    const error = said.share_error > 1e-6 ? ` (± ${number(100 * said.share_error, 2)} %)` : "";  // all frames have none
    const exports = (said.exports || []).map((one) => el("button", { type: "button", onclick: one.act }, one.text));
    fill($("chosen"), `${said.text}: ${said.count.toLocaleString("en")} of ${said.of.toLocaleString("en")} frames, ${percent(said.share)} of the weight${error}${listed}`, ...exports, el("button", { type: "button", onclick: () => this.all() }, "All frames"));
  }

  #cards() {
    const here = Math.round(this.scale);
    fill($("ladder"), ...this.ladder.levels.map((level) => {
      const there = this.about && this.about.levels.includes(level.number);
      const word = level.step ? `${level.step} …` : `${SIGNS[level.verdict.word] || ""} ${level.verdict.word}`;
      return el("li", {}, el("button", { type: "button", "aria-current": there && level.number === here, disabled: !there, title: there ? null : "not shown for these frames", onclick: () => this.setScale(level.number) },
        el("b", {}, level.name), el("small", {}, `${level.n_sites ? level.n_sites.toLocaleString("en") : "?"} sites`), el("small", { class: `word ${level.verdict.css}` }, word)));
    }));
    $("zoom").value = this.scale;
    this.#names();
  }

  #names() {
    const n = this.shown ? this.shown.length : 0, place = this.scale - (this.shown ? this.shown[0] : 0);
    const titles = this.shown ? this.shown.map((number) => this.ladder.levels.find((level) => level.number === number).name) : [];
    const fine = Math.max(0, Math.min(n - 1, Math.floor(place))), f = place - fine;
    const zoomed = f > 0.03 && fine + 1 < n ? `${titles[fine]} → ${titles[fine + 1]}` : titles[fine] || "";
    const spans = this.beside ? titles.map((title, k) => [title, (k + 0.5) / n]) : [[zoomed, 0.5]];
    fill($("names"), ...spans.map(([text, x]) => { const span = el("span", {}, text); span.style.left = `${100 * x}%`; return span; }));
  }

  // ---- playing ---------------------------------------------------------------------------------

  play() {
    if (!this.about || this.frames.count < 2) return;
    $("play").textContent = "❚❚";
    $("play").setAttribute("aria-label", "Stop playing");
    let before = performance.now(), waiting = false;
    const step = async (now) => {
      this.timer = requestAnimationFrame(step);
      if (waiting || now - before < 1000 / Number($("speed").value)) return;
      before = now;
      waiting = true;
      await this.go((this.at + 1) % this.frames.count);
      waiting = false;
    };
    this.timer = requestAnimationFrame(step);
  }

  pause() {
    cancelAnimationFrame(this.timer);
    this.timer = null;
    $("play").textContent = "▶";
    $("play").setAttribute("aria-label", "Play");
  }

  toggle() {
    if (this.timer) this.pause();
    else this.play();
  }

  fit() {
    this.fitted = false;
    this.drawing.turn = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    this.go(this.at);
  }

  // ---- hands -----------------------------------------------------------------------------------

  #listen() {
    $("moments").addEventListener("change", (event) => this.choose(event.target.value).catch(this.told));
    $("colour").addEventListener("change", () => this.paint());
    $("zoom").addEventListener("input", (event) => this.setScale(Number(event.target.value)));
    $("frame").addEventListener("input", (event) => { this.pause(); this.go(Number(event.target.value)); });
    $("play").addEventListener("click", () => this.toggle());
    $("zoomed").addEventListener("click", () => this.setBeside(false));
    $("beside").addEventListener("click", () => this.setBeside(true));
    $("reset").addEventListener("click", () => this.fit());
    $("images").addEventListener("change", (event) => { this.drawing.images = event.target.checked; this.draw(); });
    handle(this.canvas, this.drawing, () => this.draw(), (x, y) => this.#pick(x, y));
    this.canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.told(new Error("The graphics card was reset: load the page again.")); });
  }

  #pick(x, y) {
    const views = this.views();
    const share = x / this.canvas.clientWidth;
    const view = views.find((one) => share >= one.x && share < one.x + one.width) || views[0];
    const level = this.shown[view.layers[view.layers.length - 1].level];
    const index = this.drawing.siteAt(views, x, y);
    this.site = index < 0 ? null : { level, index };
    const look = this.looks.get(level);
    $("picked").hidden = index < 0;
    if (index >= 0) $("picked").textContent = `${look.labels[index]}, ${look.kinds[look.kind[index]].name}`;
    this.paint();
  }
}

/** #rgb as #rrggbb. */
function hex(colour) {
  return colour.length === 4 ? `#${[...colour.slice(1)].map((c) => c + c).join("")}` : colour;
}

function dot(colour) {
  const mark = el("i");
  mark.style.background = css(colour);
  return mark;
}

function band() {
  const canvas = el("canvas", { width: 120, height: 1 }), context = canvas.getContext("2d");
  for (let x = 0; x < 120; x++) { context.fillStyle = css(cividis(x / 119)); context.fillRect(x, 0, 1, 1); }
  return canvas;
}
