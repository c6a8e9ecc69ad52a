// The page /ui: classify a text, see every probability, say whether the label is correct, see which model answered.
// Speaks to this service only; texts are put into the page as text, never as HTML. Requests have the source "ui", so that
// monitoring does not count texts that people try out.
"use strict";

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(share * 100).toFixed(share > 0.0005 && share < 0.9995 ? 1 : 0)} %`;

const FEW_LABELS = 10; // more are shown when asked for

let last = null; // the prediction that is shown

// -- asking the service --------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, error, retryAfter) {
    super(error.message);
    Object.assign(this, { status, code: error.code, requestId: error.request_id, retryAfter });
  }
}

async function ask(path, body) {
  for (;;) {
    const headers = { "X-Source": "ui" };
    const key = sessionStorage.getItem("key");
    if (key) headers["X-API-Key"] = key;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    if (response.status === 401) {
      await response.text(); // an answer that is not read keeps its connection
      await askForKey(Boolean(key));
      continue;
    }
    const content = await response.json();
    if (!response.ok) throw new Refused(response.status, content.error, response.headers.get("Retry-After"));
    return content;
  }
}

let asking = null; // one dialog, however many requests wait for the key

function askForKey(refused) {
  if (asking) return asking;
  const dialog = $("ask-key");
  $("key-title").textContent = refused ? "This key is not accepted" : "A key is needed";
  $("key").value = "";
  dialog.showModal();
  asking = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      asking = null;
      if (!$("key").value) return resolve(askForKey(refused)); // Escape: nothing works without one
      sessionStorage.setItem("key", $("key").value);
      resolve();
    }, { once: true });
  });
  return asking;
}

function showProblem(error) {
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const id = error.requestId ? ` (request ${error.requestId})` : "";
  const message = error instanceof Refused ? `${error.message}.${wait}${id}` : "The service does not answer.";
  $("problem").textContent = message.charAt(0).toUpperCase() + message.slice(1);
  $("problem").hidden = false;
}

// -- classifying ---------------------------------------------------------------------------------------------------

async function classify(event) {
  event.preventDefault();
  $("problem").hidden = true;
  $("send").disabled = true;
  try {
    const started = performance.now();
    const answer = await ask("classify", { text: $("text").value });
    showAnswer(answer, performance.now() - started);
  } catch (error) {
    $("answer").hidden = true;
    showProblem(error);
  } finally {
    $("send").disabled = false;
  }
}

function showAnswer({ model, predictions: [prediction] }, milliseconds) {
  last = prediction;
  $("label").textContent = prediction.label;
  $("score").textContent = percent(prediction.score);
  showBars(FEW_LABELS);
  $("cut").hidden = !prediction.truncated;
  $("cut").textContent = `The text has ${prediction.tokens} tokens; the model read the first part of it only.`;
  const alias = model.alias ? ` (${model.alias})` : "";
  $("answered-by").textContent =
    `${model.name} version ${model.version}${alias} answered in ${milliseconds.toFixed(0)} ms; ` +
    `${prediction.tokens} tokens${prediction.stage ? `, stage ${prediction.stage}` : ""}.`;
  const others = prediction.scores.map(({ label }) => label).filter((label) => label !== prediction.label).sort();
  const unchosen = new Option("Choose a label", "", true, true);
  unchosen.disabled = true;
  const options = others.map((label) => new Option(label, label));
  $("true-label").replaceChildren(...(others.length > 1 ? [unchosen, ...options] : options));
  choose(null);
  $("saved").textContent = "";
  $("answer").hidden = false;
  if (model.version !== $("facts").dataset.version) showModel();
}

function showBars(count) {
  const { scores } = last;
  $("bars").replaceChildren(...scores.slice(0, scores.length > FEW_LABELS ? count : undefined).map(bar));
  $("all-labels").hidden = scores.length <= count;
  $("all-labels").textContent = `Show all ${scores.length} labels`;
}

function bar({ label, score }) {
  const item = document.createElement("li");
  const name = Object.assign(document.createElement("span"), { className: "name", textContent: label });
  const value = Object.assign(document.createElement("span"), { className: "value", textContent: percent(score) });
  const track = Object.assign(document.createElement("span"), { className: "track" });
  const fill = Object.assign(document.createElement("span"), { className: "fill" });
  track.setAttribute("aria-hidden", "true"); // the number beside it says the same
  fill.style.width = `${score * 100}%`;
  track.append(fill);
  item.append(name, value, track);
  return item;
}

// -- feedback ------------------------------------------------------------------------------------------------------

// Both answers are asked for alike: labels of wrong answers alone would make the model look worse than it is.
function choose(correct) {
  $("right").setAttribute("aria-pressed", String(correct === true));
  $("wrong").setAttribute("aria-pressed", String(correct === false));
  $("correction").hidden = correct !== false;
}

async function save(label) {
  $("problem").hidden = true;
  $("saved").textContent = "";
  try {
    const result = await ask("feedback", { feedback: [{ id: last.id, label }] });
    $("saved").textContent = result.accepted
      ? `Saved: the correct label is ${label}.`
      : "Not saved: this service keeps no predictions.";
  } catch (error) {
    choose(null);
    showProblem(error);
  }
}

// -- the model -----------------------------------------------------------------------------------------------------

async function showModel() {
  try {
    const card = await ask("model");
    $("no-model").hidden = !card.problem;
    $("no-model").textContent = card.problem ? `Not up to date: ${card.problem}` : "";
    $("facts").dataset.version = card.version;
    fill("facts", [
      ["Name", card.name],
      ["Version", card.version],
      ["Follows", card.follows],
      ["Candidate", card.candidate],
      ["Labels", listed(card.labels)],
      ["Reads", card.max_length ? `${card.max_length} tokens` : "the whole text"],
      ...(card.cascade ? [["Stages", stagesOf(card.cascade)]] : []),
      ["Loaded", new Date(card.loaded_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })],
    ]);
    const figures = figuresOf(card.metrics);
    $("metrics-title").hidden = figures.length === 0;
    fill("figures", figures);
  } catch (error) {
    $("no-model").hidden = false;
    $("no-model").textContent = error instanceof Refused ? error.message : "The service does not answer.";
    setTimeout(showModel, 5000);
  }
}

// The stages of a cascade, with the share that was answered early and the agreement of audits, where they are known.
function stagesOf({ stages, early_share, agreement }) {
  const early = early_share === null ? "" : `; ${percent(early_share)} answered early`;
  return `${stages.join(", ")}${early}${agreement ? `, ${percent(agreement.value)} of audits agree` : ""}`;
}

// Those of the version's figures that a person can use: [name, value, interval or the like].
function figuresOf(metrics) {
  const known = (name) => Number.isFinite(metrics[name]);
  const range = (name, show) =>
    known(`${name}_low`) && known(`${name}_high`)
      ? `${show(metrics[`${name}_low`])} to ${show(metrics[`${name}_high`])} (95 %)`
      : "";
  const three = (value) => value.toFixed(3);
  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
  return [
    known("test_macro_f1") && ["Macro-F1", three(metrics.test_macro_f1), range("test_macro_f1", three)],
    known("test_accuracy") && ["Accuracy", percent(metrics.test_accuracy), range("test_accuracy", percent)],
    known("test_calibration_error") && ["Calibration error", percent(metrics.test_calibration_error)],
    known("live_test_accuracy") && ["Accuracy, live texts", percent(metrics.live_test_accuracy)],
    known("megabytes") && ["Size", `${metrics.megabytes.toFixed(1)} MB`],
    known("latency_ms_p50") && [
      "Latency per text",
      milliseconds(metrics.latency_ms_p50),
      known("latency_ms_p95") ? `95th percentile ${milliseconds(metrics.latency_ms_p95)}` : "",
    ],
  ].filter(Boolean);
}

function listed(labels) {
  const rest = labels.length - FEW_LABELS;
  return rest > 1 ? `${labels.slice(0, FEW_LABELS).join(", ")} and ${rest} more` : labels.join(", ");
}

function fill(id, rows) {
  $(id).replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value, below]) => {
    const term = Object.assign(document.createElement("dt"), { textContent: name });
    const detail = Object.assign(document.createElement("dd"), { textContent: value });
    if (below) detail.append(Object.assign(document.createElement("span"), { className: "interval", textContent: below }));
    return [term, detail];
  }));
}

$("classify").addEventListener("submit", classify);
$("all-labels").addEventListener("click", () => showBars(Infinity));
$("right").addEventListener("click", () => {
  choose(true);
  save(last.label);
});
$("wrong").addEventListener("click", () => choose(false));
$("feedback").addEventListener("submit", (event) => {
  event.preventDefault();
  save($("true-label").value);
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("classify").requestSubmit();
});
showModel();
