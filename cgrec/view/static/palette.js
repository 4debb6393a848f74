// Colours that people who are colour-blind can tell apart: Okabe-Ito for kinds, cividis for numbers.

export const OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a8f98"];
/** cividis at eleven places. */
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#f6e04b", "#fee838"];

export const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);
const TABLE = CIVIDIS.map(rgb);

/** [r, g, b] of 0 to 1. */
export function cividis(x) {
  const place = Math.min(1, Math.max(0, x)) * (TABLE.length - 1);
  const k = Math.min(TABLE.length - 2, Math.floor(place)), f = place - k;
  return TABLE[k].map((value, c) => value + f * (TABLE[k + 1][c] - value));
}

/** A colour for the n-th of things that are only told apart. */
export const kindColour = (n) => rgb(n < 0 ? "#8a8f98" : OKABE_ITO[n % (OKABE_ITO.length - 1)]);

export const css = ([r, g, b]) => `rgb(${[r, g, b].map((x) => Math.round(255 * x)).join(" ")})`;

/** Of the page, as it is now: light or dark. */
export const themed = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
