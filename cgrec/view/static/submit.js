// From a file to a run: drop, propose, edit the beads, start.

import { json, name, post, send } from "./api.js";
import { $, el, fill } from "./dom.js";
import { Drawing } from "./draw.js";
import { handle } from "./hands.js";
import { kindColour, rgb, themed } from "./palette.js";

/** ms between looks at what cgrec init does. */
const LOOK = 1000;

export class Submit {
  /** started(run): it climbs; told(error). */
  constructor(started, told) {
    this.started = started;
    this.told = told;
  }

  show() {
    this.run = "";
    this.files = [];
    const area = el("div", { class: "drop" },
      el("p", {}, "Drop a structure with hydrogens (PDB, SDF), or a trajectory with forces and its topology; or write a SMILES below."),
      el("p", {}, el("button", { type: "button", onclick: () => input.click() }, "Choose files")),
      el("p", { class: "quiet small" }, "PDB · TRR, H5MD, LAMMPS dump, NetCDF, extended XYZ, npz with TPR, GRO, PSF, prmtop … At most 4 GiB each; they stay on this machine."));
    const input = el("input", { type: "file", multiple: true, hidden: true, id: "files", onchange: () => this.#take(input.files) });
    area.append(input);
    // beside the area the browser would leave the page for the file
    const page = $("submit");
    page.ondragover = (event) => { event.preventDefault(); area.classList.add("over"); };
    page.ondragleave = () => area.classList.remove("over");
    page.ondrop = (event) => { event.preventDefault(); area.classList.remove("over"); this.#take(event.dataTransfer.files); };
    this.list = el("ul", { class: "plain" });
    this.title = el("input", { type: "text", id: "title", pattern: "[a-z0-9][a-z0-9_-]{0,39}", placeholder: "my_peptide", size: 22 });
    this.kelvin = el("input", { type: "number", id: "kelvin", min: 1, step: "any", placeholder: "300", size: 8 });
    this.smiles = el("input", { type: "text", id: "smiles", placeholder: "CC(=O)Nc1ccc(O)cc1", size: 26, spellcheck: "false", autocomplete: "off" });
    this.goal = el("select", { id: "goal" }, el("option", { value: "quick" }, "quick: minutes"), el("option", { value: "good" }, "good: an hour or two"));
    this.propose = el("button", { type: "button", class: "main", id: "propose", onclick: () => this.#propose() }, "Propose levels");
    this.steps = el("ol", { class: "steps" }, ...["files", "proposal", "start"].map((text) => el("li", {}, text)));
    this.outcome = el("section", { hidden: true });
    fill($("submit"), el("section", {}, el("h2", {}, "New run"), this.steps, area, this.list,
      el("div", { class: "form" }, el("label", {}, "SMILES (in place of files)", this.smiles), el("label", {}, "name", this.title), el("label", {}, "temperature, K (empty: of the files)", this.kelvin), el("label", {}, "how good", this.goal), this.propose)), this.outcome);
    this.#step(0);
  }

  #step(now) {
    [...this.steps.children].forEach((node, k) => { node.className = k < now ? "done" : k === now ? "now" : ""; });
  }

  #take(files) {
    for (const file of files) this.files.push(file);
    if (!this.title.value && this.files.length) this.title.value = this.files[0].name.toLowerCase().replace(/\.[^.]*$/, "").replace(/[^a-z0-9_-]+/g, "_").replace(/^[_-]+/, "").slice(0, 40);
    fill(this.list, ...this.files.map((file) => el("li", {}, `${file.name}, ${(file.size / 1e6).toFixed(2)} MB `, el("button", { type: "button", "aria-label": `Leave out ${file.name}`, onclick: () => { this.files.splice(this.files.indexOf(file), 1); this.#take([]); } }, "leave out"))));
  }

  async #propose() {
    this.told(null);
    this.run = this.title.value;
    if (!this.run || !this.title.checkValidity()) {
      this.told(new Error(`name: expected small letters, digits, "_" and "-", at most 40, found "${this.run}"`));
      return;
    }
    const said = el("p", { class: "quiet" }, "Files are sent …");
    this.outcome.hidden = false;
    fill(this.outcome, said);
    this.propose.disabled = true;
    try {
      const smiles = this.smiles.value.trim();
      if (smiles && this.files.length) throw new Error("SMILES: expected either files or a SMILES, found both; leave the files out, or empty the field");
      const files = smiles ? [new File([smiles], `${this.run}.smi`)] : this.files;
      if (!files.length) throw new Error("files: expected a structure or a trajectory, found none; drop one first, or write a SMILES");
      const there = await json(`jobs/${name(this.run)}`).then((state) => state.files, () => []);
      for (const file of files) {
        const sent = there.includes(file.name);
        if (sent && smiles && smiles !== this.sent) throw new Error(`name: ${this.run} has another SMILES already; take another name`);
        if (sent) continue;
        await send(`jobs/${name(this.run)}/files/${name(file.name)}`, file, (share) => { said.textContent = `${file.name}: ${Math.round(100 * share)} %`; });
      }
      this.sent = smiles;
      const kelvin = this.kelvin.value ? Number(this.kelvin.value) : null;
      let state = await post(`jobs/${name(this.run)}/init`, { temperature: kelvin, goal: this.goal.value });
      const text = el("pre", {});
      fill(this.outcome, el("p", { class: "quiet" }, "cgrec init looks at the files …"), text);
      while (state.working === "init") {
        text.textContent = state.said.init;
        await new Promise((wait) => setTimeout(wait, LOOK));
        state = await json(`jobs/${name(this.run)}`);
      }
      if (!state.recipe) throw new Error(state.said.init.trim().split("\n").pop() || "cgrec init wrote no recipe");
      await this.#proposal(state);
    } catch (error) {
      this.outcome.hidden = true;
      this.told(error);
    }
    this.propose.disabled = false;
  }

  async #proposal(state) {
    fill(this.outcome, el("p", { class: "quiet" }, "The proposal is drawn …"));
    const found = await json(`jobs/${name(this.run)}/proposal`);
    this.#step(1);
    const start = el("button", { type: "button", class: "main", id: "start", onclick: async () => {
      start.disabled = true;
      try { await post(`jobs/${name(this.run)}/climb`); this.#step(2); this.started(this.run); } catch (error) { start.disabled = false; this.told(error); }
    } }, "Start");
    const text = el("pre", {}, [state.said.init.trim(), "", ...found.said].join("\n"));
    const editor = found.atoms ? new Editor(this.run, found, this.told) : null;
    fill(this.outcome, el("h2", {}, "Proposal"), editor ? editor.node : el("p", { class: "quiet" }, "No structure can be drawn before the work."), text,
      el("details", {}, el("summary", {}, "The recipe"), el("pre", {}, state.recipe)), el("p", { class: "bar" }, start, el("span", { class: "quiet" }, "It can be stopped and goes on later.")));
    if (editor) editor.draw();
  }
}

/** The molecule, its atoms in the colours of their beads; atoms clicked one after the other become a bead. */
class Editor {
  constructor(run, found, told) {
    this.run = run;
    this.told = told;
    this.held = [];
    this.canvas = el("canvas", { class: "sketch", tabindex: 0, "aria-label": "The molecule with its proposed beads. Click atoms to choose them." });
    this.which = el("select", { "aria-label": "Level", onchange: () => this.paint() });
    this.said = el("p", { class: "quiet small" });
    this.join = el("button", { type: "button", id: "join", disabled: true, onclick: () => this.#join() }, "Make them one bead");
    this.cut = el("button", { type: "button", disabled: true, onclick: () => this.#cut() }, "Take them out");
    this.keep = el("button", { type: "button", id: "keep", disabled: true, onclick: () => this.#keep() }, "Use these beads");
    this.node = el("div", {}, el("p", { class: "bar" }, el("span", { class: "quiet" }, "beads of"), this.which, this.join, this.cut, this.keep), this.canvas, this.said);
    this.#take(found);
  }

  #take(found) {
    this.atoms = found.atoms;
    this.levels = found.levels;
    this.beads = found.levels.length ? [...found.levels[0].beads] : this.atoms.kind.map(() => -1);
    this.changed = false;
    fill(this.which, ...found.levels.map((level, k) => el("option", { value: k }, `${level.name}: ${level.n_sites} sites`)));
  }

  draw() {
    if (!this.drawing) {
      this.drawing = new Drawing(this.canvas);
      const { positions, bonds } = this.atoms, flat = new Float32Array(positions.flat());
      this.drawing.setLevels([{ n: positions.length, bonds, stick: 0.013 }]);
      this.drawing.setPositions(0, flat);
      this.drawing.fit(flat, null);
      handle(this.canvas, this.drawing, () => this.#render(), (x, y) => this.#pick(x, y));
      new ResizeObserver(() => this.#render()).observe(this.canvas);
    }
    this.paint();
  }

  #views() {
    return [{ x: 0, width: 1, layers: [{ level: 0, alpha: 1 }] }];
  }

  #render() {
    this.drawing.resize();
    this.drawing.background = rgb(themed("--scene"));
    this.drawing.render(this.#views());
  }

  paint() {
    const { kind, kinds } = this.atoms, first = Number(this.which.value) === 0;
    const beads = first ? this.beads : this.levels[Number(this.which.value)].beads;
    const values = new Float32Array(4 * kind.length), held = new Set(this.held);
    kind.forEach((one, i) => {
      values.set(held.has(i) ? rgb("#d55e00") : beads[i] < 0 ? [0.6, 0.62, 0.65] : kindColour(beads[i]), 4 * i);
      values[4 * i + 3] = kinds[one].radius * (held.has(i) ? 1.5 : beads[i] < 0 ? 0.7 : 1.15);
    });
    this.drawing.setLooks(0, values);
    this.join.disabled = this.cut.disabled = !first || !this.held.length;
    this.keep.disabled = !this.changed;
    const n = new Set(beads.filter((bead) => bead >= 0)).size;
    const chosen = this.held.map((i) => this.atoms.labels[i]).join(", ");
    this.said.textContent = `${n} beads; grey atoms lie in none. ${chosen ? `Chosen: ${chosen}` : "Click atoms to choose them."}${this.changed ? " Levels above the first are left out when you use beads of your own." : ""}`;
    this.#render();
  }

  #pick(x, y) {
    const atom = this.drawing.siteAt(this.#views(), x, y);
    if (atom < 0) return;
    if (this.held.includes(atom)) this.held = this.held.filter((one) => one !== atom);
    else this.held.push(atom);
    this.paint();
  }

  #join() {
    const bead = this.beads.reduce((a, b) => Math.max(a, b), -1) + 1;
    for (const atom of this.held) this.beads[atom] = bead;
    this.#edited();
  }

  #cut() {
    for (const atom of this.held) this.beads[atom] = -1;
    this.#edited();
  }

  #edited() {
    this.held = [];
    this.changed = true;
    this.paint();
  }

  async #keep() {
    const groups = new Map();
    this.beads.forEach((bead, atom) => { if (bead >= 0) groups.set(bead, [...(groups.get(bead) || []), atom]); });
    try {
      this.#take(await post(`jobs/${name(this.run)}/beads`, { beads: [...groups.values()] }));
      this.told(null);
      this.paint();
    } catch (error) { this.told(error); }
  }
}
