// The page's end of the WebSocket: decodes messages, acknowledges them once painted, and knows how old all of it is.

/** @typedef {import("./types.js").Part} Part */

const CONNECT_AGAIN_MS = 500;
/** By so much the fastest delivery seen is doubted with each message, so that drift of the clocks is followed. */
const DRIFT_MS = 0.01;

/**
 * @template {{number: number, at_ms: number, ages_ms: Record<Part, number | null>, limits_ms: Record<Part, number>}} U
 */
export class Live {
  /**
   * @param {string} kind "start", "treat" or "patient"
   * @param {(update: U) => void} paint called in an animation frame, with the newest message
   * @param {(update: U, pixels: ArrayBuffer) => void} [take] called with each message as it comes
   */
  constructor(kind, paint, take = () => {}) {
    this.kind = kind;
    this.paint = paint;
    this.take = take;
    /** @type {{number: number, at: number}[]} What has come since the newest animation frame, and when. */
    this.unpainted = [];
    /** @type {U | null} */
    this.newest = null;
    this.receivedAt = -Infinity;
    this.latenessMs = 0;
    this.fastest = Infinity;
    this.connected = false;
    this.refused = "";
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live/${this.kind}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => (this.connected = true);
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = (event) => {
      this.connected = false;
      this.refused = event.reason;
      this.fastest = Infinity;
      this.unpainted = []; // numbers of this connection; the next one has its own
      setTimeout(() => this.connect(), CONNECT_AGAIN_MS);
    };
  }

  /** @param {ArrayBuffer} data */
  receive(data) {
    const size = new DataView(data).getUint32(0, true);
    /** @type {U} */
    const update = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    const now = performance.now();
    this.fastest = Math.min(this.fastest + DRIFT_MS, now - update.at_ms);
    this.latenessMs = now - update.at_ms - this.fastest;
    this.receivedAt = now;
    this.newest = update;
    this.take(update, data.slice(4 + size));
    this.unpainted.push({ number: update.number, at: now });
    if (this.unpainted.length === 1) requestAnimationFrame(() => this.paintNewest());
  }

  /** Paints what has come, and says so once that is on the screen. */
  paintNewest() {
    const came = this.unpainted;
    this.unpainted = [];
    const began = performance.now();
    if (this.newest) this.paint(this.newest);
    const drawn = performance.now();
    afterPaint(() => {
      const painted = performance.now();
      for (const { number, at } of came) {
        this.say({ type: "drawn", number, spent_ms: [began - at, drawn - began, painted - drawn] });
      }
    });
  }

  /** @param {object} message */
  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /**
   * How long ago the server heard something; it grows while nothing comes. Infinity if it never did.
   * @param {Part} part
   */
  ageMs(part) {
    const age = this.newest?.ages_ms[part];
    return age == null ? Infinity : age + this.latenessMs + performance.now() - this.receivedAt;
  }

  /**
   * Whether something is too old to be shown as the present.
   * @param {Part} part
   */
  isSilent(part) {
    return !this.newest || this.ageMs(part) > this.newest.limits_ms[part];
  }
}

/** @type {(() => void)[]} */
const afterwards = [];
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => afterwards.shift()?.();

/**
 * Runs something after what an animation frame drew has been painted.
 * @param {() => void} work
 */
function afterPaint(work) {
  afterwards.push(work);
  port2.postMessage(0);
}

/** The kinds of sources, in words: simulated, replayed and live are told apart at a glance on every page. */
export const KINDS = {
  live: { word: "LIVE", meaning: "images of a scanner" },
  replay: { word: "REPLAY", meaning: "a recording, nobody is being imaged" },
  phantom: { word: "PHANTOM", meaning: "simulated images" },
  none: { word: "NO SOURCE", meaning: "no source has been heard" },
};

/**
 * Shows the kind of the source in the page's head.
 * @param {keyof typeof KINDS | null | undefined} kind
 */
export function showKind(kind) {
  element("origin").dataset.kind = kind ?? "none";
  setText("kind", KINDS[kind ?? "none"].word);
}

/**
 * The time since something was heard, in words.
 * @param {number} ms
 */
export function since(ms) {
  if (!Number.isFinite(ms)) return "since the console started";
  if (ms < 60_000) return `for ${(ms / 1000).toFixed(1)} s`;
  return `for ${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

/**
 * An element of the page by its id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * Sets text only where it changes, so that screen readers and layout are left alone.
 * @param {string} id
 * @param {string} text
 */
export function setText(id, text) {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

/**
 * A number for people; what is not known is a dash.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function shown(value, digits = 1) {
  return value == null || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}
