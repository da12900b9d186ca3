"use strict";
const audit = JSON.parse(document.getElementById("data").textContent);
const KEY = `signbind-audit:${audit.audit}`;
const $ = id => document.getElementById(id);
const RIGHT = "right", WRONG = "wrong";

/** What the person said of each sample, in the order of `audit.samples`, and where they are. */
let state = {
  at: 0,
  auditor: "",
  samples: audit.samples.map(sample => ({ marks: sample.tokens.map(() => null), missing: 0, skipped: false })),
};

const isDone = held => held.skipped || held.marks.every(mark => mark !== null);
const here = () => state.samples[state.at];

function restore() {
  try {
    const held = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (held && held.samples.length === state.samples.length) state = held;
  } catch {
    note("What was marked before cannot be read here; save the result before you leave this page.");
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    note("This browser keeps nothing for this page; save the result before you leave it.");
  }
}

const note = text => { $("note").textContent = text; };

/** One sign as a group of two choices; the group's name is read out with them. */
function tokenField(token, index) {
  const spelled = token.startsWith("#");
  const field = document.createElement("fieldset");
  const legend = document.createElement("legend");
  const sign = document.createElement("span");
  const kind = document.createElement("small");
  sign.className = "sign";
  sign.textContent = token;
  kind.textContent = spelled ? "fingerspelled" : "sign";
  legend.append(sign, kind);
  field.append(legend, choice(index, RIGHT, "right"), choice(index, WRONG, "wrong"));
  return field;
}

function choice(index, value, text) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "radio";
  input.name = `token-${index}`;
  input.value = value;
  input.addEventListener("change", () => mark(index, value));
  label.append(input, ` ${text}`);
  return label;
}

function mark(index, value) {
  here().marks[index] = value;
  keep();
  showMarks();
}

/** The sample that the person is at, anew. */
function show(focus) {
  const sample = audit.samples[state.at];
  $("where").textContent = `Sentence ${state.at + 1} of ${audit.samples.length}`;
  $("english").textContent = sample.english;
  $("tokens").replaceChildren(...sample.tokens.map(tokenField));
  $("missing").value = here().missing;
  $("skipped").checked = here().skipped;
  $("previous").disabled = state.at === 0;
  $("next").disabled = state.at === audit.samples.length - 1;
  showMarks();
  if (focus) focusToken(Math.max(0, here().marks.indexOf(null)));
}

function showMarks() {
  [...$("tokens").children].forEach((field, index) => {
    const value = here().marks[index];
    field.dataset.mark = value ?? "";
    for (const input of field.querySelectorAll("input")) input.checked = input.value === value;
  });
  $("sample").classList.toggle("skipped", here().skipped);
  const done = state.samples.filter(isDone).length;
  $("progress").max = audit.samples.length;
  $("progress").value = done;
  $("done").textContent = `${done} of ${audit.samples.length} finished`;
  $("open").disabled = done === audit.samples.length;
  const tokens = state.samples.filter(held => !held.skipped).flatMap(held => held.marks);
  const right = tokens.filter(value => value === RIGHT).length, wrong = tokens.filter(value => value === WRONG).length;
  const skipped = state.samples.filter(held => held.skipped).length;
  const end = done === audit.samples.length ? " Every sentence is finished: save the result." : "";
  $("counts").textContent = `${right} signs right, ${wrong} wrong, ${skipped} sentences not judged.${end}`;
}

function focusToken(index) {
  const field = $("tokens").children[index];
  if (!field) return;
  (field.querySelector("input:checked") ?? field.querySelector("input")).focus();
}

function go(to, focus = true) {
  state.at = Math.min(Math.max(to, 0), audit.samples.length - 1);
  keep();
  show(focus);
}

function goOpen() {
  const order = audit.samples.map((_, index) => (state.at + 1 + index) % audit.samples.length);
  const open = order.find(index => !isDone(state.samples[index]));
  if (open !== undefined) go(open);
}

function markRest() {
  here().marks = here().marks.map(value => value ?? RIGHT);
  keep();
  showMarks();
}

/** Marks the sign that has the focus and goes on to the next, after the last to "Next" (or "Save" at the very end). */
function markFocused(value) {
  const index = [...$("tokens").children].findIndex(field => field.contains(document.activeElement));
  if (index < 0) return;
  mark(index, value);
  if (index + 1 < here().marks.length) focusToken(index + 1);
  else ($("next").disabled ? $("save") : $("next")).focus();
}

/** Keys of one letter act only on a sign that has the focus: elsewhere they belong to the reader's own tools. */
function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const keys = {
    r: () => markFocused(RIGHT),
    w: () => markFocused(WRONG),
    a: () => { markRest(); ($("next").disabled ? $("save") : $("next")).focus(); },
    enter: () => go(state.at + 1),
    backspace: () => go(state.at - 1),
  };
  const act = keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

function result() {
  const { format, audit: id, labels, of, seed } = audit;
  const samples = audit.samples.map((sample, index) => ({ ...sample, ...state.samples[index] }));
  return { format, audit: id, labels, of, seed, auditor: state.auditor.trim(), samples };
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result(), null, 1)], { type: "application/json" }));
  link.download = `${audit.labels.replace(/\.jsonl$/, "")}.audit-result.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  const left = state.samples.filter(held => !isDone(held)).length;
  note(left ? `Saved; ${left} sentences are not finished and will not count.` : "");
}

async function load(event) {
  try {
    const held = JSON.parse(await event.target.files[0].text());
    if (held.audit !== audit.audit) throw new Error("it belongs to another audit");
    state.samples = held.samples.map(({ marks, missing, skipped }) => ({ marks, missing, skipped }));
    state.auditor = $("auditor").value = held.auditor;
    note("");
    keep();
    show(false);
  } catch (error) {
    note(`This file is no result of this page (${error.message}); choose the one that was saved here.`);
  }
}

restore();
$("auditor").value = state.auditor;
$("tokens").addEventListener("keydown", onKey);
$("previous").addEventListener("click", () => go(state.at - 1));
$("next").addEventListener("click", () => go(state.at + 1));
$("open").addEventListener("click", goOpen);
$("rest").addEventListener("click", markRest);
$("save").addEventListener("click", save);
$("load").addEventListener("change", load);
$("auditor").addEventListener("input", () => { state.auditor = $("auditor").value; keep(); });
$("missing").addEventListener("input", () => {
  here().missing = Math.min(99, Math.max(0, Math.trunc(Number($("missing").value)) || 0));
  keep();
});
$("skipped").addEventListener("change", () => { here().skipped = $("skipped").checked; keep(); showMarks(); });
show(false);
