// Talking to the server: the key in this tab's memory alone, errors as one line, streams as they come.

const KEY = "radllama-key";
let me = { can_sign_in: false, person: null, csrf: null };

// Who is signed in at this browser, if people sign in here.
export async function whoAmI() {
  me = await (await fetch("/v1/me")).json();
  return me;
}

export async function signOut() {
  await send("/sign-out", {});
  location.reload();
}

export async function send(path, body, method = body === undefined ? "GET" : "POST") {
  const answer = await ask(path, body, method);
  return answer.json();
}

// Yields [event, data] as the server sends them.
export async function* stream(path, body, signal) {
  const answer = await ask(path, body, "POST", signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      yield [name, JSON.parse(/^data: (.*)$/m.exec(block)[1])];
    }
  }
}

export function say(text) {
  document.getElementById("said").textContent = text;
}

async function ask(path, body, method, signal) {
  for (;;) {
    const headers = { "Content-Type": "application/json" };
    const key = sessionStorage.getItem(KEY);
    if (key) headers.Authorization = `Bearer ${key}`;
    else if (me.csrf) headers["X-CSRF-Token"] = me.csrf;
    let answer;
    try {
      answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      // A session that has ended takes nothing along: what is on the page stays until the link is followed.
      if (me.can_sign_in && !key) throw new Error("Sign in first: the link stands above.");
      await askForKey();
      continue;
    }
    const told = await answer.json().catch(() => null);
    const wait = answer.headers.get("Retry-After");
    throw new Error((told?.error?.message ?? `The server answers ${answer.status}.`) + (wait ? ` (in ${wait} s)` : ""));
  }
}

function askForKey() {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key");
  input.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      if (!input.value.trim()) return reject(new Error("Without a key the server does not answer."));
      sessionStorage.setItem(KEY, input.value.trim());
      resolve();
    }, { once: true });
  });
}
