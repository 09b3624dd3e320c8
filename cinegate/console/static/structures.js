// The list of what has been drawn: which structure is drawn on, its name, and whether it is to be avoided.

import { element } from "./live.js";

/** @param {import("./easel.js").Easel} easel */
export function showStructures(easel) {
  const { drawing } = easel;
  const list = element("structures");
  const focused = document.activeElement;
  const typing = focused instanceof HTMLInputElement && focused.type === "text" && list.contains(focused);
  if (typing && list.children.length === drawing.structures.length) return;
  list.replaceChildren(...drawing.structures.map((structure, index) => row(easel, structure, index)));
}

/**
 * @param {import("./easel.js").Easel} easel
 * @param {import("./drawing.js").Structure} structure
 * @param {number} index
 */
function row(easel, structure, index) {
  const { drawing } = easel;
  const chosen = make("radio", `Draw ${structure.name}`);
  chosen.name = "structure";
  chosen.checked = index === drawing.selected;
  chosen.onchange = () => {
    drawing.selected = index;
    drawing.cancel();
    easel.draw();
  };
  const name = make("text", `Name of structure ${index + 1}`);
  name.maxLength = 64;
  name.value = structure.name;
  name.onchange = () => easel.act(() => drawing.change({ name: name.value.trim() }, index));
  const organ = make("checkbox", `${structure.name} is an organ at risk`);
  organ.checked = structure.organ;
  organ.onchange = () => easel.act(() => drawing.change({ organ: organ.checked }, index));
  const label = document.createElement("label");
  label.append(organ, "avoid");
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "✕";
  remove.setAttribute("aria-label", `Remove ${structure.name}`);
  remove.onclick = () => easel.act(() => drawing.remove(index));
  const item = document.createElement("li");
  item.append(chosen, name, label, remove);
  const points = document.createElement("small");
  const count = structure.points_px.length;
  points.textContent = count ? `${count} points` : "not drawn yet";
  points.className = count ? "" : "empty";
  item.append(points);
  return item;
}

/**
 * @param {string} type
 * @param {string} label
 */
function make(type, label) {
  const field = document.createElement("input");
  field.type = type;
  field.setAttribute("aria-label", label);
  return field;
}
