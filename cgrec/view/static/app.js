// The page: which run, which panel, keys, and what goes wrong.

import { json, name } from "./api.js";
import { $, el, fill } from "./dom.js";
import { nearer } from "./hands.js";
import { Live } from "./live.js";
import { Panels } from "./panels.js";
import { Stage } from "./stage.js";
import { Submit } from "./submit.js";

/** Panels, by what their tabs say. */
const TABS = { overview: "Overview", energies: "Free energy", contacts: "Contacts", shells: "g(r)", ledger: "Ledger", live: "Live" };
let run = null, tab = "overview", preferred = "overview", stage = null, panels = null, live = null, renewing = false, again = false;

function told(error) {
  $("notice").hidden = !error;
  if (!error) { fill($("notice")); return; }  // its words are over, also for what reads hidden texts
  const text = error.message || String(error);
  fill($("notice"), `${text[0].toUpperCase()}${text.slice(1)}`, el("button", { type: "button", onclick: () => told(null) }, "Close"));
  console.error(error);
}

/** Which runs there are; the first one is opened where none is. */
async function list(open = null) {
  const found = await json("runs");
  const names = found.runs.map((one) => one.name);
  fill($("run"), ...found.runs.map(choice));
  document.querySelector(".pick").hidden = !names.length;
  const wanted = open || found.only || (names.includes(run) ? run : names[0]);
  if (wanted) await show(wanted);
  else submit();
}

function choice(one) {
  return el("option", { value: one.name }, `${one.name} · ${one.state}`);
}

/** The states in the list of runs, and runs that were begun since; what is chosen stays. */
async function relist() {
  try {
    const options = new Map([...$("run").options].map((one) => [one.value, one]));
    for (const one of (await json("runs")).runs) {
      const known = options.get(one.name), text = `${one.name} · ${one.state}`;
      if (!known) $("run").append(choice(one));
      else if (known.textContent !== text) known.textContent = text;
    }
  } catch (error) {
    told(error);
  }
}

async function show(wanted) {
  run = wanted;
  $("run").value = run;
  $("submit").hidden = true;
  $("page").hidden = false;
  told(null);
  let ladder;
  try { ladder = await json(`runs/${name(run)}`); } catch (error) {
    if (error.status !== 404) throw error;
    ladder = { name: run, levels: [], moments: [], landscapes: [], ledger: [], steps: [], problems: [], losses: {}, state: "Nothing of it is made yet.", command: "" };
  }
  if (run !== wanted) return; // another one was chosen meanwhile
  panels.show(run, ladder);
  live.follow(run, ladder);
  await stage.show(run, ladder);
  if (run !== wanted) return;
  await turn(!ladder.complete && !ladder.landscapes.length ? "live" : preferred);
  document.title = `${run} · cgrec view`;
}

/** A product was made: read the ladder again, and leave what is looked at where it is. */
async function renew() {
  if (renewing) { again = true; return; }
  renewing = true;
  try {
    const ladder = await json(`runs/${name(run)}`);
    panels.show(run, ladder);
    live.ladder = ladder;
    await stage.show(run, ladder, true);
    if (tab === "overview") await turn(tab);
    else live.draw();
  } catch (error) {
    if (error.status !== 404) told(error);
  }
  renewing = false;
  if (again) { again = false; renew(); }
}

/** A panel that a hand has chosen, also of the next run. */
function prefer(wanted) {
  preferred = wanted;
  return turn(wanted);
}

async function turn(wanted) {
  tab = wanted;
  fill($("tabs"), ...Object.entries(TABS).map(([key, text]) => el("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-selected": key === tab, tabindex: key === tab ? 0 : -1, onclick: () => prefer(key).catch(told) }, text)));
  $("panel").setAttribute("aria-labelledby", `tab-${tab}`);
  live.shown = tab === "live";
  panels.leave();
  if (tab === "live") { fill($("panel")); live.draw(); }
  else if (tab === "ledger") panels.ledger((landscape) => { turn("energies").then(() => panels.energies(landscape)).catch(told); });
  else await panels[tab]();
}

function submit() {
  $("page").hidden = true;
  $("submit").hidden = false;
  document.title = "New run · cgrec view";
  new Submit(async (started) => { preferred = "live"; await begun(started); }, told).show();
}

/** Wait until a run that was started has a folder, then show it. */
async function begun(started) {
  for (let k = 0; k < 60; k++) {
    const found = await json("runs");
    if (found.runs.some((one) => one.name === started)) return list(started);
    const state = await json(`jobs/${name(started)}`);
    if (!state.working) throw new Error(state.said.climb.trim().split("\n").pop() || "cgrec climb ended at once");
    await new Promise((wait) => setTimeout(wait, 1000));
  }
  throw new Error(`${started}: nothing was made in a minute`);
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range") return;
  if (event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
  if (event.target.getAttribute("role") === "tab" && event.key.startsWith("Arrow")) {
    const keys = Object.keys(TABS), next = keys[(keys.indexOf(tab) + (event.key === "ArrowRight" ? 1 : keys.length - 1)) % keys.length];
    prefer(next).then(() => $(`tab-${next}`).focus()).catch(told);
    return;
  }
  if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
  if (event.key === "?") { $("keys").showModal(); return; }
  if ($("page").hidden || !stage.about) return;
  const acts = {
    " ": () => stage.toggle(), ArrowLeft: () => stage.go(stage.at - 1), ArrowRight: () => stage.go(stage.at + 1),
    "[": () => stage.setScale(Math.ceil(stage.scale - 1)), "]": () => stage.setScale(Math.floor(stage.scale + 1)),
    s: () => stage.setBeside(!stage.beside), r: () => stage.fit(), Escape: () => stage.all(),
    "+": () => { nearer(stage.drawing, 1.2); stage.draw(); }, "-": () => { nearer(stage.drawing, 1 / 1.2); stage.draw(); },
  };
  const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key] || (/^[1-9]$/.test(event.key) ? () => stage.setScale(Number(event.key) - 1) : null);
  if (!act) return;
  event.preventDefault();
  act();
}

async function begin() {
  addEventListener("error", (event) => told(event.error || new Error(event.message)));
  addEventListener("unhandledrejection", (event) => told(event.reason));
  document.addEventListener("keydown", key);
  $("run").addEventListener("change", (event) => show(event.target.value).catch(told));
  $("run").addEventListener("focus", relist); // another run may have ended meanwhile
  $("new").addEventListener("click", submit);
  $("help").addEventListener("click", () => $("keys").showModal());
  stage = new Stage(told);
  panels = new Panels(stage, told);
  live = new Live(renew, relist, told);
  await list();
  document.documentElement.dataset.ready = "yes";
}

begin().catch(told);
