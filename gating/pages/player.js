// Plays the film of a session in step with its motion plot: in the report, and on the console's Review page.

/** @typedef {[t_s: number, plane: number, sequence: number, picture: string, contours: number[][]]} FilmFrame */
/** @typedef {[t_s: number, on: boolean, latched: boolean, why: string]} GateChange */
/** @typedef {{begin_s: number, end_s: number, why: string, detail: string, latched: boolean}} FilmHold */
/** @typedef {{name: string, rows: number, columns: number, spacing_mm: [number, number], letters: string[], boundaries: number[][]}} FilmPlane */
/** @typedef {{planes: FilmPlane[], frames: FilmFrame[], gate: GateChange[], holds: FilmHold[], beam_s: [number, number][], beam_known_by: string, avoided: boolean[], mime: string, about: string}} Film What `gating/report/film.py` makes of a session; s after the first frame, tenths of a pixel. */

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const SCALE_BARS_MM = [100, 50, 20, 10, 5, 2, 1];
/** In the close-up, the sides of the image are this much shorter. */
const CLOSE_UP = 0.45;
/** Shapes of the gate's states: a disc, two bars, a triangle, a cross. */
const SHAPES = {
  on: "M12 2a10 10 0 1 0 .01 0z", hold: "M4 3h6v18H4zM14 3h6v18h-6z", latched: "M12 2 23 22H1z",
  unknown: "M5 3 12 10 19 3 21 5 14 12 21 19 19 21 12 14 5 21 3 19 10 12 3 5z",
};
const MARKUP = `
<div class="screens"></div>
<div class="told">
  <p class="lamp"><svg viewBox="0 0 24 24" aria-hidden="true"><path></path></svg><b></b></p>
  <p class="why"></p>
  <p class="line"></p>
  <p class="where"></p>
  <div class="holds"><table><caption>Holds: choose one to see its frame</caption>
    <thead><tr><th>from, s</th><th>for, s</th><th>why</th></tr></thead><tbody></tbody></table></div>
</div>
<div class="keys">
  <button type="button" class="play" aria-keyshortcuts="Space">Play</button>
  <input type="range" min="0" step="1" value="0" aria-label="Frame">
  <label>Speed <select></select></label>
  <label><input type="checkbox"> Close up</label>
  <span class="hint">Space plays, arrow keys go frame by frame</span>
</div>`;

export class Player {
  /**
   * @param {HTMLElement} box where the player is made
   * @param {Film} film
   * @param {HTMLElement | null} plot the motion plot, drawn by plotly, with seconds along x
   */
  constructor(box, film, plot) {
    this.box = box;
    this.film = film;
    this.plot = plot;
    this.endS = film.frames[film.frames.length - 1][0];
    this.at = 0;
    this.hold = -1;
    this.playing = false;
    box.classList.add("player");
    Object.assign(box, { tabIndex: 0, role: "group", ariaLabel: "Player of the session", innerHTML: MARKUP });
    const close = /** @type {HTMLInputElement} */ (this.part("[type=checkbox]"));
    this.screens = film.planes.map((_, plane) => new Screen(this.part(".screens"), film, plane, close));
    this.play = this.part(".play");
    this.slider = /** @type {HTMLInputElement} */ (this.part("[type=range]"));
    this.speed = /** @type {HTMLSelectElement} */ (this.part("select"));
    this.speed.append(...SPEEDS.map((speed) => new Option(`×${speed}`, String(speed), speed === 1, speed === 1)));
    this.slider.max = String(film.frames.length - 1);
    this.rows = film.holds.map((hold) => holdRow(hold));
    this.part("tbody").append(...this.rows);
    this.play.onclick = () => this.toggle();
    this.slider.oninput = () => this.showFrame(Number(this.slider.value));
    close.onchange = () => this.screens.forEach((screen) => screen.draw());
    window.addEventListener("resize", () => this.screens.forEach((screen) => screen.draw()));
    box.addEventListener("keydown", (event) => this.press(event));
    this.followJumps(box);
    this.cursor = Object.assign(document.createElement("div"), { className: "cursor" });
    if (plot) this.followPlot(plot);
    this.showFrame(0);
  }

  /** @param {string} selector */
  part(selector) {
    return /** @type {HTMLElement} */ (this.box.querySelector(selector));
  }

