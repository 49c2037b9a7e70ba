// Lists of jobs, and one job: why it stands as it does.
import {h, link, reading, route, table} from "./dom.js";
import {exactSpan, number, span, time} from "./say.js";

const kStatuses = ["waiting", "pending", "retrying", "processing", "completed", "failed", "cancelled"];
const kUsual = "50";
const kFields = [
  ["type", "Type"],
  ["queue", "Queue"],
  ["tenant", "Tenant"],
  ["error_code", "Error code"],
  ["table", "Adopted table"],
];
const kFilter = ["status", ...kFields.map(([name]) => name), "created_after", "limit"];

/// Where there is little room its end is shown: ids begin with the time.
export const jobLink = (name) => link(route("job", name), h("bdi", {dir: "ltr"}, name));

function filterForm(query) {
  const text = (name, label, more) =>
    h(
      "label",
      null,
      label + " ",
      h("input", {name, value: query[name] ?? "", autocomplete: "off", spellcheck: "false", ...more}),
    );
  const choice = (name, label, value, options) =>
    h(
      "label",
      null,
      label + " ",
      h(
        "select",
        {name, value},
        options.map(([word, shown]) => h("option", {value: word}, shown)),
      ),
    );
  return h(
    "form",
    {"data-form": "filter", "data-key": "filter", class: "row", role: "search", "aria-label": "Which jobs"},
    choice("status", "Status", query.status ?? "", [["", "any"], ...kStatuses.map((word) => [word, word])]),
    kFields.map(([name, label]) => text(name, label)),
    text("created_after", "Created after", {placeholder: "2026-05-01T12:00Z"}),
    choice(
      "limit",
      "At most",
      query.limit ?? kUsual,
      ["20", kUsual, "100", "200", "500"].map((word) => [word, word]),
    ),
    h("button", {type: "submit"}, "List"),
    " ",
    link(route("jobs"), "Clear"),
  );
}

/// When one that waits is due, one that runs was started, one that ended did so.
function at(job) {
  if (job.status === "pending" || job.status === "retrying") return ["due ", time(job.scheduled_at)];
  if (job.status === "processing") return ["started ", time(job.started_at) ?? "–"];
  return ["ended ", time(job.completed_at) ?? "–"];
}

const isBad = (status) => status === "failed";
export const statusCell = (status) => ({class: isBad(status) ? "bad" : null, of: status});

function error(job) {
  if (!job.error_code) return "";
  const message =
    ["failed", "retrying", "cancelled"].includes(job.status) && job.error_message ? `: ${job.error_message}` : "";
  return {class: "error", title: job.error_message, of: h("span", {class: "clamp"}, job.error_code + message)};
}

function jobRow(job) {
  return {
    key: job.job,
    "data-job": job.job,
    class: "leads",
    cells: [
      {class: "name", title: job.job, of: jobLink(job.job)},
      job.job_type,
      job.queue,
      {class: "wrap", of: job.tenant},
      statusCell(job.status),
      {class: "number", of: `${job.attempts}/${job.max_attempts}`},
      at(job),
      time(job.created_at),
      error(job),
    ],
  };
}

export const jobs = {
  title: () => "Jobs",
  filter: kFilter,
  read: (asked, look) => look("jobs", Object.fromEntries(kFilter.map((name) => [name, asked.query[name] ?? ""]))),
  show({query}, data) {
    const most = Number(query.limit ?? kUsual);
    const list = data && [
      table(
        "Jobs",
        ["Job", "Type", "Queue", "Tenant", "Status", ["Attempts", "number"], "At", "Created", "Error"],
        data.jobs.map(jobRow),
        "There are no such jobs.",
      ),
      h(
        "p",
        {class: "quiet"},
        data.jobs.length < most
          ? `${number(data.jobs.length)}, newest first.`
          : `The newest ${number(most)}; there may be more.`,
      ),
    ];
    return [filterForm(query), list ?? reading()];
  },
};

const kShown = ["table", "job_type", "queue", "tenant", "status", "attempts", "max_attempts", "crashes"];
const isTime = (text) => typeof text === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text);

const kDeepest = 8; // nobody reads on, and what is nested without end would end the script

