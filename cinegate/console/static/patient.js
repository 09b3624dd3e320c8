// The patient's page: a target and a moving marker, or a bar into a window. No anatomy, no numbers unless chosen.

import { fitted } from "./cine.js";
import { Live, element, setText, showKind } from "./live.js";

/** @typedef {import("./types.js").PatientUpdate} PatientUpdate */
/** @typedef {NonNullable<PatientUpdate["marker"]>} Marker */

/** @type {Record<string, string>} Every sentence, from the file of texts. */
const texts = await (await fetch("/texts")).json();
document.documentElement.lang = texts.language;

const style = getComputedStyle(document.documentElement);
const [ON, HOLD, RULE, TEXT] = ["--on", "--hold", "--rule", "--text"].map((name) => style.getPropertyValue(name).trim());
const canvas = /** @type {HTMLCanvasElement} */ (element("guide"));
/** Height of the picture, in heights of the window. */
const REACH = 3;

/** @type {Live<PatientUpdate>} */
const live = new Live("patient", paint);

/** @param {PatientUpdate} update */
function paint(update) {
  const phase = phaseOf(update);
  const { guide, marker } = update;
  showKind(update.source_kind);
  document.body.dataset.phase = phase;
  setText("phase", texts[phase]);
  setText("message", guide.message);
  setText("count", countOf(update, phase));
  const context = fitted(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (phase === "wait" || !marker) return;
  const colour = phase === "hold" || phase === "inside" ? ON : HOLD;
  (guide.view === "bar" ? drawBar : drawTarget)(context, marker, colour);
}

/**
 * What the patient is to do now.
 * @param {PatientUpdate} update
 */
function phaseOf(update) {
  const { marker, breath_hold: hold } = update;
  if (live.isSilent("frame") || live.isSilent("gate") || !marker || marker.up_mm === null) return "wait";
  if (hold) {
    if (hold.held_s <= 0) return isInside(marker) ? "steady" : "breathe";
    return hold.left_s > 0 && hold.in_place ? "hold" : "breathe";
  }
  return isInside(marker) ? "inside" : "outside";
}

/** @param {Marker} marker */
function isInside(marker) {
  return within(marker.up_mm, marker.up) && within(marker.across_mm, marker.across);
}

/**
 * @param {number | null} value
 * @param {[number, number] | null} window
 */
function within(value, window) {
  return !window || (value !== null && window[0] <= value && value <= window[1]);
}

/**
 * The countdown of a hold, and the displacement where numbers are chosen.
 * @param {PatientUpdate} update
 * @param {string} phase
 */
function countOf({ breath_hold: hold, guide, marker }, phase) {
  const left = phase === "hold" && hold ? `${Math.ceil(hold.left_s)} ${texts.second}` : "";
  const away = guide.numbers && phase !== "wait" && marker?.up_mm != null ? `${marker.up_mm.toFixed(0)} mm` : "";
  return [left, away].filter(Boolean).join(" · ");
}

/**
 * A ring with a dot that moves in the image plane.
 * @param {CanvasRenderingContext2D} context
 * @param {Marker} marker
 * @param {string} colour
 */
function drawTarget(context, marker, colour) {
  const { width, height } = canvas;
  const [low, high] = marker.up ?? [-5, 5];
  const perMm = height / (REACH * (high - low));
  const middleMm = (low + high) / 2;
  const [acrossLow, acrossHigh] = marker.across ?? [low, high];
  const acrossMiddle = (acrossLow + acrossHigh) / 2;
  context.lineWidth = height / 60;
  context.strokeStyle = colour;
  context.beginPath();
  context.ellipse(width / 2, height / 2, ((acrossHigh - acrossLow) / 2) * perMm, ((high - low) / 2) * perMm, 0, 0, 7);
  context.stroke();
  context.fillStyle = TEXT;
  context.beginPath();
  const x = width / 2 + ((marker.across_mm ?? 0) - acrossMiddle) * perMm;
  const y = height / 2 - ((marker.up_mm ?? 0) - middleMm) * perMm;
  const size = height / 22;
  context.arc(clamp(x, size, width - size), clamp(y, size, height - size), size, 0, 7);
  context.fill();
}

/**
 * A bar that rises and falls beside a window.
 * @param {CanvasRenderingContext2D} context
 * @param {Marker} marker
 * @param {string} colour
 */
function drawBar(context, marker, colour) {
  const { width, height } = canvas;
  const [low, high] = marker.up ?? [-5, 5];
  const perMm = height / (REACH * (high - low));
  const middleMm = (low + high) / 2;
  /** @param {number} mm */
  const y = (mm) => clamp(height / 2 - (mm - middleMm) * perMm, 0, height);
  const [left, wide] = [width * 0.4, width * 0.2];
  context.fillStyle = RULE;
  context.fillRect(left, 0, wide, height);
  context.fillStyle = TEXT;
  context.fillRect(left + wide * 0.15, y(marker.up_mm ?? 0), wide * 0.7, height);
  context.lineWidth = height / 60;
  context.strokeStyle = colour;
  context.strokeRect(left - wide * 0.2, y(high), wide * 1.4, y(low) - y(high));
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

setInterval(() => {
  if (live.newest && (live.isSilent("frame") || live.isSilent("gate"))) paint(live.newest);
}, 100);