  /** @param {HTMLElement} root whatever is clicked in it that has a time, leads there */
  followJumps(root) {
    root.addEventListener("click", (event) => {
      const jump = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("[data-t]"));
      if (!jump) return;
      this.show(Number(jump.dataset.t));
      this.box.scrollIntoView({ block: "nearest" });
    });
  }

  /** @param {any} plot */
  followPlot(plot) {
    plot.style.position = "relative";
    plot.append(this.cursor);
    plot.on("plotly_click", (/** @type {any} */ clicked) => this.showFrame(this.nearest(clicked.points[0].x)));
    plot.on("plotly_afterplot", () => this.placeCursor());
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const own = /** @type {HTMLElement} */ (event.target).closest("button, input, select");
    const index = lastUntil(this.film.frames, this.at);
    const steps = new Map([["ArrowLeft", index - 1], ["ArrowRight", index + 1], ["Home", 0], ["End", Infinity]]);
    if (event.key === " " && (!own || own === this.slider)) this.toggle();
    else if (steps.has(event.key) && (!own || own === this.play)) this.showFrame(steps.get(event.key) ?? 0);
    else return;
    event.preventDefault();
  }

  toggle() {
    this.playing = !this.playing;
    this.play.textContent = this.playing ? "Pause" : "Play";
    if (!this.playing) return;
    if (this.at >= this.endS) this.show(0);
    let before = performance.now();
    const advance = (/** @type {number} */ now) => {
      if (!this.playing) return;
      this.show(this.at + (Math.max(0, now - before) / 1000) * Number(this.speed.value));
      before = now;
      if (this.at >= this.endS) this.toggle();
      else requestAnimationFrame(advance);
    };
    requestAnimationFrame(advance);
  }

  /** @param {number} index */
  showFrame(index) {
    this.show(this.film.frames[Math.min(Math.max(index, 0), this.film.frames.length - 1)][0]);
  }

  /** @param {number} at The closest frame; one is decided a little after it is published, where the plot has it. */
  nearest(at) {
    const { frames } = this.film;
    const index = Math.max(0, lastUntil(frames, at));
    return index + 1 < frames.length && frames[index + 1][0] - at < at - frames[index][0] ? index + 1 : index;
  }

  /** @param {number} at s after the first frame */
  show(at) {
    const { film } = this;
    this.at = at;
    const index = Math.max(0, lastUntil(film.frames, at));
    this.slider.valueAsNumber = index;
    for (const screen of this.screens) screen.show(at);
    const change = film.gate[lastUntil(film.gate, at)];
    const state = !change ? "unknown" : change[1] ? "on" : change[2] ? "latched" : "hold";
    this.box.dataset.state = state;
    this.part(".lamp path").setAttribute("d", SHAPES[state]);
    const word = { on: "BEAM ON", hold: "HOLD", latched: "HOLD, latched", unknown: "–" }[state];
    this.part(".lamp b").textContent = word;
    this.part(".why").textContent = change ? change[3] : "the log holds no command yet";
    this.part(".line").textContent = this.lineWords(at, change?.[1]);
    const [, plane, sequence] = film.frames[index];
    this.part(".where").textContent = `${at.toFixed(2)} s · frame ${sequence} · ${film.planes[plane].name}`;
    this.slider.setAttribute("aria-valuetext", `${at.toFixed(1)} s, ${word}`);
    this.markHold(at);
    this.placeCursor();
  }

  /** @type {(at: number, commanded?: boolean) => string} */
  lineWords(at, commanded) {
    const { beam_s, beam_known_by } = this.film;
    if (beam_known_by !== "confirmed") return "The beam line's answer is not in the log";
    const on = beam_s.some(([begin, end]) => begin <= at && at < end);
    const later = beam_s.map(([begin, end]) => (on ? end : begin)).find((change) => change > at);
    const follows = commanded === undefined || commanded === on || later === undefined ? ""
      : `, and ${on ? "HOLD" : "ON"} ${Math.max(1, Math.round(1000 * (later - at)))} ms later`;
    return `The beam line confirms ${on ? "ON" : "HOLD"}${follows}`;
  }

  /** @param {number} at */
  markHold(at) {
    const now = this.film.holds.findIndex(({ begin_s, end_s }) => begin_s <= at && at < end_s);
    if (now === this.hold) return;
    this.rows[this.hold]?.classList.remove("now");
    this.hold = now;
    this.rows[now]?.classList.add("now");
    if (this.rows[now]) this.part(".holds").scrollTop = this.rows[now].offsetTop - this.part(".holds").clientHeight / 2;
  }

  /** A line of its own over the plot: to let plotly draw it would take 50 ms each time. */
  placeCursor() {
    const axis = /** @type {any} */ (this.plot)?._fullLayout?.xaxis;
    if (!axis) return;
    const x = axis.l2p(this.at);
    this.cursor.hidden = !(x >= 0 && x <= axis._length);
    this.cursor.style.left = `${axis._offset + x}px`;
  }
}

