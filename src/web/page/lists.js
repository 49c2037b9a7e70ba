// Limits and the keys of one, schedules, the audit log.
import {h, link, reading, route, table} from "./dom.js";
import {jobLink, statusCell} from "./jobs.js";
import {resumeButton} from "./overview.js";
import {exactSpan, number, time} from "./say.js";

/// A rule in the words of rowcrew limit set.
function ruleText(limit) {
  const parts = [];
  if (limit.running !== null) parts.push(`at most ${number(limit.running)} at once`);
  if (limit.units !== null) parts.push(`${number(limit.units)} per ${exactSpan(limit.per_ms)}`);
  if (limit.burst !== null) parts.push(`up to ${number(limit.burst)} from a full bucket`);
  if (limit.weight) parts.push(`a job counts as its ${limit.weight}`);
  return parts.length === 0 ? "no number, a lane" : parts.join(", ");
}

function limitKeys(name, keys, fleet) {
  const heads = [
    "Key",
    ["Running", "number"],
    ["Room", "number"],
    ["Waiting", "number"],
    "Paused",
    ...(fleet?.acts ? [""] : []),
  ];
  return [
    h("h2", null, `Keys of ${name}`),
    table(
      `Keys of ${name}`,
      heads,
      keys.map((key) => ({
        key: key.key,
        cells: [
          {class: "wrap", of: key.key},
          number(key.running),
          number(key.room),
          number(key.waiting),
          key.paused ? ["until ", time(key.paused_until) ?? "it is resumed"] : "",
          ...(fleet?.acts
            ? [
                {
                  class: "act",
                  of: key.paused
                    ? resumeButton("key", key.key)
                    : link(route("", "", {scope: "key", name: key.key}), "Pause …"),
                },
              ]
            : []),
        ],
      })),
      "None of its keys is in use.",
    ),
    h(
      "p",
      {class: "quiet"},
      "Those first that most jobs wait for; room of a rate in units. ",
      link(route("limits"), "Hide the keys"),
    ),
  ];
}

export const limits = {
  title: (asked) => (asked.argument ? `Limit ${asked.argument}` : "Limits"),
  async read(asked, look) {
    const {limits: rules} = await look("limits");
    return {rules, keys: asked.argument ? (await look("limit", {name: asked.argument})).keys : null};
  },
  show(asked, data, fleet) {
    if (!data) return [reading()];
    return [
      table(
        "Limits",
        ["Name", "Rule", "Of queue", "Of type", "A key per", ["Keys in use", "number"], "Set by", "Set"],
        data.rules.map((limit) => ({
          key: limit.name,
          "aria-current": limit.name === asked.argument ? "true" : null,
          cells: [
            link(route("limits", limit.name), limit.name),
            {class: "wrap", of: ruleText(limit)},
            limit.queue ?? "any",
            limit.type ?? "any",
            limit.by ?? "–",
            number(limit.keys),
            limit.set_by,
            time(limit.set_at),
          ],
        })),
        "There are no limits.",
      ),
      data.keys && limitKeys(asked.argument, data.keys, fleet),
    ];
  },
};

function due(schedule) {
  if (schedule.problem) return {class: "bad wrap", of: schedule.problem};
  if (!schedule.enabled) return {class: "quiet", of: "off"};
  if (!schedule.due) return "never";
  return {class: schedule.overdue ? "bad" : null, of: [schedule.overdue ? "overdue, " : "", time(schedule.due)]};
}

export const schedules = {
  title: () => "Schedules",
  read: (_asked, look) => look("schedules"),
  show(_asked, data) {
    if (!data) return [reading()];
    return [
      table(
        "Schedules",
        ["Name", "When", "Zone", "Type", "Queue", "Due", "Last", "Job", "Status"],
        data.schedules.map((one) => ({
          key: one.name,
          cells: [
            one.name,
            one.every_ms === null ? h("code", null, one.cron) : `every ${exactSpan(one.every_ms)}`,
            one.every_ms === null ? one.zone : "",
            one.job_type,
            one.queue,
            due(one),
            time(one.last),
            one.job ? {class: "name", of: jobLink(one.job)} : "",
            one.last && !one.job ? {class: "quiet", of: "no job"} : statusCell(one.status),
          ],
        })),
        "There are no schedules.",
      ),
      h(
        "p",
        {class: "quiet"},
        "No job: the one before had not ended and the schedule must not overlap, or it has been removed since.",
      ),
    ];
  },
};

const kDeepest = 8; // nobody reads on, and what is nested without end would end the script

/// A value in words; what is null is left out, and of what was not there before every field is.
function valueText(value, depth) {
  if (typeof value === "string") return value;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (depth > kDeepest) return "…";
  if (Array.isArray(value)) return `[${value.map((one) => valueText(one, depth + 1)).join(", ")}]`;
  return fieldTexts(value, " ", depth + 1).join(", ") || "nothing";
}

const fieldTexts = (object, between, depth) =>
  Object.entries(object ?? {})
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => name + between + valueText(value, depth));

const metadataText = ({before, after, ...rest}) => fieldTexts({before, after, ...rest}, ": ", 0).join("\n");

/// "job_queue ID" or "ADOPTED KEY" of an act on one job leads there.
function target(act) {
  const found = /^job\.(?:cancel|redrive)$/.test(act.action) && /^(\S+) (.+)$/s.exec(act.target ?? "");
  if (!found) return act.target;
  const [, name, key] = found;
  return [name, " ", link(route("job", ["job_queue", "processing_jobs"].includes(name) ? key : `${name}:${key}`), key)];
}

export const audit = {
  title: () => "Audit",
  read: (_asked, look) => look("audit"),
  show(_asked, data) {
    if (!data) return [reading()];
    return [
      table(
        "Audit",
        ["At", "Who", "Act", "Of", "Before, after, why"],
        data.acts.map((act) => ({
          key: act.id ?? `${act.at} ${act.action} ${act.target}`,
          cells: [
            time(act.at),
            act.actor,
            act.action,
            {class: "wrap", of: target(act)},
            {class: "metadata", of: metadataText(act.metadata ?? {})},
          ],
        })),
        "Nobody has done anything.",
      ),
      h("p", {class: "quiet"}, "The last hundred, newest first; rowcrew.audit_logs has all."),
    ];
  },
};
