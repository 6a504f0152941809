"use strict";
/* The report's page: draws one JSON document, and asks nothing of any network.
   Every text of the document enters the page as a text node, never as markup. In order: making
   elements, tables, skeletons in step, then a function for each section, then what starts it all. */
const report = JSON.parse(document.getElementById("report").textContent);
const state = {
  run: 0, theme: "auto", playing: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  phase: 0, speed: 1, turn: 205, smoothing: 0.6, level: 0, colour: "label", lit: null, point: 0, test: 0,
  gallery: { label: "", verdict: "all", text: "", pair: null, page: 0 },
};
const PAGE = 12; // queries shown at a time
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 5", "4 2"];

// ---- elements ---------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
const run = () => report.runs[state.run];

function fill(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
const make = (tag, given = {}, ...children) => fill(document.createElement(tag), given, children);
const draw = (tag, given = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), given, children);

const count = (number) => number.toLocaleString("en");
const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)} %`);
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e4 || Math.abs(value) < 1e-3
  ? value.toExponential(1) : String(Number(value.toPrecision(4))));
const className = (label) => run().classes[label] ?? `class ${label + 1}`;
const runColour = (index) => `var(--c${index % 8})`;
const say = (text) => { $("live").textContent = text; };

function heading(id, title, ...notes) {
  const section = $(id);
  section.replaceChildren(make("h2", { id: `${id}-title` }, title), ...notes.filter(Boolean).map((text) => make("p", { class: "note" }, text)));
  return section;
}

/* One of several, as buttons that are pressed or not. */
function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) => make("button", {
    type: "button", "aria-pressed": String(value === chosen), "data-value": value,
    onclick: () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset.value === String(value)));
      choose(value);
    },
  }, text));
  return make("fieldset", { class: "choice", "aria-label": label }, buttons);
}

function select(label, options, chosen, choose) {
  return make("label", {}, label, " ", make("select", { onchange: (event) => choose(event.target.value) },
    options.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) }, text))));
}

// ---- tables and CSV ---------------------------------------------------------------------------

/* A cell for a spreadsheet: quoted where it must be, and a text never read as a formula. */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(name, columns, rows) {
  const text = [columns, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: address, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const csvButton = (name, columns, rows) => make("button", { type: "button", "data-csv": name, onclick: () => download(name, columns, rows()) }, `↓ ${name.replaceAll("_", " ")}.csv`);

function table(caption, columns, rows, cells = (row) => row) {
  const numeric = columns.map((_, index) => rows.length > 0 && rows.every((row) => row[index] === null || typeof row[index] === "number"));
  const shown = (value, index) => (value instanceof Node ? value : value === null || value === undefined ? "–" : numeric[index] && !Number.isInteger(value) ? short(value) : String(value));
  const cell = (value, index) => make(index === 0 ? "th" : "td", { scope: index === 0 ? "row" : null, class: numeric[index] ? "number" : null }, shown(value, index));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, columns.map((name, index) => make("th", { scope: "col", class: numeric[index] ? "number" : null }, name)))),
      make("tbody", {}, rows.map((row) => make("tr", {}, cells(row).map(cell))))));
}

/* The same as a table, made when it is opened, with its download. */
function asTable(name, caption, columns, rows) {
  const body = make("div");
  const open = (event) => { if (event.target.open && !body.firstChild) body.append(table(caption, columns, rows())); };
  return make("details", { ontoggle: open }, make("summary", {}, `${caption}, as a table`),
    make("p", { class: "table-tools" }, csvButton(name, columns, rows)), body);
}

// ---- skeletons in step ------------------------------------------------------------------------

const drawn = new Map(); // canvas -> what it shows
const visible = new Set();
const palette = {};
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    visible[isIntersecting ? "add" : "delete"](target);
    if (isIntersecting) paint(target);
  }
  $("player").classList.toggle("away", visible.size === 0 && !$("closer").open);
}, { rootMargin: "80px" });

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["limb-middle", "limb-left", "limb-right", "shadow", "wrong", "card"]) palette[name] = style.getPropertyValue(`--${name}`).trim();
}

/* Coordinates of a clip, metres times an unimportant scale: frame, body, joint, axis. */
function decode(clip) {
  if (!clip.values) {
    clip.values = new Int8Array(Uint8Array.from(atob(clip.data), (letter) => letter.charCodeAt(0)).buffer);
    const reach = [], heights = [];
    for (let at = 0; at < clip.values.length; at += 3) {
      const [x, y, z] = clip.values.subarray(at, at + 3);
      if (x || y || z) { reach.push(Math.hypot(x, y)); heights.push(z); }
    }
    const sort = (values) => values.sort((one, other) => one - other);
    const share = (values, part) => values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0;
    sort(reach); sort(heights); // a few stray joints must not shrink the body
    clip.box = { reach: share(reach, 0.995), low: share(heights, 0.005), high: share(heights, 0.995) };
  }
  return clip;
}

function show(canvas, clip, more = {}) {
  drawn.set(canvas, { clip: decode(clip), box: decode(more.like ?? clip).box, ratio: (more.like?.scale ?? clip.scale) / clip.scale, touched: new Set(more.touched ?? []) });
  seen.observe(canvas);
  paint(canvas);
  return canvas;
}

/* Where each joint of a body is on the canvas at a moment, or null where nobody is. */
function pose(clip, place, moment, body) {
  const frames = clip.frames, joints = report.bones.length;
  const at = Math.min(frames - 1, Math.max(0, moment)), before = Math.floor(at), share = at - before;
  const first = (before * clip.bodies + body) * joints * 3;
  const next = (Math.min(frames - 1, before + 1) * clip.bodies + body) * joints * 3;
  const points = [];
  let anything = false;
  for (let joint = 0; joint < joints * 3; joint += 3) {
    const [x, y, z] = [0, 1, 2].map((axis) => clip.values[first + joint + axis] * (1 - share) + clip.values[next + joint + axis] * share);
    anything ||= x !== 0 || y !== 0 || z !== 0;
    points.push(place(x, y, z));
  }
  return anything ? points : null;
}

function placer(width, height, { box, ratio }) {
  const turn = (state.turn * Math.PI) / 180, cos = Math.cos(turn), sin = Math.sin(turn);
  const size = (0.9 * Math.min(width / (2 * box.reach + 1), height / (1.08 * (box.high - box.low) + 1))) / ratio;
  const middle = ((box.high + box.low) / 2) * ratio, floor = box.low * ratio;
  const place = (x, y, z) => [width / 2 + size * (x * cos - y * sin), height / 2 - size * (z - middle)];
  return { place, floor: place(0, 0, floor)[1], reach: size * box.reach * ratio };
}

function paint(canvas) {
  const what = drawn.get(canvas), width = canvas.clientWidth, height = canvas.clientHeight;
  if (!what || !width) return;
  const dense = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense)) { canvas.width = Math.round(width * dense); canvas.height = Math.round(height * dense); }
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  const { place, floor, reach } = placer(width, height, what), { clip } = what, moment = state.phase * (clip.frames - 1);
  context.fillStyle = palette.shadow;
  context.beginPath();
  context.ellipse(width / 2, floor, Math.min(width * 0.45, reach * 0.8), 0.06 * height, 0, 0, 7);
  context.fill();
  for (const [back, strength] of [[clip.frames / 4, 0.1], [clip.frames / 8, 0.2], [0, 1]]) { // where it was a moment ago
    if (moment - back < 0) continue;
    for (let body = clip.bodies - 1; body >= 0; body--) {
      const points = pose(clip, place, moment - back, body);
      if (points) paintBody(context, points, Math.max(1.4, Math.min(width, height) / 52), strength * (body ? 0.65 : 1), back ? null : what.touched);
    }
  }
}

function paintBody(context, points, thick, strength, touched) {
  context.globalAlpha = strength;
  context.lineCap = "round";
  report.bones.forEach((parent, joint) => {
    if (parent === joint) return;
    context.strokeStyle = palette[`limb-${report.sides[joint]}`];
    context.lineWidth = touched?.has(joint) ? thick * 0.5 : thick;
    context.beginPath(); context.moveTo(...points[parent]); context.lineTo(...points[joint]); context.stroke();
  });
  if (touched) {
    points.forEach(([x, y], joint) => {
      const odd = touched.has(joint);
      context.fillStyle = odd ? palette.card : palette[`limb-${report.sides[joint]}`];
      context.strokeStyle = palette.wrong;
      context.lineWidth = thick * 0.55;
      context.beginPath(); context.arc(x, y, joint === 3 ? thick * 2 : thick * (odd ? 1.1 : 0.75), 0, 7); context.fill();
      if (odd) context.stroke();
    });
  }
  context.globalAlpha = 1;
}

function paintVisible() {
  for (const canvas of visible) {
    if (canvas.isConnected) paint(canvas);
    else { visible.delete(canvas); drawn.delete(canvas); seen.unobserve(canvas); }
  }
}

function paintEverything() {
  readPalette();
  for (const canvas of drawn.keys()) paint(canvas);
}

/* A button with a moving skeleton; it opens a closer look. */
function clipButton(clip, kind, lines, more = {}) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const label = [...lines.map(([, text]) => text), clip.name].filter(Boolean).join(", ");
  const button = make("button", { type: "button", class: `clip ${kind}`, title: clip.name, "aria-label": `${label}. Closer look`, onclick: () => closeLook(clip, lines, more) },
    canvas, lines.map(([style, text]) => make(style === "verdict" || style === "title" ? "b" : "span", { class: style }, text)));
  requestAnimationFrame(() => show(canvas, clip, more));
  return button;
}

function closeLook(clip, lines, more) {
  const dialog = $("closer"), canvas = make("canvas", { role: "img", "aria-label": `Skeleton of ${clip.name}` });
  const facts = [clip.label === undefined ? null : `class: ${className(clip.label)}`, clip.who ? `performer ${clip.who}` : null, clip.recorded ? `${plural(clip.recorded, "recorded frame")}, ${clip.frames} shown` : null];
  dialog.replaceChildren(make("h2", { id: "closer-title" }, clip.name || "A clip"), make("p", { class: "note" }, facts.filter(Boolean).join(" · ")),
    make("p", {}, lines.map(([, text]) => text).join(" · ")), canvas, $("player"), make("p", {}, make("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  $("player").style.position = "static";
  $("player").style.transform = "none";
  dialog.showModal();
  show(canvas, clip, more);
}

function playerControls() {
  const play = make("button", { type: "button", id: "play", onclick: () => setPlaying(!state.playing) });
  const frame = make("input", { type: "range", id: "frame", min: 0, max: 1000, value: 0, "aria-label": "Moment, 0 to 1000", oninput: () => { setPlaying(false); state.phase = frame.value / 1000; paintVisible(); } });
  const turn = make("input", { type: "range", id: "turn", min: 0, max: 360, value: state.turn, "aria-label": "Turn all skeletons, degrees", oninput: () => { state.turn = Number(turn.value); paintVisible(); } });
  const speed = select("", [[0.5, "½×"], [1, "1×"], [2, "2×"]], 1, (value) => { state.speed = Number(value); });
  speed.firstElementChild.setAttribute("aria-label", "Speed");
  speed.className = "wide";
  $("player").replaceChildren(play, make("label", {}, make("span", { class: "wide" }, "Moment"), frame), speed, make("label", {}, "Turn", turn));
  setPlaying(state.playing);
}

function setPlaying(playing) {
  state.playing = playing;
  $("play").textContent = playing ? "❚❚ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", playing ? "Pause all skeletons" : "Play all skeletons");
}

let last = 0;
function tick(now) {
  const elapsed = Math.min(100, now - last);
  last = now;
  if (state.playing) {
    state.phase = (state.phase + (elapsed / 2600) * state.speed) % 1;
    $("frame").value = state.phase * 1000;
    paintVisible();
  }
  requestAnimationFrame(tick);
}

// ---- overview ---------------------------------------------------------------------------------

const figureNames = () => [...new Set(report.runs.flatMap((each) => each.figures.map((figure) => figure.name)))];

function overview() {
  const section = heading("overview", "At a glance");
  section.prepend(make("h1", {}, report.title));
  section.append(make("div", { class: "grid heads" }, report.runs.map(headline)));
  if (!figureNames().length) return;
  section.append(make("div", { class: "card" }, make("h3", { style: "margin-top:0" }, "Accuracy, beside chance, the untrained encoder and the published figure"), figureLegend(), make("div", { class: "broad", tabindex: 0, role: "group", "aria-label": "Plot of the figures" }, figurePlot())), figureTable());
  section.append(...report.notes.map((text) => make("p", { class: "note" }, text)));
}

function headline(each, index) {
  const figure = each.figures[0];
  const facts = figure ? [["chance", percent(figure.chance)], ["untrained encoder", percent(figure.random)],
    ["published", figure.published ? `${percent(figure.published.top1)} (${figure.published.who})` : "nothing to compare with"], ["95 % interval", `${figure.low.toFixed(1)} – ${percent(figure.high)}`]] : [];
  return make("article", { class: "card head", style: `--run:${runColour(index)}` }, make("h3", { style: "margin-top:0" }, each.name),
    figure ? make("p", { class: "figure" }, figure.top1.toFixed(1), make("small", {}, ` % ${figure.name}`)) : make("p", {}, "not evaluated yet"),
    make("dl", {}, facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    make("p", { style: "margin-top:.7rem" }, each.tags.map((text) => make("span", { class: "tag" }, text))));
}

/* Signs of the plot of figures: x, y and what it stands for. */
const SIGNS = {
  chance: (x, y) => draw("path", { d: `M${x} ${y - 7}v14`, stroke: "var(--soft)", "stroke-width": 2.5 }),
  random: (x, y) => draw("path", { d: `M${x - 5} ${y}l5-5 5 5-5 5z`, fill: "var(--card)", stroke: "var(--soft)", "stroke-width": 1.8 }),
  published: (x, y) => draw("path", { d: `M${x} ${y - 7}l2 5 5.2 .3-4 3.4 1.4 5.2-4.6-3-4.6 3 1.4-5.2-4-3.4 5.2-.3z`, fill: "var(--ink)" }),
  ours: (x, y, index = 0) => glyph(index, x, y, 6, runColour(index)),
};

function figureLegend() {
  const entries = [["chance", "chance"], ["random", "untrained encoder"], ["published", "published"], ...report.runs.map((each, index) => ["ours", each.name, index])];
  return make("ul", { class: "legend" }, entries.map(([sign, text, index]) => make("li", {}, draw("svg", { viewBox: "0 0 36 16", "aria-hidden": "true" }, SIGNS[sign](18, 8, index)), " ", text)));
}

function figurePlot() {
  const names = figureNames(), lane = 26, left = 300, right = 830, step = lane * report.runs.length + 16;
  const bottom = names.length * step + 6, at = (value) => left + ((right - left) * value) / 100;
  const label = "Accuracies in percent; the table below holds the same numbers";
  const svg = draw("svg", { class: "plot wide", viewBox: `0 0 900 ${bottom + 26}`, role: "img", "aria-label": label });
  for (const value of [0, 25, 50, 75, 100]) {
    svg.append(draw("path", { class: "axis", d: `M${at(value)} 0V${bottom}` }),
      draw("text", { x: at(value), y: bottom + 19, "text-anchor": "middle" }, `${value} %`));
  }
  names.forEach((name, row) => {
    const cut = name.length > 44 ? `${name.slice(0, 43)}…` : name;
    svg.append(draw("text", { class: "ink", x: 0, y: row * step + step / 2 + 5 }, cut));
    report.runs.forEach((each, index) => {
      const figure = each.figures.find((one) => one.name === name);
      if (figure) svg.append(...figureSigns(figure, index, at, row * step + 8 + lane * (index + 0.5)));
    });
  });
  return svg;
}

function figureSigns(figure, index, at, y) {
  const beside = [["chance", figure.chance], ["random", figure.random], ["published", figure.published?.top1]];
  return [
    draw("path", { d: `M${at(figure.low)} ${y}H${at(figure.high)}`, stroke: runColour(index), "stroke-width": 4, opacity: 0.4 }),
    ...beside.filter(([, value]) => typeof value === "number").map(([sign, value]) => SIGNS[sign](at(value), y)),
    SIGNS.ours(at(figure.top1), y, index),
    draw("text", { class: "ink strong", x: 890, y: y + 5, "text-anchor": "end" }, figure.top1.toFixed(1)),
  ];
}

function figureTable() {
  const columns = ["evaluation", "run", "on", "top-1 %", "95 % from", "to", "chance %", "untrained %", "published %", "source of the published figure", "further figures"];
  const rows = () => report.runs.flatMap((each) => each.figures.map((figure) => [figure.name, each.name, figure.of, figure.top1, figure.low, figure.high, figure.chance, figure.random,
    figure.published?.top1 ?? null, figure.published?.source ?? "–", figure.more.map(([name, value]) => `${name} ${value}`).join("; ")]));
  return make("div", { style: "margin-top:1rem" }, make("p", { class: "table-tools" }, csvButton("figures", columns, rows)), table("All figures", columns, rows()));
}

// ---- curves -----------------------------------------------------------------------------------

function smooth(values, keep) {
  let mean = 0, weight = 0;
  return values.map((value) => {
    mean = keep * mean + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return mean / weight; // the first values count fully
  });
}

function curves() {
  const section = heading("curves", "Curves", "Each number of metrics.jsonl and of the evaluations' histories, one chart each. Move along a chart, or focus it and use the arrow keys, to read values.");
  const smoothing = make("input", { type: "range", id: "smoothing", min: 0, max: 0.97, step: 0.01, value: state.smoothing, oninput: () => { state.smoothing = Number(smoothing.value); redraw(); } });
  const charts = make("div");
  const redraw = () => charts.replaceChildren(...chartGroups());
  section.append(make("div", { class: "controls" }, make("label", {}, "Smoothing", smoothing)));
  if (report.runs.length > 1) section.append(runLegend());
  section.append(charts);
  redraw();
  const columns = ["run", "group", "curve", "epoch", "value"];
  section.append(asTable("curves", "All points of all curves", columns, () => report.runs.flatMap((each) => each.curves.flatMap((curve) => curve.x.map((x, index) => [each.name, curve.group, curve.name, x, curve.y[index]])))));
}

const runLegend = () => make("ul", { class: "legend" }, report.runs.map((each, index) => make("li", {},
  draw("svg", { viewBox: "0 0 36 10", "aria-hidden": "true" }, draw("path", { class: "line", d: "M0 5H36", stroke: runColour(index), "stroke-dasharray": DASHES[index % 6] })), " ", each.name)));

function chartGroups() {
  const groups = new Map();
  report.runs.forEach((each, index) => each.curves.forEach((curve) => {
    const group = groups.get(curve.group) ?? groups.set(curve.group, new Map()).get(curve.group);
    (group.get(curve.name) ?? group.set(curve.name, []).get(curve.name)).push({ ...curve, index, marks: each.marks });
  }));
  if (!groups.size) return [make("p", {}, "No curves: the run has no metrics.jsonl.")];
  return [...groups].flatMap(([name, charts]) => [make("h3", {}, name), make("div", { class: "grid charts" }, [...charts].map(([title, lines]) => chart(title, lines)))]);
}

function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

function chart(title, lines) {
  const [left, right, top, bottom] = [46, 352, 8, 158];
  const xs = lines.flatMap((line) => line.x), ys = lines.flatMap((line) => line.y);
  const [fromX, toX] = [Math.min(0, ...xs), Math.max(...xs, 1e-9)];
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  const decades = low > 0 && high / low > 50;
  if (!decades) { const room = (high - low || Math.abs(high) || 1) * 0.06; low -= room; high += room; }
  const height = (value) => (decades ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const atX = (x) => left + ((right - left) * (x - fromX)) / (toX - fromX || 1), atY = (y) => bottom - (bottom - top) * height(y);
  const svg = draw("svg", { class: "plot", viewBox: "0 0 360 178", tabindex: 0, role: "slider", "aria-label": `${title}, read along the epochs`, "aria-valuemin": 0, "aria-valuemax": Math.max(0, lines[0].x.length - 1) });
  for (const value of decades ? [low, Math.sqrt(low * high), high] : ticks(low, high)) svg.append(draw("path", { class: "axis", d: `M${left} ${atY(value)}H${right}` }), draw("text", { x: left - 5, y: atY(value) + 4, "text-anchor": "end" }, short(value)));
  for (const value of ticks(fromX, toX, 6)) if (atX(value) < right - 42) svg.append(draw("text", { x: atX(value), y: bottom + 17, "text-anchor": "middle" }, value));
  svg.append(draw("text", { x: right, y: bottom + 17, "text-anchor": "end" }, "epoch"));
  for (const [x, text] of lines[0].group === report.training ? lines[0].marks : []) if (x <= toX) svg.append(draw("path", { class: "mark", d: `M${atX(x)} ${top}V${bottom}` }), draw("text", { class: "halo", x: atX(x) + 4, y: bottom - 5 }, text));
  const path = (x, y) => x.map((each, index) => `${index ? "L" : "M"}${atX(each).toFixed(1)} ${atY(y[index]).toFixed(1)}`).join("");
  for (const line of lines) {
    const look = { stroke: runColour(line.index), "stroke-dasharray": DASHES[line.index % 6] };
    line.smooth = line.steady ? line.y : smooth(line.y, state.smoothing);
    if (line.smooth !== line.y && state.smoothing > 0) svg.append(draw("path", { class: "line raw", d: path(line.x, line.y), ...look }));
    svg.append(draw("path", { class: "line", d: path(line.x, line.smooth), ...look }));
    if (line.x.length === 1) svg.append(glyph(line.index, atX(line.x[0]), atY(line.y[0]), 4, runColour(line.index)));
  }
  return make("figure", { class: "card" }, make("figcaption", {}, title), svg, reader(svg, lines, atX, atY, title));
}

/* The line of text that says the values under the pointer or at the arrow keys' place. */
function reader(svg, lines, atX, atY, title) {
  const said = make("p", { class: "said" }), cross = draw("path", { class: "axis zero", d: "M0 0" }), dots = draw("g");
  svg.append(cross, dots);
  const best = (line, x) => line.x.reduce((nearest, each, index) => (Math.abs(each - x) < Math.abs(line.x[nearest] - x) ? index : nearest), 0);
  let place = lines[0].x.length - 1;
  function read(index) {
    place = Math.max(0, Math.min(lines[0].x.length - 1, index));
    const x = lines[0].x[place];
    const texts = lines.map((line) => { const at = best(line, x); return `${lines.length > 1 ? `${report.runs[line.index].name} ` : ""}${short(line.y[at])}`; });
    cross.setAttribute("d", `M${atX(x)} 8V158`);
    dots.replaceChildren(...lines.map((line) => { const at = best(line, x); return glyph(line.index, atX(line.x[at]), atY(line.smooth[at]), 3.5, runColour(line.index)); }));
    said.textContent = `epoch ${short(Math.round(x * 100) / 100)}: ${texts.join(" · ")}`;
    svg.setAttribute("aria-valuenow", place);
    svg.setAttribute("aria-valuetext", `${title}, ${said.textContent}`);
  }
  svg.addEventListener("pointermove", (event) => {
    const across = ((event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth) * 360;
    read(lines[0].x.reduce((nearest, x, index) => (Math.abs(atX(x) - across) < Math.abs(atX(lines[0].x[nearest]) - across) ? index : nearest), 0));
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 }[event.key];
    if (step) { event.preventDefault(); read(place + step); }
  });
  said.textContent = lines.map((line) => `${lines.length > 1 ? `${report.runs[line.index].name} ` : ""}last ${short(line.y.at(-1))}`).join(" · ");
  svg.setAttribute("aria-valuenow", place);
  svg.setAttribute("aria-valuetext", said.textContent);
  return said;
}

// ---- retrieval gallery ------------------------------------------------------------------------

function gallery() {
  const { gallery: found } = run(), section = heading("gallery", "Retrieval gallery", found?.note);
  if (!found) { section.append(make("p", {}, "No gallery was made.")); return; }
  const wanted = state.gallery, labels = [...new Set(found.queries.map((query) => report.clips[query.clip].label))].sort((one, other) => one - other);
  const change = (changes) => { Object.assign(wanted, { page: 0 }, changes); refresh(); };
  const search = make("input", { type: "search", id: "search", value: wanted.text, placeholder: "name of a clip or class", "aria-label": "Search by name", oninput: () => change({ text: search.value }) });
  const chip = make("span"), said = make("span", { role: "status", id: "gallery-count" }), list = make("div", { class: "grid queries" }), pager = make("div", { class: "controls pager" }), names = make("div");
  const refresh = () => fillGallery(found, { chip, said, list, pager, names }, change);
  section.append(make("div", { class: "controls" },
    select("Class", [["", "all"], ...labels.map((label) => [label, className(label)])], wanted.label, (value) => change({ label: value, pair: null })),
    choice("Right or wrong", [["all", "All"], ["right", "✓ Right"], ["wrong", "✕ Wrong"]], wanted.verdict, (value) => change({ verdict: value })), search, chip, said), names, list, pager);
  refresh();
  const columns = ["query", "class", "rank", "training clip", "class of it", "similarity", "verdict"];
  section.append(asTable("gallery", "Queries and their nearest clips", columns, () => found.queries.flatMap((query) => query.neighbours.map(([clip, similarity], rank) => {
    const one = report.clips[query.clip], other = report.clips[clip];
    return [one.name, className(one.label), rank + 1, other.name, className(other.label), similarity, one.label === other.label ? "right" : "wrong"];
  }))));
}

const isRight = (query) => report.clips[query.neighbours[0][0]].label === report.clips[query.clip].label;

/* What an evaluation says of a clip: its mistake, or else its class. */
function saidOf(test, clip) {
  test.wrong ??= new Map(test.mistakes.map(([name, , said]) => [name, said]));
  return test.wrong.get(clip.name) ?? clip.label;
}

function matches(query, { label, verdict, text, pair }) {
  const clip = report.clips[query.clip], words = [clip.name, className(clip.label), ...query.neighbours.map(([other]) => report.clips[other].name)];
  return (label === "" || clip.label === Number(label)) && (verdict === "all" || isRight(query) === (verdict === "right"))
    && words.some((word) => word.toLowerCase().includes(text.trim().toLowerCase()))
    && (!pair || (clip.label === pair.truth && saidOf(run().tests[pair.test], clip) === pair.said));
}

function fillGallery(found, { chip, said, list, pager, names }, change) {
  const wanted = state.gallery, fitting = found.queries.filter((query) => matches(query, wanted)), pages = Math.max(1, Math.ceil(fitting.length / PAGE));
  said.textContent = `${count(fitting.length)} of ${plural(found.queries.length, "query").replace("querys", "queries")}`;
  chip.replaceChildren(...(wanted.pair ? [make("button", { type: "button", class: "pair", "aria-label": "Show all pairs again", onclick: () => change({ pair: null }) }, `${className(wanted.pair.truth)} → ${className(wanted.pair.said)} ✕`)] : []));
  names.replaceChildren(...(wanted.pair ? [pairNames(wanted.pair, fitting.length)] : []));
  list.replaceChildren(...fitting.slice(wanted.page * PAGE, (wanted.page + 1) * PAGE).map(queryCard));
  if (!fitting.length) list.append(make("p", {}, wanted.pair ? "None of these clips is among the sampled queries; their names are above." : "No query fits."));
  const go = (page) => { change({ page }); $("gallery").scrollIntoView(); };
  pager.replaceChildren(make("button", { type: "button", disabled: wanted.page === 0, onclick: () => go(wanted.page - 1) }, "← Previous"), `page ${wanted.page + 1} of ${pages}`, make("button", { type: "button", disabled: wanted.page + 1 >= pages, onclick: () => go(wanted.page + 1) }, "Next →"));
}

function pairNames(pair, here) {
  const test = run().tests[pair.test], all = test.mistakes.filter(([, truth, said]) => truth === pair.truth && said === pair.said).map(([name]) => name);
  const total = test.counts.find(([truth, said]) => truth === pair.truth && said === pair.said)?.[2] ?? 0;
  const text = `${test.name}: ${plural(total, "clip")} of “${className(pair.truth)}” ${total === 1 ? "was" : "were"} taken for “${className(pair.said)}”; ${here} of them ${here === 1 ? "is" : "are"} in the gallery.`;
  return make("div", {}, make("p", { class: "note" }, text), all.length ? make("details", {}, make("summary", {}, "Their names"), make("p", {}, all.join(", "))) : null);
}

function queryCard(query) {
  const clip = report.clips[query.clip], right = isRight(query), sign = right ? "✓ right" : "✕ wrong";
  const row = [clipButton(clip, "first", [["title", "Query"], ["what", className(clip.label)]])];
  for (const [index, similarity] of query.neighbours) {
    const other = report.clips[index], same = other.label === clip.label;
    row.push(clipButton(other, same ? "right" : "wrong", [["verdict", same ? "✓ right" : "✕ wrong"], ["what", className(other.label)], ["near", similarity.toFixed(3)]]));
  }
  return make("article", { class: "card query" }, make("h3", {}, `${sign}: ${className(clip.label)}`),
    make("p", { class: "note" }, `${clip.name}${right ? "" : ` · nearest says “${className(report.clips[query.neighbours[0][0]].label)}”`}`), make("div", { class: "row" }, row));
}

// ---- views ------------------------------------------------------------------------------------

function views() {
  const { views: found } = run(), section = heading("views", "Views as the network sees them", found?.note);
  if (!found) return;
  for (const one of found.clips) {
    section.append(make("h3", {}, `${className(one.label)} · ${one.name}`), make("div", { class: "view-row" },
      one.views.map((view) => clipButton({ ...view.clip, name: one.name, label: one.label }, "", [["title", view.title], ["what", view.said]], { touched: view.touched, like: one.views[0].clip }))));
  }
  section.append(asTable("views", "What was done to each view", ["clip", "class", "view", "what was done", "joints touched"], () => found.clips.flatMap((one) => one.views.map((view) => [one.name, className(one.label), view.title, view.said, view.touched.map((joint) => report.joints[joint]).join("; ")]))));
}

// ---- maps -------------------------------------------------------------------------------------

const GLYPHS = ["M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z", "M-.9-.9h1.8v1.8h-1.8z", "M0-1.1 1.05.8h-2.1z", "M0-1.2 1.2 0 0 1.2-1.2 0z", "M-.35-1h.7v.65h.65v.7h-.65v.65h-.7v-.65h-.65v-.7h.65z", "M0 1.1-1.05-.8h2.1z"];

/* One of six shapes about a place; from 48 on they are hollow. */
function glyph(index, x, y, size, colour, more = {}) {
  const hollow = Math.floor(index / 48) % 2 === 1;
  return draw("path", { d: GLYPHS[index % 6], transform: `translate(${x} ${y}) scale(${size})`, fill: hollow ? "none" : colour, stroke: colour, "vector-effect": "non-scaling-stroke", ...more });
}
const groupColour = (index) => `var(--c${(index + Math.floor(index / 24)) % 8})`;

function maps() {
  const { maps: found } = run(), section = heading("maps", "Maps of the features", found?.note);
  if (!found) return;
  const frame = make("div", { class: "grid maps" }), key = make("div", { class: "key", role: "group", "aria-label": "Light up a group" }), said = make("p", { class: "note", role: "status" });
  const refresh = () => fillMaps(found, frame, key, said);
  const levels = found.levels.map((level, index) => [index, level.name]);
  const colours = [["label", "class"], ...(found.points.some((point) => report.clips[point].who) ? [["who", "performer"]] : [])];
  section.append(make("div", { class: "controls" }, "Level", choice("Level of the encoder", levels, state.level, (value) => { state.level = value; refresh(); }),
    "Colours by", choice("Colours by", colours, state.colour, (value) => { state.colour = value; state.lit = null; refresh(); })), said, frame, key);
  refresh();
  const columns = ["clip", "class", "performer", "level", "x before", "y before", "x after", "y after"];
  section.append(asTable("maps", "All points of all maps", columns, () => found.levels.flatMap((level) => found.points.map((point, index) => [report.clips[point].name, className(report.clips[point].label), report.clips[point].who ?? null, level.name, ...level.before[index], ...level.after[index]]))));
}

const groupOf = (clip) => (state.colour === "label" ? clip.label : clip.who ?? "unknown");
const groupName = (group) => (state.colour === "label" ? className(group) : `performer ${group}`);

function fillMaps(found, frame, key, said) {
  const level = found.levels[state.level], groups = [...new Set(found.points.map((point) => groupOf(report.clips[point])))].sort((one, other) => (one > other ? 1 : -1));
  said.textContent = `${level.about} A clip's nearest other clip has its class: ${percent(level.share_before, 0)} before training, ${percent(level.share_after, 0)} after; chance ${percent(found.chance, 0)}.`;
  const preview = make("div", { class: "card preview" }, make("canvas", { role: "img", "aria-label": "The clip of the chosen point" }), make("p", { class: "note", id: "chosen" }));
  const parts = [["before", "Before training"], ["after", "After training"]].map(([side, title]) => map(level[side], title, found, groups));
  frame.replaceChildren(...parts.map((part) => part.figure), preview);
  const choose = (index, aloud) => {
    state.point = index;
    const clip = report.clips[found.points[index]];
    parts.forEach((part) => part.mark(index));
    show(preview.firstChild, clip);
    preview.lastChild.replaceChildren(make("b", {}, className(clip.label)), make("br"), clip.name, clip.who ? make("br") : "", clip.who ? `performer ${clip.who}` : "");
    if (aloud) say(`${className(clip.label)}, ${clip.name}`);
  };
  parts.forEach((part) => part.listen(choose));
  const light = () => { parts.forEach((part) => part.light(state.lit)); [...key.children].forEach((button, index) => button.setAttribute("aria-pressed", String(groups[index] === state.lit))); };
  key.replaceChildren(...groups.map((group, index) => make("button", { type: "button", "aria-pressed": "false", onclick: () => { state.lit = state.lit === group ? null : group; light(); } },
    draw("svg", { viewBox: "-1.4 -1.4 2.8 2.8", "aria-hidden": "true" }, glyph(index, 0, 0, 1, groupColour(index))), groupName(group))));
  light();
  requestAnimationFrame(() => choose(Math.min(state.point, found.points.length - 1), false));
}

