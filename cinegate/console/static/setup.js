// The Set up page: from a recording to a target file and a configuration, in five steps.

import { asked, field, said, select, sendFile, tag } from "./desk.js";
import { Easel } from "./easel.js";
import { fillForm, settings } from "./form.js";
import { element, setText, shown as number } from "./live.js";
import { showProposal, showSaved } from "./results.js";
import { showStructures } from "./structures.js";

/** @typedef {import("./types.js").Point} Point */
/** @typedef {{recordings: string[], sources: string[], presets: {name: string, about: string}[], folder: string, operator: string, max_upload_bytes: number}} Begin */
/** @typedef {{name: string, frames: number, frames_per_s: number | null, plane: string, shape: Point, spacing_mm: Point, description: string, target_px: Point[] | null}} Facts */

const OUTLINE_AFTER_MS = 120;
const MARGINS = ["superior", "inferior", "anterior", "posterior", "left", "right"];

const canvas = /** @type {HTMLCanvasElement} */ (element("cine"));
const easel = new Easel(canvas, changed);
const { drawing } = easel;

/** @type {{recording: string, plane?: string, pixel_spacing_mm?: number} | null} */
let shown = null;
/** @type {Facts | null} */
let facts = null;
let [frame, reference] = [0, 0];
/** @type {{source: string, options: string[]} | null} The source of which the images were taken. */
let taken = null;
/** @type {{plan: string, boundaries: import("./easel.js").Boundary[]} | null} The newest dry run, and the plan that it is of. */
let tried = null;
let [outlineNumber, timer, maxUploadBytes] = [0, 0, 0];
/** @type {number | null} The frame to show as soon as the one before has come. */
let wanted = null;
let fetching = false;

/**
 * Does what a button asks for; whatever goes wrong is one sentence at the foot of the page.
 * @param {string} id
 * @param {() => Promise<string | void>} work returns what is said when it is done
 */
function onClick(id, work) {
  const button = /** @type {HTMLButtonElement} */ (element(id));
  button.onclick = async () => {
    button.disabled = true;
    said("answer", "…");
    await work().then((text) => said("answer", text ?? ""), (error) => said("answer", error.message, true));
    button.disabled = false;
  };
}

async function begin() {
  /** @type {Begin} */
  const known = await asked("begin");
  select("recording").replaceChildren(...known.recordings.map((one) => new Option(one)));
  select("live-source").append(...known.sources.map((one) => new Option(one)));
  select("preset").append(...known.presets.map(({ name }) => new Option(name.replaceAll("_", " "), name)));
  select("preset").onchange = () => {
    setText("preset-about", known.presets.find(({ name }) => name === select("preset").value)?.about ?? "");
    changed(false);
  };
  maxUploadBytes = known.max_upload_bytes;
  setText("folder", known.folder);
  setText("operator", known.operator ? `Operator ${known.operator}` : "Read only: start with --operator NAME to save");
  field("accepted-by").value = known.operator;
  fillForm(element("recording-settings"), await asked("form/recording"));
}

/** @type {(recording: string, source?: string) => Promise<string>} The source is that of which the images were just taken. */
async function open(recording, source) {
  const own = settings(element("recording-settings"));
  const spacing = own.pixel_spacing_mm ? { pixel_spacing_mm: Number(own.pixel_spacing_mm) } : {};
  const asks = { recording, ...(own.plane ? { plane: own.plane } : {}), ...spacing };
  const found = /** @type {Facts} */ (await asked("open", asks));
  [shown, facts] = [asks, found];
  Object.assign(drawing, { structures: [], selected: 0, past: [] });
  easel.cine.forget();
  easel.mayDraw = false;
  outlineNumber++;
  drawing.add();
  easel.boundaries = [];
  reference = 0;
  field("frame").max = String(found.frames - 1);
  field("frame").value = "0";
  field("name").value = found.name.replace(/[^A-Za-z0-9._-]/g, "_").replace(/^[^A-Za-z0-9]+/, "");
  element("origin").dataset.kind = source === "phantom" ? "phantom" : "replay";
  setText("kind", source ? `IMAGES OF ${source.toUpperCase()}` : "RECORDING");
  setText("source", `${source ? "taken just now, not live · " : ""}${found.name}: ${found.description}`);
  /** @type {[string, string][]} */
  const rows = [
    ["Plane", found.plane], ["Frames", `${found.frames}, ${number(found.frames_per_s)} a second`],
    ["Image", `${found.shape[1]} × ${found.shape[0]} px of ${number(found.spacing_mm[1], 2)} × ${number(found.spacing_mm[0], 2)} mm`],
  ];
  element("facts").replaceChildren(...rows.flatMap(([name, text]) => [tag("dt", name), tag("dd", text)]));
  /** @type {HTMLButtonElement} */ (element("copy-recorded")).disabled = !found.target_px;
  element("saved").hidden = true;
  await showFrame(0);
  changed(true);
  return `${found.name} is open; draw the target on frame 0, or choose another frame`;
}

