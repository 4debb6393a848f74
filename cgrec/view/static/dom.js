// Elements. Text from a run is only ever set as text.

/** An element: el("p", {class: "quiet", onclick: f}, "text", child, ...). */
export function el(tag, about = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(about)) {
    if (value === null || value === undefined || (value === false && !key.startsWith("aria-"))) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "width%") node.style.width = `${value}%`;
    else node.setAttribute(key, value === true && !key.startsWith("aria-") ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const $ = (id) => document.getElementById(id);

/** Put children in place of what is there. */
export const fill = (node, ...children) => node.replaceChildren(...children.filter((child) => child !== null));

/** Three figures. */
export function number(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}

export function duration(seconds) {
  if (typeof seconds !== "number" || !(seconds >= 0)) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** "1 note", "2 notes". */
export const counted = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 || what.endsWith("s") ? "" : what.endsWith("ch") ? "es" : "s"}`;

export const percent = (share, error = null) => {
  if (typeof share !== "number") return "–";
  return typeof error === "number" ? `${number(100 * share)} ± ${number(100 * error, 2)} %` : `${number(100 * share)} %`;
};

/** Verdicts have a sign beside their colour. */
export const SIGNS = { trust: "✓", look: "◐", "do not use": "✕" };