/** One plane: its image with contours and boundaries. */
class Screen {
  /**
   * @param {HTMLElement} box
   * @param {Film} film
   * @param {number} plane
   * @param {HTMLInputElement} close whether the close-up is chosen
   */
  constructor(box, film, plane, close) {
    this.film = film;
    this.plane = film.planes[plane];
    this.close = close;
    this.frames = film.frames.filter((frame) => frame[1] === plane);
    /** @type {FilmFrame | undefined} */
    this.frame = undefined;
    const made = document.createElement("div");
    made.className = "picture";
    const [rowMm, columnMm] = this.plane.spacing_mm;
    made.style.setProperty("--ratio", String((this.plane.columns * columnMm) / (this.plane.rows * rowMm)));
    made.innerHTML = '<canvas></canvas><svg preserveAspectRatio="none" aria-hidden="true"></svg><i class="scale"></i>';
    for (const [i, edge] of ["left", "right", "top", "bottom"].entries()) {
      made.append(Object.assign(document.createElement("i"), { className: `edge ${edge}`, textContent: this.plane.letters[i] }));
    }
    this.canvas = /** @type {HTMLCanvasElement} */ (made.querySelector("canvas"));
    this.svg = /** @type {SVGSVGElement} */ (made.querySelector("svg"));
    this.scale = /** @type {HTMLElement} */ (made.querySelector(".scale"));
    box.append(made);
  }

  /** @param {number} at */
  show(at) {
    const frame = this.frames[Math.max(0, lastUntil(this.frames, at))];
    if (frame === this.frame) return;
    this.frame = frame;
    this.draw();
  }

  /** Draws image and contours together, once the image is decoded. */
  async draw() {
    const { frame, plane, canvas } = this;
    if (!frame) return;
    const image = new Image();
    image.src = `data:${this.film.mime};base64,${frame[3]}`;
    await image.decode();
    if (frame !== this.frame) return;
    const { x, y, width, height } = this.view();
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    const [across, down] = [image.naturalWidth / plane.columns, image.naturalHeight / plane.rows];
    canvas.getContext("2d")?.drawImage(image, x * across, y * down, width * across, height * down, 0, 0, canvas.width, canvas.height);
    // the centre of the first pixel is (0, 0); points are in tenths
    this.svg.setAttribute("viewBox", [x - 0.5, y - 0.5, width, height].map((value) => 10 * value).join(" "));
    const outlines = [
      ...plane.boundaries.map((points) => polygon("boundary", points)),
      ...frame[4].map((points, target) => polygon(this.film.avoided[target] ? "avoided" : "contour", points)),
    ];
    this.svg.replaceChildren(...outlines);
    const widthMm = width * plane.spacing_mm[1];
    const bar = SCALE_BARS_MM.find((mm) => mm <= widthMm / 3) ?? 1;
    Object.assign(this.scale, { textContent: `${bar} mm`, style: `width: ${(100 * bar) / widthMm}%` });
  }

  /** What is seen, px: the whole image, or the surroundings of what was outlined first. */
  view() {
    const { rows, columns, boundaries } = this.plane;
    if (!this.close.checked) return { x: 0, y: 0, width: columns, height: rows };
    const points = [...boundaries, ...this.frames[0][4]].find((one) => one.length) ?? [5 * columns, 5 * rows];
    const [width, height] = [CLOSE_UP * columns, CLOSE_UP * rows];
    const [x, y] = [0, 1].map((axis) => middle(points.filter((_, i) => i % 2 === axis)) / 10);
    const inside = (/** @type {number} */ from, /** @type {number} */ most) => Math.min(Math.max(from, 0), most);
    return { x: inside(x - width / 2, columns - width), y: inside(y - height / 2, rows - height), width, height };
  }
}

const middle = (/** @type {number[]} */ values) => (Math.min(...values) + Math.max(...values)) / 2;

/** @type {(things: [number, ...any[]][], at: number) => number} Index of the last that begins until then, or -1. */
function lastUntil(things, at) {
  let [low, high] = [0, things.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (things[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @type {(kind: string, points: number[]) => SVGElement} */
function polygon(kind, points) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
  made.setAttribute("class", kind);
  made.setAttribute("points", points.join(" "));
  return made;
}

/** @param {FilmHold} hold */
function holdRow({ begin_s, end_s, why, detail, latched }) {
  const row = document.createElement("tr");
  row.dataset.t = String(begin_s);
  row.innerHTML = '<td><button type="button" class="jump"></button></td><td></td><td></td>';
  const [from, lasted, said] = [...row.cells];
  /** @type {HTMLElement} */ (from.firstChild).textContent = begin_s.toFixed(2);
  lasted.textContent = (end_s - begin_s).toFixed(2);
  said.textContent = (latched ? "latched: " : "") + why;
  said.title = detail;
  return row;
}

const [own, box] = [document.getElementById("film"), document.getElementById("player")];
if (own && box) {
  const player = new Player(box, JSON.parse(own.textContent ?? ""), document.getElementById("motion"));
  for (const table of document.querySelectorAll("section")) if (!table.contains(box)) player.followJumps(table);
}
