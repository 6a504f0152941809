/* Curves over epochs: one chart a number, one line a run. */

function smooth(values, keep) {
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    mean = keep * mean + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return mean / weight; // the first values count fully
  });
}

const CURVES_NOTE =
  "Each number of metrics.jsonl and of the evaluations' histories, one chart each. Move along a " +
  "chart, or focus it and use the arrow keys, to read values.";

function curves() {
  const section = heading("curves", "Curves", CURVES_NOTE);
  const charts = make("div");
  const redraw = () => charts.replaceChildren(...chartGroups());
  const given = { min: 0, max: 0.97, step: 0.01, value: state.smoothing };
  const smoothing = slider("smoothing", given, (value) => {
    state.smoothing = value;
    redraw();
  });
  section.append(make("div.controls", {}, make("label", {}, "Smoothing", smoothing)));
  if (report.runs.length > 1) section.append(runLegend());
  const columns = ["run", "group", "curve", "epoch", "value"];
  const points = ([name, curve]) =>
    curve.x.map((x, at) => [name, curve.group, curve.name, x, curve.y[at]]);
  const every = report.runs.flatMap((each) => each.curves.map((curve) => [each.name, curve]));
  section.append(
    charts,
    asTable("curves", "All points of all curves", columns, () => every.flatMap(points)),
  );
  redraw();
}

function runLegend() {
  const line = (index) => {
    const dashes = DASHES[index % DASHES.length];
    return { d: "M0 5H36", stroke: runColour(index), "stroke-dasharray": dashes };
  };
  const sign = (index) =>
    draw("svg", { viewBox: "0 0 36 10", "aria-hidden": "true" }, draw("path.line", line(index)));
  const entries = report.runs.map((each, index) => make("li", {}, sign(index), " ", each.name));
  return make("ul.legend", {}, entries);
}

function chartGroups() {
  const groups = new Map(); // group -> name of the curve -> a line for each run
  for (const [index, each] of report.runs.entries()) {
    for (const curve of each.curves) {
      if (!groups.has(curve.group)) groups.set(curve.group, new Map());
      const charts = groups.get(curve.group);
      if (!charts.has(curve.name)) charts.set(curve.name, []);
      charts.get(curve.name).push({ ...curve, index, marks: each.marks });
    }
  }
  if (!groups.size) return [make("p", {}, "No curves: the run has no metrics.jsonl.")];
  return [...groups].flatMap(([name, charts]) => {
    const drawn = [...charts].map(([title, lines]) => chart(title, lines));
    return [make("h3", {}, name), make("div.grid.charts", {}, drawn)];
  });
}

function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step)
    found.push(Number(value.toPrecision(10)));
  return found;
}

const FRAME = { left: 46, right: 352, top: 8, bottom: 158, wide: 360, high: 178 };

/* Places of epochs and values in a chart; values over many decades stand logarithmically. */
function scales(lines) {
  const xs = lines.flatMap((line) => line.x);
  const ys = lines.flatMap((line) => line.y);
  const [from, to] = [Math.min(0, ...xs), Math.max(...xs, 1e-9)];
  const [least, most] = [Math.min(...ys), Math.max(...ys)];
  const decades = least > 0 && most / least > 50;
  const room = decades ? 0 : (most - least || Math.abs(most) || 1) * 0.06;
  const [low, high] = [least - room, most + room];
  const share = (value) =>
    decades ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return {
    atX: (x) => FRAME.left + ((FRAME.right - FRAME.left) * (x - from)) / (to - from || 1),
    atY: (y) => FRAME.bottom - (FRAME.bottom - FRAME.top) * share(y),
    epochs: ticks(from, to, 6),
    values: decades ? [low, Math.sqrt(low * high), high] : ticks(low, high),
    to,
  };
}

/* The run a line is of, where there are several. */
const called = (lines, line) => (lines.length > 1 ? `${report.runs[line.index].name} ` : "");

