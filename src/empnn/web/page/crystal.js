// Geometry of a crystal: cells are rows of lattice vectors in angstrom, places are fractions of them.

const ON_FACE = 0.02;
const BOND = 1.15;
const NONMETALS = new Set([1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86]);

const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
const scaled = (u, factor) => u.map((x) => x * factor);
const minus = (u, v) => u.map((x, i) => x - v[i]);
const unit = (u) => scaled(u, 1 / Math.hypot(...u));
const mixed = (u, v, part) => u.map((x, i) => x + part * (v[i] - x));
const times = (frac, cell) => [0, 1, 2].map((k) => frac[0] * cell[0][k] + frac[1] * cell[1][k] + frac[2] * cell[2][k]);

export const volume = (cell) => Math.abs(dot(cell[0], cross(cell[1], cell[2])));

export function parameters(cell) {
  const angle = (u, v) => (Math.acos(Math.min(1, Math.max(-1, dot(unit(u), unit(v))))) * 180) / Math.PI;
  const [a, b, c] = cell;
  return [...cell.map((vector) => Math.hypot(...vector)), angle(b, c), angle(a, c), angle(a, b)];
}

// The crystal before and after so many layers, which need not be a whole number. Models tell the cell after each layer;
// places in it are taken to move evenly.
export function atLayer(picture, layer) {
  const cells = [picture.cell_before, ...picture.trajectory];
  const before = Math.min(Math.floor(layer), cells.length - 2);
  const part = layer - before;
  const cell = cells[before].map((vector, i) => mixed(vector, cells[before + 1][i], part));
  const share = layer / (cells.length - 1);
  const frac = picture.frac_before.map((place, i) => mixed(place, picture.frac_after[i], share));
  return { cell, frac, home: picture.frac_before, numbers: picture.numbers };
}

// What turns a crystal so that c points upwards and b to the right, seen a little from the side and from above.
export function viewOf(cell) {
  const up = unit(cell[2]);
  let right = minus(cell[1], scaled(up, dot(cell[1], up)));
  right = Math.hypot(...right) > 1e-6 ? unit(right) : unit(cross(up, [up[1], up[2], up[0]]));
  const towards = cross(right, up);
  const turned = (u, v, angle) => [
    u.map((x, i) => Math.cos(angle) * x - Math.sin(angle) * v[i]),
    u.map((x, i) => Math.sin(angle) * x + Math.cos(angle) * v[i]),
  ];
  const [side, front] = turned(right, towards, 0.42);
  const [top, toViewer] = turned(up, front, 0.25);
  return (point) => [dot(side, point), dot(top, point), dot(toViewer, point)];
}

// Atoms, bonds and edges of so many cells in each direction, around the middle of them, turned by `view`.
export function scene(crystal, count, view, elements) {
  const { cell, frac, home, numbers } = crystal;
  const middle = times([count / 2, count / 2, count / 2], cell);
  const placed = (point) => view(minus(times(point, cell), middle));
  const atoms = [];
  frac.forEach((place, index) => {
    // As given an atom is in the cell; it stays what it was when it moves out of it.
    const whole = home[index].map((x) => Math.floor(x + ON_FACE));
    for (const shift of shifts(home[index].map((x, k) => x - whole[k]), count)) {
      atoms.push({ number: numbers[index], at: placed(place.map((x, k) => x - whole[k] + shift[k])) });
    }
  });
  return { atoms, bonds: bondsOf(atoms, elements), edges: edgesOf(count, placed) };
}

// The cells in which an atom is drawn; one on a face also on the opposite one.
function shifts(place, count) {
  const along = place.map((x) => Array.from({ length: count + (x < ON_FACE ? 1 : 0) }, (_, i) => i));
  return along[0].flatMap((i) => along[1].flatMap((j) => along[2].map((k) => [i, j, k])));
}

function edgesOf(count, placed) {
  const edges = [];
  for (let i = 0; i <= count; i++) {
    for (let j = 0; j <= count; j++) {
      edges.push([placed([0, i, j]), placed([count, i, j])]);
      edges.push([placed([i, 0, j]), placed([i, count, j])]);
      edges.push([placed([i, j, 0]), placed([i, j, count])]);
    }
  }
  return edges;
}

// Pairs of atoms nearer than their covalent radii allow, found in boxes as wide as the longest bond. Metals among
// nonmetals are not bonded to each other, as near as they may be.
function bondsOf(atoms, elements) {
  const isMetal = (atom) => !NONMETALS.has(atom.number);
  const alone = atoms.every(isMetal);
  const radius = (atom) => elements.get(atom.number)?.radius ?? 1.5;
  const reach = 2 * BOND * Math.max(...atoms.map(radius));
  const key = (box) => box.join();
  const boxOf = (atom) => atom.at.map((x) => Math.floor(x / reach));
  const boxes = new Map();
  const bonds = [];
  atoms.forEach((atom, i) => {
    const [x, y, z] = boxOf(atom);
    for (let dx = -1; dx <= 1; dx++) for (let dy = -1; dy <= 1; dy++) for (let dz = -1; dz <= 1; dz++) {
      for (const j of boxes.get(key([x + dx, y + dy, z + dz])) ?? []) {
        if (!alone && isMetal(atom) && isMetal(atoms[j])) continue;
        const apart = Math.hypot(...minus(atom.at, atoms[j].at));
        if (apart > 0.1 && apart < BOND * (radius(atom) + radius(atoms[j]))) bonds.push([j, i]);
      }
    }
    const own = key([x, y, z]);
    if (!boxes.has(own)) boxes.set(own, []);
    boxes.get(own).push(i);
  });
  return bonds;
}
