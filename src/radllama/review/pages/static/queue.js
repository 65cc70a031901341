// Answers on their way. Each act stands in this browser's storage until the server has said that it is on its disk:
// a lost connection, an ended session or a closed tab delays it, and nothing more. Sent twice, it is kept once.

const ROOT = "radllama-review";
const WAITS_MS = [1000, 2000, 5000, 10000];

export class Queue {
  #items = []; // in the order of the acts; one is sent at a time
  #running = false;
  #failures = 0;
  #wake = null;
  #waits = ""; // the state in which it waits for the next try
  #idle = [];

  // `told` has: state(name, count), kept(item, answer), conflict(item, held) and refused(item, message).
  constructor({ account, csrf, study, page, told }) {
    Object.assign(this, { account, csrf, study, page, told });
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (key.startsWith(`${ROOT}/${account}/`)) this.#items.push({ ...JSON.parse(localStorage.getItem(key)), tried: true });
    }
    this.#items.sort((a, b) => a.at - b.at);
    window.addEventListener("online", () => this.#wake?.());
    window.addEventListener("focus", () => this.#wake?.());
    this.run();
  }

  // What is not kept yet on this page.
  get pending() {
    return this.#items.filter((item) => item.study === this.study && item.page === this.page);
  }

  isPending({ place, question, mark }) {
    return this.pending.some((item) => item.place === place && item.question === question && item.mark === mark);
  }

  put({ place, question, mark = "", value, base }) {
    const same = this.pending.findLast((item) => item.place === place && item.question === question && item.mark === mark);
    // One that may have reached the server keeps its name and its value; one that has not takes the new value.
    if (same && !same.tried) same.value = value;
    else this.#items.push({ study: this.study, page: this.page, place, question, mark, value, base, save: name(), at: Date.now() });
    this.#store(same && !same.tried ? same : this.#items.at(-1));
    if (this.#waits) this.told.state(this.#waits, this.#items.length); // what is kept is counted before the next try
    this.run();
  }

  // Answer a conflict: send the act again, knowing what holds now; or give it up.
  settle(item, number) {
    item.parked = false;
    if (number === null) this.#drop(item);
    else Object.assign(item, { base: number, save: this.#rename(item) });
    this.run();
  }

  // Resolves once nothing is on its way any more.
  async drained() {
    if (this.#running) await new Promise((resolve) => this.#idle.push(resolve));
  }

  async run() {
    if (this.#running) return;
    this.#running = true;
    for (let item; (item = this.#items.find((one) => !one.parked)); ) await this.#send(item);
    this.#running = false;
    this.told.state(this.pending.length ? "parked" : "saved", this.pending.length);
    this.#idle.splice(0).forEach((resolve) => resolve());
  }

  // Ask the server something else in the session's name; null where it does not answer.
  async post(path, body, keepalive = false) {
    try {
      return await fetch(path, {
        method: "POST", keepalive, body: JSON.stringify(body), signal: keepalive ? undefined : AbortSignal.timeout(15000),
        headers: { "Content-Type": "application/json", "X-CSRF-Token": this.csrf },
      });
    } catch {
      return null;
    }
  }

  async #send(item) {
    item.tried = true;
    const { save, place, question, mark, value, base } = item;
    if (!this.#failures) this.told.state("saving", this.#items.length);
    const answer = await this.post(`/api/studies/${item.study}/pages/${item.page}/answers`, { save, place, question, mark, value, base });
    if (answer === null || answer.status >= 500) return this.#wait("offline");
    const held = await answer.json().catch(() => null);
    if (answer.status === 401 || held?.error?.code === "csrf") return this.#renew();
    if (answer.status === 429) return this.#wait("saving", 1000 * Number(answer.headers.get("Retry-After") ?? 5));
    this.#failures = 0;
    if (answer.ok) {
      this.#drop(item);
      for (const later of this.#items) {
        if (later.study === item.study && later.page === item.page && later.place === place && later.question === question
          && later.mark === mark) later.base = held.number;
      }
      if (this.#isHere(item)) this.told.kept(item, held);
    } else if (answer.status === 409) {
      item.parked = true; // one of another page waits for that page
      if (this.#isHere(item)) this.told.conflict(item, held);
    } else {
      this.#drop(item);
      this.told.refused(item, held?.error?.message ?? `the server answers ${answer.status}`);
    }
  }

  // The session has ended, or another tab has signed in again: go on with the new one, if it is the same person's.
  async #renew() {
    let session = null;
    try {
      const answer = await fetch("/api/session");
      session = answer.ok ? await answer.json() : null;
    } catch {
      return this.#wait("offline");
    }
    if (session?.account !== this.account) return this.#wait("signed out");
    this.csrf = session.csrf;
  }

  async #wait(state, ms = WAITS_MS[Math.min(this.#failures, WAITS_MS.length - 1)]) {
    this.#failures += 1;
    this.#waits = state;
    this.told.state(state, this.#items.length);
    await new Promise((resolve) => { this.#wake = resolve; setTimeout(resolve, ms); });
    this.#wake = null;
    this.#waits = "";
  }

  #isHere(item) {
    return item.study === this.study && item.page === this.page;
  }

  #rename(item) {
    localStorage.removeItem(this.#key(item));
    item.save = name();
    this.#store(item);
    return item.save;
  }

  #key(item) {
    return `${ROOT}/${this.account}/${item.study}/${item.page}/${item.save}`;
  }

  #store(item) {
    const { parked, tried, ...kept } = item;
    try {
      localStorage.setItem(this.#key(item), JSON.stringify(kept));
    } catch { /* without storage the answer lives in this tab until it is sent */ }
  }

  #drop(item) {
    localStorage.removeItem(this.#key(item));
    this.#items.splice(this.#items.indexOf(item), 1);
  }
}

export function name() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
