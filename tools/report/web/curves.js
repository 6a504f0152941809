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

function curves() {
  const section = heading(
    "curves",
    "Curves",
    "Each number of metrics.jsonl and of the evaluations' histories, one chart each. Move along a chart, or focus it and use the arrow keys, to read values.",
  );
  const smoothing = make("input", {
    type: "range",
    id: "smoothing",
    min: 0,
    max: 0.97,
    step: 0.01,
    value: state.smoothing,
    oninput: () => {
      state.smoothing = Number(smoothing.value);
      redraw();
    },
  });
  const charts = make("div");
  const redraw = () => charts.replaceChildren(...chartGroups());
  section.append(make("div.controls", {}, make("label", {}, "Smoothing", smoothing)));
  if (report.runs.length > 1) section.append(runLegend());
  section.append(charts);
  redraw();
  const columns = ["run", "group", "curve", "epoch", "value"];
  section.append(
    asTable("curves", "All points of all curves", columns, () =>
      report.runs.flatMap((each) =>
        each.curves.flatMap((curve) =>
          curve.x.map((x, index) => [each.name, curve.group, curve.name, x, curve.y[index]]),
        ),
      ),
    ),
  );
}

const runLegend = () =>
  make(
    "ul.legend",
    {},
    report.runs.map((each, index) =>
      make(
        "li",
        {},
        draw(
          "svg",
          { viewBox: "0 0 36 10", "aria-hidden": "true" },
          draw("path.line", {
            d: "M0 5H36",
            stroke: runColour(index),
            "stroke-dasharray": DASHES[index % 6],
          }),
        ),
        " ",
        each.name,
      ),
    ),
  );

function chartGroups() {
  const groups = new Map();
  report.runs.forEach((each, index) =>
    each.curves.forEach((curve) => {
      const group = groups.get(curve.group) ?? groups.set(curve.group, new Map()).get(curve.group);
      (group.get(curve.name) ?? group.set(curve.name, []).get(curve.name)).push({
        ...curve,
        index,
        marks: each.marks,
      });
    }),
  );
  if (!groups.size) return [make("p", {}, "No curves: the run has no metrics.jsonl.")];
  return [...groups].flatMap(([name, charts]) => [
    make("h3", {}, name),
    make(
      "div.grid.charts",
      {},
      [...charts].map(([title, lines]) => chart(title, lines)),
    ),
  ]);
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

function chart(title, lines) {
  const [left, right, top, bottom] = [46, 352, 8, 158];
  const xs = lines.flatMap((line) => line.x);
  const ys = lines.flatMap((line) => line.y);
  const [fromX, toX] = [Math.min(0, ...xs), Math.max(...xs, 1e-9)];
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  const decades = low > 0 && high / low > 50;
  if (!decades) {
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    low -= room;
    high += room;
  }
  const height = (value) =>
    decades ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const atX = (x) => left + ((right - left) * (x - fromX)) / (toX - fromX || 1);
  const atY = (y) => bottom - (bottom - top) * height(y);
  const svg = draw("svg.plot", {
    viewBox: "0 0 360 178",
    tabindex: 0,
    role: "slider",
    "aria-label": `${title}, read along the epochs`,
    "aria-valuemin": 0,
    "aria-valuemax": Math.max(0, lines[0].x.length - 1),
  });
  for (const value of decades ? [low, Math.sqrt(low * high), high] : ticks(low, high))
    svg.append(
      draw("path.axis", { d: `M${left} ${atY(value)}H${right}` }),
      draw("text", { x: left - 5, y: atY(value) + 4, "text-anchor": "end" }, short(value)),
    );
  for (const value of ticks(fromX, toX, 6))
    if (atX(value) < right - 42)
      svg.append(draw("text", { x: atX(value), y: bottom + 17, "text-anchor": "middle" }, value));
  svg.append(draw("text", { x: right, y: bottom + 17, "text-anchor": "end" }, "epoch"));
  for (const [x, text] of lines[0].group === report.training ? lines[0].marks : [])
    if (x <= toX)
      svg.append(
        draw("path.mark", { d: `M${atX(x)} ${top}V${bottom}` }),
        draw("text.halo", { x: atX(x) + 4, y: bottom - 5 }, text),
      );
  const path = (x, y) =>
    x
      .map(
        (each, index) => `${index ? "L" : "M"}${atX(each).toFixed(1)} ${atY(y[index]).toFixed(1)}`,
      )
      .join("");
  for (const line of lines) {
    const look = { stroke: runColour(line.index), "stroke-dasharray": DASHES[line.index % 6] };
    line.smooth = line.steady ? line.y : smooth(line.y, state.smoothing);
    if (line.smooth !== line.y && state.smoothing > 0)
      svg.append(draw("path.line.raw", { d: path(line.x, line.y), ...look }));
    svg.append(draw("path.line", { d: path(line.x, line.smooth), ...look }));
    if (line.x.length === 1)
      svg.append(glyph(line.index, atX(line.x[0]), atY(line.y[0]), 4, runColour(line.index)));
  }
  return make(
    "figure.card",
    {},
    make("figcaption", {}, title),
    svg,
    reader(svg, lines, atX, atY, title),
  );
}

/* The line of text that says the values under the pointer or at the arrow keys' place. */
function reader(svg, lines, atX, atY, title) {
  const said = make("p.said", {});
  const cross = draw("path.axis.zero", { d: "M0 0" });
  const dots = draw("g");
  svg.append(cross, dots);
  const best = (line, x) =>
    line.x.reduce(
      (nearest, each, index) =>
        Math.abs(each - x) < Math.abs(line.x[nearest] - x) ? index : nearest,
      0,
    );
  let place = lines[0].x.length - 1;
  function read(index) {
    place = Math.max(0, Math.min(lines[0].x.length - 1, index));
    const x = lines[0].x[place];
    const texts = lines.map((line) => {
      const at = best(line, x);
      return `${lines.length > 1 ? `${report.runs[line.index].name} ` : ""}${short(line.y[at])}`;
    });
    cross.setAttribute("d", `M${atX(x)} 8V158`);
    dots.replaceChildren(
      ...lines.map((line) => {
        const at = best(line, x);
        return glyph(line.index, atX(line.x[at]), atY(line.smooth[at]), 3.5, runColour(line.index));
      }),
    );
    said.textContent = `epoch ${short(Math.round(x * 100) / 100)}: ${texts.join(" · ")}`;
    svg.setAttribute("aria-valuenow", place);
    svg.setAttribute("aria-valuetext", `${title}, ${said.textContent}`);
  }
  svg.addEventListener("pointermove", (event) => {
    const across = ((event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth) * 360;
    read(
      lines[0].x.reduce(
        (nearest, x, index) =>
          Math.abs(atX(x) - across) < Math.abs(atX(lines[0].x[nearest]) - across) ? index : nearest,
        0,
      ),
    );
  });
  svg.addEventListener("keydown", (event) => {
    const step = {
      ArrowLeft: -1,
      ArrowDown: -1,
      ArrowRight: 1,
      ArrowUp: 1,
      PageDown: -10,
      PageUp: 10,
      Home: -1e9,
      End: 1e9,
    }[event.key];
    if (step) {
      event.preventDefault();
      read(place + step);
    }
  });
  said.textContent = lines
    .map(
      (line) =>
        `${lines.length > 1 ? `${report.runs[line.index].name} ` : ""}last ${short(line.y.at(-1))}`,
    )
    .join(" · ");
  svg.setAttribute("aria-valuenow", place);
  svg.setAttribute("aria-valuetext", said.textContent);
  return said;
}