/* One map: points in a square of 1000; the pointer or the arrow keys choose one. */
function map(places, title, found, groups) {
  const clips = found.points.map((point) => report.clips[point]), order = new Map(groups.map((group, index) => [group, index]));
  const points = places.map(([x, y], index) => { const group = order.get(groupOf(clips[index])); return glyph(group, x, y, clips.length > 250 ? 10 : 13, groupColour(group), { class: "point", "data-index": index }); });
  const ring = draw("circle", { class: "ring", r: 26, "vector-effect": "non-scaling-stroke" });
  const svg = draw("svg", { class: "plot card", viewBox: "-40 -40 1080 1080", tabindex: 0, role: "application", "aria-label": `Map ${title.toLowerCase()}: ${plural(clips.length, "clip")}; the arrow keys go from clip to clip` }, points, ring);
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * 1080 - 40, y = ((event.clientY - box.top) / box.height) * 1080 - 40;
    return places.reduce((best, place, index) => (Math.hypot(place[0] - x, place[1] - y) < Math.hypot(places[best][0] - x, places[best][1] - y) ? index : best), 0);
  };
  const towards = ([alongX, alongY]) => {
    const [x, y] = places[state.point], cost = ([toX, toY]) => { const along = (toX - x) * alongX + (toY - y) * alongY, aside = Math.abs((toX - x) * alongY) + Math.abs((toY - y) * alongX); return along <= 0 || aside > 1.5 * along ? Infinity : along + 2 * aside; };
    const best = places.reduce((found_, place, index) => (cost(place) < found_[0] ? [cost(place), index] : found_), [Infinity, state.point]);
    return best[1];
  };
  return {
    figure: make("figure", {}, make("figcaption", {}, title), svg),
    mark: (index) => { ring.setAttribute("cx", places[index][0]); ring.setAttribute("cy", places[index][1]); },
    light: (group) => points.forEach((point, index) => point.classList.toggle("dim", group !== null && groupOf(clips[index]) !== group)),
    listen: (choose) => {
      svg.addEventListener("pointermove", (event) => choose(nearest(event), false));
      svg.addEventListener("click", (event) => choose(nearest(event), true));
      svg.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (way) { event.preventDefault(); choose(towards(way), true); }
      });
    },
  };
}

