// The live page: one event a second, drawn in place. Text goes into the page as text, never as markup.
import { save } from "./charts.js";

const SVG = "http://www.w3.org/2000/svg";
const root = document.getElementById("live");
const words = JSON.parse(root.dataset.words);
const part = (name) => root.querySelector(`[data-${name}]`);
const state = part("state"), dot = part("dot"), pause = part("pause");
const plot = root.querySelector("[data-live]");
let seen = JSON.parse(root.dataset.first);
let isPaused = false;

const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]/gu;
function visible(text, most = 80) {
  const characters = [...text];
  const shown = characters.slice(0, most).join("") + (characters.length > most ? "…" : "");
  return shown.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

function count(number) {
  const digits = String(Math.round(number));
  return digits.length > 4 ? digits.replace(/\B(?=(\d{3})+$)/g, words["number-group"]) : digits;
}

function quantity(number, unit) {
  const prefixes = ["", ...words["unit-prefixes"].split(" ")];
  let power = 0;
  while (Math.abs(number) >= 999.5 && power + 1 < prefixes.length) {
    number /= 1000;
    power += 1;
  }
  const digits = power > 0 && Math.abs(number) < 99.95 ? 1 : 0;
  return `${number.toFixed(digits).replace(".", words["number-point"])}\u00a0${prefixes[power]}${words[unit]}`;
}

function element(name, { text, ...attributes } = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function bar(share) {
  const width = `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(1)}%`;
  return element("svg:svg", { class: "bar", "aria-hidden": "true" },
    element("svg:rect", { x: 0, y: 0, width, height: "100%", rx: 2 }));
}

function line(values, top) {
  const last = Math.max(values.length - 1, 1);
  return "M" + values.map((value, i) => `${((i / last) * 1000).toFixed(1)} ${(200 - (value / top) * 190).toFixed(1)}`).join("L");
}

// Round marks that the largest value is below.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 1.2, 1.6, 2, 2.5, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value) ?? value;
}

function drawChart(now) {
  const bits = now.seconds.bits, dropped = now.seconds.dropped;
  if (bits.length < 2) return;
  const top = roundUp(Math.max(...bits, 1));
  const path = line(bits, top);
  const area = element("svg:svg", { x: 0, y: 10, width: "100%", height: 200, viewBox: "0 0 1000 200", preserveAspectRatio: "none" },
    element("svg:path", { class: "under s0", d: `${path}L1000 200L0 200Z` }), element("svg:path", { class: "line s0", d: path }));
  const svg = plot.querySelector(":scope > svg");
  const marks = [1, 0.5].flatMap((share) => {
    const y = 210 - share * 190;
    return [element("svg:line", { class: "grid", x1: 0, x2: "100%", y1: y, y2: y }),
      element("svg:text", { class: "mark", x: 4, y: y - 4, text: quantity(top * share, "unit-bit-per-s") })];
  });
  const losses = dropped.flatMap((number, i) => number > 0
    ? [element("svg:rect", { class: "drop", x: `${(i / (bits.length - 1)) * 100}%`, y: 204, width: 3, height: 6 })] : []);
  const ago = words["seconds-ago"].replace("{count}", bits.length - 1);
  svg.replaceChildren(...marks.filter((mark) => mark.tagName === "line"), area,
    element("svg:line", { class: "axis", x1: 0, x2: "100%", y1: 210, y2: 210 }), ...losses, ...marks.filter((mark) => mark.tagName === "text"),
    element("svg:text", { class: "tick", x: 0, y: 230, text: ago }),
    element("svg:text", { class: "tick", x: "100%", y: 230, "text-anchor": "end", text: words["page-now"] }));
}

const none = (name) => element(name, { class: "none", text: words["none-found"] });
const subjectLink = (subject, name) => `/${subject}?range=1h&${new URLSearchParams({ [subject]: name })}`;

function drawTop(list, rows) {
  // Who is on it with the keyboard is left there.
  const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const most = Math.max(...rows.map((row) => row.bytes), 1);
  list.replaceChildren(...rows.map((row) => element("li", {}, bar(row.bytes / most),
    element("a", { href: subjectLink(list.dataset.subject, row.name), title: visible(row.name, 2000) }, element("bdi", { text: visible(row.name) })),
    element("span", { class: "value", text: quantity(row.bytes, "unit-byte") }))));
  if (!rows.length) list.append(none("li"));
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function drawRisks(now) {
  const place = part("risks");
  const body = place.querySelector("tbody");
  const key = now.risks.map((risk) => risk.number).join();
  if (place.dataset.shown === key || place.contains(document.activeElement)) return;
  if (!body || !now.risks.length) {
    // A table appears, or goes: the server knows how.
    if (!body && now.risks.length) location.reload();
    return;
  }
  place.dataset.shown = key;
  body.replaceChildren(...now.risks.map((risk) => element("tr", {},
    element("td", {}, element("span", { class: `severity ${risk.severity}`, text: words[`severity-${risk.severity}`] ?? risk.severity })),
    element("th", { scope: "row" }, element("a", { href: `/flow?${new URLSearchParams({ id: risk.uid })}`, title: risk.help, text: risk.name })),
    element("td", {}, element("bdi", { text: visible(risk.evidence), title: visible(risk.evidence, 2000) })),
    element("td", {}, element("a", { href: subjectLink("client", risk.src_ip), text: risk.src_ip })),
    element("td", {}, element("bdi", { text: visible(risk.host ?? risk.dst_ip) })))));
}

function drawLosses(now) {
  const interfaces = now.interfaces.map((one) => element("p", { class: "interface" },
    element("span", { class: one.is_up ? "dot on" : "dot off" }), element("bdi", { text: visible(one.name) }),
    one.is_up ? "" : ` — ${words["interface-down"]}`));
  const losses = now.losses.map((loss) => element("p", { class: loss.last_minute > 0 ? "loss going-on" : "loss" },
    element("strong", { text: count(loss.total) }), " ", element("bdi", { lang: "en", text: visible(loss.what, 200) }),
    element("span", { class: "advice", lang: "en", text: visible(loss.advice, 400) })));
  if (!losses.length) losses.push(element("p", { class: "good", text: words["loss-none"] }));
  part("losses").replaceChildren(...interfaces, ...losses);
}

function drawBudgets(now) {
  const rows = now.budgets.filter((budget) => budget.max > 0).map((budget) => element("li", budget.now >= budget.max * 0.9 ? { class: "tight" } : {},
    bar(budget.now / budget.max), element("span", { lang: "en", text: budget.name }),
    element("span", { class: "value", text: `${count(budget.now)} / ${count(budget.max)}` })));
  part("budgets").replaceChildren(element("ul", { class: "budgets" }, ...rows));
}

function draw(now) {
  const number = (key, text) => { root.querySelector(`[data-number="${key}"]`).textContent = text; };
  number("bits", quantity(now.rates.bits_per_s, "unit-bit-per-s"));
  number("packets", quantity(now.rates.packets_per_s, "unit-packet-per-s"));
  number("flows", count(now.flows_open));
  number("dropped", quantity(now.rates.dropped_per_s, "unit-packet-per-s"));
  number("risks", count(now.risks_found));
  drawChart(now);
  for (const list of root.querySelectorAll("[data-top]")) drawTop(list, now.tops[list.dataset.top]);
  drawRisks(now);
  drawLosses(now);
  drawBudgets(now);
}

// Said when it changes, and not each second: it is read out.
function say(key, isOn) {
  dot.className = isOn ? "dot on" : "dot";
  if (state.textContent !== words[key]) state.textContent = words[key];
}

function follow() {
  const source = new EventSource("/api/v1/live");
  source.addEventListener("now", (event) => {
    seen = JSON.parse(event.data);
    root.dataset.events = Number(root.dataset.events ?? 0) + 1;
    if (isPaused || document.hidden) return;
    say("live-on", true);
    draw(seen);
  });
  source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED ? "live-over" : "live-lost", false));
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = words[isPaused ? "live-go-on" : "live-pause"];
  if (isPaused) say("live-paused", false);
  else draw(seen);
});
const csv = part("csv");
csv.hidden = false;
csv.addEventListener("click", () => {
  const { bits, packets, dropped } = seen.seconds;
  const end = Date.parse(seen.time);
  const rows = bits.map((_, i) => [new Date(end - (bits.length - 1 - i) * 1000).toISOString(), bits[i], packets[i], dropped[i]].join(","));
  const text = ["time,bits,packets,dropped", ...rows, ""].join("\r\n");
  save("data:text/csv;charset=utf-8," + encodeURIComponent(text), "daylight-now.csv");
});
draw(seen);
follow();
