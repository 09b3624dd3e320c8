// Drawing by mouse, pen and keyboard on the cine: from the canvas to pixels of the image, and back.

import { Cine, placement, wholeOf } from "./cine.js";
import { Drawing } from "./drawing.js";

/** @typedef {import("./types.js").Point} Point */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {{name: string, boundary_px: Point[]}} Boundary */

/** So near, in pixels of the screen, a pointer means a point. */
const REACH = 9;
const COARSE_PX = 5;
/** With more points than this, an outline is shown without handles. */
const MAX_HANDLES = 400;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Easel {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(drawn: boolean) => void} changed called when something was drawn, or has merely moved
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.cine = new Cine(canvas);
    this.drawing = new Drawing();
    /** @type {Boundary[]} */
    this.boundaries = [];
    /** Whether the frame that is shown is the one to draw on. */
    this.mayDraw = false;
    /** @type {Point | null} The cross that the keyboard moves. */
    this.cross = null;
    /** Whether the keyboard carries the point under the cross. */
    this.carries = false;
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = { contour: colour("contour"), boundary: colour("boundary"), avoided: colour("avoided") };
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("dblclick", () => this.act(() => this.drawing.close()));
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /**
   * @param {Picture} picture
   * @param {ArrayBuffer} pixels
   */
  take(picture, pixels) {
    this.cine.take(picture, pixels);
    this.draw();
  }

  draw() {
    const picture = this.cine.picture;
    if (!picture) return;
    const { structures, selected } = this.drawing;
    picture.contours = structures.map(({ name, points_px }) => ({ target: name, contour_px: points_px }));
    const outline = (/** @type {string} */ name) => this.boundaries.find((one) => one.name === name)?.boundary_px ?? [];
    const targets = structures.map(({ name, organ }) => ({
      name, plane: picture.plane, boundary_px: organ ? [] : outline(name), avoided: organ, bands: [], max_out_fraction: null,
    }));
    this.cine.draw(/** @type {any} */ ({ targets }), this.colours);
    this.handles(structures[selected]?.points_px ?? []);
  }

  /** @param {Point[]} points */
  handles(points) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const size = 4 * (window.devicePixelRatio || 1);
    const dot = (/** @type {Point} */ point, /** @type {string} */ colour) => {
      const [x, y] = this.onCanvas(point);
      context.fillStyle = "#000";
      context.fillRect(x - size - 1, y - size - 1, 2 * size + 2, 2 * size + 2);
      context.fillStyle = colour;
      context.fillRect(x - size, y - size, 2 * size, 2 * size);
    };
    const { tool, sketch, picked } = this.drawing;
    if (tool === "edit" && points.length <= MAX_HANDLES) {
      points.forEach((point, index) => dot(point, index === picked ? this.colours.boundary : "#fff"));
    }
    if (sketch.length) {
      const corners = tool === "box" && sketch.length === 2 ? rectangle(sketch[0], sketch[1]) : sketch;
      context.strokeStyle = "#fff";
      context.lineWidth = size / 2;
      context.beginPath();
      corners.forEach((point) => context.lineTo(...this.onCanvas(point)));
      context.stroke();
      if (tool === "polygon") sketch.forEach((point, index) => dot(point, index ? "#fff" : this.colours.boundary));
    }
    if (this.cross && document.activeElement === this.canvas) {
      const [x, y] = this.onCanvas(this.cross);
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 3 * dx, y + 3 * dy);
        context.lineTo(x + 16 * dx, y + 16 * dy);
      }
      context.stroke();
    }
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0 || !this.mayDraw) return;
    this.cross = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.act(() => this.drawing.press(this.inImage(event), this.reach()));
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (!this.drawing.pressed) return;
    this.drawing.drag(this.inImage(event));
    this.draw();
    this.changed(false);
  }

  release() {
    if (this.drawing.pressed) this.act(() => this.drawing.release());
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = STEPS[/** @type {keyof typeof STEPS} */ (event.key)];
    if (event.ctrlKey && event.key.toLowerCase() === "z") this.act(() => this.drawing.undo());
    else if (event.ctrlKey || event.altKey || event.metaKey) return;
    else if (step) this.step(step, event.shiftKey ? COARSE_PX : 1);
    else if (event.key === "Enter" || event.key === " ") this.click();
    else if (event.key === "Delete" || event.key === "Backspace") this.act(() => this.erase());
    else if (event.key.toLowerCase() === "c") this.act(() => this.drawing.close());
    else if (event.key === "Escape") this.act(() => this.drawing.cancel());
    else return;
    event.preventDefault();
  }

  /**
   * @param {number[]} step
   * @param {number} px
   */
  step([x, y], px) {
    if (!this.mayDraw) return;
    const [columns, rows] = this.size();
    const [column, row] = this.cross ?? [Math.round(columns / 2), Math.round(rows / 2)];
    this.cross = [clamp(column + x * px, 0, columns - 1), clamp(row + y * px, 0, rows - 1)];
    if (this.carries || this.drawing.tool === "box") this.drawing.drag(this.cross);
    if (this.carries) this.changed(false);
    this.draw();
  }

  /** Presses or releases at the cross. */
  click() {
    const [cross, drawing] = [this.cross, this.drawing];
    if (!cross || !this.mayDraw || drawing.tool === "freehand") return;
    this.act(() => {
      if (drawing.pressed && drawing.tool !== "polygon") {
        drawing.drag(cross);
        drawing.release();
        this.carries = false;
      } else {
        drawing.press(cross, this.reach());
        this.carries = drawing.tool === "edit";
      }
    });
  }

  erase() {
    if (this.drawing.sketch.length) this.drawing.undo();
    else this.drawing.deletePoint();
  }

  /** @param {() => void} work */
  act(work) {
    work();
    this.draw();
    this.changed(true);
  }

  /** Columns and rows of the image. */
  size() {
    const { columns, rows, step } = /** @type {Picture} */ (this.cine.picture);
    return [columns * step, rows * step];
  }

  /** How near, in pixels of the image, means a point. */
  reach() {
    const picture = this.cine.picture;
    return picture ? (REACH * (window.devicePixelRatio || 1)) / placement(wholeOf(this.canvas), picture).x : 0;
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point}
   */
  inImage(event) {
    const place = placement(wholeOf(this.canvas), /** @type {Picture} */ (this.cine.picture));
    const [columns, rows] = this.size();
    const ratio = this.canvas.width / this.canvas.clientWidth;
    const x = (event.offsetX * ratio - place.left) / place.x - 0.5;
    const y = (event.offsetY * ratio - place.top) / place.y - 0.5;
    return [clamp(x, -0.5, columns - 0.5), clamp(y, -0.5, rows - 0.5)];
  }

  /**
   * @param {Point} point
   * @returns {Point}
   */
  onCanvas([x, y]) {
    const place = placement(wholeOf(this.canvas), /** @type {Picture} */ (this.cine.picture));
    return [place.left + (x + 0.5) * place.x, place.top + (y + 0.5) * place.y];
  }
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/**
 * @param {Point} one
 * @param {Point} other
 * @returns {Point[]}
 */
function rectangle([left, top], [right, bottom]) {
  return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
}