// ---- classes ----------------------------------------------------------------------------------

function classes() {
  const { tests } = run(), section = heading("classes", "Classes and confusions", "Rows are true classes, columns what was said. A click on a cell, or Enter at the arrow keys' place, leads to the clips of that pair.");
  if (!tests.length) { section.append(make("p", {}, "No evaluation has left the answers for each clip.")); return; }
  state.test = Math.min(state.test, tests.length - 1);
  const body = make("div"), refresh = () => body.replaceChildren(...classParts(tests[state.test]));
  section.append(make("div", { class: "controls" }, select("Evaluation", tests.map((test, index) => [index, test.name]), state.test, (value) => { state.test = Number(value); refresh(); })), body);
  refresh();
}

function classParts(test) {
  const pairs = test.counts.filter(([truth, said]) => truth !== said).sort((one, other) => other[2] - one[2]), clips = new Map(test.classes.map((one) => [one[0], one[1]]));
  const pairColumns = ["true class", "taken for", "clips", "% of the class"], pairRow = ([truth, said, number]) => [className(truth), className(said), number, (100 * number) / clips.get(truth)];
  const pairRows = () => pairs.map(pairRow);
  const worst = pairs.slice(0, 15), lead = ([truth, said]) => make("button", { type: "button", onclick: () => goToPair(truth, said) }, "Show clips");
  const classColumns = ["class", "clips", "right", "accuracy %", "95 % from", "to"], classRows = () => test.classes.map(([label, number, right, accuracy, low, high]) => [className(label), number, right, accuracy, low, high]);
  const byAccuracy = [...test.classes].sort((one, other) => one[3] - other[3]);
  return [make("p", { class: "note" }, test.note), make("div", { class: "grid two" },
    make("div", {}, make("h3", {}, "Confusion matrix"), matrix(test), make("p", { class: "table-tools" }, csvButton("confusions", ["true class", "said", "clips"], () => test.counts.map(([truth, said, number]) => [className(truth), className(said), number])), " ", csvButton("mistakes", ["clip", "true class", "said"], () => test.mistakes.map(([name, truth, said]) => [name, className(truth), className(said)])))),
    make("div", {}, make("h3", {}, "Worst pairs"), make("p", { class: "table-tools" }, csvButton("worst_pairs", pairColumns, pairRows)), table("The pairs most often confused", [...pairColumns, "clips of it"], worst.map((pair) => [...pairRow(pair), lead(pair)])),
      make("h3", {}, "Accuracy of each class, worst first"), make("p", { class: "table-tools" }, csvButton("classes", classColumns, classRows)),
      table("Accuracy with 95 % Wilson intervals", [...classColumns, "0 to 100 %"], byAccuracy.map(([label, number, right, accuracy, low, high]) => [className(label), number, right, accuracy, low, high, bar(accuracy, low, high)]))))];
}

