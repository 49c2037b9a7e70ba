// What is wrong first; then nodes, queues and what waits in them, the last hour, pauses.
import {chart} from "./chart.js";
import {h, link, reading, route, table} from "./dom.js";
import {number, plural, span, time} from "./say.js";

const kLate = 60_000;
const kTwoColumns = 1100; // as in app.css, which counts the margins, too
const kBetween = 32;
const kReasons = ["scheduled", "backoff", "suspect"]; // these always have a column, any other where jobs wait for it
const kAlarming = ["suspect", "unclaimable"];
const kScopes = ["queue", "type", "tenant", "key"]; // what stops most comes first

const queuesOf = (status) => status.tables.flatMap((one) => one.queues.map((queue) => ({...queue, table: one.name})));

/// Of rowcrew's own tables a list of jobs reads both: only an adopted one is a condition.
const tableFilter = (status, name) => (status.adopted.some((one) => one.name === name) ? name : "");

const served = (status, queue) => status.nodes.filter((node) => node.queues.includes(queue)).length;

function problems(status) {
  const found = [];
  const add = (bad, href, text) => found.push(h("li", {class: bad ? "bad" : "warn"}, href ? link(href, text) : text));
  if (status.nodes.length === 0) add(true, null, "No live node: nothing runs.");
  else {
    const unserved = [...new Set(queuesOf(status).map((queue) => queue.name))].filter(
      (name) => served(status, name) === 0,
    );
    for (const name of unserved)
      add(true, route("jobs", "", {status: "waiting", queue: name}), `No live node serves queue ${name}.`);
  }
  for (const node of status.nodes) {
    for (const one of node.failing) add(true, null, `${node.name}: ${one.work} fail for ${span(one.for_ms)}: ${one.error}`);
  }
  for (const one of status.retention.filter((each) => each.overdue)) {
    add(false, null, `Retention policy ${one.policy} has not come to its end for ${span(one.age_ms)}: its table grows.`);
  }
  for (const one of status.adopted.filter((each) => each.mode === "held")) {
    add(
      true,
      null,
      `${one.name} is held, nothing of it is claimed until rowcrew adopt --repair: ${one.hold_reason ?? "no reason given"}`,
    );
  }
  for (const queue of queuesOf(status)) {
    const filter = {status: "waiting", queue: queue.name, table: tableFilter(status, queue.table)};
    if (queue.oldest_ready_ms > kLate) {
      add(
        false,
        route("jobs", "", filter),
        `Queue ${queue.name} of ${queue.table}: the oldest of ${plural(queue.ready, "ready job")} has waited for ${span(queue.oldest_ready_ms)}.`,
      );
    }
    for (const reason of kAlarming.filter((each) => queue.parked[each] > 0)) {
      add(
        false,
        route("jobs", "", filter),
        `Queue ${queue.name} of ${queue.table}: ${plural(queue.parked[reason], "job")} ${reason}.`,
      );
    }
  }
  for (const one of status.tables.filter((each) => each.failed_last_hour > 0)) {
    add(
      false,
      route("jobs", "", {status: "failed", table: tableFilter(status, one.name)}),
      `${one.name}: ${plural(one.failed_last_hour, "job")} failed in the last hour.`,
    );
  }
  return h(
    "section",
    {"data-key": "problems", "aria-labelledby": "problems-title"},
    h("h2", {id: "problems-title"}, "What is wrong"),
    found.length === 0
      ? h(
          "p",
          {class: "good"},
          "Nothing: every queue is served, nothing ready is older than a minute, nothing failed in the last hour.",
        )
      : h("ul", {class: "problems"}, found),
  );
}

const section = (key, title, ...content) =>
  h("section", {"data-key": key, "aria-labelledby": `${key}-title`}, h("h2", {id: `${key}-title`}, title), content);

function nodes(status) {
  return section(
    "nodes",
    "Nodes",
    table(
      "Nodes",
      [
        "Node",
        "Host",
        ["PID", "number"],
        "Version",
        ["Up", "number"],
        ["Beat", "number"],
        ["Claimed", "number"],
        "Queues",
      ],
      status.nodes.map((node) => ({
        key: `${node.host} ${node.pid} ${node.name}`,
        cells: [
          node.name,
          node.host,
          String(node.pid),
          node.version,
          span(node.uptime_ms),
          `${span(node.beat_age_ms)} ago`,
          number(node.claimed),
          {class: "wrap", of: node.queues.join(", ")},
        ],
      })),
      "No live node.",
    ),
  );
}

