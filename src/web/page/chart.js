// The last hour, minute by minute: what completed above; what failed and was retried below, by a scale of its own, since
// three failures would not be seen beside a hundred thousand ends.
import {h, svg} from "./dom.js";
import {number, now, plural} from "./say.js";

const kMinutes = 60;
const kMinute = 60_000;
const kLeft = 52;
const kTop = 10;
const kUpper = 96;
const kGap = 20;
const kLower = 44;
const kBottom = 20;

const clockOf = (at) => new Date(at).toISOString().slice(11, 16);

/// The least round number that is not below value.
function niceTop(value) {
  const size = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * size).find((top) => top >= value && Number.isInteger(top));
}

/// Sixty slots up to the minute that is running; the server leaves out those without jobs.
function slotsOf(minutes) {
  const given = new Map(minutes.map((minute) => [Date.parse(minute.minute), minute]));
  const last = Math.floor(Math.max(now(), ...given.keys()) / kMinute) * kMinute;
  return Array.from({length: kMinutes}, (_, i) => {
    const at = last - (kMinutes - 1 - i) * kMinute;
    const {completed = 0, failed = 0, retried = 0, cancelled = 0} = given.get(at) ?? {};
    return {at, completed, failed, retried, cancelled, running: i === kMinutes - 1};
  });
}

function axis(top, y, height, width) {
  const line = (at) => svg("line", {class: "grid", x1: kLeft, x2: width, y1: at, y2: at});
  const label = (text, at) =>
    svg("text", {class: "axis", x: kLeft - 6, y: at, "text-anchor": "end", "dominant-baseline": "middle"}, text);
  return [line(y), line(y + height), label(number(top), y), label("0", y + height)];
}

function picture(slots, width, summary) {
  const step = (width - kLeft) / kMinutes;
  const low = kTop + kUpper + kGap;
  const tops = [
    niceTop(Math.max(...slots.map((slot) => slot.completed))),
    niceTop(Math.max(...slots.map((slot) => slot.failed + slot.retried))),
  ];
  const height = low + kLower + kBottom;
  const bars = slots.flatMap((slot, i) => {
    const x = kLeft + i * step;
    const bar = (name, bottom, size) =>
      size > 0 &&
      svg("rect", {
        class: slot.running ? `${name} running` : name,
        x: x.toFixed(1),
        width: Math.max(step - 1, 1).toFixed(1),
        y: (bottom - Math.max(size, 1)).toFixed(1),
        height: Math.max(size, 1).toFixed(1),
      });
    const failed = (slot.failed / tops[1]) * kLower;
    const words =
      `${clockOf(slot.at)} UTC${slot.running ? ", still running" : ""}: ${number(slot.completed)} completed, ` +
      `${number(slot.failed)} failed, ${number(slot.retried)} retried`;
    return [
      bar("completed", kTop + kUpper, (slot.completed / tops[0]) * kUpper),
      bar("failed", low + kLower, failed),
      bar("retried", low + kLower - failed, (slot.retried / tops[1]) * kLower),
      svg(
        "rect",
        {class: "hit", x: x.toFixed(1), width: step.toFixed(1), y: kTop, height: low + kLower - kTop},
        svg("title", null, words),
      ),
    ];
  });
  const times = slots
    .filter((slot) => new Date(slot.at).getUTCMinutes() % 15 === 0)
    .map((slot) => {
      const x = kLeft + (slots.indexOf(slot) + 0.5) * step;
      return (
        x < width - 16 &&
        svg("text", {class: "axis", x: x.toFixed(1), y: height - 5, "text-anchor": "middle"}, clockOf(slot.at))
      );
    });
  return svg(
    "svg",
    {class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": summary},
    axis(tops[0], kTop, kUpper, width),
    axis(tops[1], low, kLower, width),
    bars,
    times,
  );
}

function byTheMinute(slots) {
  const rows = [...slots].reverse().map((slot) =>
    h(
      "tr",
      null,
      h("th", {scope: "row"}, clockOf(slot.at)),
      ["completed", "failed", "retried", "cancelled"].map((name) => h("td", {class: "number"}, number(slot[name]))),
    ),
  );
  const heads = ["completed", "failed", "retried", "cancelled"].map((name) =>
    h("th", {scope: "col", class: "number"}, name),
  );
  return h(
    "details",
    null,
    h("summary", null, "By the minute"),
    h(
      "div",
      {class: "scroll low", tabindex: 0, role: "region", "aria-label": "By the minute"},
      h("table", null, h("thead", null, h("tr", null, h("th", {scope: "col"}, "UTC"), heads)), h("tbody", null, rows)),
    ),
  );
}

export function chart(minutes, width) {
  const slots = slotsOf(minutes);
  const sum = (name) => slots.reduce((all, slot) => all + slot[name], 0);
  const busiest = slots.reduce((most, slot) => (slot.completed > most.completed ? slot : most));
  const counts = ["completed", "failed", "retried", "cancelled"]
    .map((name) => `${number(sum(name))} ${name}`)
    .join(", ");
  if (slots.every((slot) => slot.completed + slot.failed + slot.retried + slot.cancelled === 0)) {
    return h("section", {"data-key": "chart"}, h("h2", null, "Last hour"), h("p", {class: "quiet"}, "Nothing ended."));
  }
  const summary =
    busiest.completed === 0
      ? counts
      : `${counts}; most in the minute of ${clockOf(busiest.at)} UTC: ${plural(busiest.completed, "job")}`;
  const mark = (name) =>
    h(
      "span",
      {class: "legend"},
      svg("svg", {width: 10, height: 10, "aria-hidden": "true"}, svg("rect", {class: name, width: 10, height: 10})),
      " " + name,
    );
  return h(
    "section",
    {"data-key": "chart", "aria-labelledby": "chart-title"},
    h("h2", {id: "chart-title"}, "Last hour"),
    h("p", null, summary + "."),
    h("p", {class: "quiet"}, "Jobs a minute: ", mark("completed"), mark("failed"), mark("retried")),
    picture(slots, Math.max(280, Math.floor(width)), summary),
    byTheMinute(slots),
  );
}
