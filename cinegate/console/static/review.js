// The Review page: the sessions of some folders, and one or two of them, played in step with their motion.

import { Player } from "/player.js";
import { said, tag } from "./desk.js";
import { KINDS, element, setText, shown as number } from "./live.js";

/** @typedef {{session: string, started_at: string, source: string, kind: "live" | "replay" | "phantom" | "", beam_kind: string, targets: string[], duration_s: number, duty_cycle: number | null, beam_on_s: number | null, holds: number | null, remark: string}} Summary */
/** @typedef {{film: import("../../../gating/pages/player.js").Film, motion: {data: object[], layout: object}}} Opened */
/** @typedef {{name: string, player: Player | null}} Slot */

const PLOT = { displayModeBar: false, responsive: true };
/** @type {Map<string, Summary>} */
const summaries = new Map();
/** @type {(Slot | undefined)[]} One, or two side by side. */
let slots = [];

/**
 * @param {string} what
 * @param {string} [name] of a session
 * @returns {Promise<any>}
 */
async function asked(what, name) {
  const response = await fetch(address(what, name)).catch(() => null);
  if (!response) throw new Error("The console cannot be reached");
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.json();
}

/**
 * @param {string} what
 * @param {string} [name]
 */
function address(what, name) {
  return `/review/${what}${name === undefined ? "" : `?${new URLSearchParams({ name })}`}`;
}

async function begin() {
  /** @type {{sessions: {name: string, changed_at: string}[], folders: string[]}} */
  const { sessions, folders } = await asked("sessions");
  setText("folders", folders.join(", "));
  said("answer", sessions.length ? "Open a session, or a second one beside it." : "No session log (.mcap) is in these folders.");
  const rows = sessions.map(({ name, changed_at }) => rowOf(name, changed_at));
  element("sessions").replaceChildren(...rows);
  for (const [i, { name }] of sessions.entries()) await fill(rows[i], name);
}

/**
 * @param {string} name
 * @param {string} changedAt
 */
function rowOf(name, changedAt) {
  const row = document.createElement("tr");
  row.dataset.name = name;
  row.append(tag("td", new Date(changedAt).toLocaleString()), ...Array.from({ length: 6 }, () => tag("td", "…")), tag("td", name));
  return row;
}

/**
 * Fills a row with what its session came to, or with one sentence.
 * @param {HTMLTableRowElement} row
 * @param {string} name
 */
async function fill(row, name) {
  const [date, source, target, ...figures] = row.cells;
  /** @type {Summary} */
  const found = await asked("summary", name).catch((error) => {
    for (const cell of [...row.cells].slice(2, 7)) cell.remove();
    Object.assign(source, { colSpan: 6, className: "remark", textContent: error.message });
    row.append(tag("td", ""));
  });
  if (!found) return;
  summaries.set(name, found);
  if (found.started_at) date.textContent = new Date(found.started_at).toLocaleString();
  source.textContent = `${KINDS[found.kind || "none"].word}, ${found.source}`;
  target.textContent = found.targets.join(", ") || "–";
  const duty = found.duty_cycle === null ? null : 100 * found.duty_cycle;
  const values = [number(found.duration_s), number(duty), number(found.beam_on_s), number(found.holds, 0)];
  for (const [i, text] of values.entries()) Object.assign(figures[i], { textContent: text, className: "n" });
  if (found.remark) row.cells[7].append(Object.assign(tag("div", found.remark), { className: "remark" }));
  const hands = tag("td", "");
  hands.append(button("Open", name, () => open(name, 0)), " ", button("Beside", name, () => open(name, 1)));
  row.append(hands);
}

/**
 * @param {string} text
 * @param {string} name of the session
 * @param {() => Promise<void>} work
 */
function button(text, name, work) {
  const made = Object.assign(tag("button", text), { type: "button", ariaLabel: `${text}: ${name}` });
  made.onclick = () => work().catch((error) => said("answer", error.message, true));
  return made;
}

/**
 * Opens a session alone, or as the second one.
 * @param {string} name
 * @param {0 | 1} place
 */
async function open(name, place) {
  const beside = slots[0] && place === 1 ? [slots[0]] : [];
  /** @type {Slot} */
  const slot = { name, player: null };
  for (const one of slots) if (one?.player?.playing) one.player.toggle();
  slots = [...beside, slot];
  said("answer", `${name} is read …`);
  /** @type {Opened} */
  const opened = await asked("film", name);
  if (!slots.includes(slot)) return; // another one was chosen meanwhile
  const parts = [...element("slots").children].slice(0, beside.length);
  const made = partOf(name, opened.film.about);
  element("slots").replaceChildren(...parts, made);
  const plot = /** @type {HTMLElement} */ (made.querySelector(".plot"));
  await /** @type {any} */ (window).Plotly.newPlot(plot, opened.motion.data, opened.motion.layout, PLOT);
  for (const old of document.querySelectorAll(".slot .plot")) /** @type {any} */ (window).Plotly.Plots.resize(old);
  if (opened.film.frames.length) slot.player = new Player(/** @type {HTMLElement} */ (made.querySelector(".film")), opened.film, plot);
  said("answer", `${name} is open`);
  made.scrollIntoView({ block: "nearest" });
  for (const row of document.querySelectorAll("tr[data-name]")) {
    const is = slots.some((one) => one?.name === /** @type {HTMLElement} */ (row).dataset.name);
    row.toggleAttribute("data-open", is);
  }
  element("both").hidden = slots.length < 2;
}

/**
 * @param {string} name
 * @param {string} about
 */
function partOf(name, about) {
  const summary = summaries.get(name);
  const made = Object.assign(document.createElement("section"), { className: "slot panel", ariaLabel: `Session ${name}` });
  made.dataset.kind = summary?.kind ?? "";
  const head = document.createElement("header");
  const line = summary?.beam_kind === "hardware" ? "HARDWARE beam line" : summary?.beam_kind ? "simulated beam line" : "no beam line";
  const report = Object.assign(tag("a", "Report"), { href: address("report", name), target: "_blank", rel: "noopener" });
  head.append(tag("strong", KINDS[summary?.kind || "none"].word), tag("span", name), tag("span", line), report);
  const film = Object.assign(document.createElement("div"), { className: "film" });
  const plot = Object.assign(document.createElement("div"), { className: "plot" });
  made.append(head, Object.assign(tag("p", about), { className: "about" }), film, plot);
  return made;
}

element("both").onclick = () => {
  const playing = slots.some((one) => one?.player?.playing);
  for (const one of slots) if (one?.player && one.player.playing === playing) one.player.toggle();
};
begin().catch((error) => said("answer", error.message, true));
