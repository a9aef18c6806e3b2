// Requests to this server, and nothing else. Every failure is a Problem with one sentence.

export class Problem extends Error {
  constructor(sentence, status) { super(sentence); this.status = status; }
}

let revision = null;
let onChange = () => {};
export const revisionNow = () => revision;
// Call `listener` whenever answers come from another index than before.
export function whenIndexChanges(listener) { onChange = listener; }

const wait = (seconds, signal) => new Promise((done, failed) => {
  const timer = setTimeout(done, seconds * 1000);
  signal?.addEventListener("abort", () => { clearTimeout(timer); failed(signal.reason); }, { once: true });
});

async function ask(path, options = {}, patience = 5, onBusy = () => {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. It may have been stopped; start `hashpipe serve` again.", 0);
  }
  if (response.status === 503 && patience > 0) {
    onBusy();
    await wait(Number(response.headers.get("Retry-After")) || 2, options.signal);
    return ask(path, options, patience - 1, onBusy);
  }
  if (!response.ok) throw new Problem(await sentence(response), response.status);
  const answer = await response.json();
  if (answer.revision && answer.revision !== revision) {
    const first = revision === null;
    revision = answer.revision;
    if (!first) onChange();
  }
  return answer;
}

export async function sentence(response) {
  try {
    return (await response.json()).detail || `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, value]) => value !== null && value !== undefined),
).toString();

export const get = (path, values = {}, signal = undefined) => ask(`${path}?${query(values)}`, { signal });

// Send a photo; `onBusy` is called when the server has no room for it and it is sent again.
export function sendPhoto(file, values, signal, onBusy) {
  const form = new FormData();
  form.append("photo", file, "photo"); // its name is nobody's business
  return ask(`/api/search?${query(values)}`, { method: "POST", body: form, signal }, 30, onBusy);
}

export const thumbnail = (photo, size = "small") => `/api/photos/${photo}/thumbnail?size=${size}`;
