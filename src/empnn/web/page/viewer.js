// Crystals in 3D: two canvases that turn together, by mouse, touch and keys.

import { atLayer, scene, viewOf } from "./crystal.js";

const RADIUS = 0.42;
const [STICK, EDGE] = [0.07, 0.035];
const GHOST = 0.35;
const STEP = 8;
const MANY = 200;
const MOST = 5000;
const CLOSER = 1.55;

// What draws crystals in two elements; where a browser draws nothing in 3D, they say so.
export function viewerIn(before, after, elements) {
  const canvas = document.createElement("canvas");
  if (canvas.getContext("webgl2") ?? canvas.getContext("webgl")) return new Viewer(before, after, elements);
  for (const element of [before, after]) {
    const said = document.createElement("p");
    said.textContent = "This browser draws nothing in 3D (WebGL is off). All else works.";
    element.replaceChildren(said);
  }
  return { show() {}, draw() {}, reset() {}, tooMany: () => false, slow: () => true };
}

class Viewer {
  #panes;
  #elements;
  #picture = null;
  #view = null;

  constructor(before, after, elements) {
    this.#elements = elements;
    this.#panes = [before, after].map((element) => {
      const pane = $3Dmol.createViewer(element, { backgroundAlpha: 0, antialias: true, orthographic: true, disableFog: true });
      const canvas = element.querySelector("canvas");
      canvas.setAttribute("aria-hidden", "true");
      // The wheel scrolls the page, unless one asks for the crystal.
      element.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey && document.activeElement !== element) event.stopPropagation();
      }, { capture: true });
      element.addEventListener("keydown", (event) => this.#key(event));
      element.addEventListener("pointerdown", () => element.focus({ preventScroll: true }));
      return pane;
    });
    this.#panes[0].linkViewer(this.#panes[1]);
    this.#panes[1].linkViewer(this.#panes[0]);
  }

  // Show a crystal, from the side that the cell as given suggests.
  show(picture, count) {
    this.#picture = picture;
    this.#view = viewOf(picture.cell_before);
    this.draw({ count, layer: picture.trajectory.length, overlaid: false });
    this.reset();
  }

  draw({ count, layer, overlaid }) {
    const [left, right] = this.#panes;
    const [before, after] = [0, layer].map((at) => this.#scene(at, count));
    for (const pane of this.#panes) {
      pane.removeAllModels();
      pane.removeAllShapes();
    }
    if (overlaid) {
      this.#add(right, before, "given", GHOST, true);
    } else {
      this.#add(left, before, "given", 1, false);
    }
    this.#add(right, after, "relaxed", 1, false);
    this.#panes.forEach((pane) => pane.render());
  }

  reset() {
    const distances = this.#panes.map((pane) => {
      pane.setView([0, 0, 0, 0, 0, 0, 0, 1], true);
      pane.zoomTo();
      pane.zoom(CLOSER);
      return pane.getView()[3];
    });
    // The farther one shows both crystals at one scale.
    for (const pane of this.#panes) {
      pane.setView([0, 0, 0, Math.min(...distances), 0, 0, 0, 1], true);
      pane.render();
    }
  }

  // Whether there are too many atoms to draw so many cells of them.
  tooMany(count) {
    return count > 1 && this.#picture.numbers.length * count ** 3 > MOST;
  }

  // Whether so many atoms are drawn that it takes long.
  slow(count) {
    return this.#picture.numbers.length * count ** 3 > MANY;
  }

  #scene(layer, count) {
    return scene(atLayer(this.#picture, layer), count, this.#view, this.#elements);
  }

  #add(pane, { atoms, bonds, edges }, kind, opacity, dashed) {
    const drawn = atoms.map(({ number, at: [x, y, z] }, index) => ({
      elem: this.#elements.get(number)?.symbol ?? "X", x, y, z, index, serial: index, bonds: [], bondOrder: [],
    }));
    for (const [i, j] of dashed ? [] : bonds) {
      drawn[i].bonds.push(j);
      drawn[j].bonds.push(i);
      drawn[i].bondOrder.push(1);
      drawn[j].bondOrder.push(1);
    }
    const model = pane.addModel();
    model.addAtoms(drawn);
    const stick = dashed ? {} : { stick: { radius: STICK, color: colour("bond") } };
    for (const number of new Set(atoms.map((atom) => atom.number))) {
      const { symbol, radius, colour: fill } = this.#elements.get(number) ?? { symbol: "X", radius: 1.5, colour: "#ff00ff" };
      model.setStyle({ elem: symbol }, { sphere: { radius: RADIUS * radius, color: fill, opacity }, ...stick });
    }
    for (const [from, to] of edges) {
      const [start, end] = [from, to].map(([x, y, z]) => ({ x, y, z }));
      pane.addCylinder({ start, end, radius: EDGE, color: colour(kind), dashed, dashLength: 0.25, gapLength: 0.2, fromCap: 1, toCap: 1 });
    }
  }

  #key(event) {
    const pane = this.#panes[1];
    const actions = {
      ArrowLeft: () => pane.rotate(-STEP, "vy"),
      ArrowRight: () => pane.rotate(STEP, "vy"),
      ArrowUp: () => pane.rotate(-STEP, "vx"),
      ArrowDown: () => pane.rotate(STEP, "vx"),
      "+": () => pane.zoom(1.15),
      "=": () => pane.zoom(1.15),
      "-": () => pane.zoom(1 / 1.15),
      0: () => this.reset(),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  }
}

// A colour of the style sheet as it is at the moment, light or dark.
function colour(name) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return `#${found.match(/\d+/g).slice(0, 3).map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;
}
