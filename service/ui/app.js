// The page /ui: classify a text, see every probability, correct the label, see which model answered.
// Speaks to this service only; texts are put into the page as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(share * 100).toFixed(share > 0.0005 && share < 0.9995 ? 1 : 0)} %`;

let last = null; // the prediction that is shown
let labels = [];

// -- asking the service --------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, error, retryAfter) {
    super(error.message);
    Object.assign(this, { status, code: error.code, requestId: error.request_id, retryAfter });
  }
}

async function ask(path, body) {
  for (;;) {
    const headers = {};
    const key = sessionStorage.getItem("key");
    if (key) headers["X-API-Key"] = key;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    if (response.status === 401) {
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
    const answer = await ask("/classify", { text: $("text").value });
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
  $("bars").replaceChildren(...prediction.scores.map(bar));
  $("cut").hidden = !prediction.truncated;
  $("cut").textContent = `The text has ${prediction.tokens} tokens; the model read the first part of it only.`;
  const alias = model.alias ? ` (${model.alias})` : "";
  $("source").textContent =
    `${model.name} version ${model.version}${alias} answered in ${milliseconds.toFixed(0)} ms; ` +
    `${prediction.tokens} tokens.`;
  labels = prediction.scores.map(({ label }) => label).sort();
  $("true-label").replaceChildren(...labels.map((label) => new Option(label, label, false, label === prediction.label)));
  $("thanks").textContent = "";
  $("answer").hidden = false;
  if (model.version !== $("facts").dataset.version) showModel();
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

// -- correcting ----------------------------------------------------------------------------------------------------

async function correct(event) {
  event.preventDefault();
  $("problem").hidden = true;
  const label = $("true-label").value;
  try {
    const result = await ask("/feedback", { feedback: [{ id: last.id, label }] });
    $("thanks").textContent = result.accepted
      ? `Thank you: noted as ${label}.`
      : "This service keeps no predictions, so there is nothing to correct.";
  } catch (error) {
    showProblem(error);
  }
}

// -- the model -----------------------------------------------------------------------------------------------------

async function showModel() {
  try {
    const card = await ask("/model");
    $("no-model").hidden = !card.problem;
    $("no-model").textContent = card.problem ? `Not up to date: ${card.problem}` : "";
    $("facts").dataset.version = card.version;
    fill("facts", [
      ["Name", card.name],
      ["Version", card.version],
      ["Follows", card.follows],
      ["Kind", card.candidate],
      ["Labels", card.labels.join(", ")],
      ["Reads", card.max_length ? `${card.max_length} tokens` : "the whole text"],
      ["Loaded", new Date(card.loaded_at).toLocaleString()],
    ]);
    const figures = withIntervals(card.metrics);
    $("metrics-title").hidden = figures.length === 0;
    fill("figures", figures);
  } catch (error) {
    $("no-model").hidden = false;
    $("no-model").textContent = error instanceof Refused ? error.message : "The service does not answer.";
    setTimeout(showModel, 5000);
  }
}

// test_macro_f1 with test_macro_f1_low and test_macro_f1_high becomes one line with its interval.
function withIntervals(metrics) {
  return Object.entries(metrics)
    .filter(([name]) => !/_(low|high)$/.test(name))
    .map(([name, value]) => {
      const [low, high] = [metrics[`${name}_low`], metrics[`${name}_high`]];
      const interval = low === undefined || high === undefined ? "" : `${low.toFixed(3)} to ${high.toFixed(3)}`;
      const shown = Number.isInteger(value) ? value.toLocaleString() : value.toFixed(3);
      return [name.replaceAll("_", " "), shown, interval];
    });
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
$("correct").addEventListener("submit", correct);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("classify").requestSubmit();
});
showModel();