function plain(value, depth = 0) {
  if (value === null || value === undefined) return "–";
  if (isTime(value)) return [time(value), h("span", {class: "quiet"}, " " + value.slice(0, 19).replace("T", " "))];
  if (typeof value === "number") return number(value);
  if (typeof value !== "object") return String(value);
  if (depth > kDeepest) return "…";
  return Object.entries(value).map(([name, one], i) => [
    i > 0 && ", ",
    !Array.isArray(value) && `${name.replaceAll("_", " ")} `,
    plain(one, depth + 1),
  ]);
}

/// The jobs that hold a full key lead to themselves.
const detail = (name, value) =>
  name === "jobs" && Array.isArray(value) ? value.map((one, i) => [i > 0 && ", ", jobLink(one)]) : plain(value);

function details(why) {
  const {details: all} = why;
  const filter = (name, value) =>
    link(route("jobs", "", {[name]: value, table: why.job.includes(":") ? all.table : ""}), value);
  const pairs = [
    ["Answer", why.reason],
    ["Table", all.table],
    ["Type", all.job_type && filter("type", all.job_type)],
    ["Queue", all.queue && filter("queue", all.queue)],
    ["Tenant", all.tenant && filter("tenant", all.tenant)],
    ["Status", all.status],
    ["Attempts", all.attempts === null || all.attempts === undefined ? null : `${all.attempts} of ${all.max_attempts}`],
    ["Crashes", all.crashes],
    ["Until", why.until && plain(why.until)],
    ...Object.entries(all)
      .filter(([name]) => !kShown.includes(name))
      .map(([name, value]) => [name.replaceAll("_", " "), detail(name, value)]),
  ];
  return h(
    "dl",
    null,
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) =>
        h("div", {"data-key": name}, h("dt", null, name), h("dd", null, Array.isArray(value) ? value : [value])),
      ),
  );
}

/// What a button can do: a job that waits or runs is cancelled, one of ours that failed is redriven.
function buttons({why}, fleet) {
  const {status} = why.details;
  const isAdopted = why.job.includes(":");
  const acts = [];
  if (
    ["pending", "retrying", "processing"].includes(status) &&
    !["cancel_requested", "held", "shadow", "foreign"].includes(why.reason)
  )
    acts.push(["cancel", "Cancel …"]);
  if (status === "failed" && !isAdopted) acts.push(["redrive", "Redrive …"]);
  if (status === "failed" && isAdopted)
    return h(
      "p",
      {class: "quiet"},
      "Jobs of an adopted table are redriven by rowcrew redrive --table, with your own rights on it.",
    );
  if (!fleet?.acts || acts.length === 0) return null;
  return h(
    "p",
    {class: "buttons"},
    acts.map(([act, label]) => h("button", {type: "button", "data-act": act, "data-job": why.job}, label)),
  );
}

const kBad = [
  "failed",
  "poison",
  "node_lost",
  "no_node",
  "queue_unserved",
  "type_unserved",
  "unclaimable",
  "held",
  "unreadable",
  "unmapped",
];
const kWarn = ["suspect", "backoff", "paused", "cancel_requested", "limit", "rate"];

export const job = {
  title: (asked) => `Job ${asked.argument}`,
  read: (asked, look) => look("job", {job: asked.argument}),
  show(_asked, data, fleet) {
    if (!data) return [reading()];
    const {why, line, attempts} = data;
    const kind = kBad.includes(why.reason) ? "bad" : kWarn.includes(why.reason) ? "warn" : "";
    return [
      h("p", {class: `why ${kind}`}, line),
      buttons(data, fleet),
      h("h2", null, "Details"),
      details(why),
      h("h2", null, "Executions that did not complete"),
      table(
        "Executions that did not complete",
        ["Ended", ["Attempt", "number"], "Outcome", "Node", ["Took", "number"], "Error"],
        attempts.map((one) => ({
          key: `${one.ended_at} ${one.attempt}`,
          cells: [
            time(one.ended_at),
            number(one.attempt),
            {class: ["failed", "crashed"].includes(one.outcome) ? "bad" : null, of: one.outcome},
            one.node,
            typeof one.duration_ms === "number"
              ? one.duration_ms < 1000
                ? exactSpan(one.duration_ms)
                : span(one.duration_ms)
              : "",
            {class: "wrap", of: [one.error_code, one.error_message].filter(Boolean).join(": ")},
          ],
        })),
        "None.",
      ),
    ];
  },
};
