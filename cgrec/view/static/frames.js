// Frames of one ensemble, in pieces: asked for before they are needed, forgotten when there are many.

import { floats, name } from "./api.js";

const CELL = 9;
/** Bytes kept, and of one piece. */
const KEPT = 96e6, PIECE = 1.5e6;

export class Frames {
  /** about: what the ladder says of these moments; places: some of the frames, null for all. */
  constructor(run, about, places = null) {
    this.run = run;
    this.about = about;
    this.places = places;
    this.count = places ? places.length : about.n_frames;
    this.width = CELL + 3 * about.n_sites.reduce((a, b) => a + b, 0);
    this.size = Math.max(1, Math.min(about.most, Math.floor(PIECE / (4 * this.width)), places ? 100 : Infinity));
    this.pieces = new Map();
  }

  /** Where frame k of these stands among all that are played. */
  place(k) {
    return this.places ? this.places[k] : k;
  }

  /** {cell, positions: {level: Float32Array}} of frame k, or null where it has not come yet. */
  now(k) {
    const data = this.pieces.get(Math.floor(k / this.size));
    return data instanceof Float32Array ? this.#cut(data, k % this.size) : null;
  }

  async get(k) {
    const data = await this.#piece(Math.floor(k / this.size));
    return this.#cut(data, k % this.size);
  }

  /** Ask for what follows frame k. */
  ahead(k) {
    const next = Math.floor(k / this.size) + 1;
    if (next * this.size < this.count) this.#piece(next).catch(() => {});
  }

  #piece(p) {
    if (this.pieces.has(p)) return Promise.resolve(this.pieces.get(p));
    const first = p * this.size, count = Math.min(this.size, this.count - first);
    const which = this.places ? `frames=${this.places.slice(first, first + count).join(",")}` : `first=${first}&count=${count}`;
    const asked = floats(`runs/${name(this.run)}/moments/${name(this.about.name)}?${which}`);
    this.pieces.set(p, asked);
    asked.then((data) => { this.pieces.set(p, data); this.#forget(p); }, () => this.pieces.delete(p));
    return asked;
  }

  #forget(latest) {
    const most = Math.max(3, Math.floor(KEPT / (4 * this.width * this.size)));
    for (const p of this.pieces.keys()) {
      if (this.pieces.size <= most) return;
      if (p !== latest) this.pieces.delete(p);
    }
  }

  #cut(data, k) {
    let at = k * this.width;
    const cell = data.subarray(at, (at += CELL)), positions = {};
    this.about.levels.forEach((level, j) => {
      positions[level] = data.subarray(at, (at += 3 * this.about.n_sites[j]));
    });
    return { cell: cell.some((x) => x !== 0) ? cell : null, positions };
  }
}
