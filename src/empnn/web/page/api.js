// The description of the interface, read from what the server says of itself.

import { get } from "./server.js";
import { element } from "./tables.js";
import { followTheme } from "./theme.js";

const EXAMPLES = {
  "/api/relax": { files: [{ name: "mine.cif", text: "data_mine …" }], write: "cif" },
  "/api/strain": { files: [{ name: "mine.cif", text: "data_mine …" }], sigma: 0.1, seed: 1 },
  "/api/convert": { files: [{ name: "mine.cif", text: "data_mine …" }], format: "poscar" },
};

const code = (text) => element("code", {}, text);

// A shape in words: what it is, and a link where it has a name.
function kindOf(shape) {
  if (shape.$ref) {
    const name = shape.$ref.split("/").pop();
    return [element("a", { href: `#${name}` }, name)];
  }
  if (shape.anyOf) return shape.anyOf.flatMap((one, i) => (i ? [" or ", ...kindOf(one)] : kindOf(one)));
  if (shape.enum ?? shape.const) return [code([].concat(shape.enum ?? shape.const).join(" | "))];
  if (shape.type === "array") return ["list of ", ...kindOf(shape.items ?? {})];
  return [shape.type ?? "anything"];
}

function limitsOf(shape) {
  const parts = [shape, ...(shape.anyOf ?? [])];
  const find = (key) => parts.map((part) => part[key]).find((value) => value !== undefined);
  const words = { minimum: "at least", exclusiveMinimum: "above", maximum: "at most", exclusiveMaximum: "below" };
  return Object.keys(words).filter((key) => find(key) !== undefined).map((key) => `${words[key]} ${find(key)}`);
}

function field(name, shape, required) {
  const said = [...limitsOf(shape)];
  if (required) said.unshift("required");
  if (shape.default !== undefined && shape.default !== null) said.push(`${JSON.stringify(shape.default)} by default`);
  const words = [said.join(", "), shape.description].filter(Boolean).join(". ");
  return [element("dt", {}, code(name)), element("dd", {}, ...kindOf(shape), words ? `; ${words}` : "")];
}

function shapeCard(name, shape) {
  const fields = Object.entries(shape.properties ?? {}).flatMap(([key, value]) =>
    field(key, value, (shape.required ?? []).includes(key)));
  return element("section", { className: "card", id: name },
    element("h3", {}, name), element("p", {}, (shape.description ?? "").split("\n")[0]), element("dl", {}, ...fields));
}

function operationCard(path, verb, operation) {
  const asked = operation.requestBody?.content["application/json"].schema;
  const given = operation.responses[200]?.content ?? {};
  const [kind, { schema = {} } = {}] = Object.entries(given)[0] ?? ["", {}];
  const rows = [];
  if (asked) rows.push(element("dt", {}, "asks"), element("dd", {}, ...kindOf(asked)));
  rows.push(element("dt", {}, "answers"), element("dd", {}, ...(kind === "application/json" ? kindOf(schema) : [kind])));
  const example = EXAMPLES[path] && `curl -H 'Content-Type: application/json' -d '${JSON.stringify(EXAMPLES[path])}' ${new URL(path.slice(1), location.href)}`;
  return element("section", { className: "card" },
    element("h2", {}, element("span", { className: "verb" }, verb.toUpperCase()), code(path)),
    element("p", {}, operation.description ?? operation.summary),
    element("dl", {}, ...rows),
    ...(example ? [element("pre", { tabIndex: 0 }, example)] : []));
}

followTheme(document.getElementById("theme"), () => {});
try {
  const { paths, components } = await get("openapi.json");
  const operations = Object.entries(paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => operationCard(path, verb, operation)));
  const shapes = Object.entries(components.schemas).map(([name, shape]) => shapeCard(name, shape));
  document.getElementById("operations").replaceChildren(...operations);
  document.getElementById("shapes").replaceChildren(...shapes);
  document.getElementById("shapes-title").hidden = false;
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  document.getElementById("error").textContent = error.message;
  document.getElementById("error").hidden = false;
}
