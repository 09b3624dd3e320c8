// The side of the treatment page: processes, figures, holds, events.

import { element, setText, shown } from "./live.js";

/** @typedef {import("./types.js").Update} Update */
/** @typedef {import("./types.js").Setting} Setting */
/** @typedef {import("./types.js").FoldedEvent} FoldedEvent */
/** @typedef {import("./live.js").Live<Update>} TreatLive */

/** @type {[import("./types.js").Part, string][]} */
const PROCESSES = [["source", "Source"], ["gate", "Engine"], ["beam", "Beam line"], ["recorder", "Recorder"]];
/** States of a process that need no word. */
const USUAL = ["streaming", "recording"];
const MOST_HOLDS = 4;

/**
 * @param {TreatLive} live
 * @param {Setting | null} setting
 */
export function showSide(live, setting) {
  const update = live.newest;
  showList("processes", PROCESSES.map(([part, name]) => process(live, part, name)));
  const sites = setting?.sites ?? [];
  element("sites-panel").hidden = !sites.length;
  showList("sites", sites.map(({ name, plan }) => ({
    text: [name, plan && `plan ${plan}`, name === setting?.site && "treated now"].filter(Boolean).join(" · "),
    data: { now: name === setting?.site ? "yes" : "no" },
  })));
  showList("overrides", (setting?.overrides ?? []).map((text) => ({ text, data: {} })));
  if (!update) return;
  showBreathHold(update, live.isSilent("frame"));
}

/**
 * @param {TreatLive} live
 * @param {import("./types.js").Part} part
 * @param {string} name
 */
function process(live, part, name) {
  const silent = live.isSilent(part);
  const said = part === "source" || part === "recorder" ? live.newest?.processes?.[part]?.state : undefined;
  const text = silent ? `${name} silent` : said && !USUAL.includes(said) ? `${name}: ${said}` : name;
  return { text, data: { alive: silent ? "no" : "yes" } };
}

/** @param {import("./types.js").Figures} figures */
export function showFigures(figures) {
  setText("watched", `${minutes(figures.watched_s)} min`);
  showPairs("figures", [
    ["Duty cycle", figures.duty_cycle === null ? "–" : `${shown(100 * figures.duty_cycle, 0)} %`],
    ["Beam-on time", `${minutes(figures.beam_on_s)} min`],
    ["Time left", figures.left_s === null ? "–" : `${minutes(figures.left_s)} min`],
    ["Engine p50, p99", latency(figures.engine_ms)],
    ["Loop p50, p99", latency(figures.loop_ms)],
  ]);
  showPairs("holds", figures.holds.slice(0, MOST_HOLDS).map(({ reason, times, s }) => [
    reason.replaceAll("_", " "), `${times} × · ${shown(s, 1)} s`,
  ]));
}

/** @type {(update: Update, silent: boolean) => void} Without images, nothing is known of the breath. */
function showBreathHold({ breath_hold: hold }, silent) {
  element("breath-hold").hidden = !hold;
  if (silent) setText("breath-hold-text", "–");
  if (!hold || silent) return;
  const place = hold.in_place ? "in place" : "not where it should be";
  setText("breath-hold-text", hold.held_s > 0
    ? `Plateau for ${shown(hold.held_s)} s, ${place}; ${shown(hold.left_s, 0)} s left` : "Breathing, no plateau");
}

/** @param {FoldedEvent[]} events */
export function showEvents(events) {
  showList("events", events.map((event) => ({
    text: `${event.at} ${event.role}: ${event.text}${event.times > 1 ? ` (${event.times} times)` : ""}`,
    data: { severity: event.severity },
  })));
}

/** @param {import("./types.js").Latency} summary */
function latency({ p50, p99 }) {
  return `${shown(p50)}, ${shown(p99)} ms`;
}

/** @param {number} s */
function minutes(s) {
  return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
}

/**
 * Makes a list hold these items, touching only what differs.
 * @param {string} id
 * @param {{text: string, data: Record<string, string>}[]} items
 */
function showList(id, items) {
  const list = element(id);
  while (list.children.length > items.length) list.lastElementChild?.remove();
  items.forEach(({ text, data }, i) => {
    const item = /** @type {HTMLElement} */ (list.children[i] ?? list.appendChild(document.createElement("li")));
    if (item.textContent !== text) item.textContent = text;
    for (const [name, value] of Object.entries(data)) if (item.dataset[name] !== value) item.dataset[name] = value;
  });
}

/**
 * @param {string} id
 * @param {string[][]} pairs
 */
function showPairs(id, pairs) {
  const list = element(id);
  const words = pairs.flat();
  while (list.children.length > words.length) list.lastElementChild?.remove();
  words.forEach((text, i) => {
    const item = list.children[i] ?? list.appendChild(document.createElement(i % 2 ? "dd" : "dt"));
    if (item.textContent !== text) item.textContent = text;
  });
}
