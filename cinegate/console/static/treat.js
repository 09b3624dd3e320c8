// The treatment page: puts what came into its place, and takes away what has become too old.

import { Cine } from "./cine.js";
import { Controls } from "./controls.js";
import { KINDS, Live, element, setText, showKind, shown, since } from "./live.js";
import { showSide } from "./side.js";
import { TRACE_MS, drawStrip } from "./strip.js";

/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./types.js").Setting} Setting */
/** @typedef {import("./types.js").Sample} Sample */

/** @type {[import("./types.js").Axis, 3 | 4 | 5, number[]][]} Each axis, its place in a sample and its dashes. */
const AXES = [["si", 5, []], ["ap", 4, [8, 3]], ["lr", 3, [2, 3]]];
const WATCH_MS = 50;

/** @param {string} id */
const canvas = (id) => /** @type {HTMLCanvasElement} */ (element(id));
/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));

const style = getComputedStyle(document.documentElement);
/** @type {Record<string, string>} */
const colours = { onBack: style.getPropertyValue("--on-back") };
for (const name of ["text", "rule", "contour", "boundary", "avoided", "si", "ap", "lr"]) {
  colours[name] = style.getPropertyValue(`--${name}`).trim();
}

const cine = new Cine(canvas("cine"));
/** @type {Setting | null} */
let setting = null;
/** @type {Sample[]} */
let samples = [];
let session = "";

/** @type {Live<Update>} */
const live = new Live("treat", paint);
const controls = new Controls(live);

/**
 * @param {Update} update
 * @param {ArrayBuffer} pixels
 */
function paint(update, pixels) {
  if (update.session !== session) [samples, session, cine.picture] = [[], update.session, null];
  if (update.setting) setting = update.setting;
  samples.push(...update.samples);
  samples = samples.filter((sample) => sample[1] > update.at_ms - TRACE_MS);
  if (update.picture) cine.take(update.picture, pixels);
  cine.draw(setting, colours);
  drawStrips(update.at_ms);
  controls.show(update);
  watch();
}

/** Shows ages and states; called between messages too, so that silence shows by itself. */
function watch() {
  const update = live.newest;
  showOrigin(update);
  showGate(update);
  showBeam(update);
  const noPicture = live.isSilent("frame") || !cine.picture;
  element("no-signal").hidden = !noPicture;
  setText("no-signal-since", `${live.connected ? "No image" : "Console lost, no image"} ${since(live.ageMs("frame"))}`);
  const age = update?.frame_age_ms;
  setText("age", noPicture || age == null ? "–" : shown(age + performance.now() - live.receivedAt, 0));
  setText("plane", noPicture || !cine.picture ? "" : `${cine.picture.plane} · frame ${cine.picture.sequence}`);
  showSide(live, setting);
}

/** @param {Update | null} update */
function showOrigin(update) {
  const source = setting?.source;
  const { meaning } = KINDS[source?.kind ?? "none"];
  showKind(source?.kind);
  const pace = source && source.pacing !== "real_time" ? ` · ${source.pacing} ×${source.speed}` : "";
  const faults = cine.picture?.simulated_by ? ` · changed on purpose by ${cine.picture.simulated_by}` : "";
  const stamps = source?.arrival_time ? " · stamps are ARRIVAL TIMES, the age of the images is not known" : "";
  const ended = setting?.ended ? ` · ENDED: ${setting.ended}` : "";
  setText("source", source ? `${meaning} · ${source.description || source.name}${pace}${faults}${stamps}${ended}` : meaning);
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
  const axes = AXES.filter(([axis]) => setting?.source?.axes.includes(axis) ?? true);
  /** @param {3 | 4 | 5 | 6 | 7} place */
  const dots = (place) => own.map((sample) => ({ at: sample[1], value: sample[place], on: sample[8] }));
  const lines = axes.map(([axis, place, dash]) => ({ name: axis.toUpperCase(), colour: colours[axis], dash, dots: dots(place) }));
  const bands = (target?.bands ?? [])
    .filter((band) => axes.some(([axis]) => axis === band.axis))
    .map((band) => ({ low: band.low_mm, high: band.high_mm, name: `${band.rule} ${band.axis.toUpperCase()}` }));
  const title = target ? `${target.name} displacement` : "Displacement";
  drawStrip(canvas("motion"), { title, unit: "mm", range: null, lines, bands: merged(bands) }, nowMs, colours);
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
 * Bands with the same limits become one with both names.
 * @param {{low: number, high: number, name: string}[]} bands
 */
function merged(bands) {
  /** @type {Map<string, {low: number, high: number, name: string}>} */
  const byLimits = new Map();
  for (const band of bands) {
    const key = `${band.low} ${band.high}`;
    const known = byLimits.get(key);
    byLimits.set(key, known ? { ...known, name: `${known.name}, ${band.name}` } : band);
  }
  return [...byLimits.values()];
}

input("brightness").oninput = (event) => (cine.brightness = Number(/** @type {HTMLInputElement} */ (event.target).value));
input("contrast").oninput = (event) => (cine.contrast = 2 ** Number(/** @type {HTMLInputElement} */ (event.target).value));
element("reset-window").onclick = () => {
  cine.resetWindow();
  input("brightness").value = input("contrast").value = "0";
};
setInterval(watch, WATCH_MS);
watch();
