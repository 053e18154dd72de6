// Answers as files: the server writes the formats, the browser keeps them.

import { post } from "./server.js";
import { nameOf } from "./tables.js";

export async function download(format, structures, answers) {
  const files = structures.map((structure) => ({ name: "answer.extxyz", text: structure.written }));
  // A POSCAR holds one structure only.
  const kind = format === "poscar" && structures.length > 1 ? "zip" : format;
  const response = await post("convert", { files, format: kind, ...(kind === "zip" ? { answers } : {}) });
  const name = structures.length === 1 && kind !== "zip" ? nameOf(structures[0]).replace(/[^\w+.-]+/g, "_") : "crystals";
  const ending = kind === "poscar" ? "vasp" : kind;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${name}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What the interface says, without what only this page needs.
export function plain(answers) {
  const structures = answers.structures.map(({ written, picture, ...said }) => said);
  return { ...answers, structures };
}
