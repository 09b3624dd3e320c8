// A form made from the JSON Schema of a driver's settings.

/**
 * @typedef {object} Rule
 * @property {string} [type]
 * @property {string} [description]
 * @property {unknown} [default]
 * @property {(string | null)[]} [enum]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [exclusiveMinimum]
 * @property {number} [maxLength]
 * @property {Rule[]} [anyOf]
 */
/** @typedef {{properties: Record<string, Rule>, required?: string[]}} Schema */
/** @typedef {HTMLInputElement | HTMLSelectElement} Field */

/**
 * Fills a form with one field for each setting.
 * @param {HTMLElement} form
 * @param {Schema} schema
 */
export function fillForm(form, schema) {
  const needed = new Set(schema.required ?? []);
  form.replaceChildren(...Object.entries(schema.properties).map(([name, rule]) => row(name, rule, needed.has(name))));
}

/**
 * What was set other than by default, as text by name.
 * @param {HTMLElement} form
 * @returns {Record<string, string>}
 */
export function settings(form) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const field of form.querySelectorAll("[name]")) {
    const { name, dataset } = /** @type {Field} */ (field);
    const text = value(/** @type {Field} */ (field));
    if (text !== dataset.usual) found[name] = text;
  }
  return found;
}

/** @param {Field} field */
function value(field) {
  return field instanceof HTMLInputElement && field.type === "checkbox" ? String(field.checked) : field.value;
}

/**
 * @param {string} name
 * @param {Rule} rule
 * @param {boolean} needed
 */
function row(name, rule, needed) {
  const kind = rule.anyOf?.find((one) => one.type !== "null") ?? rule;
  const field = kind.enum ? choice(kind.enum) : input(kind);
  field.name = name;
  const usual = rule.default ?? "";
  const text = typeof usual === "object" ? JSON.stringify(usual) : String(usual);
  if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = usual === true;
  else field.value = text;
  field.dataset.usual = value(field);
  if (needed) field.required = true;
  const label = document.createElement("label");
  const meaning = document.createElement("small");
  meaning.textContent = [rule.description, limits(kind)].filter(Boolean).join(" ");
  const words = `${inWords(name)}${needed ? " (needed)" : ""} `;
  label.append(...(field.type === "checkbox" ? [field, words] : [words, field]), meaning);
  return label;
}

/**
 * The name of a setting, with its unit behind a comma.
 * @param {string} name
 */
function inWords(name) {
  const words = name.replaceAll("_", " ").replace(/ (mm|px|ms|s|hz)$/, ", $1");
  return words[0].toUpperCase() + words.slice(1);
}

/** @param {Rule} kind */
function input(kind) {
  const field = document.createElement("input");
  field.type = kind.type === "boolean" ? "checkbox" : isNumber(kind) ? "number" : "text";
  if (field.type === "number") field.step = kind.type === "integer" ? "1" : "any";
  field.autocomplete = "off";
  return field;
}

/** @param {(string | null)[]} choices */
function choice(choices) {
  const field = document.createElement("select");
  field.append(...choices.map((one) => new Option(one || "(none)", one ?? "")));
  return field;
}

/** @param {Rule} kind */
function isNumber(kind) {
  return kind.type === "number" || kind.type === "integer";
}

/** @param {Rule} kind */
function limits(kind) {
  const low = kind.minimum ?? kind.exclusiveMinimum;
  if (!isNumber(kind) || (low == null && kind.maximum == null)) return "";
  return `(${low ?? "-"} to ${kind.maximum ?? "-"})`;
}