const bar = (value, low, high) => draw("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("path", { class: "axis", d: "M0 6H100", "vector-effect": "non-scaling-stroke" }),
  draw("path", { d: `M${low} 6H${high}`, stroke: "var(--accent)", "stroke-width": 5, opacity: 0.4, "vector-effect": "non-scaling-stroke" }), draw("path", { d: `M${value} 0V12`, stroke: "var(--ink)", "stroke-width": 2.5, "vector-effect": "non-scaling-stroke" }));

function goToPair(truth, said) {
  Object.assign(state.gallery, { pair: { truth, said, test: state.test }, label: "", verdict: "all", text: "", page: 0 });
  gallery();
  $("gallery").scrollIntoView();
  const chip = $("gallery").querySelector(".pair");
  chip?.focus({ preventScroll: true });
  say(`${className(truth)} taken for ${className(said)}: ${$("gallery-count").textContent}`);
}

/* Cells shaded by their share of the row: blue where right, orange where wrong; a cursor says which. */
function matrix(test) {
  const labels = test.classes.map(([label]) => label), size = labels.length, named = size <= 40;
  const edge = named ? 150 : 26, cell = (760 - edge) / size, place = new Map(labels.map((label, index) => [label, edge + index * cell]));
  const svg = draw("svg", { class: "plot matrix card", viewBox: "0 0 768 768", tabindex: 0, role: "application",
    "aria-label": "Confusion matrix; the arrow keys go from cell to cell, Enter shows the clips" });
  svg.append(...matrixEdges(labels, named, edge, cell), ...matrixCells(test, place, cell));
  const cursor = draw("rect", { class: "cursor", width: cell, height: cell, visibility: "hidden" });
  const said = make("p", { class: "said note", role: "status" }, "✓ blue, on the diagonal: right. ✕ orange: wrong. Stronger: a larger share of the row.");
  svg.append(cursor);
  listenToMatrix(svg, test, labels, (event) => {
    const box = svg.getBoundingClientRect();
    const find = (part, whole) => Math.floor(((part / whole) * 768 - edge) / cell);
    return [find(event.clientY - box.top, box.height), find(event.clientX - box.left, box.width)];
  }, (truth, answer, text) => {
    cursor.setAttribute("x", place.get(answer));
    cursor.setAttribute("y", place.get(truth));
    cursor.setAttribute("visibility", "visible");
    said.textContent = text;
  });
  return make("div", {}, make("div", { class: "broad" }, svg), said);
}

