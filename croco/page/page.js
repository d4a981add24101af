"use strict";
// What the reader chose stands in the address after the #: sorted columns (name of the table = column + a or d), sections opened
// or shut against their default (turned), the language (lang), an answer (answer), and which are shown (outcome, check). Who opens that address sees the same.
const tables = [...document.querySelectorAll("table[id]")];
const sections = [...document.querySelectorAll("details[id]")];
const answers = [...document.querySelectorAll(".answer")];
const spoken = [...document.querySelectorAll("[data-language]")];
const picker = document.getElementById("language");
const filters = ["outcome", "check"].map(name => document.getElementById(name)).filter(found => found);
const rowsOf = new Map(tables.map(table => [table, [...table.tBodies[0].rows]]));
const openAtFirst = new Map(sections.map(section => [section, section.open]));
let chosen = new URLSearchParams(location.hash.slice(1));

function keep(name, value) {
  if (value) chosen.set(name, value); else chosen.delete(name);
  history.replaceState(null, "", "#" + chosen);
}

// A number however it is written: 1,234 or 66.7% or +0.02; else the text.
function worth(cell) {
  const text = cell.dataset.value.trim();
  const bare = text.replace(/,/g, "").replace(/%$/, "");
  return text === "" ? null : bare !== "" && !isNaN(bare) ? Number(bare) : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

function sort(table, column, down) {
  const rows = [...rowsOf.get(table)];
  if (column >= 0) rows.sort((one, other) => {
    const [a, b] = [worth(one.cells[column]), worth(other.cells[column])];
    if (a === null || b === null) return (a === null) - (b === null);  // what is missing comes last, up or down
    return compare(a, b) * (down ? -1 : 1);
  });
  table.tBodies[0].append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

// Sets a list to a value and returns it; "" where it has no such value.
function pick(list, value) {
  list.value = [...list.options].some(option => option.value === value) ? value : "";
  return list.value;
}

function show() {
  for (const table of tables) {
    const saved = chosen.get(table.id) || "";
    const column = parseInt(saved);
    sort(table, column < table.tHead.rows[0].cells.length ? column : -1, saved.endsWith("d"));
  }
  const turned = (chosen.get("turned") || "").split(",");
  for (const section of sections) section.open = openAtFirst.get(section) !== turned.includes(section.id);
  const language = chosen.get("lang") || "";
  const known = picker ? pick(picker, language) : "";
  for (const part of spoken) part.classList.toggle("other", known !== "" && !["", known].includes(part.dataset.language));
  const wanted = filters.map(filter => [filter.id, pick(filter, chosen.get(filter.id) || "")]);
  const has = (answer, [name, value]) => value === "" ||
    (name === "outcome" ? answer.dataset.outcome === value : answer.dataset.checks.split("\n").includes(value));
  for (const answer of answers) {
    answer.classList.toggle("chosen", answer.id === chosen.get("answer"));
    answer.classList.toggle("unwanted", !wanted.every(one => has(answer, one)));
  }
  const seen = answers.filter(answer => !answer.matches(".other, .unwanted")).length;
  const counted = document.getElementById("shown");
  if (counted) counted.textContent = seen === answers.length ? `${seen} answers` : `${seen} of ${answers.length} answers`;
}

for (const table of tables) {
  [...table.tHead.rows[0].cells].forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");  // up, down, as it was
    keep(table.id, now === "descending" ? "" : column + (now === "ascending" ? "d" : "a"));
    show();
  }));
}
for (const section of sections) section.addEventListener("toggle", () =>
  keep("turned", sections.filter(s => s.open !== openAtFirst.get(s)).map(s => s.id).join(",")));
for (const filter of filters) filter.addEventListener("change", () => { keep(filter.id, filter.value); show(); });
if (picker) picker.addEventListener("change", () => { keep("lang", picker.value); show(); });
for (const answer of answers) answer.querySelector("button").addEventListener("click", () => {
  keep("answer", chosen.get("answer") === answer.id ? "" : answer.id);
  show();
});
addEventListener("hashchange", () => { chosen = new URLSearchParams(location.hash.slice(1)); show(); });
show();
document.querySelector(".answer.chosen")?.scrollIntoView({ block: "center" });
