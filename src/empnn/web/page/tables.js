// What changed of one structure, and all structures, as tables; text is always set as text.

import { parameters, volume } from "./crystal.js";

const NAMES = ["a", "b", "c", "α", "β", "γ"];
const VERDICTS = {
  relaxed: "nothing speaks against the answer.",
  unchanged: "it was relaxed already, as far as the model can tell.",
  suspect: "there are reasons to look twice:",
  refused: "",
};

export const nameOf = (structure) => structure.id ?? `${structure.file}[${structure.index}]`;

export function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

// `original` is the cell that a strained crystal should come back to.
export function showVerdict(structure, verdict, said, original) {
  const badge = element("span", { className: `badge ${structure.status}` }, structure.status);
  const words = structure.status === "refused" ? structure.message : VERDICTS[structure.status];
  verdict.replaceChildren(badge, ` ${words}`);
  const remarks = [...structure.warnings];
  if (original && structure.change) {
    const { cell_before: before, cell_after: after } = structure.change;
    const [far, near] = [before, after].map((cell) => apart(cell, parameters(original)));
    remarks.unshift(`lengths were off by ${far.lengths} Å on average, and are by ${near.lengths} Å`);
    remarks.unshift(`angles were off by ${far.angles}° on average, and are by ${near.angles}°`);
  }
  said.replaceChildren(...remarks.map((remark) => element("li", {}, remark)));
}

function apart(some, others) {
  const mean = (from, to) => some.slice(from, to).reduce((sum, x, i) => sum + Math.abs(x - others[from + i]), 0) / 3;
  return { lengths: mean(0, 3).toFixed(3), angles: mean(3, 6).toFixed(2) };
}

export function showChanges(structure, table, original) {
  const { change, errors } = structure;
  if (!change) {
    table.replaceChildren();
    return;
  }
  const known = original ? [volume(original), ...parameters(original)] : [];
  const rows = [
    ["volume (Å³)", change.volume_before, change.volume_after, 2, relative(change.volume_change, 1), bound(errors, "volume", 1, "%")],
    ...NAMES.map((name, i) => {
      const [before, after] = [change.cell_before[i], change.cell_after[i]];
      const digits = i < 3 ? 3 : 2;
      const error = i === 0 ? bound(errors, "length", 3, "Å") : "";
      return [`${name} (${i < 3 ? "Å" : "°"})`, before, after, digits, signed(after - before, digits), error];
    }),
  ];
  const made = rows.map(([name, before, after, digits, changed, error], i) => row(
    name, before.toFixed(digits), after.toFixed(digits), ...(original ? [known[i].toFixed(digits)] : []), changed, error,
  ));
  // The error of lengths is the mean over all three.
  made[1].lastChild.rowSpan = 3;
  made[2].lastChild.remove();
  made[3].lastChild.remove();
  const blank = original ? [""] : [];
  made.push(row("moved (Å)", "", "", ...blank, change.displacement.toFixed(3), bound(errors, "position", 3, "Å")));
  made.push(row("strain", "", "", ...blank, change.strain.toFixed(4), ""));
  if (change.space_group_after !== undefined) {
    const [before, after] = [change.space_group_before ?? "none found", change.space_group_after ?? "none found"];
    const words = row("space group", before === after ? `${before}, kept` : `${before} → ${after}`);
    words.lastChild.colSpan = original ? 5 : 4;
    words.lastChild.className = "words";
    made.push(words);
  }
  const heads = ["", "as given", "relaxed", ...(original ? ["original"] : []), "change", "expected error"];
  table.replaceChildren(head(heads), element("tbody", {}, ...made));
}

export function showList(structures, table, choose) {
  const rows = structures.map((structure, place) => {
    const button = element("button", { type: "button" }, nameOf(structure));
    button.addEventListener("click", () => choose(place));
    const badge = element("span", { className: `badge ${structure.status}` }, structure.status);
    const { change, errors } = structure;
    return element("tr", {},
      element("td", {}, button),
      element("td", { className: "words" }, badge, ` ${structure.message ?? structure.warnings.join("; ")}`),
      cell(change ? change.volume_after.toFixed(2) : ""),
      cell(change ? relative(change.volume_change, 1) : ""),
      cell(bound(errors, "volume", 1, "%")),
    );
  });
  table.replaceChildren(
    head(["structure", "what became of it", "volume (Å³)", "change", "expected error"], 1), element("tbody", {}, ...rows),
  );
  table.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && rows[rows.indexOf(event.target.closest("tr")) + step];
    if (!next) return;
    event.preventDefault();
    const button = next.querySelector("button");
    button.focus();
    button.click();
  };
}

export function markRow(table, place) {
  [...table.tBodies[0].rows].forEach((each, index) => each.toggleAttribute("aria-current", index === place));
}

const cell = (content) => element("td", {}, content);
const signed = (value, digits) => {
  const size = Math.abs(value).toFixed(digits);
  return Number(size) === 0 ? size : (value > 0 ? "+" : "−") + size;
};
const relative = (value, digits) => `${signed(value, digits)} %`;

function row(name, ...contents) {
  return element("tr", {}, element("th", { scope: "row" }, name), ...contents.map(cell));
}

function head(titles, words) {
  const made = titles.map((title, i) => element("th", { scope: "col", className: i === words ? "words" : "" }, title));
  return element("thead", {}, element("tr", {}, ...made));
}

// An error to be expected and the bound that holds in nine of ten cases.
function bound(errors, name, digits, unit) {
  const value = errors?.[name];
  if (value === undefined || value === null) return "";
  const most = errors[`${name}_90`];
  const small = most === undefined || most === null ? "" : `< ${most.toFixed(digits)}`;
  return element("span", {}, `${value.toFixed(digits)} ${unit}`, element("small", {}, small));
}