function matrixEdges(labels, named, edge, cell) {
  const cut = (text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text), low = 760;
  const lines = labels.length > 60 ? "" : labels.map((_, index) => `M${edge} ${edge + index * cell}H${low}M${edge + index * cell} ${edge}V${low}`).join("");
  const frame = draw("path", { class: "axis", fill: "none", d: `${lines}M${edge} ${edge}H${low}V${low}H${edge}Z` });
  if (!named) return [frame, draw("text", { x: edge, y: 17 }, "said →"), draw("text", { transform: `translate(17 ${edge}) rotate(90)` }, "true class →")];
  const style = `font-size:${Math.min(12, cell * 0.8).toFixed(1)}px`;
  return [frame, ...labels.flatMap((label, index) => {
    const middle = edge + (index + 0.5) * cell + 4;
    return [draw("text", { x: edge - 6, y: middle, "text-anchor": "end", style }, cut(className(label))),
      draw("text", { transform: `translate(${middle} ${edge - 6}) rotate(-90)`, style }, cut(className(label)))];
  })];
}

function matrixCells(test, place, cell) {
  const clips = new Map(test.classes.map(([label, number]) => [label, number]));
  return test.counts.flatMap(([truth, answer, number]) => {
    const share = number / clips.get(truth), [x, y] = [place.get(answer), place.get(truth)];
    const strength = 0.12 + 0.88 * Math.sqrt(share), colour = truth === answer ? "var(--right)" : "var(--wrong)";
    const rect = draw("rect", { class: "cell", x, y, width: cell, height: cell, fill: colour, "fill-opacity": strength.toFixed(2) });
    const ink = strength > 0.6 ? "var(--card)" : "var(--ink)";
    const text = draw("text", { x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle", style: `font-weight:600;pointer-events:none;fill:${ink}` }, number);
    return cell > 22 ? [rect, text] : [rect];
  });
}

function listenToMatrix(svg, test, labels, under, mark) {
  const clips = new Map(test.classes.map(([label, number]) => [label, number]));
  const numbers = new Map(test.counts.map(([truth, answer, number]) => [`${truth} ${answer}`, number]));
  let at = [0, 0];
  const read = (place) => {
    at = place.map((each) => Math.max(0, Math.min(labels.length - 1, each)));
    const [truth, answer] = at.map((each) => labels[each]), number = numbers.get(`${truth} ${answer}`) ?? 0;
    const of = `${number} of ${clips.get(truth)}`;
    mark(truth, answer, truth === answer ? `“${className(truth)}”: ${of} right` : `“${className(truth)}” taken for “${className(answer)}”: ${of}`);
  };
  const go = () => goToPair(labels[at[0]], labels[at[1]]);
  const inside = (place) => place.every((each) => each >= 0 && each < labels.length);
  svg.addEventListener("pointermove", (event) => { if (inside(under(event))) read(under(event)); });
  svg.addEventListener("click", (event) => { if (inside(under(event))) { read(under(event)); go(); } });
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (way) { event.preventDefault(); read([at[0] + way[0], at[1] + way[1]]); }
    if (event.key === "Enter") { event.preventDefault(); go(); } // else it presses what gets the focus
  });
}