function count(value, href) {
  return value === 0 ? h("span", {class: "quiet"}, "0") : link(href, number(value));
}

function queues(status) {
  const all = queuesOf(status);
  const reasons = [
    ...new Set([
      ...kReasons,
      ...all.flatMap((queue) => Object.keys(queue.parked).filter((reason) => queue.parked[reason] > 0)),
    ]),
  ];
  const paused = new Set(status.paused.filter((pause) => pause.scope === "queue").map((pause) => pause.name));
  const rows = all.map((queue) => {
    const filter = {queue: queue.name, table: tableFilter(status, queue.table)};
    const waiting = (word) => route("jobs", "", {status: word, ...filter});
    const words = {scheduled: "pending", backoff: "retrying"};
    const by = served(status, queue.name);
    return {
      key: `${queue.table} ${queue.name}`,
      cells: [
        [link(route("jobs", "", filter), queue.name), paused.has(queue.name) && h("span", {class: "tag"}, "paused")],
        queue.table,
        {class: by === 0 ? "bad" : null, of: number(by)},
        count(queue.ready, waiting("waiting")),
        {
          class: queue.oldest_ready_ms > kLate ? "warn" : null,
          of: queue.oldest_ready_ms === null ? h("span", {class: "quiet"}, "–") : span(queue.oldest_ready_ms),
        },
        ...reasons.map((reason) => ({
          class: kAlarming.includes(reason) && queue.parked[reason] > 0 ? "warn" : null,
          of: count(queue.parked[reason] ?? 0, waiting(words[reason] ?? "waiting")),
        })),
      ],
    };
  });
  const heads = [
    "Queue",
    "Table",
    ["Nodes", "number"],
    ["Ready", "number"],
    ["Oldest", "number"],
    ...reasons.map((reason) => [reason, "number"]),
  ];
  const capped = status.tables
    .filter((one) => !one.counted_all)
    .map((one) => h("p", {class: "quiet"}, `${one.name}: more are waiting than were counted.`));
  return section("queues", "Queues", table("Queues", heads, rows, "Nothing waits."), capped);
}

function tables(status) {
  return section(
    "tables",
    "Tables",
    table(
      "Tables",
      ["Table", ["Claimed", "number"], ["Completed a minute", "number"], ["Failed in the last hour", "number"]],
      status.tables.map((one) => {
        const filter = {table: tableFilter(status, one.name)};
        return {
          key: one.name,
          cells: [
            one.name,
            count(one.claimed, route("jobs", "", {status: "processing", ...filter})),
            number(one.completed_per_minute),
            {
              class: one.failed_last_hour > 0 ? "warn" : null,
              of: count(one.failed_last_hour, route("jobs", "", {status: "failed", ...filter})),
            },
          ],
        };
      }),
      "No tables.",
    ),
  );
}

/// Those that fail most first, as rowcrew status has them.
function types(status) {
  const all = status.tables.flatMap((one) => one.types.map((type) => ({...type, table: one.name})));
  if (all.length === 0) return null;
  all.sort((a, b) => b.failed_last_hour - a.failed_last_hour || b.retried_last_hour - a.retried_last_hour);
  const heads = ["Type", "Table", ["Completed a minute", "number"], ["Failed", "number"], ["Retried", "number"], ["Mean", "number"], ["Longest", "number"]];
  const rows = all.map((type) => {
    const filter = {type: type.name, table: tableFilter(status, type.table)};
    return {
      key: `${type.table} ${type.name}`,
      cells: [
        link(route("jobs", "", filter), type.name),
        type.table,
        number(type.completed_per_minute),
        {class: type.failed_last_hour > 0 ? "warn" : null, of: count(type.failed_last_hour, route("jobs", "", {status: "failed", ...filter}))},
        count(type.retried_last_hour, route("jobs", "", {status: "retrying", ...filter})),
        span(type.mean_ms),
        span(type.longest_ms),
      ],
    };
  });
  return section("types", "Job types in the last hour", table("Job types in the last hour", heads, rows, ""));
}

