// Balls and sticks by WebGL2. Positions are a texture, so a new frame is one upload: 50,000 sites at once.
// A ball is a square whose pixels are those of a sphere, with its depth; so is a stick. Orthographic.

const COMMON = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D;
uniform sampler2D positions, looks;
uniform mat3 turn; uniform vec3 middle, shift; uniform vec2 scale; uniform float depth;
vec3 at(int i) { return turn * (texelFetch(positions, ivec2(i & 1023, i >> 10), 0).xyz + shift - middle); }
vec4 look(int i) { return texelFetch(looks, ivec2(i & 1023, i >> 10), 0); }
`;
const BALL = `${COMMON}
flat out vec4 mine; flat out float z0; flat out int id; out vec2 corner;
void main() {
  corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  id = gl_InstanceID; mine = look(id);
  vec3 c = at(id); z0 = c.z;
  gl_Position = vec4((c.xy + corner * mine.a) * scale, 0.0, 1.0);
}`;
const POINT = `${COMMON}
uniform float pixels;
flat out vec4 mine; flat out float z0; flat out int id;
void main() {
  id = gl_VertexID; mine = look(id);
  vec3 c = at(id); z0 = c.z;
  gl_Position = vec4(c.xy * scale, clamp(-c.z / depth, -1.0, 1.0), 1.0);
  gl_PointSize = max(1.0, 2.0 * mine.a * pixels);
}`;
const STICK = `${COMMON}
layout(location = 0) in ivec2 pair;
uniform float radius;
flat out vec4 first, second; flat out vec2 side; flat out float lean; out float along, across, z0;
void main() {
  vec3 a = at(pair.x), b = at(pair.y);
  vec2 d = b.xy - a.xy; float l = length(d);
  side = l > 1e-6 ? vec2(-d.y, d.x) / l : vec2(1.0, 0.0);
  lean = l / max(1e-6, distance(a, b));
  along = float(gl_VertexID & 1); across = float(gl_VertexID >> 1) * 2.0 - 1.0;
  vec3 p = mix(a, b, along); z0 = p.z;
  first = look(pair.x); second = look(pair.y);
  gl_Position = vec4((p.xy + side * across * radius) * scale, 0.0, 1.0);
}`;
const SHADE = `#version 300 es
precision highp float; precision highp int;
uniform float depth, alpha; uniform vec3 fog; uniform bool asks; out vec4 colour;
void put(vec3 rgb, vec3 normal, float z, int id) {
  gl_FragDepth = clamp(0.5 - z / (2.0 * depth), 0.0, 1.0);
  if (asks) { colour = vec4(float(id & 255), float((id >> 8) & 255), float((id >> 16) & 255), 255.0) / 255.0; return; }
  float light = 0.42 + 0.58 * max(0.0, dot(normal, normalize(vec3(0.25, 0.4, 0.88))));
  float rim = smoothstep(0.0, 0.42, normal.z);
  vec3 lit = rgb * light * mix(0.62, 1.0, rim) + 0.16 * pow(max(0.0, dot(normal, normalize(vec3(0.2, 0.35, 0.9)))), 24.0);
  colour = vec4(mix(lit, fog, 0.5 * smoothstep(0.45, 1.0, gl_FragDepth)), alpha);
}`;
const BALL_PIXEL = `${SHADE}
flat in vec4 mine; flat in float z0; flat in int id; in vec2 corner;
void main() {
  float square = dot(corner, corner);
  if (square > 1.0) discard;
  float z = sqrt(1.0 - square);
  put(mine.rgb, vec3(corner, z), z0 + mine.a * z, id + 1);
}`;
const STICK_PIXEL = `${SHADE}
uniform float radius;
flat in vec4 first, second; flat in vec2 side; flat in float lean; in float along, across, z0;
void main() {
  float z = sqrt(max(0.0, 1.0 - across * across));
  put(along < 0.5 ? first.rgb : second.rgb, vec3(side * across, z), z0 + radius * z * lean, 0);
}`;
/** Of many small balls: a disc at the depth of its middle, which a graphics card can leave out unseen. */
const POINT_PIXEL = `#version 300 es
precision highp float; precision highp int;
uniform float depth, alpha; uniform vec3 fog; uniform bool asks; out vec4 colour;
flat in vec4 mine; flat in float z0; flat in int id;
void main() {
  int n = id + 1;
  if (asks) { colour = vec4(float(n & 255), float((n >> 8) & 255), float((n >> 16) & 255), 255.0) / 255.0; return; }
  vec2 corner = gl_PointCoord * 2.0 - 1.0;
  float light = 1.0 - 0.45 * min(1.0, dot(corner, corner));
  colour = vec4(mix(mine.rgb * light, fog, 0.5 * smoothstep(0.45, 1.0, 0.5 - z0 / (2.0 * depth))), alpha);
}`;
const EDGE = `${COMMON}
layout(location = 0) in vec3 point;
out float z0;
void main() { vec3 c = turn * (point + shift - middle); z0 = c.z; gl_Position = vec4(c.xy * scale, c.z / -depth, 1.0); }`;
const EDGE_PIXEL = `#version 300 es
precision highp float; uniform vec3 ink; out vec4 colour; in float z0;
void main() { colour = vec4(ink, 1.0); }`;
/** Sites from which balls of few pixels are discs, up to which radius in pixels; thinner sticks are left out. */
const MANY = 5000, SMALL = 6, THIN = 0.7;
/** nm around the sites that are looked at: the radius of a ball. */
const MARGIN = 0.06;
/** Pixels around a click in which a site is looked for. */
const NEAR = 12;
const WIDE = 1024;
const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];

function program(gl, vertex, pixel) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, pixel]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "no shader");
  const places = {};
  for (let k = 0; k < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); k++) {
    const { name } = gl.getActiveUniform(made, k);
    places[name] = gl.getUniformLocation(made, name);
  }
  return { made, places };
}

/** A matrix that turns by two angles about the axes of the screen. */
function turned(matrix, yaw, pitch) {
  const [cy, sy, cx, sx] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const by = [cy, sx * sy, -cx * sy, 0, cx, sx, sy, -sx * cy, cx * cy]; // columns
  return IDENTITY.map((_, k) => {
    const column = Math.floor(k / 3), row = k % 3;
    return by[row] * matrix[3 * column] + by[3 + row] * matrix[3 * column + 1] + by[6 + row] * matrix[3 * column + 2];
  });
}

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = (this.gl = canvas.getContext("webgl2", { antialias: true, alpha: false }));
    if (!gl) throw new Error("This browser has no WebGL2, which draws the structures.");
    this.balls = program(gl, BALL, BALL_PIXEL);
    this.points = program(gl, POINT, POINT_PIXEL);
    this.sticks = program(gl, STICK, STICK_PIXEL);
    this.edges = program(gl, EDGE, EDGE_PIXEL);
    this.empty = gl.createVertexArray();
    this.corners = gl.createBuffer();
    this.levels = [];
    this.turn = IDENTITY;
    this.middle = [0, 0, 0];
    this.near = 1;
    this.reach = 1;
    this.extent = [1, 1];
    this.background = [1, 1, 1];
    this.ink = [0.6, 0.65, 0.7];
    this.cell = null;
    this.images = false;
  }

  /** Levels to be drawn: [{n, bonds, stick}], in place of those before. */
  setLevels(levels) {
    const gl = this.gl;
    for (const old of this.levels) {
      for (const texture of [old.positions, old.looks]) gl.deleteTexture(texture);
      gl.deleteBuffer(old.pairs);
      gl.deleteVertexArray(old.bonds);
    }
    this.levels = levels.map(({ n, bonds, stick }) => {
      const rows = Math.max(1, Math.ceil(n / WIDE));
      const level = { n, rows, stick, n_bonds: bonds.length, positions: this.#texture(rows, gl.RGB32F), looks: this.#texture(rows, gl.RGBA32F) };
      level.pairs = gl.createBuffer();
      level.bonds = gl.createVertexArray();
      gl.bindVertexArray(level.bonds);
      gl.bindBuffer(gl.ARRAY_BUFFER, level.pairs);
      gl.bufferData(gl.ARRAY_BUFFER, new Int32Array(bonds.flat()), gl.STATIC_DRAW);
      gl.enableVertexAttribArray(0);
      gl.vertexAttribIPointer(0, 2, gl.INT, 0, 0);
      gl.vertexAttribDivisor(0, 1);
      gl.bindVertexArray(null);
      return level;
    });
  }

  #texture(rows, format) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, WIDE, rows);
    for (const which of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, which, gl.NEAREST);
    return texture;
  }

  #upload(texture, n, format, width, values) {
    const gl = this.gl, whole = Math.floor(n / WIDE), rest = n - whole * WIDE;
    gl.bindTexture(gl.TEXTURE_2D, texture);
    if (whole) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDE, whole, format, gl.FLOAT, values, 0);
    if (rest) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, whole, rest, 1, format, gl.FLOAT, values, whole * WIDE * width);
  }

  /** (n, 3) nm of a level. */
  setPositions(k, values) {
    this.#upload(this.levels[k].positions, this.levels[k].n, this.gl.RGB, 3, values);
  }

  /** (n, 4) red, green, blue, radius in nm of a level. */
  setLooks(k, values) {
    const level = this.levels[k];
    level.radius = 0;
    for (let i = 3; i < values.length; i += 4) level.radius = Math.max(level.radius, values[i]);
    this.#upload(level.looks, level.n, this.gl.RGBA, 4, values);
  }

  /** Look at the middle of these positions from where all of them are seen. */
  fit(values, cell) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let k = 0; k < values.length; k++) {
      low[k % 3] = Math.min(low[k % 3], values[k]);
      high[k % 3] = Math.max(high[k % 3], values[k]);
    }
    this.middle = cell ? [0, 0, 0] : low.map((x, k) => (x + high[k]) / 2);
    this.reach = Math.max(0.2, Math.hypot(...low.map((x, k) => high[k] - x)) / 2);
    // a long molecule lies along the wider side, as the first frame does
    this.extent = [0, 1].map((k) => (cell ? this.reach : Math.max((high[k] - low[k]) / 2, 0.4 * this.reach) + MARGIN));
    this.near = 1;
  }

  turnBy(yaw, pitch) {
    this.turn = turned(this.turn, yaw, pitch);
  }

  /** Fit the pixels of the canvas to its place in the page. */
  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [w, h] = [this.canvas.clientWidth, this.canvas.clientHeight].map((x) => Math.max(1, Math.round(x * ratio)));
    if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
  }

  /** Draw views [{x, width (shares of the canvas), layers: [{level, alpha}]}]. */
  render(views, asks = false) {
    const gl = this.gl;
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(...(asks ? [0, 0, 0] : this.background), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    for (const view of views) {
      const x = Math.round(view.x * this.canvas.width), w = Math.max(1, Math.round(view.width * this.canvas.width));
      gl.viewport(x, 0, w, this.canvas.height);
      const half = (0.46 * Math.min(w / this.extent[0], this.canvas.height / this.extent[1])) * this.near;
      this.scale = [(2 * half) / w, (2 * half) / this.canvas.height];
      for (const layer of view.layers) if (layer.alpha > 0.01) this.#layer(layer, asks);
      if (this.cell && !asks) this.#box();
    }
  }

  #layer({ level, alpha }, asks) {
    const gl = this.gl;
    if (alpha < 0.99 && !asks) {
      gl.colorMask(false, false, false, false);
      this.#sites(level, 1, asks);
      gl.colorMask(true, true, true, true);
      gl.depthFunc(gl.EQUAL);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
      this.#sites(level, alpha, asks);
      gl.disable(gl.BLEND);
      gl.depthFunc(gl.LESS);
    } else this.#sites(level, 1, asks);
  }

  #sites(k, alpha, asks) {
    const gl = this.gl, level = this.levels[k];
    const pixels = (this.scale[1] * this.canvas.height) / 2; // of a nm
    const small = level.n >= MANY && level.radius * pixels < SMALL;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, level.positions);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, level.looks);
    gl.activeTexture(gl.TEXTURE0);
    for (const shift of this.#shifts()) {
      this.#use(small ? this.points : this.balls, alpha, asks, shift);
      gl.bindVertexArray(this.empty);
      if (small) {
        gl.uniform1f(this.points.places.pixels, pixels);
        gl.drawArrays(gl.POINTS, 0, level.n);
      } else gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, level.n);
      if (!level.n_bonds || (small && level.stick * pixels < THIN)) continue;
      this.#use(this.sticks, alpha, asks, shift);
      gl.uniform1f(this.sticks.places.radius, level.stick);
      gl.bindVertexArray(level.bonds);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, level.n_bonds);
    }
    gl.bindVertexArray(null);
  }

  #use({ made, places }, alpha, asks, shift) {
    const gl = this.gl;
    gl.useProgram(made);
    gl.uniform1i(places.positions, 0);
    gl.uniform1i(places.looks, 1);
    gl.uniformMatrix3fv(places.turn, false, this.turn);
    gl.uniform3fv(places.middle, this.middle);
    gl.uniform3fv(places.shift, shift);
    gl.uniform2fv(places.scale, this.scale);
    gl.uniform1f(places.depth, this.reach * (this.images ? 4 : 1.6));
    gl.uniform1f(places.alpha, alpha);
    gl.uniform3fv(places.fog, this.background);
    gl.uniform1i(places.asks, asks ? 1 : 0);
  }

  #shifts() {
    if (!this.images || !this.cell) return [[0, 0, 0]];
    const c = this.cell, found = [];
    for (const a of [-1, 0, 1]) for (const b of [-1, 0, 1]) for (const d of [-1, 0, 1]) {
      found.push([0, 1, 2].map((k) => a * c[k] + b * c[3 + k] + d * c[6 + k]));
    }
    return found;
  }

  #box() {
    const gl = this.gl, c = this.cell, ends = [];
    const corner = (n) => [0, 1, 2].map((k) => (n & 1 ? c[k] : 0) + (n & 2 ? c[3 + k] : 0) + (n & 4 ? c[6 + k] : 0) - (c[k] + c[3 + k] + c[6 + k]) / 2);
    for (let n = 0; n < 8; n++) for (const bit of [1, 2, 4]) if (!(n & bit)) ends.push(...corner(n), ...corner(n | bit));
    gl.bindVertexArray(this.empty);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.corners);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(ends), gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    this.#use(this.edges, 1, false, [0, 0, 0]);
    gl.uniform3fv(this.edges.places.ink, this.ink);
    gl.drawArrays(gl.LINES, 0, ends.length / 3);
    gl.disableVertexAttribArray(0);
    gl.bindVertexArray(null);
  }

  /** Index of the site nearest to a place of the canvas, in pixels of the page; -1 where none is near. */
  siteAt(views, x, y) {
    const gl = this.gl, ratio = this.canvas.width / this.canvas.clientWidth, wide = 2 * NEAR + 1;
    const left = Math.round(x * ratio) - NEAR, low = this.canvas.height - 1 - Math.round(y * ratio) - NEAR;
    const found = new Uint8Array(4 * wide * wide);
    this.render(views.map((view) => ({ ...view, layers: view.layers.slice(-1) })), true);
    gl.readPixels(left, low, wide, wide, gl.RGBA, gl.UNSIGNED_BYTE, found);
    let best = -1, least = Infinity;
    for (let k = 0; k < wide * wide; k++) {
      const site = found[4 * k] + 256 * found[4 * k + 1] + 65536 * found[4 * k + 2] - 1;
      const far = Math.hypot((k % wide) - NEAR, Math.floor(k / wide) - NEAR);
      if (site >= 0 && far < least) [best, least] = [site, far];
    }
    return best;
  }
}