// ---- record -----------------------------------------------------------------------------------

function record() {
  const section = heading("record", "The record", report.runs.length > 1 ? "Rows marked ≠ differ between the runs." : ""), names = [...new Set(report.runs.flatMap((each) => each.record.map(([name]) => name)))];
  const columns = ["what", ...report.runs.map((each) => each.name)], rows = () => names.map((name) => [name, ...report.runs.map((each) => each.record.find(([other]) => other === name)?.[1] ?? "–")]);
  const body = table("What was run, and with what", columns, rows().map((row) => row.map(String)));
  body.querySelectorAll("tbody tr").forEach((row, index) => row.classList.toggle("differs", new Set(rows()[index].slice(1).map(String)).size > 1));
  section.append(make("p", { class: "table-tools" }, csvButton("record", columns, rows)), body, make("p", { class: "note" }, report.made));
}

// ---- start ------------------------------------------------------------------------------------

const ofRun = [gallery, views, maps, classes];
const THEMES = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };
const darkSystem = matchMedia("(prefers-color-scheme: dark)"), printing = matchMedia("print");

function applyTheme() {
  const dark = state.theme === "dark" || (state.theme === "auto" && darkSystem.matches);
  document.documentElement.dataset.theme = dark && !printing.matches ? "dark" : "light";
  $("theme").textContent = THEMES[state.theme];
  $("theme").setAttribute("aria-label", `Colours: ${state.theme === "auto" ? "as the system" : state.theme}`);
  paintEverything();
}

