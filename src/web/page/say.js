// How the page says numbers, spans and times. Times are the database's: its clock comes with each look at the fleet.
import {h} from "./dom.js";

const kThin = "\u202f";
const kMinute = 60_000;
const kHour = 60 * kMinute;
const kDay = 24 * kHour;

let ahead = 0;

export function setClock(text) {
  const at = Date.parse(text);
  if (!Number.isNaN(at)) ahead = at - Date.now();
}

export const now = () => Date.now() + ahead;

/// 1 234 567, thin; at most one decimal.
export function number(value) {
  if (typeof value !== "number") return String(value ?? "");
  return value.toLocaleString("en-US", {maximumFractionDigits: 1}).replaceAll(",", kThin);
}

/// As rowcrew status says it: 1.5 s, 90 s, 12 min, 30 h, 3 d.
export function span(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}${kThin}s`;
  if (ms < 2 * kMinute) return `${Math.floor(ms / 1000)}${kThin}s`;
  if (ms < 2 * kHour) return `${Math.floor(ms / kMinute)}${kThin}min`;
  if (ms < 2 * kDay) return `${Math.floor(ms / kHour)}${kThin}h`;
  return `${number(Math.floor(ms / kDay))}${kThin}d`;
}

/// A span that somebody has set, exactly: 1 min, 90 s, 250 ms.
export function exactSpan(ms) {
  for (const [unit, size] of [
    ["d", kDay],
    ["h", kHour],
    ["min", kMinute],
    ["s", 1000],
  ]) {
    if (ms >= size && ms % size === 0) return `${number(ms / size)}${kThin}${unit}`;
  }
  return `${number(ms)}${kThin}ms`;
}

/// 30m or 2h, as the commands take it, in ms; null for anything else.
export function parseSpan(text) {
  const found = /^\s*(\d{1,9})\s*(ms|s|m|min|h|d)\s*$/.exec(text);
  const size = {ms: 1, s: 1000, m: kMinute, min: kMinute, h: kHour, d: kDay};
  return found ? Number(found[1]) * size[found[2]] : null;
}

function relative(at) {
  const off = at - now();
  const text = span(Math.abs(off) < 10_000 ? Math.floor(Math.abs(off) / 1000) * 1000 : Math.abs(off)).replace(".0", "");
  if (Math.abs(off) < 1000) return "now";
  return off > 0 ? `in ${text}` : `${text} ago`;
}

export function utc(at) {
  return new Date(at).toISOString().slice(0, 19).replace("T", " ") + " UTC";
}

/// When, relative, with the absolute time as its title; what is no time (infinity) as it is. null: nothing.
export function time(text) {
  if (text === null || text === undefined || text === "") return null;
  const at = Date.parse(text);
  if (Number.isNaN(at)) return text === "infinity" ? "never" : String(text);
  return h("time", {datetime: new Date(at).toISOString(), title: utc(at)}, relative(at));
}

/// Times go on while no answer comes.
export function ageTimes(root) {
  for (const element of root.querySelectorAll("time")) {
    const text = relative(Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}

/// One job, two jobs.
export const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;
