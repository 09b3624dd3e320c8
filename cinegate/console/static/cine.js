// Draws the cine: the image with its window and level, contours, boundary, orientation letters and a scale bar.

/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").Setting} Setting */
/** @typedef {import("./types.js").Point} Point */

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
/** Fractions of the pixels that the automatic window leaves black and white. */
const [BLACK, WHITE] = [0.01, 0.995];

/** The newest image of one plane, and its window: what is drawn black and white. */
class Plane {
  /** @param {string} shape */
  constructor(shape) {
    this.shape = shape;
    this.image = document.createElement("canvas");
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Uint8Array | Uint16Array | Float32Array} */
    this.pixels = new Uint8Array();
    /** @type {{low: number, high: number} | null} null: to be taken from the next image */
    this.window = null;
    this.takenAt = -Infinity;
  }

  /**
   * Fills the image with grey levels.
   * @param {number} brightness
   * @param {number} contrast
   */
  fill(brightness, contrast) {
    const { picture, pixels, image } = this;
    if (!picture) return;
    const { low, high } = (this.window ??= automaticWindow(pixels));
    [image.width, image.height] = [picture.columns, picture.rows];
    const context = /** @type {CanvasRenderingContext2D} */ (image.getContext("2d"));
    const shown = context.createImageData(picture.columns, picture.rows);
    const out = new Uint32Array(shown.data.buffer);
    const width = Math.max(high - low, 1e-9) / contrast;
    const offset = (low + high) / 2 - brightness * (high - low) - width / 2;
    for (let i = 0; i < out.length; i++) {
      const value = Math.min(255, Math.max(0, ((pixels[i] - offset) * 255) / width)) | 0;
      out[i] = 0xff000000 | (value << 16) | (value << 8) | value;
    }
    context.putImageData(shown, 0, 0);
  }
}

export class Cine {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {Map<string, Plane>} */
    this.planes = new Map();
    /** @type {Picture | null} The newest of all planes. */
    this.picture = null;
    /** Set by the operator, on top of the automatic window. */
    this.brightness = 0;
    this.contrast = 1;
    /** Whether anything has changed since it was drawn. */
    this.changed = true;
    window.addEventListener("resize", () => (this.changed = true));
  }

  /**
   * @param {number} brightness
   * @param {number} contrast
   */
  adjust(brightness, contrast) {
    [this.brightness, this.contrast, this.changed] = [brightness, contrast, true];
  }

  /** Begins with another session. */
  forget() {
    this.planes.clear();
    this.picture = null;
    this.changed = true;
  }

  /**
   * @param {Picture} picture
   * @param {ArrayBuffer} data
   */
  take(picture, data) {
    const shape = `${picture.rows}x${picture.columns} ${picture.dtype}`;
    let plane = this.planes.get(picture.plane);
    if (plane?.shape !== shape) this.planes.set(picture.plane, (plane = new Plane(shape)));
    plane.picture = this.picture = picture;
    plane.pixels = new ARRAYS[picture.dtype](data);
    plane.takenAt = performance.now();
    this.changed = true;
  }

  /** Takes the windows from the next images, without the operator's changes. */
  resetWindow() {
    for (const plane of this.planes.values()) plane.window = null;
    this.adjust(0, 1);
  }

  /**
   * Draws all planes side by side; one that has had no image for too long is taken away.
   * @param {Setting | null} setting
   * @param {Record<string, string>} colours
   * @param {number} [limitMs] after which an image of a single plane is too old
   */
  draw(setting, colours, limitMs = Infinity) {
    this.changed = false;
    const context = fitted(this.canvas);
    const { width, height } = this.canvas;
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const planes = [...this.planes.values()];
    planes.forEach((plane, i) => {
      const room = width >= height
        ? { left: (i * width) / planes.length, top: 0, width: width / planes.length, height }
        : { left: 0, top: (i * height) / planes.length, width, height: height / planes.length };
      if (performance.now() - plane.takenAt > limitMs * planes.length) noSignal(context, room, plane.picture?.plane ?? "");
      else this.drawPlane(context, plane, room, setting, colours);
    });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Plane} plane
   * @param {Room} room
   * @param {Setting | null} setting
   * @param {Record<string, string>} colours
   */
  drawPlane(context, plane, room, setting, colours) {
    const { picture } = plane;
    if (!picture) return;
    plane.fill(this.brightness, this.contrast);
    const place = placement(room, picture);
    context.drawImage(plane.image, place.left, place.top, place.width, place.height);
    const targets = (setting?.targets ?? []).filter((target) => target.plane === picture.plane);
    const line = Math.max(2, room.width / 300);
    for (const target of targets) {
      if (!target.avoided) outline(context, target.boundary_px, place, colours.boundary, line, [3 * line, 2 * line]);
    }
    for (const { target, contour_px } of picture.contours) {
      const avoided = targets.find((one) => one.name === target)?.avoided ?? false;
      outline(context, contour_px, place, avoided ? colours.avoided : colours.contour, line, avoided ? [line, line] : []);
    }
    annotate(context, picture, place, room);
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

/** @typedef {{left: number, top: number, width: number, height: number}} Room */

/**
 * The whole of a canvas, as the room of a single plane.
 * @param {HTMLCanvasElement} canvas
 * @returns {Room}
 */
export function wholeOf({ width, height }) {
  return { left: 0, top: 0, width, height };
}

/**
 * Where the image lies in its room, with the proportions of its pixels, and how large a pixel is there.
 * @param {Room} room
 * @param {Picture} picture
 */
export function placement(room, picture) {
  const [rowMm, columnMm] = picture.spacing_mm;
  const perMm = Math.min(room.width / (picture.columns * columnMm), room.height / (picture.rows * rowMm));
  const [width, height] = [picture.columns * columnMm * perMm, picture.rows * rowMm * perMm];
  return {
    left: room.left + (room.width - width) / 2,
    top: room.top + (room.height - height) / 2,
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
 * @param {Room} room
 */
function annotate(context, picture, place, room) {
  const size = Math.max(14, room.width / 32);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const { left, right, top, bottom } = picture.letters;
  const [middleX, middleY] = [room.left + room.width / 2, room.top + room.height / 2];
  const floor = room.top + room.height - size;
  label(context, left, room.left + size, middleY);
  label(context, right, room.left + room.width - size, middleY);
  label(context, top, middleX, room.top + size);
  label(context, bottom, middleX, floor);
  const cm = [10, 5, 2, 1].find((one) => one * 10 * place.perMm < room.width / 3) ?? 1;
  const [length, x] = [cm * 10 * place.perMm, room.left + size];
  context.fillStyle = "#000";
  context.fillRect(x - 2, floor - 4, length + 4, 8);
  context.fillStyle = "#fff";
  context.fillRect(x, floor - 2, length, 4);
  label(context, `${cm} cm`, x + length / 2, floor - size);
}

/**
 * In the room of a plane whose images have stopped, while those of another go on.
 * @param {CanvasRenderingContext2D} context
 * @param {Room} room
 * @param {string} plane
 */
function noSignal(context, room, plane) {
  context.fillStyle = "#2a2a2a";
  context.fillRect(room.left, room.top, room.width, room.height);
  context.font = `800 ${room.width / 10}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  label(context, "NO SIGNAL", room.left + room.width / 2, room.top + room.height / 2);
  label(context, plane, room.left + room.width / 2, room.top + room.height / 2 + room.width / 8);
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
