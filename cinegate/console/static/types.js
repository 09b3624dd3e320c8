// What the server tells the pages. Types only; `cinegate/console/updates.py` makes them.

/** @typedef {"frame" | "gate" | "beam" | "source" | "recorder"} Part */
/** @typedef {"lr" | "ap" | "si"} Axis */
/** @typedef {{rule: string, axis: Axis, low_mm: number | null, high_mm: number | null}} Band null: the rule does not object on that side */
/** @typedef {[number, number]} Point */

/**
 * @typedef {object} Picture
 * @property {number} number
 * @property {number} sequence
 * @property {string} plane
 * @property {number} rows
 * @property {number} columns
 * @property {number} step
 * @property {"uint8" | "uint16" | "float32"} dtype
 * @property {[number, number]} spacing_mm
 * @property {{left: string, right: string, top: string, bottom: string}} letters
 * @property {string} simulated_by
 * @property {{target: string, contour_px: Point[]}[]} contours
 */

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} plane
 * @property {Point[]} boundary_px
 * @property {boolean} avoided
 * @property {Band[]} bands
 * @property {number | null} max_out_fraction
 * @property {Axis[]} axes that its images show
 */

/**
 * @typedef {object} Source
 * @property {string} name
 * @property {"live" | "replay" | "phantom"} kind
 * @property {string} pacing
 * @property {number} speed
 * @property {string} description
 * @property {string} origin
 * @property {boolean} arrival_time
 * @property {boolean} times_assumed
 */

/**
 * @typedef {object} Setting
 * @property {string} session
 * @property {boolean} in_3d whether rules judge the position in 3D, with its bound
 * @property {Source | null} source
 * @property {string | null} ended
 * @property {string[]} overrides
 * @property {number | null} min_confidence
 * @property {Target[]} targets
 * @property {{name: string, plan: string}[]} sites treated one after another
 * @property {string} site the one that is treated now
 * @property {string | null} guided
 */

/** @typedef {{state: "on" | "hold", reason: string, words: string, detail: string, engine_state: string}} Gate */

/**
 * @typedef {object} Beam
 * @property {string} beam
 * @property {"simulated" | "hardware"} beam_kind
 * @property {"on" | "hold"} commanded
 * @property {"on" | "hold"} confirmed
 * @property {string} detail
 * @property {boolean} latched
 */

/** @typedef {{p50: number | null, p99: number | null, n: number}} Latency */

/**
 * @typedef {object} Figures
 * @property {number} watched_s
 * @property {number} beam_on_s
 * @property {number | null} duty_cycle
 * @property {number | null} left_s
 * @property {{reason: string, times: number, s: number}[]} holds
 * @property {Latency} engine_ms
 * @property {Latency} loop_ms
 */

/** @typedef {{held_s: number, left_s: number, max_s: number, plateau_s: number, in_place: boolean}} BreathHold */
/** @typedef {{role: string, severity: string, code: string, text: string, at: string, times: number}} FoldedEvent */
/** @typedef {{accepted: boolean, text: string}} Answer */
/** @typedef {{view: "target" | "bar", numbers: boolean, message: string}} Guide */

/**
 * A sample of the trace: number, time (ms), target, LR, AP, SI (mm), target-out fraction, confidence, gate on, and the
 * bounds of LR, AP and SI (mm; null: none).
 * @typedef {[number, number, string, number | null, number | null, number | null, number | null, number | null, boolean,
 *   [number, number, number] | null]} Sample
 */

/**
 * @typedef {object} Update
 * @property {number} number
 * @property {number} at_ms
 * @property {string} session
 * @property {"live" | "replay" | "phantom" | null} source_kind
 * @property {Record<Part, number | null>} ages_ms
 * @property {Record<Part, number>} limits_ms
 * @property {string} operator
 * @property {Gate | null} gate
 * @property {Beam | null} beam
 * @property {Record<"source" | "recorder", {state: string, detail: string} | null>} processes
 * @property {Figures} [figures]
 * @property {BreathHold | null} breath_hold
 * @property {number | null} frame_age_ms
 * @property {Setting} [setting]
 * @property {Sample[]} samples
 * @property {FoldedEvent[]} [events]
 * @property {Picture} [picture]
 * @property {Answer[]} answers
 * @property {Guide} guide
 */

/**
 * @typedef {object} PatientUpdate
 * @property {number} number
 * @property {number} at_ms
 * @property {string} session
 * @property {"live" | "replay" | "phantom" | null} source_kind
 * @property {Record<Part, number | null>} ages_ms
 * @property {Record<Part, number>} limits_ms
 * @property {Guide} guide
 * @property {boolean} on
 * @property {{up_mm: number | null, across_mm: number | null, up: Point | null, across: Point | null} | null} marker
 * @property {BreathHold | null} breath_hold
 */

export {};
