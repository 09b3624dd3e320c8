// What is drawn on a frame: structures, the contour that is being drawn, and the way back. No page, no canvas.

/** @typedef {import("./types.js").Point} Point */
/** @typedef {{name: string, points_px: Point[], organ: boolean, from_mask: boolean}} Structure */
/** @typedef {"box" | "polygon" | "freehand" | "edit"} Tool */

const MAX_STRUCTURES = 10;
/** Freehand contours keep no point that lies closer to the line between its neighbours. */
const SIMPLER_PX = 0.35;
const MAX_UNDO = 100;

export class Drawing {
  constructor() {
    /** @type {Structure[]} */
    this.structures = [];
    this.selected = 0;
    /** @type {Tool} */
    this.tool = "box";
    /** @type {Point[]} Being drawn. */
    this.sketch = [];
    /** @type {number | null} The point that is being moved. */
    this.picked = null;
    /** @type {Point | null} Where a whole contour is being dragged from. */
    this.dragged = null;
    /** @type {string[]} */
    this.past = [];
    this.pressed = false;
  }

  get current() {
    return this.structures[this.selected];
  }

  /** Everything that can be undone, to be remembered before it changes. */
  remember() {
    this.past = [...this.past.slice(1 - MAX_UNDO), this.state()];
  }

  state() {
    return JSON.stringify([this.structures, this.selected]);
  }

  undo() {
    if (this.sketch.length) {
      this.sketch = this.tool === "polygon" ? this.sketch.slice(0, -1) : [];
      return;
    }
    const before = this.past.pop();
    if (before) [this.structures, this.selected] = JSON.parse(before);
    this.picked = null;
  }

  /** Adds a structure and returns whether there was room. */
  add() {
    if (this.structures.length >= MAX_STRUCTURES) return false;
    this.remember();
    const taken = new Set(this.structures.map((one) => one.name));
    let [name, number] = ["target", 2];
    while (taken.has(name)) name = `structure ${number++}`;
    this.selected = this.structures.push({ name, points_px: [], organ: false, from_mask: false }) - 1;
    this.cancel();
    return true;
  }

  /** @param {number} index */
  remove(index) {
    this.remember();
    this.structures.splice(index, 1);
    this.selected = Math.max(0, Math.min(this.selected, this.structures.length - 1));
    this.cancel();
  }

  /**
   * Changes the selected structure, or one by its number.
   * @param {Partial<Structure>} changes
   */
  change(changes, index = this.selected) {
    if (!this.structures.length) this.add();
    this.remember();
    this.structures[index] = { ...this.structures[index], ...changes };
  }

  cancel() {
    this.sketch = [];
    this.picked = this.dragged = null;
    this.pressed = false;
  }

  /**
   * @param {Point} at
   * @param {number} reach How near, px, counts as the same place.
   */
  press(at, reach) {
    this.pressed = true;
    if (this.tool === "edit") this.pick(at, reach);
    else if (this.tool !== "polygon") this.sketch = [at];
    else if (this.sketch.length > 2 && distance(at, this.sketch[0]) <= reach) this.close();
    else if (!this.sketch.some((point) => distance(at, point) < reach / 3)) this.sketch = [...this.sketch, at];
  }

  /** @param {Point} at */
  drag(at) {
    if (!this.pressed) return;
    if (this.tool === "box") this.sketch = [this.sketch[0], at];
    if (this.tool === "freehand") this.sketch.push(at);
    if (this.tool === "edit") this.move(at);
  }

  release() {
    this.pressed = false;
    if (this.tool === "box" && this.sketch.length === 2) this.finish(box(this.sketch[0], this.sketch[1]));
    if (this.tool === "freehand") this.finish(simplified(this.sketch, SIMPLER_PX));
    this.dragged = null;
    if (this.past.at(-1) === this.state()) this.past.pop(); // picked up and put back
  }

  /** Closes the contour that is being drawn. */
  close() {
    if (this.tool === "polygon" && this.sketch.length) this.finish(this.sketch);
  }

  /** @param {Point[]} points */
  finish(points) {
    this.sketch = [];
    this.change({ points_px: points.map(rounded), from_mask: false });
  }

  /**
   * Picks up the nearest point; on an edge, a new one; inside, the whole contour.
   * @param {Point} at
   * @param {number} reach
   */
  pick(at, reach) {
    const points = this.current?.points_px ?? [];
    this.picked = this.dragged = null;
    if (!points.length) return;
    this.remember();
    const nearest = least(points.map((point) => distance(point, at)));
    const edge = least(points.map((point, index) => toSegment(at, point, points[(index + 1) % points.length])));
    if (nearest.value <= reach) {
      this.picked = nearest.index;
    } else if (edge.value <= reach) {
      points.splice(edge.index + 1, 0, rounded(at));
      this.picked = edge.index + 1;
      this.current.from_mask = false;
    } else {
      this.dragged = at;
    }
  }

  /** @param {Point} to */
  move(to) {
    const structure = this.current;
    if (!structure) return;
    if (this.picked != null) {
      structure.points_px[this.picked] = rounded(to);
      structure.from_mask = false;
    } else if (this.dragged) {
      const [x, y] = [to[0] - this.dragged[0], to[1] - this.dragged[1]];
      structure.points_px = structure.points_px.map(([a, b]) => rounded([a + x, b + y]));
      this.dragged = to;
    }
  }

  /** Deletes the point that was picked last. */
  deletePoint() {
    if (this.picked == null || !this.current) return;
    const points = this.current.points_px.filter((_, index) => index !== this.picked);
    this.change({ points_px: points, from_mask: false });
    this.picked = null;
  }
}

/**
 * The pixels between two corners, along their edges.
 * @param {Point} one
 * @param {Point} other
 * @returns {Point[]}
 */
function box(one, other) {
  const edge = (/** @type {number} */ value) => Math.round(value + 0.5) - 0.5;
  const [left, right] = [edge(Math.min(one[0], other[0])), edge(Math.max(one[0], other[0]))];
  const [top, bottom] = [edge(Math.min(one[1], other[1])), edge(Math.max(one[1], other[1]))];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

/**
 * A line without the points that hardly bend it (Ramer 1972, Douglas and Peucker 1973).
 * @param {Point[]} points
 * @param {number} tolerance
 * @returns {Point[]}
 */
export function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points[points.length - 1]];
  const away = points.map((point) => -toSegment(point, first, last));
  const { index, value } = least(away);
  if (-value <= tolerance) return [first, last];
  const before = simplified(points.slice(0, index + 1), tolerance);
  return [...before.slice(0, -1), ...simplified(points.slice(index), tolerance)];
}

/** @param {number[]} values */
function least(values) {
  const value = Math.min(...values);
  return { value, index: values.indexOf(value) };
}

/**
 * @param {Point} one
 * @param {Point} other
 */
function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

/**
 * @param {Point} at
 * @param {Point} from
 * @param {Point} to
 */
function toSegment(at, from, to) {
  const [x, y] = [to[0] - from[0], to[1] - from[1]];
  const share = ((at[0] - from[0]) * x + (at[1] - from[1]) * y) / (x * x + y * y || 1);
  const along = Math.min(1, Math.max(0, share));
  return distance(at, [from[0] + along * x, from[1] + along * y]);
}

/**
 * @param {Point} point
 * @returns {Point}
 */
function rounded([x, y]) {
  return [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
}
