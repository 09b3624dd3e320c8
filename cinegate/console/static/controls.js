// What the operator can ask for. A hold goes at once: one click or the space bar, and no question.

import { element, setText } from "./live.js";

/** @typedef {import("./types.js").Update} Update */

/** Title, label of the reason, and whether a name is asked for, of each request that needs more than a click. */
const QUESTIONS = {
  acknowledge: { title: "Acknowledge the latched fault", why: "Reason (goes into the log)", named: true },
  mark: { title: "Mark an event", why: "What happened", named: false },
  end: { title: "End the session? The beam is held, and every process ends.", why: "", named: false },
};
/** @typedef {keyof typeof QUESTIONS} Question */

/** @param {string} id */
const button = (id) => /** @type {HTMLButtonElement} */ (element(id));
/** @param {string} id */
const dialog = (id) => /** @type {HTMLDialogElement} */ (element(id));
/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));

export class Controls {
  /** @param {import("./live.js").Live<Update>} live */
  constructor(live) {
    this.live = live;
    /** @type {Question} */
    this.asking = "mark";
    button("hold").onclick = () => this.hold();
    button("confirm").onclick = () => live.say({ type: "ask", action: "confirm" });
    button("arm").onclick = () => live.say({ type: "ask", action: "arm" });
    for (const action of /** @type {Question[]} */ (Object.keys(QUESTIONS))) {
      button(action).onclick = () => this.question(action);
    }
    button("patient").onclick = () => this.openPatient();
    dialog("ask-dialog").onclose = () => this.answered();
    dialog("patient-dialog").onclose = () => this.guide();
    for (const back of document.querySelectorAll("[data-back]")) {
      back.addEventListener("click", () => back.closest("dialog")?.close("cancel"));
    }
    for (const name of ["keydown", "keyup"]) {
      window.addEventListener(name, (event) => this.key(/** @type {KeyboardEvent} */ (event)), { capture: true });
    }
  }

  hold() {
    this.live.say({ type: "ask", action: "hold" });
    if (!this.live.connected) setText("answer", "The console cannot be reached; the request was not sent");
  }

  /**
   * The space bar holds wherever the focus is, but in a field for text; the key must not press a button as well.
   * @param {KeyboardEvent} event
   */
  key(event) {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
    if (event.code !== "Space" || typing) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "keydown" && !event.repeat) this.hold();
  }

  /** @param {Question} action */
  question(action) {
    const { title, why, named } = QUESTIONS[action];
    this.asking = action;
    setText("ask-title", title);
    element("ask-name-label").hidden = !named;
    element("ask-why-label").hidden = !why;
    input("ask-why").required = why !== "";
    input("ask-name").required = named;
    input("ask-name").value = this.live.newest?.operator ?? "";
    input("ask-why").value = "";
    const label = element("ask-why-label").firstChild;
    if (label) label.textContent = `${why} `;
    dialog("ask-dialog").returnValue = "cancel";
    dialog("ask-dialog").showModal();
    (why ? input("ask-why") : button("ask-do")).focus();
  }

  answered() {
    if (dialog("ask-dialog").returnValue !== "do") return;
    this.live.say({ type: "ask", action: this.asking, name: input("ask-name").value, why: input("ask-why").value });
  }

  openPatient() {
    const guide = this.live.newest?.guide;
    if (guide) {
      input("patient-view").value = guide.view;
      input("patient-numbers").checked = guide.numbers;
      input("patient-message").value = guide.message;
    }
    dialog("patient-dialog").returnValue = "cancel";
    dialog("patient-dialog").showModal();
  }

  guide() {
    if (dialog("patient-dialog").returnValue !== "do") return;
    const [view, numbers] = [input("patient-view").value, input("patient-numbers").checked];
    this.live.say({ type: "guide_patient", view, numbers, message: input("patient-message").value });
  }

  /** @param {Update} update */
  show(update) {
    const state = update.gate?.engine_state;
    const may = update.operator !== "";
    for (const id of ["hold", "confirm", "mark", "patient", "end"]) button(id).disabled = !may;
    button("arm").disabled = !may || state !== "ready";
    button("acknowledge").disabled = !may || state !== "latched";
    const answer = update.answers.at(-1);
    if (answer) {
      setText("answer", answer.text);
      element("answer").dataset.accepted = answer.accepted ? "yes" : "no";
    } else if (!may && !element("answer").textContent) {
      setText("answer", "Read only: start the console with --operator NAME to hold, arm and acknowledge");
    }
  }
}
