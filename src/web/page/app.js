// The page of rowcrew web: routes, the refresh every few seconds, what is said of the connection.
//   dom.js elements, say.js numbers and times, api.js the server, acts.js what changes something,
//   overview.js, chart.js, jobs.js, lists.js the views.
import {askOfButton, askOfForm, carryOut, emptyForm} from "./acts.js";
import {hasToken, kPatience, look, Refusal, setToken, takeToken} from "./api.js";
import {h, morphChildren, route, shown} from "./dom.js";
import {job, jobs} from "./jobs.js";
import {audit, limits, schedules} from "./lists.js";
import {overview} from "./overview.js";
import {ageTimes, number, setClock, span} from "./say.js";

const kEvery = 5_000;
const kSlowest = 60_000;
const kFleetAge = 30_000; // of the fleet, where a view only needs its clock and whether it may act

const kViews = {"": overview, overview, jobs, job, limits, schedules, audit};

const byId = (id) => document.getElementById(id);
const root = byId("view");

let asked = null; // the route: {name, argument, query, view}
let fleet = null;
let fleetRead = 0;
let data = null; // what the view has read
let missing = false; // there is no such thing: the error says it all
let answered = null; // when the last answer came
let failures = 0;
let failure = "";
let acting = false;
let current = null; // the look that is under way
let timer = 0;

function parseRoute() {
  const [path, words = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, ...rest] = path.split("/");
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // a % that begins nothing: as it stands
  }
  return {
    name,
    argument,
    query: Object.fromEntries(new URLSearchParams(words)),
    view: Object.hasOwn(kViews, name) ? kViews[name] : null,
  };
}

function say(id, words) {
  const element = byId(id);
  const text = shown(words);
  if (element.textContent !== text) element.textContent = text; // said aloud once
}

function draw(fields) {
  const {view} = asked;
  const title = view ? view.title(asked) : "There is no such page";
  document.title = shown([title, fleet?.database, "rowcrew"].filter(Boolean).join(" · "));
  const content = view && !missing ? view.show(asked, data, fleet, root.clientWidth) : [];
  const sections = content.flat(Infinity).filter(Boolean);
  morphChildren(root, [h("h1", {tabindex: -1, "data-key": "title"}, title), ...sections], fields);
}

function drawHeader() {
  for (const link of byId("views").children) {
    const here = link.dataset.view === (asked.name === "" ? "overview" : asked.name === "job" ? "jobs" : asked.name);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!fleet) return;
  const where = h(
    "p",
    null,
    h("strong", null, "rowcrew"),
    ` ${fleet.version} · ${fleet.database} as ${fleet.role}`,
    !fleet.acts && h("span", {class: "tag"}, "read-only"),
  );
  morphChildren(byId("where"), [...where.childNodes]);
}

function drawConnection() {
  const age =
    answered === null
      ? "no answer yet"
      : `last answer ${number(Math.max(0, Math.floor((Date.now() - answered) / 1000)))} s ago`;
  say("connection", failure ? `${age}, asked again within ${span(delay()).replace(".0", "")}` : age);
  byId("connection").className = failure ? "bad" : "quiet";
  root.classList.toggle("failing", failure !== "");
  say("error", failure);
}

function notice(text, bad) {
  say("notice", text);
  byId("notice").classList.toggle("bad", Boolean(bad));
}

const focusOn = (selector) => root.querySelector(selector)?.focus({preventScroll: selector === "h1"});

function showLogin(text) {
  clearTimeout(timer);
  current?.abort();
  current = null;
  if (!byId("login").hidden) {
    if (text) say("error", text);
    return;
  }
  root.hidden = true;
  byId("login").hidden = false;
  say("error", text);
  byId("token").focus();
}

const delay = () => Math.min(kEvery * 2 ** failures, kSlowest);

