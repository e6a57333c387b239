// What every page has: keys, and menus that close. Without this, pages work as well.
const pages = new Map([...document.querySelectorAll(".side [data-key], .menu-button [data-key]")].map((a) => [a.dataset.key, a]));
const help = document.getElementById("help");
let waiting = 0;

const shows = (element) => element && element.offsetParent !== null;

function showHelp() {
  if (help && !help.open) help.showModal();
}

function stepRange(by) {
  const all = [...document.querySelectorAll(".times li a")];
  const at = all.findIndex((a) => a.ariaCurrent);
  const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
  if (at >= 0 && next && next !== all[at]) next.click();
}

// The next of the three, by the form, so that the server remembers it.
function nextTheme() {
  const select = document.querySelector('select[name="theme"]');
  if (!select) return;
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.form.requestSubmit();
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.settings[open], details.ends[open], details.menu-button[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
    return;
  }
  if (event.target.closest("input, textarea, select, [contenteditable]") || help?.open) return;
  const isPage = Date.now() < waiting && pages.get(event.key);
  waiting = 0;
  if (isPage) isPage.click();
  else if (event.key === "g") waiting = Date.now() + 1500;
  else if (event.key === "?") showHelp();
  else if (event.key === "/") document.querySelector("[data-search]")?.focus();
  else if (event.key === "[") stepRange(-1);
  else if (event.key === "]") stepRange(1);
  else if (event.key === ".") nextTheme();
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", key);
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.settings[open], details.ends[open], details.menu-button[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});
for (const button of document.querySelectorAll("[data-help]")) {
  button.hidden = false;
  button.addEventListener("click", showHelp);
}
// In the reader's own time too, for who points at it.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = new Date(time.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long" });
}
// A question is sent by Ctrl+Enter.
const sql = document.getElementById("sql");
sql?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) sql.form.requestSubmit();
});
export { shows };
