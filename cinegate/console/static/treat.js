// The treatment page: puts what came into its place, and takes away what has become too old.

import { Cine } from "./cine.js";
import { Controls } from "./controls.js";
import { KINDS, Live, element, setText, showKind, shown, since } from "./live.js";
import { showEvents, showFigures, showSide } from "./side.js";
import { TRACE_MS, drawStrip } from "./strip.js";

/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./types.js").Setting} Setting */
/** @typedef {import("./types.js").Sample} Sample */

/** @type {[import("./types.js").Axis, 3 | 4 | 5, number[]][]} Each axis, its place in a sample and its dashes. */
const AXES = [["si", 5, []], ["ap", 4, [8, 3]], ["lr", 3, [2, 3]]];
const WATCH_MS = 50;
/** A pixel of the strips is about 70 ms wide. */
const TELL_MS = 100;

/** @param {string} id */
const canvas = (id) => /** @type {HTMLCanvasElement} */ (element(id));
/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));

const style = getComputedStyle(document.documentElement);
/** @type {Record<string, string>} */
const colours = { onBack: style.getPropertyValue("--on-back") };
for (const name of ["text", "back", "rule", "contour", "boundary", "avoided", "si", "ap", "lr"]) {
  colours[name] = style.getPropertyValue(`--${name}`).trim();
}

const cine = new Cine(canvas("cine"));
/** @type {Setting | null} */
let setting = null;
/** @type {Sample[]} */
let samples = [];
let session = "";

/** @type {Live<Update>} */
const live = new Live("treat", paint, take);
const controls = new Controls(live);

/**
 * Takes what came. Messages that come together are painted once, by the newest.
 * @param {Update} update
 * @param {ArrayBuffer} pixels
 */
function take(update, pixels) {
  if (update.session !== session) {
    [samples, session] = [[], update.session];
    cine.forget();
  }
  if (update.setting) [setting, cine.changed] = [update.setting, true];
  samples.push(...update.samples);
  samples = samples.filter((sample) => sample[1] > update.at_ms - TRACE_MS);
  if (update.picture) cine.take(update.picture, pixels);
  if (update.figures) showFigures(update.figures);
  if (update.events) showEvents(update.events);
  controls.show(update);
}

/** @param {Update} update */
function paint(update) {
  if (cine.changed || cine.planes.size > 1) cine.draw(setting, colours, update.limits_ms.frame);
  watch();
}

/** Shows what must not wait; called between messages too, so that silence shows by itself. */
function watch() {
  showGate(live.newest);
  showBeam(live.newest);
  element("no-signal").hidden = !hasNoPicture();
}

/** Shows what is read rather than seen: with every frame, laying out text and drawing strips would delay the image. */
function tell() {
  const [update, picture] = [live.newest, hasNoPicture() ? null : cine.picture];
  if (update) drawStrips(update.at_ms);
  showOrigin(update);
  setText("no-signal-since", `${live.connected ? "No image" : "Console lost, no image"} ${since(live.ageMs("frame"))}`);
  const age = picture && update?.frame_age_ms;
  setText("age", age == null ? "–" : shown(age + performance.now() - live.receivedAt, 0));
  setText("plane", picture ? `${picture.plane} · frame ${picture.sequence}` : "");
  showSide(live, setting);
}

function hasNoPicture() {
  return live.isSilent("frame") || !cine.picture;
}

/** @param {Update | null} update */
function showOrigin(update) {
  const source = setting?.source;
  const { meaning } = KINDS[source?.kind ?? "none"];
  showKind(source?.kind);
  const pace = source && source.pacing !== "real_time" ? ` · ${source.pacing} ×${source.speed}` : "";
  const faults = cine.picture?.simulated_by ? ` · changed on purpose by ${cine.picture.simulated_by}` : "";
  const stamps = source?.arrival_time ? " · stamps are ARRIVAL TIMES, the age of the images is not known" : "";
  const times = source?.times_assumed ? " · times are ASSUMED from a rate that a user gave" : "";
  const ended = setting?.ended ? ` · ENDED: ${setting.ended}` : "";
  setText("source", source ? `${meaning} · ${source.description || source.name}${pace}${faults}${stamps}${times}${ended}` : meaning);
  element("site").hidden = !setting?.site;
  setText("site", `Site: ${setting?.site ?? ""}`);
  const kind = update?.beam?.beam_kind;
  setText("line", kind ? (kind === "hardware" ? "HARDWARE beam line" : "simulated beam line") : "no beam line");
  setText("operator", update?.operator ? `Operator ${update.operator}` : "Read only");
}