function fail(error) {
  if (error instanceof Refusal && error.status === 401) {
    failure = "";
    showLogin(hasToken() ? error.message : "");
    setToken("");
    return;
  }
  ++failures;
  failure =
    error instanceof Refusal
      ? error.message
      : error.name === "AbortError"
        ? `the server has not answered for ${kPatience / 1000} s`
        : String(error);
  missing = error instanceof Refusal && error.status === 404;
  if (missing) draw(false);
}

/// One look at what the view shows, after the fleet where it is wanted; the next one is due when this one has ended.
async function refresh() {
  clearTimeout(timer);
  if (acting || document.hidden) return;
  if (!hasToken()) {
    showLogin("");
    return;
  }
  current?.abort();
  const mine = (current = new AbortController());
  const patience = setTimeout(() => mine.abort(), kPatience);
  const ask = (name, query) => look(name, query, mine.signal);
  try {
    if (!fleet || asked.view?.always || Date.now() - fleetRead > kFleetAge) {
      const read = await ask("fleet");
      if (mine !== current) return;
      fleet = read;
      fleetRead = Date.now();
      setClock(fleet.now);
    }
    const read = asked.view ? await asked.view.read(asked, ask) : null;
    if (mine !== current) return;
    data = read;
    answered = Date.now();
    missing = false;
    draw(false);
    failures = 0;
    failure = "";
  } catch (error) {
    if (mine !== current) return;
    fail(error);
  } finally {
    clearTimeout(patience);
  }
  if (mine !== current) return;
  current = null;
  drawHeader();
  drawConnection();
  timer = setTimeout(refresh, delay());
}

function open() {
  takeToken();
  const before = asked;
  asked = parseRoute();
  if (hasToken()) {
    byId("login").hidden = true;
    root.hidden = false;
  }
  const moved = before && (before.name !== asked.name || before.argument !== asked.argument);
  data = null;
  missing = false;
  failures = 0;
  failure = "";
  notice("");
  if (moved) root.replaceChildren();
  draw(true);
  drawHeader();
  drawConnection();
  if (moved) {
    scrollTo(0, 0);
    focusOn(asked.query.scope ? "[data-form=pause] [name=for]" : "h1");
  }
  refresh();
}

/// An act is no look: nothing aborts it, and nothing is looked at meanwhile. What it failed with stays to be read.
async function perform(wanted, form) {
  if (acting) return;
  acting = true;
  clearTimeout(timer);
  current?.abort();
  current = null;
  notice("");
  try {
    notice(await carryOut(wanted));
    if (form) emptyForm(form);
  } catch (error) {
    if (error.status === 401) fail(error);
    else
      notice(
        error.status > 0 ? error.message : `${error.message}: it may have been done, look before you repeat it`,
        true,
      );
  }
  acting = false;
  fleetRead = 0;
  await refresh();
  if (document.activeElement === document.body && !root.hidden) focusOn("h1"); // the button is no longer there
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) {
    askOfButton({...button.dataset}).then((wanted) => wanted && perform(wanted));
    return;
  }
  const row = event.target.closest("tr[data-job]");
  if (row && !event.target.closest("a") && String(getSelection()) === "") location.hash = route("job", row.dataset.job);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.form === "pause") {
    event.preventDefault();
    perform(askOfForm(form), form);
  } else if (form.dataset.form === "filter") {
    event.preventDefault();
    const wanted = route(
      "jobs",
      "",
      Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])),
    );
    if (wanted === location.hash) refresh();
    else location.hash = wanted;
  } else if (form.id === "login-form") {
    event.preventDefault();
    setToken(byId("token").value);
    byId("token").value = "";
    open();
  }
});

document.addEventListener("visibilitychange", refresh);
addEventListener("online", refresh);
addEventListener("hashchange", open);
addEventListener("resize", () => asked && !root.hidden && draw(false));
byId("skip").addEventListener("click", () => root.querySelector("h1")?.focus());
setInterval(() => {
  if (document.hidden || root.hidden) return;
  drawConnection();
  ageTimes(root);
}, 1000);
open();
