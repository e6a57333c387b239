// What charts have beyond the picture: values under the pointer, and PNG.
const SVG = "http://www.w3.org/2000/svg";
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-linejoin", "paint-order", "opacity", "font-size", "font-weight", "font-family",
  "text-anchor", "display", "vector-effect", "visibility"];

// A copy that needs no style sheet: every element says itself how it looks.
function detached(svg) {
  const copy = svg.cloneNode(true);
  const from = [svg, ...svg.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of LOOKS) to[i].setAttribute(name, style.getPropertyValue(name));
    to[i].removeAttribute("class");
  });
  return copy;
}

// The picture with its title and legend, twice as fine as on the screen.
export async function png(figure) {
  const svg = figure.querySelector("[data-plot] > svg");
  const page = getComputedStyle(figure);
  const { width, height } = svg.getBoundingClientRect();
  const names = [...figure.querySelectorAll(".legend li")];
  const top = 34, bottom = names.length ? 30 : 10, pad = 14, scale = 2;
  const copy = detached(svg);
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = (width + 2 * pad) * scale;
  canvas.height = (height + top + bottom) * scale;
  const draw = canvas.getContext("2d");
  draw.scale(scale, scale);
  draw.fillStyle = page.backgroundColor;
  draw.fillRect(0, 0, width + 2 * pad, height + top + bottom);
  draw.fillStyle = page.color;
  draw.font = "600 15px " + page.fontFamily;
  draw.fillText(`${figure.dataset.title} — ${document.querySelector("h1").textContent}`, pad, 22, width);
  draw.drawImage(image, pad, top, width, height);
  draw.font = "12px " + page.fontFamily;
  let x = pad;
  for (const name of names) {
    const swatch = name.querySelector(".swatch");
    draw.fillStyle = getComputedStyle(swatch).backgroundColor;
    draw.fillRect(x, height + top + 10, 11, 11);
    draw.fillStyle = page.color;
    draw.fillText(name.textContent, x + 16, height + top + 20);
    x += draw.measureText(name.textContent).width + 34;
    if (x > width - 60) break;
  }
  return canvas;
}

export function save(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}

function fileName(figure, end) {
  const name = figure.dataset.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").toLowerCase();
  return `daylight-${name || "chart"}.${end}`;
}

// The table beside the chart holds its values: they are shown for where the pointer is.
function pointAt(figure) {
  const plot = figure.querySelector("[data-plot]");
  const rows = [...figure.querySelectorAll("[data-values] tbody tr")];
  const heads = [...figure.querySelectorAll("[data-values] thead th")].slice(1).map((th) => th.textContent);
  const svg = plot.querySelector(":scope > svg");
  if (rows.length < 2 || !svg) return;
  const cursor = document.createElementNS(SVG, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", 10);
  cursor.setAttribute("y2", 210);
  const tip = document.createElement("div");
  tip.className = "tooltip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  plot.append(tip);
  const hide = () => {
    tip.hidden = true;
    cursor.remove();
  };
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const at = Math.round(share * (rows.length - 1));
    const x = (at / (rows.length - 1)) * box.width;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    svg.append(cursor);
    const cells = [...rows[at].cells];
    const title = document.createElement("strong");
    title.textContent = cells[0].textContent;
    const lines = heads.map((name, i) => {
      const line = document.createElement("div");
      const left = document.createElement("span");
      left.textContent = name;
      const right = document.createElement("b");
      right.textContent = cells[i + 1].textContent;
      line.append(left, right);
      return line;
    });
    tip.replaceChildren(title, ...lines);
    tip.hidden = false;
    const room = box.width - tip.offsetWidth - 14;
    tip.style.left = `${x + 14 > room ? Math.max(x - tip.offsetWidth - 14, 0) : x + 14}px`;
  });
}

for (const figure of document.querySelectorAll("[data-chart]")) {
  const button = figure.querySelector("[data-png]");
  button.hidden = false;
  button.addEventListener("click", async () => save((await png(figure)).toDataURL("image/png"), fileName(figure, "png")));
  if (figure.querySelector("[data-values]")) pointAt(figure);
}
