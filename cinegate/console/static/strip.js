// Strip charts of the newest 30 s, drawn on a canvas: at 60 frames/s a plot library takes too long (decision 7).

import { fitted } from "./cine.js";

export const TRACE_MS = 30_000;
/** Over a longer silence no line is drawn. */
const GAP_MS = 1000;

/** @typedef {{at: number, value: number | null, on: boolean, within: number}} Dot Its value is known within a bound; 0: none. */
/** @typedef {{colour: string, dash: number[], name: string, dots: Dot[]}} Line */
/** @typedef {{low: number | null, high: number | null, name: string, colour?: string}} Allowed null: open on that side */
/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} unit
 * @property {[number, number] | null} range fixed range; null: from lines and bands
 * @property {Line[]} lines
 * @property {Allowed[]} bands where the lines may be
 * @property {string} [note] in the lower left corner
 */

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Chart} chart
 * @param {number} nowMs right edge of the chart, on the clock of the dots
 * @param {Record<string, string>} colours
 */
export function drawStrip(canvas, chart, nowMs, colours) {
  const context = fitted(canvas);
  const { width, height } = canvas;
  const size = 11 * (window.devicePixelRatio || 1);
  const [left, right, top, bottom] = [3.4 * size, width - 0.6 * size, 1.7 * size, height - 0.5 * size];
  const [low, high] = chart.range ?? rangeOf(chart);
  /** @param {number} value */
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  /** @param {number} at */
  const x = (at) => right - ((nowMs - at) / TRACE_MS) * (right - left);
  context.clearRect(0, 0, width, height);
  context.font = `${size}px system-ui, sans-serif`;
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  drawOn(context, chart.lines[0]?.dots ?? [], x, top, bottom, nowMs, colours);
  for (const band of chart.bands) drawEdges(context, band, y, [left, right], colours);
  for (const line of chart.lines) drawWithin(context, line, x, y);
  for (const line of chart.lines) drawLine(context, line, x, y, size);
  let nameAt = left + 4;
  for (const band of chart.bands) nameAt = drawName(context, band, y, top + size, nameAt, colours) + size;
  if (chart.note) drawText(context, chart.note, left + 4, bottom - 3, "bottom", colours.text, colours.back);
  context.restore();
  context.strokeStyle = colours.rule;
  context.strokeRect(left, top, right - left, bottom - top);
  context.fillStyle = colours.text;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of [low, (low + high) / 2, high]) context.fillText(tick(value), left - 4, y(value));
  context.textAlign = "right";
  let at = right;
  for (const line of [...chart.lines].reverse()) {
    context.fillStyle = line.colour;
    context.fillText(line.name, at, 0.8 * size);
    at -= context.measureText(line.name).width + size;
  }
  context.textAlign = "left";
  context.fillStyle = colours.text;
  context.fillText(`${chart.title}, ${chart.unit}`, left, 0.8 * size, at - left);
}

/** @param {Chart} chart */
function rangeOf(chart) {
  const values = chart.bands.flatMap((band) => edgesOf(band));
  for (const { dots } of chart.lines) {
    for (const { value, within } of dots) if (value !== null) values.push(Math.abs(value) + within);
  }
  const reach = Math.max(5, ...values.map(Math.abs)) * 1.15;
  const step = reach > 20 ? 10 : 5;
  const most = Math.ceil(reach / step) * step;
  return [-most, most];
}

/** @param {Allowed} band */
function edgesOf({ low, high }) {
  return [low, high].filter((edge) => edge !== null);
}

/** @param {number} value */
function tick(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

/**
 * Times with the gate on, as a background.
 * @param {CanvasRenderingContext2D} context
 * @param {Dot[]} dots
 * @param {(at: number) => number} x
 * @param {number} top
 * @param {number} bottom
 * @param {number} nowMs
 * @param {Record<string, string>} colours
 */
function drawOn(context, dots, x, top, bottom, nowMs, colours) {
  context.fillStyle = colours.onBack;
  for (let i = 0; i < dots.length; ) {
    if (!dots[i].on) {
      i += 1;
      continue;
    }
    const begin = dots[i].at;
    while (i < dots.length && dots[i].on) i += 1;
    const end = i < dots.length ? dots[i].at : Math.min(nowMs, dots[i - 1].at + 300);
    context.fillRect(x(begin), top, x(end) - x(begin), bottom - top);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Allowed} band
 * @param {(value: number) => number} y
 * @param {[number, number]} sides of the chart, left and right
 * @param {Record<string, string>} colours
 */
function drawEdges(context, band, y, [left, right], colours) {
  context.strokeStyle = band.colour ?? colours.boundary;
  context.lineWidth = 1.5;
  context.setLineDash([6, 4]);
  context.beginPath();
  for (const edge of edgesOf(band)) {
    context.moveTo(left, y(edge));
    context.lineTo(right, y(edge));
  }
  context.stroke();
  context.setLineDash([]);
}

/**
 * Names a band; returns where the name ends, so that the next begins beside it.
 * @param {CanvasRenderingContext2D} context
 * @param {Allowed} band
 * @param {(value: number) => number} y
 * @param {number} highest where a name above the band still fits
 * @param {number} nameAt
 * @param {Record<string, string>} colours
 */
function drawName(context, band, y, highest, nameAt, colours) {
  const place = y(Math.max(...edgesOf(band)));
  const fits = place > highest;
  const at = place + (fits ? -1 : 2);
  drawText(context, band.name, nameAt, at, fits ? "bottom" : "top", band.colour ?? colours.boundary, colours.back);
  return nameAt + context.measureText(band.name).width;
}

/**
 * Writes on the lines, with a rim so that none of them runs through the text.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {CanvasTextBaseline} baseline
 * @param {string} colour
 * @param {string} rim
 */
function drawText(context, text, x, y, baseline, colour, rim) {
  context.textAlign = "left";
  context.textBaseline = baseline;
  context.strokeStyle = rim;
  context.lineWidth = 4;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

/**
 * Shades where the value may be, within its bound.
 * @param {CanvasRenderingContext2D} context
 * @param {Line} line
 * @param {(at: number) => number} x
 * @param {(value: number) => number} y
 */
function drawWithin(context, { colour, dots }, x, y) {
  context.fillStyle = colour;
  context.globalAlpha = 0.3;
  for (let i = 0; i + 1 < dots.length; i++) {
    const [from, to] = [dots[i], dots[i + 1]];
    if (!from.within || !to.within || from.value === null || to.value === null || to.at - from.at >= GAP_MS) continue;
    context.beginPath();
    context.moveTo(x(from.at), y(from.value - from.within));
    context.lineTo(x(from.at), y(from.value + from.within));
    context.lineTo(x(to.at), y(to.value + to.within));
    context.lineTo(x(to.at), y(to.value - to.within));
    context.fill();
  }
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Line} line
 * @param {(at: number) => number} x
 * @param {(value: number) => number} y
 * @param {number} size
 */
function drawLine(context, line, x, y, size) {
  context.strokeStyle = line.colour;
  context.lineWidth = size / 6;
  context.lineJoin = "round";
  context.setLineDash(line.dash);
  context.beginPath();
  let down = false;
  let before = -Infinity;
  for (const { at, value } of line.dots) {
    down = down && at - before < GAP_MS;
    before = at;
    if (value === null) {
      down = false;
    } else if (down) {
      context.lineTo(x(at), y(value));
    } else {
      context.moveTo(x(at), y(value));
      down = true;
    }
  }
  context.stroke();
  context.setLineDash([]);
}
