// The page: what is asked, what is shown, and which of several structures.

import { download, plain } from "./downloads.js";
import { Layers } from "./layers.js";
import { get, post, ServerError } from "./server.js";
import { element, markRow, nameOf, showChanges, showList, showVerdict } from "./tables.js";
import { followTheme } from "./theme.js";
import { viewerIn } from "./viewer.js";

const at = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

let about, cards, viewer, layers;
let answers = null;
let place = 0;
let files = [];
let originals = [];

function draw(layer = layers.layer) {
  if (!answers?.structures[place].picture) return;
  viewer.draw({ count: Number(chosen("cells")), layer, overlaid: chosen("mode") === "overlaid" });
}

function settings() {
  const number = (id) => (at(id).value === "" ? null : Number(at(id).value));
  return { model: at("model").value, fix: at("fix").value || null, symmetrize: number("symmetrize"), passes: number("passes") };
}

async function busy(what, work) {
  const buttons = document.querySelectorAll("#relax, #strain, #examples button, #downloads button");
  at("error").hidden = true;
  at("status").textContent = what;
  document.body.setAttribute("aria-busy", "true");
  buttons.forEach((button) => (button.disabled = true));
  try {
    at("status").textContent = (await work()) ?? "";
  } catch (error) {
    at("status").textContent = "";
    at("error").textContent = error.message;
    at("error").hidden = false;
    if (!(error instanceof ServerError)) throw error;
  } finally {
    buttons.forEach((button) => (button.disabled = false));
    document.body.removeAttribute("aria-busy");
  }
}

async function relax(given, before = []) {
  const began = performance.now();
  const response = await post("relax", { files: given, ...settings(), write: "extxyz", pictures: true });
  answers = await response.json();
  files = given;
  originals = before;
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  at("welcome").hidden = true;
  at("shown").hidden = false;
  viewer ??= viewerIn(at("before"), at("after"), elementsByNumber());
  showAll();
  show(Math.max(answers.structures.findIndex((one) => one.status !== "refused"), 0));
  const { top } = at("result").getBoundingClientRect();
  if (top > innerHeight / 2 || top < -innerHeight / 2) at("result").scrollIntoView();
  if (answers.structures[place].picture) layers.play();
  const skipped = answers.skipped ? `, ${answers.skipped} refused` : "";
  return `${answers.relaxed} relaxed${skipped}, in ${seconds} s.`;
}

const elementsByNumber = () =>
  new Map(Object.entries(about.elements).map(([symbol, element]) => [element.number, { symbol, ...element }]));

function showAll() {
  const several = answers.structures.length > 1;
  at("all").hidden = !several;
  at("which-ones").hidden = !several;
  if (several) showList(answers.structures, at("list"), show);
}

function show(which) {
  place = which;
  const structure = answers.structures[place];
  const { picture } = structure;
  at("name").textContent = nameOf(structure);
  showVerdict(structure, at("verdict"), at("said"), originals[place]);
  showChanges(structure, at("changes"), originals[place]);
  for (const part of document.querySelectorAll(".views, .bar, .layers, .facts aside, #shown .facts .scroll")) part.hidden = !picture;
  if (answers.structures.length > 1) markRow(at("list"), place);
  if (!picture) return;
  layers.show(picture);
  viewer.show(picture, 1);
  for (const input of document.querySelectorAll("input[name=cells]")) {
    input.disabled = viewer.tooMany(Number(input.value));
    if (input.disabled && input.checked) document.querySelector("input[name=cells]").checked = true;
  }
  draw();
  viewer.reset();
  const symbols = new Set(picture.numbers.map((number) => symbolOf(number)));
  at("legend").replaceChildren(...[...symbols].map((symbol) => {
    const dot = element("i");
    dot.style.background = about.elements[symbol]?.colour ?? "#ff00ff";
    return element("span", {}, dot, symbol);
  }));
  const { change } = structure;
  at("before").setAttribute("aria-label", `${nameOf(structure)} as given, ${change.volume_before.toFixed(1)} cubic angstrom`);
  at("after").setAttribute("aria-label", `${nameOf(structure)} relaxed, ${change.volume_after.toFixed(1)} cubic angstrom`);
}