function chart(name, lines) {
  const beside = lines.filter((line) => line.beside);
  const texts = beside.map((line) => `${called(lines, line)}${line.beside}`);
  const title = texts.length ? `${name} (${texts.join("; ")})` : name;
  const scale = scales(lines);
  const svg = draw("svg.plot", {
    viewBox: `0 0 ${FRAME.wide} ${FRAME.high}`,
    tabindex: 0,
    role: "slider",
    "aria-label": `${title}, read along the epochs`,
    "aria-valuemin": 0,
    "aria-valuemax": Math.max(...lines.map((line) => line.x.length)) - 1,
  });
  for (const line of lines) line.smooth = line.steady ? line.y : smooth(line.y, state.smoothing);
  svg.append(...chartAxes(scale), ...chartMarks(lines[0], scale));
  svg.append(...lines.flatMap((line) => chartLine(line, scale)));
  return make(
    "figure.card",
    {},
    make("figcaption", {}, title),
    svg,
    reader(svg, lines, scale, title),
  );
}

function chartAxes({ atX, atY, epochs, values }) {
  const { left, right, bottom } = FRAME;
  const text = (x, y, anchor, said) => draw("text", { x, y, "text-anchor": anchor }, said);
  const rows = values.flatMap((value) => [
    draw("path.axis", { d: `M${left} ${atY(value)}H${right}` }),
    text(left - 5, atY(value) + 4, "end", short(value)),
  ]);
  const numbers = epochs.filter((value) => atX(value) < right - 42); // where "epoch" stands
  const columns = numbers.map((value) => text(atX(value), bottom + 17, "middle", value));
  return [...rows, ...columns, text(right, bottom + 17, "end", "epoch")];
}

function chartMarks(line, { atX, to }) {
  const marks = line.group === report.training ? line.marks.filter(([x]) => x <= to) : [];
  return marks.flatMap(([x, text]) => [
    draw("path.mark", { d: `M${atX(x)} ${FRAME.top}V${FRAME.bottom}` }),
    draw("text.halo", { x: atX(x) + 4, y: FRAME.bottom - 5 }, text),
  ]);
}

function chartLine(line, { atX, atY }) {
  const colour = runColour(line.index);
  const path = (kind, y) => {
    const places = line.x.map((x, at) => `${atX(x).toFixed(1)} ${atY(y[at]).toFixed(1)}`);
    const dashes = DASHES[line.index % DASHES.length];
    return draw(kind, { d: `M${places.join("L")}`, stroke: colour, "stroke-dasharray": dashes });
  };
  const made = [path("path.line", line.smooth)];
  if (line.smooth !== line.y && state.smoothing > 0) made.unshift(path("path.line.raw", line.y));
  if (line.x.length === 1) made.push(glyph(line.index, atX(line.x[0]), atY(line.y[0]), 4, colour));
  return made;
}

const STEPS = {
  ...{ ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 },
  ...{ PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity },
};

/* The line of text that says the values under the pointer or at the arrow keys' place. */
function reader(svg, lines, { atX, atY }, title) {
  const first = lines.reduce((one, other) => (other.x.length > one.x.length ? other : one));
  const [said, cross, dots] = [make("p.said"), draw("path.axis.zero", { d: "M0 0" }), draw("g")];
  let place = first.x.length - 1;
  const tell = (text) => {
    said.textContent = text;
    svg.setAttribute("aria-valuenow", place);
    svg.setAttribute("aria-valuetext", `${title}, ${text}`);
  };
  const read = (index) => {
    place = Math.max(0, Math.min(first.x.length - 1, index));
    const x = first.x[place];
    const near = lines.map((line) => [line, least(line.x, (each) => Math.abs(each - x))]);
    const dot = ([line, at]) =>
      glyph(line.index, atX(line.x[at]), atY(line.smooth[at]), 3.5, runColour(line.index));
    cross.setAttribute("d", `M${atX(x)} ${FRAME.top}V${FRAME.bottom}`);
    dots.replaceChildren(...near.map(dot));
    const texts = near.map(([line, at]) => `${called(lines, line)}${short(line.y[at])}`);
    tell(`epoch ${short(Math.round(x * 100) / 100)}: ${texts.join(" · ")}`);
  };
  svg.append(cross, dots);
  svg.addEventListener("pointermove", (event) => {
    const across = pointed(svg, event).x;
    read(least(first.x, (x) => Math.abs(atX(x) - across)));
  });
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    read(place + STEPS[event.key]);
  });
  tell(lines.map((line) => `${called(lines, line)}last ${short(line.y.at(-1))}`).join(" · "));
  return said;
}