/** @param {Update | null} update */
function showGate(update) {
  const gate = update?.gate;
  if (!gate || live.isSilent("gate")) {
    lamp("gate", "silent", "NO SIGNAL");
    setText("words", `The engine has not been heard ${since(live.ageMs("gate"))}`);
    setText("detail", live.connected ? "" : live.refused || "The console cannot be reached");
    return;
  }
  const latched = gate.engine_state === "latched";
  lamp("gate", gate.state === "on" ? "on" : latched ? "latched" : "hold", gate.state === "on" ? "BEAM ON" : "HOLD");
  setText("words", `${latched ? "Latched: " : ""}${gate.words}`);
  setText("detail", `${gate.engine_state}${gate.detail ? ` · ${gate.detail}` : ""}`);
}

/** @param {Update | null} update */
function showBeam(update) {
  const beam = update?.beam;
  if (!beam || live.isSilent("beam")) {
    lamp("beam", "silent", "NO SIGNAL");
    setText("beam-what", `Beam line not heard ${since(live.ageMs("beam"))}`);
    return;
  }
  const differs = beam.commanded !== beam.confirmed;
  lamp("beam", beam.latched ? "latched" : beam.confirmed, beam.confirmed === "on" ? "ON" : "HOLD");
  setText("beam-what", differs ? `Beam line confirms, commanded ${beam.commanded.toUpperCase()}` : "Beam line confirms");
}

/**
 * @param {string} id
 * @param {string} state
 * @param {string} word
 */
function lamp(id, state, word) {
  element(id).dataset.state = state;
  setText(`${id}-word`, word);
}

/** @param {number} nowMs */
function drawStrips(nowMs) {
  const target = setting?.targets.find((one) => one.name === setting?.guided);
  const own = samples.filter((sample) => sample[2] === target?.name);
  const seen = (/** @type {import("./types.js").Axis} */ axis) => target?.axes.includes(axis) ?? true;
  const axes = AXES.filter(([axis]) => setting?.in_3d || seen(axis));
  /** @param {3 | 4 | 5 | 6 | 7} place */
  const dots = (place) => own.map((sample) => ({
    at: sample[1], value: sample[place], on: sample[8], within: place < 6 ? sample[9]?.[place - 3] ?? 0 : 0,
  }));
  const lines = axes.map(([axis, place, dash]) => ({
    name: seen(axis) ? axis.toUpperCase() : `${axis.toUpperCase()} (estimated)`, colour: colours[axis], dash, dots: dots(place),
  }));
  const shownAxes = axes.map(([axis]) => axis);
  const bands = merged((target?.bands ?? []).filter((band) => shownAxes.includes(band.axis) && (band.low_mm ?? band.high_mm) !== null));
  const title = `${target?.name ?? "Target"}: displacement (+ superior, anterior, left)`;
  const note = setting?.in_3d ? "Shaded: where the target may be; all of it must be inside" : "";
  drawStrip(canvas("motion"), { title, unit: "mm", range: null, lines, bands, note }, nowMs, colours);
  const most = target?.max_out_fraction;
  const out = { name: "", colour: colours.text, dash: [], dots: dots(6) };
  const limit = most == null ? [] : [{ low: -1, high: most, name: `at most ${Math.round(100 * most)} %` }];
  drawStrip(canvas("out"), { title: "Target-out fraction", unit: "0 to 1", range: [0, 1], lines: [out], bands: limit }, nowMs, colours);
  const least = setting?.min_confidence;
  const sure = { name: "", colour: colours.text, dash: [], dots: dots(7) };
  const needed = least == null ? [] : [{ low: -1, high: least, name: `at least ${least}` }];
  drawStrip(canvas("confidence"), { title: "Confidence", unit: "0 to 1", range: [0, 1], lines: [sure], bands: needed }, nowMs, colours);
}

/**
 * The bands of a rule that has the same limits along several axes become one; that of one axis has its colour.
 * @param {import("./types.js").Band[]} bands
 */
function merged(bands) {
  /** @type {Map<string, import("./strip.js").Allowed>} */
  const byLimits = new Map();
  for (const { rule, axis, low_mm: low, high_mm: high } of bands) {
    const key = [rule, low?.toFixed(1), high?.toFixed(1)].join(" ");
    const before = byLimits.get(key);
    const name = `${before?.name ?? rule} ${axis.toUpperCase()}`;
    byLimits.set(key, { low, high, name, colour: before ? colours.boundary : colours[axis] });
  }
  return [...byLimits.values()];
}

for (const id of ["brightness", "contrast"]) {
  input(id).oninput = () => cine.adjust(Number(input("brightness").value), 2 ** Number(input("contrast").value));
}
element("reset-window").onclick = () => {
  cine.resetWindow();
  input("brightness").value = input("contrast").value = "0";
};
setInterval(watch, WATCH_MS);
setInterval(tell, TELL_MS);
watch();
tell();
