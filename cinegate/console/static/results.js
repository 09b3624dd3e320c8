// What the Set up page shows of its results: the proposal of a dry run, and the commands that come next.

import { said, tag } from "./desk.js";
import { element, setText, shown as number } from "./live.js";

/** @typedef {{margin_mm: number, centred?: boolean, duty_cycle: number | null, residual_p95_mm: number | null}} GridPoint */
/** @typedef {{strategy: string, why: string, why_this_window?: string, margin_mm: number, centred: boolean, grid: GridPoint[]}} Proposal */
/** @typedef {{folder: string, files: string[], commands: string[]}} Saved */

/**
 * @param {Proposal} proposal
 * @param {string} head What was learned, as it stands in the file.
 */
export function showProposal(proposal, head) {
  const { strategy, why, why_this_window, grid } = proposal;
  setText("proposal-why", `${strategy.replaceAll("_", " ")}: ${why}. ${why_this_window ?? ""}`);
  setText("proposal-head", head.replaceAll("# ", ""));
  element("grid").replaceChildren(...grid.map((point) => gridRow(point, proposal)));
  element("proposal").hidden = false;
}

/**
 * @param {GridPoint} point
 * @param {Proposal} proposal
 */
function gridRow({ margin_mm, centred, duty_cycle, residual_p95_mm }, proposal) {
  const centre = centred ?? proposal.centred;
  const mine = margin_mm === proposal.margin_mm && centre === proposal.centred;
  const window = `${margin_mm} mm${centre ? ", centre too" : ""}${mine ? " ← proposed" : ""}`;
  const duty = duty_cycle == null ? "–" : `${number(100 * duty_cycle, 0)} %`;
  const residual = residual_p95_mm == null ? "–" : `${number(residual_p95_mm)} mm`;
  const row = tag("tr", "");
  row.append(tag("td", window), tag("td", duty), tag("td", residual));
  row.classList.toggle("proposed", mine);
  return row;
}

/** @param {Saved} saved */
export function showSaved({ files, folder, commands }) {
  setText("saved-text", `${files.join(" and ")} are in ${folder}. Next, in a shell:`);
  element("commands").replaceChildren(...commands.map(commandRow));
  element("saved").hidden = false;
}

/** @param {string} command */
function commandRow(command) {
  const [row, copy] = [tag("li", ""), /** @type {HTMLButtonElement} */ (tag("button", "Copy"))];
  copy.type = "button";
  copy.onclick = () => navigator.clipboard.writeText(command).then(
    () => said("answer", "Copied"),
    () => said("answer", "The browser does not allow to copy; select the command", true),
  );
  row.append(tag("code", command), copy);
  return row;
}
