"use strict";
const $ = id => document.getElementById(id), read = id => JSON.parse($(id).textContent);
const data = read("data"), specifications = read("charts"), exitColours = read("colours");
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer;
// Little-endian, as nearly every machine with a browser is.
const scores = data.scores.map(text => new Float32Array(bytes(text)));
const predictions = data.predictions.map(text => new Uint16Array(bytes(text)));
const labels = new Uint16Array(bytes(data.labels));
const nExits = scores.length, last = nExits - 1, nSamples = labels.length;
const colour = index => exitColours[index % exitColours.length];
const DARK = "(prefers-color-scheme: dark)";
let thresholds = data.chosen.slice();

// ---- What a setting of T gives: as ExitRecords.evaluate counts, both sides of the comparison in float32.

function exitsAt(setting) {
  const compared = setting.map(Math.fround), exits = new Uint8Array(nSamples);
  for (let i = 0; i < nSamples; i++) {
    let n = 0;
    while (n < last && !(scores[n][i] < compared[n])) n++;
    exits[i] = n;
  }
  return exits;
}

function evaluate(setting) {
  const exits = exitsAt(setting), zeros = () => new Array(nExits).fill(0);
  const classes = data.classes.map(() => ({ n: 0, right: 0, lastRight: 0, leaving: zeros() }));
  const found = { exits, leaving: zeros(), right: zeros(), nRight: 0, spoilt: 0, saved: 0, classes };
  for (let i = 0; i < nSamples; i++) {
    const n = exits[i], isRight = predictions[n][i] === labels[i], lastRight = predictions[last][i] === labels[i];
    found.leaving[n]++;
    if (isRight) { found.right[n]++; found.nRight++; }
    if (lastRight && !isRight) found.spoilt++;
    if (isRight && !lastRight) found.saved++;
    const one = classes[labels[i]];
    one.n++; one.leaving[n]++; one.right += isRight; one.lastRight += lastRight;
  }
  found.accuracy = 100 * found.nRight / nSamples;
  const { costs } = data, mean = values => values.includes(null) ? null :
    values.reduce((sum, value, n) => sum + value * found.leaving[n] / nSamples, 0);
  found.ms = mean(costs.end_to_end_ms);
  found.paperMs = mean(costs.paper_clock_ms);
  found.gain = found.ms && costs.plain_ms / found.ms;
  found.paperGain = found.paperMs && costs.plain_chainer_ms / found.paperMs;
  return found;
}

// ---- Numbers as text, as the tables write them.

function ms(value) {
  if (value === null) return "not measured";
  let decimals = 0;
  while (decimals < 6 && Number(value.toFixed(decimals)) < 10 ** (2 - decimals)) decimals++;
  return value.toFixed(decimals);
}
const times = value => value ? value.toFixed(2) + "x" : "not measured";
const percent = (part, all, decimals) => all ? (100 * part / all).toFixed(decimals) : "–";
const text = value => String(Number(value.toPrecision(6)));

// ---- What is shown.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function fillMix(bar, leaving, total) {
  bar.replaceChildren(...leaving.map((n, index) =>
    element("i", { style: `width:${100 * n / (total || 1)}%;background:${colour(index)}` })));
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", leaving.map((n, index) => `exit ${index + 1}: ${percent(n, total, 1)} %`).join(", "));
  return bar;
}

function showFigures(found) {
  $("accuracy").textContent = found.accuracy.toFixed(2);
  $("ms").textContent = ms(found.ms);
  $("gain").textContent = times(found.gain);
  $("paper-ms").textContent = ms(found.paperMs);
  $("paper-gain").textContent = times(found.paperGain);
  const timed = data.settings.find(setting => setting.thresholds.every((T, n) => T === thresholds[n]));
  $("timed").textContent = timed ? `This T (${timed.name}) was timed for real: ${timed.ms} ms end to end; gain ${timed.gains.join(", ")}.`
    : "This T was not timed.";
  fillMix($("mix"), found.leaving, nSamples);
  for (let n = 0; n < nExits; n++) {
    $("share" + n).textContent = percent(found.leaving[n], nSamples, 2);
    $("right" + n).textContent = percent(found.right[n], found.leaving[n], 2);
  }
  $("classes").replaceChildren(...found.classes.map((one, index) => element("tr", {},
    element("th", { scope: "row" }, data.classes[index]), element("td", {}, String(one.n)),
    element("td", {}, percent(one.right, one.n, 2)), element("td", {}, percent(one.lastRight, one.n, 2)),
    element("td", {}, fillMix(element("div", { class: "mix" }), one.leaving, one.n)),
    element("td", {}, one.leaving.map(n => percent(n, one.n, 1)).join(", ")))));
}

const place = new Map(data.images.rows.map((row, index) => [row, index]));
function tile(i, exit) {
  const { columns, width, height } = data.images, index = place.get(i), size = 56 / width;
  const style = `width:56px;height:${height * size}px;background-size:${columns * 56}px auto;` +
    `background-position:-${index % columns * 56}px -${Math.floor(index / columns) * height * size}px`;
  const truth = data.classes[labels[i]], answer = data.classes[predictions[exit][i]], isRight = truth === answer;
  const score = scores[exit][i], entropy = score < 1e-4 ? "< 0.0001" : text(Number(score.toPrecision(3)));
  const said = `exit ${exit + 1} says ${answer}`;
  const picture = element("span", { class: "tile", style, role: "img", "aria-label": `test image ${i}, ${truth}` });
  return element("li", {}, picture, truth, element("br"),
    element("span", { class: isRight ? "right" : "wrong" }, isRight ? said : said + ", wrong"), element("br"), entropy);
}