function chooseRun(index) {
  state.run = index;
  state.test = state.point = 0;
  state.lit = null;
  Object.assign(state.gallery, { label: "", verdict: "all", text: "", pair: null, page: 0 });
  ofRun.forEach((section) => section());
}

function navigation() {
  const links = [["overview", "Figures"], ["curves", "Curves"], ["gallery", "Gallery"], ["views", "Views"], ["maps", "Maps"], ["classes", "Classes"], ["record", "Record"]];
  $("sections").replaceChildren(...links.map(([id, text]) => make("a", { href: `#${id}` }, text)));
  const here = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    for (const link of $("sections").children) link.toggleAttribute("aria-current", link.hash === `#${target.id}`);
  }), { rootMargin: "-20% 0px -70% 0px" });
  links.forEach(([id]) => here.observe($(id)));
}

function start() {
  $("theme").addEventListener("click", () => { state.theme = { auto: "light", light: "dark", dark: "auto" }[state.theme]; applyTheme(); });
  darkSystem.addEventListener("change", applyTheme);
  printing.addEventListener("change", applyTheme);
  addEventListener("resize", paintVisible);
  $("closer").addEventListener("close", () => { document.body.append($("player")); $("player").removeAttribute("style"); });
  $("run-label").hidden = report.runs.length < 2;
  $("run").replaceChildren(...report.runs.map((each, index) => make("option", { value: index }, each.name)));
  $("run").addEventListener("change", (event) => chooseRun(Number(event.target.value)));
  playerControls();
  readPalette();
  navigation();
  [overview, curves, ...ofRun, record].forEach((section) => section());
  applyTheme();
  requestAnimationFrame(tick);
}

start();
