/* The report's document, what the reader has chosen, and how elements are made.
   Every text of the document enters the page as a text node, never as markup. */

const report = JSON.parse(document.getElementById("report").textContent);
const state = {
  run: 0,
  theme: "auto",
  playing: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  phase: 0,
  speed: 1,
  turn: 205,
  smoothing: 0.6,
  level: 0,
  colour: "label",
  lit: null,
  point: 0,
  test: 0,
  gallery: { label: "", verdict: "all", text: "", pair: null, page: 0 },
};
const PAGE = 12; // queries shown at a time
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 5", "4 2"];

const $ = (id) => document.getElementById(id);
const run = () => report.runs[state.run];

/* An element is named with its classes, as "p.note"; what begins with "on" listens. */
function fill(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
function make(name, given = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  return fill(element, given, children);
}

function draw(name, given = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  element.classList.add(...classes);
  return fill(element, given, children);
}

const count = (number) => number.toLocaleString("en");
const percent = (value, digits = 1) =>
  value === null || value === undefined ? "–" : `${value.toFixed(digits)} %`;
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const short = (value) =>
  value === 0
    ? "0"
    : Math.abs(value) >= 1e4 || Math.abs(value) < 1e-3
      ? value.toExponential(1)
      : String(Number(value.toPrecision(4)));
const className = (label) => run().classes[label] ?? `class ${label + 1}`;
const runColour = (index) => `var(--c${index % 8})`;
const say = (text) => {
  $("live").textContent = text;
};

function heading(id, title, ...notes) {
  const section = $(id);
  section.replaceChildren(
    make("h2", { id: `${id}-title` }, title),
    ...notes.filter(Boolean).map((text) => make("p.note", {}, text)),
  );
  return section;
}

/* Said on paper only, where the controls that say it are not. */
const onPaper = (...texts) => make("p.note.paper", {}, texts.filter(Boolean).join(" "));
const whose = () => (report.runs.length > 1 ? `Of the run ${run().name}.` : "");

/* One of several, as buttons that are pressed or not. */
function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    make(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        "data-value": value,
        onclick: () => {
          for (const each of buttons)
            each.setAttribute("aria-pressed", String(each.dataset.value === String(value)));
          choose(value);
        },
      },
      text,
    ),
  );
  return make("fieldset.choice", { "aria-label": label }, buttons);
}

function select(label, options, chosen, choose) {
  return make(
    "label",
    {},
    label,
    " ",
    make(
      "select",
      { onchange: (event) => choose(event.target.value) },
      options.map(([value, text]) =>
        make("option", { value, selected: String(value) === String(chosen) }, text),
      ),
    ),
  );
}

const button = (text, onclick, more = {}) =>
  make("button", { type: "button", onclick, ...more }, text);

/* The index of what costs least. */
const least = (values, cost) =>
  values.reduce((best, value, index) => (cost(value) < cost(values[best]) ? index : best), 0);

/* Where a pointer is, in the units of a picture: padding and frame do not count. */
const pointed = (svg, { clientX, clientY }) =>
  new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());

/* Where an arrow key points, across and down; undefined for another key. */
const arrow = (event) =>
  ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[event.key];

/* A slider that tells its number as it moves. */
function slider(id, given, choose) {
  const moved = (event) => choose(Number(event.target.value));
  return make("input", { type: "range", id, ...given, oninput: moved });
}
