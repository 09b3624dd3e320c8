// Draws the cine: the image with its window and level, contours, boundary, orientation letters and a scale bar.

/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Setting} Setting */
/** @typedef {import("./types.js").Point} Point */

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
/** Fractions of the pixels that the automatic window leaves black and white. */
const [BLACK, WHITE] = [0.01, 0.995];

export class Cine {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.image = document.createElement("canvas");
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Uint8Array | Uint16Array | Float32Array} */
    this.pixels = new Uint8Array();
    /** @type {{low: number, high: number} | null} What is drawn black and white; null: to be taken from the next image. */
    this.window = null;
    /** Set by the operator, on top of the automatic window. */
    this.brightness = 0;
    this.contrast = 1;
    this.shape = "";
  }

  /**
   * @param {Picture} picture
   * @param {ArrayBuffer} data
   */
  take(picture, data) {
    const shape = `${picture.plane} ${picture.rows}x${picture.columns} ${picture.dtype}`;
    if (shape !== this.shape) this.window = null;
    this.shape = shape;
    this.picture = picture;
    this.pixels = new ARRAYS[picture.dtype](data);
    this.window ??= automaticWindow(this.pixels);
  }

  /** Takes the window from the next image, without the operator's changes. */
  resetWindow() {
    this.window = this.pixels.length ? automaticWindow(this.pixels) : null;
    this.brightness = 0;
    this.contrast = 1;
  }

  /**
   * @param {Setting | null} setting
   * @param {Record<string, string>} colours
   */
  draw(setting, colours) {
    const picture = this.picture;
    if (!picture) return;
    const context = fitted(this.canvas);
    this.fillImage(picture);
    const place = placement(this.canvas, picture);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = true;
    context.drawImage(this.image, place.left, place.top, place.width, place.height);
    const targets = (setting?.targets ?? []).filter((target) => target.plane === picture.plane);
    const line = Math.max(2, this.canvas.width / 300);
    for (const target of targets) {
      if (!target.avoided) outline(context, target.boundary_px, place, colours.boundary, line, [3 * line, 2 * line]);
    }
    for (const { target, contour_px } of picture.contours) {
      const avoided = targets.find((one) => one.name === target)?.avoided ?? false;
      outline(context, contour_px, place, avoided ? colours.avoided : colours.contour, line, avoided ? [line, line] : []);
    }
    annotate(context, picture, place, this.canvas);
  }

  /** @param {Picture} picture */
  fillImage(picture) {
    this.image.width = picture.columns;
    this.image.height = picture.rows;
    const context = /** @type {CanvasRenderingContext2D} */ (this.image.getContext("2d"));
    const shown = context.createImageData(picture.columns, picture.rows);
    const out = new Uint32Array(shown.data.buffer);
    const { low, high } = this.window ?? { low: 0, high: 1 };
    const width = Math.max(high - low, 1e-9) / this.contrast;
    const level = (low + high) / 2 - this.brightness * (high - low);
    const scale = 255 / width;
    const offset = level - width / 2;
    for (let i = 0; i < out.length; i++) {
      const value = Math.min(255, Math.max(0, (this.pixels[i] - offset) * scale)) | 0;
      out[i] = 0xff000000 | (value << 16) | (value << 8) | value;
    }
    context.putImageData(shown, 0, 0);
  }
}

/**
 * @param {Uint8Array | Uint16Array | Float32Array} pixels
 */
function automaticWindow(pixels) {
  const step = Math.max(1, Math.floor(pixels.length / 20_000));
  const some = [];
  for (let i = 0; i < pixels.length; i += step) if (Number.isFinite(pixels[i])) some.push(pixels[i]);
  some.sort((a, b) => a - b);
  return { low: some[Math.floor(BLACK * (some.length - 1))] ?? 0, high: some[Math.floor(WHITE * (some.length - 1))] ?? 1 };
}

/**
 * Gives a canvas the resolution of the screen, and returns its context.
 * @param {HTMLCanvasElement} canvas
 */
export function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * Where the image lies in the canvas, with the proportions of its pixels, and how large a pixel is there.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 */
export function placement(canvas, picture) {
  const [rowMm, columnMm] = picture.spacing_mm;
  const perMm = Math.min(canvas.width / (picture.columns * columnMm), canvas.height / (picture.rows * rowMm));
  const [width, height] = [picture.columns * columnMm * perMm, picture.rows * rowMm * perMm];
  return {
    left: (canvas.width - width) / 2,
    top: (canvas.height - height) / 2,
    width,
    height,
    x: (columnMm * perMm) / picture.step,
    y: (rowMm * perMm) / picture.step,
    perMm: perMm / picture.step,
  };
}

/** @typedef {ReturnType<typeof placement>} Placement */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Point[]} points
 * @param {Placement} place
 * @param {string} colour
 * @param {number} width
 * @param {number[]} dash
 */
function outline(context, points, place, colour, width, dash) {
  if (points.length < 2) return;
  const path = new Path2D();
  for (const [x, y] of points) path.lineTo(place.left + (x + 0.5) * place.x, place.top + (y + 0.5) * place.y);
  path.closePath();
  context.lineJoin = "round";
  context.setLineDash([]);
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.lineWidth = width + 2;
  context.stroke(path);
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
  context.setLineDash([]);
}

/**
 * Orientation letters at the edges, and a bar of 1, 2, 5 or 10 cm.
 * @param {CanvasRenderingContext2D} context
 * @param {Picture} picture
 * @param {Placement} place
 * @param {HTMLCanvasElement} canvas
 */
function annotate(context, picture, place, canvas) {
  const size = Math.max(14, canvas.width / 32);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const { left, right, top, bottom } = picture.letters;
  const [middleX, middleY] = [canvas.width / 2, canvas.height / 2];
  label(context, left, size, middleY);
  label(context, right, canvas.width - size, middleY);
  label(context, top, middleX, size);
  label(context, bottom, middleX, canvas.height - size);
  const cm = [10, 5, 2, 1].find((one) => one * 10 * place.perMm < canvas.width / 3) ?? 1;
  const [length, x, y] = [cm * 10 * place.perMm, size, canvas.height - size];
  context.fillStyle = "#000";
  context.fillRect(x - 2, y - 4, length + 4, 8);
  context.fillStyle = "#fff";
  context.fillRect(x, y - 2, length, 4);
  label(context, `${cm} cm`, x + length / 2, y - size);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function label(context, text, x, y) {
  context.lineWidth = 4;
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = "#fff";
  context.fillText(text, x, y);
}
