// What the page asks the server, and the token that it shows there.

const kToken = "rowcrew.token";
export const kPatience = 30_000;

let token = "";
try {
  token = sessionStorage.getItem(kToken) ?? "";
} catch {
  // A browser that stores nothing: the token lives as long as the page.
}

export const hasToken = () => token !== "";

export function setToken(text) {
  token = text.trim();
  try {
    sessionStorage.setItem(kToken, token);
  } catch {
    // as above
  }
}

/// Takes the token out of the address, so that a copied one, a bookmark and the way back do not have it. The browser's list of visits does:
/// it keeps an address before any script runs.
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search + "#/");
  try {
    setToken(decodeURIComponent(found[1]));
  } catch {
    setToken(found[1]);
  }
}

/// What the server says no with; status 0 if it said nothing that can be read.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(address, options) {
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Refusal(401, "a token has neither spaces nor letters beyond ASCII");
  const headers = {Authorization: `Bearer ${token}`, ...options.headers};
  let response;
  let body;
  try {
    response = await fetch(address, {cache: "no-store", credentials: "omit", redirect: "error", ...options, headers});
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError" || error.name === "TimeoutError") throw error;
    if (response?.status === 401) throw new Refusal(401, "the server asks for a token");
    throw new Refusal(
      0,
      response ? `the server's answer (${response.status}) cannot be read` : "the server does not answer",
    );
  }
  if (!response.ok) throw new Refusal(response.status, body?.message ?? `the server answers ${response.status}`);
  return body;
}

export function look(name, query, signal) {
  const words = String(new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value !== "")));
  return call(`api/${name}${words && "?" + words}`, {signal});
}

/// What it answers, as a word.
export async function act(name, body) {
  const options = {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(kPatience),
  };
  return (await call(`api/${name}`, options)).answer;
}