const symbolOf = (number) => Object.keys(about.elements).find((symbol) => about.elements[symbol].number === number) ?? "X";

async function strain() {
  const structure = answers.structures[place];
  const seed = Math.floor(Math.random() * 2 ** 32);
  const text = { name: "answer.extxyz", text: structure.written };
  const response = await post("strain", { files: [text], sigma: Number(at("sigma").value), seed });
  const [made] = (await response.json()).structures;
  if (made.written === null) throw new ServerError(made.message);
  return relax([{ name: "strained.extxyz", text: made.written }], [structure.picture.cell_after]);
}

async function readFiles(list) {
  const size = list.reduce((sum, file) => sum + file.size, 0);
  if (size > about.limits.megabytes * 1e6) throw new ServerError(`more than ${about.limits.megabytes} MB; drop fewer files`);
  const texts = await Promise.all(list.map((file) => file.text()));
  return texts.map((text, i) => ({ name: list[i].name, text }));
}

function drop(list) {
  if (list.length) busy("Relaxing …", async () => relax(await readFiles(list)));
}

function listenToInput() {
  at("file").addEventListener("change", () => {
    drop([...at("file").files]);
    at("file").value = "";
  });
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value;
    const given = text.trim() ? [{ name: "pasted", text }] : files;
    busy("Relaxing …", async () => {
      if (!given.length) throw new ServerError("there is no crystal yet; drop a file, paste one or begin with an example");
      return relax(given);
    });
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dragging", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") drop([...event.dataTransfer.files]);
    });
  }
}

function listenToView() {
  for (const input of document.querySelectorAll("input[name=mode], input[name=cells]")) {
    input.addEventListener("change", () => {
      at("views").dataset.mode = chosen("mode");
      draw();
      if (input.name === "cells" || input.name === "mode") viewer.reset();
    });
  }
  at("reset").addEventListener("click", () => viewer.reset());
  at("strain").addEventListener("click", () => busy("Straining and relaxing …", strain));
  at("downloads").addEventListener("click", ({ target }) => {
    const { format } = target.dataset;
    if (!format) return;
    const all = format === "zip" || (answers.structures.length > 1 && chosen("which") === "all");
    const wanted = all ? answers.structures.filter((one) => one.written) : [answers.structures[place]];
    busy("Writing …", () => download(format, wanted, plain(answers)));
  });
}

function showModels() {
  at("model").replaceChildren(...Object.keys(cards).map((name) => element("option", { value: name }, name)));
  at("model").value = about.model;
  const describe = () => {
    const card = cards[at("model").value];
    const moves = about.moving_atoms.includes(at("model").value);
    const words = [card.for && `For ${card.for}`, card.not_for && `not for ${card.not_for}`].filter(Boolean).join("; ");
    at("about-model").textContent = `${words}${words ? ". " : ""}Moves the cell${moves ? " and the atoms" : " only"}.`;
    const cell = at("fix").querySelector("[value=cell]");
    cell.disabled = !moves;
    if (!moves && at("fix").value === "cell") at("fix").value = "";
  };
  at("model").addEventListener("change", describe);
  describe();
}

function showExamples(examples) {
  at("examples").replaceChildren(...examples.map(({ name, about: words, file }) => {
    const button = element("button", { type: "button", title: words }, name);
    button.addEventListener("click", () => {
      at("text").value = file.text.length < 5000 ? file.text : "";
      busy("Relaxing …", () => relax([file]));
    });
    return button;
  }));
}

followTheme(at("theme"), () => answers && draw());
layers = new Layers(draw, () => !viewer.slow(Number(chosen("cells"))));
listenToInput();
listenToView();
busy("", async () => {
  let examples;
  [about, cards, examples] = await Promise.all([get("about"), get("models"), get("examples")]);
  showModels();
  showExamples(examples);
});
