// The slider over the layers of the network, and what plays it.

import { volume } from "./crystal.js";

const SECONDS = 1.6;

export class Layers {
  #slider = document.getElementById("layer");
  #output = document.getElementById("at-layer");
  #button = document.getElementById("play");
  #changed;
  #smooth;
  #picture = null;
  #frame = 0;

  // `changed` is told at which layer to draw; `smooth` tells whether there is time to draw what lies between layers.
  constructor(changed, smooth) {
    this.#changed = changed;
    this.#smooth = smooth;
    this.#slider.addEventListener("input", () => {
      this.stop();
      this.#to(Number(this.#slider.value));
    });
    this.#button.addEventListener("click", () => (this.#frame ? this.stop() : this.play()));
  }

  get layer() {
    return this.#picture ? Number(this.#slider.value) : 0;
  }

  show(picture) {
    this.stop();
    this.#picture = picture;
    this.#slider.max = picture.trajectory.length;
    this.#slider.value = picture.trajectory.length;
    this.#say(picture.trajectory.length);
  }

  play() {
    const last = this.#picture.trajectory.length;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#to(last);
      return;
    }
    const began = performance.now();
    this.#label(true);
    const step = (now) => {
      const part = Math.min(Math.max(now - began, 0) / 1000 / SECONDS, 1);
      const layer = last * part;
      this.#frame = part < 1 ? requestAnimationFrame(step) : 0;
      this.#to(this.#smooth() ? layer : Math.floor(layer));
      if (part === 1) this.#label(false);
    };
    this.#frame = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#label(false);
  }

  #label(playing) {
    this.#button.textContent = playing ? "❚❚" : "▶";
    this.#button.setAttribute("aria-label", playing ? "Stop" : "Play the layers");
  }

  #to(layer) {
    this.#slider.value = layer;
    this.#say(Math.round(layer));
    this.#changed(layer);
  }

  #say(layer) {
    const last = this.#picture.trajectory.length;
    const cell = layer ? this.#picture.trajectory[layer - 1] : this.#picture.cell_before;
    const where = layer ? `after ${layer} of ${last}` : "as given";
    this.#output.textContent = `${where}: ${volume(cell).toFixed(2)} Å³`;
    this.#slider.setAttribute("aria-valuetext", this.#output.textContent);
  }
}