/** @param {number} wish */
async function showFrame(wish) {
  wanted = wish;
  if (fetching) return;
  fetching = true;
  try {
    while (wanted !== null) {
      const [index, of] = [wanted, shown];
      wanted = null;
      const data = await asked("frame", { shown, index }).catch((error) => of === shown && Promise.reject(error));
      if (of === shown) take(index, data); // another recording may have been opened meanwhile
    }
  } finally {
    fetching = false;
  }
}

/**
 * @param {number} index
 * @param {ArrayBuffer} data
 */
function take(index, data) {
  const size = new DataView(data).getUint32(0, true);
  const picture = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
  frame = index;
  easel.mayDraw = frame === reference;
  setText("frame-text", `${index} · ${number(picture.at_s, 2)} s`);
  easel.take(picture, data.slice(4 + size));
  hint();
}

function hint() {
  const text = {
    box: "Drag from one corner to the other. By keyboard: arrows move the cross, Enter sets a corner.",
    polygon: "Click point after point; close with a double click, on the first point, or with C.",
    freehand: "Draw around the target with the button held down.",
    edit: "Drag a point, an edge (for a new point) or the inside (for the whole contour); Delete removes a point.",
  }[drawing.tool];
  if (!facts) return said("hint", "");
  said("hint", easel.mayDraw ? text : `Contours belong to frame ${reference}: go back to it to draw, or draw on this frame.`);
}

/** @param {boolean} done whether a change is complete */
function changed(done) {
  if (done) showStructures(easel);
  forgetProposal();
  clearTimeout(timer);
  timer = setTimeout(drawBoundaries, OUTLINE_AFTER_MS);
}

async function drawBoundaries() {
  const mine = ++outlineNumber;
  if (!shown || !drawing.structures.some((one) => one.points_px.length)) {
    easel.boundaries = [];
    easel.draw();
    return hint();
  }
  try {
    const found = await asked("outline", plan());
    if (mine !== outlineNumber) return;
    easel.boundaries = field("accept").checked && tried ? tried.boundaries : found.boundaries;
    setText("gating", found.gating);
    for (const name of MARGINS) field(`margin-${name}`).placeholder = String(found.margins[`${name}_mm`]);
    hint();
  } catch (error) {
    if (mine !== outlineNumber) return;
    easel.boundaries = [];
    if (!drawing.sketch.length) said("hint", /** @type {Error} */ (error).message, true);
  }
  easel.draw();
}

/** All that is set up, as the server takes it. */
function plan() {
  const given = MARGINS.filter((name) => field(`margin-${name}`).value);
  const margin = (/** @type {string} */ name) => Number(field(`margin-${name}`).value || field(`margin-${name}`).placeholder || 3);
  const out = field("out-percent").value;
  return {
    shown,
    frame: reference,
    structures: drawing.structures,
    preset: select("preset").value,
    margins: given.length ? Object.fromEntries(MARGINS.map((name) => [`${name}_mm`, margin(name)])) : null,
    max_out_fraction: out ? Number(out) / 100 : null,
    ...(taken ?? {}),
  };
}

function forgetProposal() {
  if (tried?.plan === JSON.stringify(plan())) return;
  tried = null;
  field("accept").checked = false;
  element("proposal").hidden = true;
}

async function dryRun() {
  const asks = plan();
  const [seconds, latency_ms] = [Number(field("dry-seconds").value), Number(field("dry-latency").value)];
  /** @type {{target: string, head: string, proposal: import("./results.js").Proposal, boundaries: import("./easel.js").Boundary[]}} */
  const { target, head, proposal, boundaries } = await asked("dry-run", { plan: asks, seconds, latency_ms });
  if (JSON.stringify(asks) !== JSON.stringify(plan())) throw new Error("something was changed during the dry run; make it again");
  tried = { plan: JSON.stringify(asks), boundaries };
  showProposal(proposal, head);
  return `Proposal for ${target}: look at what it predicts, and use it or not`;
}