function adopted(status) {
  if (status.adopted.length === 0) return null;
  return section(
    "adopted",
    "Adopted tables",
    table(
      "Adopted tables",
      ["Adopted", "Table", "Mode", ["Conflicts", "number"], ["In the last hour", "number"]],
      status.adopted.map((one) => ({
        key: one.name,
        cells: [
          link(route("jobs", "", {table: one.name}), one.name),
          one.table,
          {class: one.mode === "held" ? "bad" : null, of: one.mode},
          number(one.conflicts),
          number(one.conflicts_last_hour),
        ],
      })),
      "",
    ),
  );
}

export const resumeButton = (scope, name) =>
  h(
    "button",
    {
      type: "button",
      "data-act": "resume",
      "data-scope": scope,
      "data-name": name,
      "aria-label": `Resume ${scope} ${name}`,
    },
    "Resume",
  );

function pauseForm(status, query) {
  const names = [
    ...new Set([...queuesOf(status).map((queue) => queue.name), ...status.nodes.flatMap((node) => node.queues)]),
  ].sort();
  return h(
    "form",
    {"data-form": "pause", "data-key": "pause-form", class: "row", "aria-label": "Pause"},
    h(
      "label",
      null,
      "Pause ",
      h(
        "select",
        {name: "scope", value: kScopes.includes(query.scope) ? query.scope : "queue"},
        kScopes.map((scope) => h("option", {value: scope}, scope)),
      ),
    ),
    h(
      "label",
      null,
      "Name ",
      h("input", {
        name: "name",
        required: true,
        value: query.name ?? "",
        autocomplete: "off",
        spellcheck: "false",
        list: "pause-names",
      }),
    ),
    h(
      "datalist",
      {id: "pause-names"},
      names.map((name) => h("option", {value: name})),
    ),
    h(
      "label",
      null,
      "For ",
      h("input", {
        name: "for",
        class: "short",
        value: "",
        autocomplete: "off",
        placeholder: "until resumed",
        pattern: "\\s*[0-9]{1,9}\\s*(ms|s|m|min|h|d)\\s*",
        title: "30m, 2h, 1d; nothing: until it is resumed",
      }),
    ),
    h("label", null, "Reason ", h("input", {name: "reason", value: "", autocomplete: "off", maxlength: 500})),
    h("button", {type: "submit"}, "Pause"),
  );
}

function pauses(fleet, query) {
  const sorted = [...fleet.pauses].sort((a, b) => kScopes.indexOf(a.scope) - kScopes.indexOf(b.scope));
  const heads = ["Name", "What", "Reason", "By", "Since", "Until", ...(fleet.acts ? [""] : [])];
  const rows = sorted.map((pause) => ({
    key: `${pause.scope} ${pause.name}`,
    cells: [
      {class: "wrap", of: pause.name},
      pause.scope,
      {class: "wrap", of: pause.reason},
      pause.paused_by,
      time(pause.since),
      time(pause.until) ?? "it is resumed",
      ...(fleet.acts ? [{class: "act", of: resumeButton(pause.scope, pause.name)}] : []),
    ],
  }));
  return section(
    "pauses",
    "Pauses",
    table("Pauses", heads, rows, "Nothing is paused."),
    fleet.acts && [
      pauseForm(fleet.status, query),
      h("p", {class: "quiet"}, "Nodes start nothing of it, within a second; what runs goes on."),
    ],
  );
}

export const overview = {
  title: () => "Overview",
  always: true, // it shows the fleet itself, which is read before every view
  read: async () => ({}),
  show({query}, _data, fleet, width) {
    if (!fleet) return [reading()];
    const {status} = fleet;
    const chartWidth = width > kTwoColumns ? (width - kBetween) * 0.4 : width;
    return [
      problems(status),
      h(
        "div",
        {"data-key": "columns", class: "columns"},
        h("div", {"data-key": "left"}, queues(status), nodes(status), pauses(fleet, query)),
        h("div", {"data-key": "right"}, chart(fleet.minutes, chartWidth), tables(status), types(status), adopted(status)),
      ),
    ];
  },
};
