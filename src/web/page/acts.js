// What the page changes: each act is asked for in a dialog that names its object, or by the form that pauses.
import {act} from "./api.js";
import {h} from "./dom.js";
import {parseSpan} from "./say.js";

const byId = (id) => document.getElementById(id);

const kTexts = {
  cancel: [
    "Cancel this job?",
    "Cancel it",
    "One that runs is stopped on its node, and ends as cancelled also if it succeeds meanwhile.",
  ],
  redrive: ["Redrive this job?", "Redrive it", "It runs again from its first attempt. Its age goes on counting."],
  resume: ["Resume?", "Resume", "Nodes start jobs of it again."],
};

const kCancelled = {
  cancelled: "cancelled",
  foreign: "it runs, but not by a claim of the fleet: who runs it has to end it",
};

function cancelText(job, answer) {
  if (answer === "requested") return job.includes(":") ? "asked: a node ends it" : "it runs: its node is told";
  return kCancelled[answer] ?? "it had ended before";
}

function answerText(name, body, answer) {
  if (name === "cancel") return `${body.job}: ${cancelText(body.job, answer)}`;
  if (name === "redrive")
    return `${body.job}: ${answer === "redriven" ? answer : `${answer}, expected one that failed`}`;
  return `${body.scope} ${body.name}: ${answer}`;
}

/// Resolves with {reason}, or null if it is left.
function askFor(title, subject, text, yes, withReason) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-text").replaceChildren(h("strong", null, subject), h("br"), text);
  byId("ask-yes").textContent = yes;
  byId("ask-reason").value = "";
  byId("ask-reason-label").hidden = !withReason;
  return new Promise((resolve) => {
    let answer = null;
    byId("ask-form").onsubmit = (event) => {
      event.preventDefault();
      answer = {reason: byId("ask-reason").value.trim()};
      dialog.close();
    };
    byId("ask-no").onclick = () => dialog.close();
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
  });
}

/// What a button with data-act wants, as {name, body}, or null if the dialog was left.
export async function askOfButton({act: name, job, scope, name: object}) {
  const [title, yes, text] = kTexts[name];
  const asked = await askFor(title, job ?? `${scope} ${object}`, text, yes, Boolean(job));
  if (!asked) return null;
  return {name, body: job ? {job, reason: asked.reason || null} : {scope, name: object}};
}

/// What the form that pauses wants.
export function askOfForm(form) {
  const field = (name) => form.elements[name].value.trim();
  return {
    name: "pause",
    body: {
      scope: field("scope"),
      name: field("name"),
      reason: field("reason") || null,
      for_ms: field("for") === "" ? null : parseSpan(field("for")),
    },
  };
}

export function emptyForm(form) {
  for (const name of ["name", "for", "reason"]) form.elements[name].value = "";
}

/// Does it, and answers with a sentence.
export async function carryOut({name, body}) {
  return answerText(name, body, await act(name, body));
}