async function save() {
  const by = field("accept").checked ? field("accepted-by").value : "";
  if (field("accept").checked && !by) throw new Error("give the name of who accepts the proposal");
  const asks = { plan: plan(), name: field("name").value, replace: field("replace").checked, accepted_by: by };
  /** @type {import("./results.js").Saved} */
  const saved = await asked("save", asks);
  showSaved(saved);
  field("replace").checked = false;
  return `Saved in ${saved.folder}`;
}

async function look() {
  const source = select("live-source").value;
  const options = Object.entries(settings(element("source-settings"))).map(([name, text]) => `${name}=${text}`);
  const { recording } = await asked("look", { source, options, seconds: Number(field("look-seconds").value) });
  select("recording").append(new Option(recording, recording, true, true));
  const text = await open(recording, source);
  taken = { source, options };
  return text;
}

/** @param {string} structure */
async function copy(structure) {
  const [file] = field("copy-file").files ?? [];
  if (!file || !shown) throw new Error("open a recording and choose a file first");
  if (file.size > maxUploadBytes) throw new Error(`${file.name} has ${file.size} bytes; the limit is ${maxUploadBytes}`);
  const found = await sendFile(file, { shown: JSON.stringify(shown), file: file.name, structure });
  element("copy-structure-label").hidden = !found.structures && !structure;
  if (found.structures) {
    const names = /** @type {string[]} */ (found.structures).map((one) => new Option(one));
    select("copy-structure").replaceChildren(new Option("Choose …", ""), ...names);
    return said("answer", `${file.name} holds ${names.length} structures; choose one`);
  }
  drawing.change({ points_px: found.points_px, from_mask: true, ...(structure ? { name: structure } : {}) });
  changed(true);
  said("answer", `Copied from ${file.name}${structure ? `: ${structure}` : ""}`);
}

const failed = (/** @type {Error} */ error) => said("answer", error.message, true);

for (const name of MARGINS) {
  const label = tag("label", `${name} `);
  const box = Object.assign(document.createElement("input"), { id: `margin-${name}`, type: "number", min: "0", max: "50", step: "0.5" });
  label.append(box);
  element("margins").append(label);
}
element("margins").oninput = element("out-percent").oninput = () => changed(false);
element("accept").onchange = () => changed(false);
for (const radio of document.querySelectorAll("[name=tool]")) {
  /** @type {HTMLInputElement} */ (radio).onchange = (event) => {
    drawing.cancel();
    drawing.tool = /** @type {any} */ (event.target).value;
    easel.draw();
    hint();
  };
}
onClick("open", () => ((taken = null), open(select("recording").value)));
for (const [id, work] of /** @type {const} */ ([["look", look], ["dry-run", dryRun], ["save", save]])) onClick(id, work);
element("undo").onclick = () => easel.act(() => drawing.undo());
element("close-contour").onclick = () => easel.act(() => drawing.close());
element("delete-point").onclick = () => easel.act(() => drawing.deletePoint());
element("add").onclick = () => {
  if (!drawing.add()) said("answer", "10 structures have been added, which is the limit", true);
  changed(true);
};
element("copy-recorded").onclick = () => {
  drawing.change({ points_px: facts?.target_px ?? [], from_mask: true });
  if (reference !== 0) said("answer", "The recording's target belongs to frame 0: look whether it fits this frame", true);
  changed(true);
};
field("copy-file").onchange = () => copy("").catch(failed);
select("copy-structure").onchange = () => copy(select("copy-structure").value).catch(failed);
select("live-source").onchange = async () => {
  const source = select("live-source").value;
  element("source-settings").replaceChildren();
  if (source) await asked(`form/${source}`).then((schema) => fillForm(element("source-settings"), schema)).catch(failed);
};
field("frame").oninput = () => showFrame(Number(field("frame").value)).catch(failed);
element("reference").onclick = () => {
  reference = frame;
  easel.mayDraw = facts !== null;
  changed(true);
  hint();
};
field("brightness").oninput = () => ((easel.cine.brightness = Number(field("brightness").value)), easel.draw());
field("contrast").oninput = () => ((easel.cine.contrast = 2 ** Number(field("contrast").value)), easel.draw());
element("reset-window").onclick = () => {
  easel.cine.resetWindow();
  field("brightness").value = field("contrast").value = "0";
  easel.draw();
};
canvas.onfocus = canvas.onblur = () => easel.draw();
begin().catch(failed);
