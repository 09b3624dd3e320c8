// The start page: which session is shown, which others run on this host, and the way to the other pages.

import { Live, element, setText, showKind } from "./live.js";

/** @typedef {import("./types.js").Update} Update */
/** @typedef {{id: string, source: string, at: string}} Running */

const LOOK_AGAIN_MS = 2000;

/** @type {Live<Update>} */
const live = new Live("start", show);

function show() {
  const { session, operator, answers } = live.newest ?? { session: "", operator: "", answers: [] };
  showKind(live.newest?.source_kind);
  const heard = live.isSilent("gate") ? `Session ${session} is silent` : `Session ${session} is running`;
  const none = "No session is shown yet";
  setText("session", !live.connected ? "The console cannot be reached" : session ? heard : none);
  setText("operator", operator ? `Operator ${operator}` : "Read only: start with --operator NAME to hold and arm");
  const answer = answers?.at(-1);
  if (answer) setText("answer", answer.text);
}

async function look() {
  const answer = await fetch("/sessions").catch(() => null);
  /** @type {Running[]} */
  const running = answer?.ok ? await answer.json() : [];
  const list = element("sessions");
  if (list.dataset.known === JSON.stringify(running)) return;
  list.dataset.known = JSON.stringify(running);
  list.replaceChildren(...(running.length ? running.map(entry) : [none()]));
}

/** @param {Running} running */
function entry({ id, source, at }) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `Show ${id}`;
  button.onclick = () => live.say({ type: "attach", session: id });
  return row(button, ` ${source}, since ${new Date(at).toLocaleTimeString()}`);
}

/** Says how a session is started. */
function none() {
  const [run, live] = ["cinegate run RECORDING", "cinegate live SOURCE"].map((text) => {
    const command = document.createElement("code");
    command.textContent = text;
    return command;
  });
  return row("None runs. On the command line, ", run, " or ", live, " starts one.");
}

/** @param {(Node | string)[]} parts */
function row(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

setInterval(show, 200);
setInterval(look, LOOK_AGAIN_MS);
look();
