// The server: its token from the address, answers as json or float32, events as they come.

const KEY = "cgrec token";

/** The token of this tab; it leaves the address at once, so that no screenshot or bookmark has it. */
function token() {
  const given = /[#&]token=([\w-]+)/.exec(location.hash);
  if (given) {
    sessionStorage.setItem(KEY, given[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY) || "";
}

const HEADERS = { Authorization: `Bearer ${token()}` };

/** What the server refused, in its words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { ...options, headers: { ...HEADERS, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer: is cgrec view still running?");
  }
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).error || answer.statusText;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

export const name = encodeURIComponent;
export const json = async (path, options) => (await ask(path, options)).json();
export const floats = async (path) => new Float32Array(await (await ask(path)).arrayBuffer());
export const post = (path, body = {}) =>
  json(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

/** A file, as the body of a request; `told` is called with the share that has gone. */
export function send(path, file, told) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/${path}`);
    request.setRequestHeader("Authorization", HEADERS.Authorization);
    request.upload.onprogress = (event) => told(event.loaded / Math.max(1, file.size));
    request.onerror = () => failed(new Refused(0, `${file.name}: the server ended the transfer; it may be too large`));
    request.onload = () => {
      if (request.status === 200) return done();
      let text = request.statusText;
      try { text = JSON.parse(request.responseText).error; } catch { /* no json */ }
      return failed(new Refused(request.status, text));
    };
    request.send(file);
  });
}

/** Save what the server makes as a file. */
export async function download(path, filename) {
  const blob = await (await ask(path)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Events of a run from its beginning on; goes on by itself when the line is cut. Gives what ends it. */
export function listen(run, told) {
  const stop = new AbortController();
  let from = 0;
  (async () => {
    while (!stop.signal.aborted) {
      try {
        const answer = await ask(`runs/${name(run)}/events?from=${from}`, { signal: stop.signal });
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          text += value;
          const messages = text.split("\n\n");
          text = messages.pop();
          for (const message of messages) {
            const id = /^id: (\d+)$/m.exec(message), data = /^data: (.*)$/m.exec(message);
            if (id) from = Number(id[1]);
            if (data) told(JSON.parse(data[1]));
          }
        }
      } catch (error) {
        if (stop.signal.aborted || error.status === 404 || error.status === 401) return;
      }
      await new Promise((wait) => setTimeout(wait, 1000));
    }
  })();
  return () => stop.abort();
}
