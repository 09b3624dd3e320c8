// The start page: which session is heard, and the way to the other pages.

import { Live, setText } from "./live.js";

/** @typedef {import("./types.js").Update} Update */

/** @type {Live<Update>} */
const live = new Live("start", show);

function show() {
  const { session, operator } = live.newest ?? { session: "", operator: "" };
  const heard = session && !live.isSilent("gate") ? `Session ${session} is running` : `Session ${session} is silent`;
  setText("session", !live.connected ? "The console cannot be reached" : session ? heard : "No session has been heard yet");
  setText("operator", operator ? `Operator ${operator}` : "Read only: start with --operator NAME to hold, arm and acknowledge");
}

setInterval(show, 200);
