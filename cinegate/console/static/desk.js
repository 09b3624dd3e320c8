// What the Set up page asks of the server: JSON there, JSON or an image back, and one sentence where it is refused.

import { element } from "./live.js";

/**
 * Asks the server; without a body, it is only read.
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export function asked(path, body) {
  return answered(fetch(`/setup/${path}`, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }), path);
}

/**
 * Sends a file to be copied from.
 * @param {File} file
 * @param {Record<string, string>} about
 * @returns {Promise<any>}
 */
export function sendFile(file, about) {
  return answered(fetch(`/setup/copy?${new URLSearchParams(about)}`, { method: "POST", body: file }), "copy");
}

/**
 * @param {Promise<Response>} asking
 * @param {string} path
 */
async function answered(asking, path) {
  const response = await asking.catch(() => null);
  if (!response) throw new Error("The console cannot be reached");
  if (!response.ok) throw new Error((await response.text()).trim());
  return path === "frame" ? response.arrayBuffer() : response.json();
}

/**
 * Says one sentence; what is wrong stands out.
 * @param {string} id
 * @param {string} text
 */
export function said(id, text, wrong = false) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
  place.toggleAttribute("data-wrong", wrong);
}

/**
 * @param {string} id
 */
export function field(id) {
  return /** @type {HTMLInputElement} */ (element(id));
}

/**
 * @param {string} id
 */
export function select(id) {
  return /** @type {HTMLSelectElement} */ (element(id));
}

/**
 * Makes an element with a text.
 * @param {string} name
 * @param {string} text
 */
export function tag(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
