// How long a page has been looked at: while it is visible, not paused, and somebody is there.

import { name } from "./queue.js";

const IDLE_MS = 120_000;
const TELL_MS = 15_000;

export class Clock {
  #spell = name();
  #seconds = 0;
  #told = 0;
  #since = performance.now();
  #active = performance.now();
  #paused = false;

  constructor(element, before, tell) {
    Object.assign(this, { element, before, tell });
    for (const event of ["keydown", "pointerdown", "pointermove", "scroll"]) {
      document.addEventListener(event, () => { this.#active = performance.now(); }, { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => { this.#tick(); if (document.hidden) this.say(true); });
    window.addEventListener("pagehide", () => this.say(true));
    setInterval(() => this.#tick(), 1000);
    setInterval(() => this.say(), TELL_MS);
    this.#tick();
  }

  pause(on) {
    this.#tick();
    this.#paused = on;
    this.say();
  }

  // Tell the server, if there is anything new.
  say(leaving = false) {
    this.#tick();
    if (this.#seconds - this.#told < 0.5) return undefined;
    this.#told = this.#seconds;
    return this.tell(this.#spell, Math.round(this.#seconds * 10) / 10, leaving);
  }

  #tick() {
    const now = performance.now();
    const there = !document.hidden && !this.#paused && now - this.#active < IDLE_MS;
    if (there) this.#seconds += (now - this.#since) / 1000;
    this.#since = now;
    const total = Math.round(this.before + this.#seconds);
    this.element.textContent = `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
  }
}