function showImages(found) {
  const held = data.images.rows, { exits } = found;
  const list = (rows, n) => rows.slice(0, n).map(i => tile(i, exits[i]));
  const byScore = rows => rows.sort((a, b) => scores[exits[a]][a] - scores[exits[b]][b] || a - b);
  const parts = [];
  for (let n = 0; n < nExits; n++) {
    const here = byScore(held.filter(i => exits[i] === n));
    for (const [word, rows] of [["easiest", here], ["hardest", here.slice().reverse()]]) {
      parts.push(element("h3", {}, `Exit ${n + 1}, ${word}` + (word === "easiest" ? ` (${found.leaving[n].toLocaleString("en")} leave here)` : "")));
      parts.push(here.length ? element("ul", { class: "tiles" }, ...list(rows, data.shown.row)) : element("p", {}, "none"));
    }
  }
  $("by-exit-images").replaceChildren(...parts);
  const isRight = (i, n) => predictions[n][i] === labels[i];
  const changed = byScore(held.filter(i => isRight(i, last) !== isRight(i, exits[i])));
  for (const [name, rows] of [["spoilt", changed.filter(i => isRight(i, last))], ["saved", changed.filter(i => !isRight(i, last))]]) {
    const shown = Math.min(rows.length, data.shown.changes);
    $("n-" + name).textContent = `${found[name]} of ${nSamples.toLocaleString("en")}` + (found[name] > shown ? `, ${shown} shown` : "");
    $(name).replaceChildren(...list(rows, data.shown.changes));
  }
}

// ---- Charts.

const views = {}, parsed = new Promise(resolve => addEventListener("DOMContentLoaded", resolve));
async function draw(name) {
  await parsed;
  if (!window.vegaEmbed) loadVega();
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim(), font = "system-ui, sans-serif", titleFontWeight = "normal";
  const axis = { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, titleFontWeight };
  const legend = { labelColor: ink, titleColor: ink, symbolStrokeWidth: 2 };
  const config = { font, axis, legend, style: { cell: { stroke: line } }, range: { category: exitColours } };
  const rows = { points: data.points, marks: data.marks, training: data.training, reliability: data.reliability, now: now(evaluate(thresholds)) };
  const options = { config, actions: false, renderer: "svg", tooltip: { theme: matchMedia(DARK).matches ? "dark" : "light" } };
  const { view } = views[name] = await vegaEmbed("#" + name, { ...specifications[name], datasets: rows }, options);
  $(name).setAttribute("role", "img");  // with its description for a name, not mark by mark
  $(name).querySelector("svg").setAttribute("aria-hidden", "true");
  if (name === "tradeoff")
    view.addEventListener("click", (event, item) => { if (item && item.datum && item.datum.thresholds) set(item.datum.thresholds); });
}

const now = found => found.ms === null ? [] : [{ ms: found.ms, accuracy: found.accuracy }];
const showNow = found => views.tradeoff && views.tradeoff.view.data("now", now(found)).run();

// ---- Sliders: T on a logarithmic scale, 0 at the left end, and all leave at the right end.

const LOWEST = -5, STEPS = 240, highest = Math.log10(1.05 * data.highest);
const toT = step => step === 0 ? 0 : 10 ** (LOWEST + (step - 1) / (STEPS - 1) * (highest - LOWEST));
const toStep = T => T <= 0 ? 0 : Math.max(1, Math.min(STEPS, Math.round(1 + (Math.log10(T) - LOWEST) / (highest - LOWEST) * (STEPS - 1))));

function set(setting) {
  thresholds = setting.slice();
  thresholds.forEach((T, n) => {
    $("slide" + n).value = toStep(T);
    $("slide" + n).setAttribute("aria-valuetext", text(T) + " nats");
    if (Number($("T" + n).value) !== T) $("T" + n).value = text(T);
  });
  for (const button of $("settings").children)
    button.setAttribute("aria-pressed", data.settings[button.dataset.index].thresholds.every((T, n) => T === thresholds[n]));
  const found = evaluate(thresholds);
  showFigures(found); showImages(found); showNow(found);
}

data.chosen.forEach((_, n) => {
  const change = T => set(thresholds.map((old, m) => m === n ? T : old));
  $("slide" + n).addEventListener("input", event => change(Number(toT(Number(event.target.value)).toPrecision(4))));
  $("T" + n).addEventListener("input", event => { const { value } = event.target; if (value !== "" && Number(value) >= 0) change(Number(value)); });
});
$("settings").append(...data.settings.map((setting, index) => {
  const button = element("button", { type: "button", "data-index": index }, `${setting.name}: T = ${setting.thresholds.map(text).join(", ")}`);
  button.addEventListener("click", () => set(setting.thresholds));
  return button;
}));
document.head.append(element("style", {}, `.tile { background-image: url(data:image/png;base64,${data.images.png}); }`));
$("held").textContent = data.images.rows.length.toLocaleString("en");
set(thresholds);

// A chart is drawn when it comes near the window, so that those far below do not keep the first from being seen.
const charts = Object.keys(specifications).filter(name => data.training.length || !["loss", "epochs"].includes(name));
const near = new IntersectionObserver(async entries => {
  const names = entries.filter(entry => entry.isIntersecting).map(entry => entry.target.id);
  names.forEach(name => near.unobserve($(name)));
  await Promise.all(names.map(draw));
  if (!document.body.dataset.ready) performance.mark("drawn");
  document.body.dataset.ready = "true";
}, { rootMargin: "50% 0px" });
for (const name of charts) { $(name).style.minHeight = specifications[name].height + "px"; near.observe($(name)); }
addEventListener("beforeprint", () => charts.filter(name => !views[name]).forEach(draw));
matchMedia(DARK).addEventListener("change", () => Object.keys(views).forEach(draw));
