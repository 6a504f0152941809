/* The first section: each run's headline, and all figures beside what they compare with. */

const figureNames = () => [
  ...new Set(report.runs.flatMap((each) => each.figures.map((figure) => figure.name))),
];

function overview() {
  const section = heading("overview", "At a glance");
  section.prepend(make("h1", {}, report.title));
  section.append(make("div.grid.heads", {}, report.runs.map(headline)));
  if (!figureNames().length) return;
  section.append(
    make(
      "div.card",
      {},
      make(
        "h3",
        { style: "margin-top:0" },
        "Accuracy, beside chance, the untrained encoder and the published figure",
      ),
      figureLegend(),
      figurePlot(),
    ),
    figureTable(),
  );
  section.append(...report.notes.map((text) => make("p.note", {}, text)));
}

function headline(each, index) {
  const figure = each.figures[0];
  const facts = figure
    ? [
        ["chance", percent(figure.chance)],
        ["untrained encoder", percent(figure.random)],
        [
          "published",
          figure.published
            ? `${percent(figure.published.top1)} (${figure.published.who})`
            : "nothing to compare with",
        ],
        ["95 % interval", `${figure.low.toFixed(1)} – ${percent(figure.high)}`],
      ]
    : [];
  return make(
    "article.card.head",
    { style: `--run:${runColour(index)}` },
    make("h3", { style: "margin-top:0" }, each.name),
    figure
      ? make("p.figure", {}, figure.top1.toFixed(1), make("small", {}, ` % ${figure.name}`))
      : make("p", {}, "not evaluated yet"),
    make(
      "dl",
      {},
      facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    ),
    make(
      "p",
      { style: "margin-top:.7rem" },
      each.tags.map((text) => make("span.tag", {}, text)),
    ),
  );
}

/* Signs of the plot of figures: x, y and what it stands for. */
const SIGNS = {
  chance: (x, y) =>
    draw("path", { d: `M${x} ${y - 7}v14`, stroke: "var(--soft)", "stroke-width": 2.5 }),
  random: (x, y) =>
    draw("path", {
      d: `M${x - 5} ${y}l5-5 5 5-5 5z`,
      fill: "var(--card)",
      stroke: "var(--soft)",
      "stroke-width": 1.8,
    }),
  published: (x, y) =>
    draw("path", {
      d: `M${x} ${y - 7}l2 5 5.2 .3-4 3.4 1.4 5.2-4.6-3-4.6 3 1.4-5.2-4-3.4 5.2-.3z`,
      fill: "var(--ink)",
    }),
  ours: (x, y, index = 0) => glyph(index, x, y, 6, runColour(index)),
};

function figureLegend() {
  const entries = [
    ["chance", "chance"],
    ["random", "untrained encoder"],
    ["published", "published"],
    ...report.runs.map((each, index) => ["ours", each.name, index]),
  ];
  return make(
    "ul.legend",
    {},
    entries.map(([sign, text, index]) =>
      make(
        "li",
        {},
        draw("svg", { viewBox: "0 0 36 16", "aria-hidden": "true" }, SIGNS[sign](18, 8, index)),
        " ",
        text,
      ),
    ),
  );
}

/* Rows of the plot: each figure once, with a lane for each run that has it. */
function figureRows() {
  let top = 0;
  return figureNames().map((name) => {
    const found = report.runs.map((each) => each.figures.find((one) => one.name === name));
    const lanes = [...found.entries()].filter(([, figure]) => figure);
    const row = { name, lanes, top, high: LANE * lanes.length + 16 };
    top += row.high;
    return row;
  });
}

const LANE = 26;

function figurePlot() {
  const wide = Math.max(340, Math.min(900, document.documentElement.clientWidth - 50)); // a phone's own width
  const longest = Math.max(...figureNames().map((name) => name.length));
  const left = Math.min(wide / 3, 20 + 7 * longest);
  const right = wide - 70;
  const letters = Math.floor(left / 6.8);
  const rows = figureRows();
  const bottom = rows.at(-1).top + rows.at(-1).high + 6;
  const at = (value) => left + ((right - left) * value) / 100;
  const label = "Accuracies in percent; the table below holds the same numbers";
  const given = { viewBox: `0 0 ${wide} ${bottom + 26}`, role: "img", "aria-label": label };
  const svg = draw("svg.plot.wide", given);
  for (const value of [0, 25, 50, 75, 100]) {
    const number = { x: at(value), y: bottom + 19, "text-anchor": "middle" };
    svg.append(draw("path.axis", { d: `M${at(value)} 0V${bottom}` }));
    svg.append(draw("text", number, `${value} %`));
  }
  for (const { name, lanes, top, high } of rows) {
    const cut = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
    svg.append(draw("text.ink", { x: 0, y: top + high / 2 + 5 }, cut));
    lanes.forEach(([index, figure], lane) =>
      svg.append(...figureSigns(figure, index, at, wide - 10, top + 8 + LANE * (lane + 0.5))),
    );
  }
  return svg;
}

function figureSigns(figure, index, at, end, y) {
  const beside = [
    ["chance", figure.chance],
    ["random", figure.random],
    ["published", figure.published?.top1],
  ];
  return [
    draw("path", {
      d: `M${at(figure.low)} ${y}H${at(figure.high)}`,
      stroke: runColour(index),
      "stroke-width": 4,
      opacity: 0.4,
    }),
    ...beside
      .filter(([, value]) => typeof value === "number")
      .map(([sign, value]) => SIGNS[sign](at(value), y)),
    SIGNS.ours(at(figure.top1), y, index),
    draw("text.ink.strong", { x: end, y: y + 5, "text-anchor": "end" }, figure.top1.toFixed(1)),
  ];
}

function figureTable() {
  const columns = [
    "evaluation",
    "run",
    "on",
    "top-1 %",
    "95 % from",
    "to",
    "chance %",
    "untrained %",
    "published %",
    "source of the published figure",
    "further figures",
  ];
  const rows = () =>
    report.runs.flatMap((each) =>
      each.figures.map((figure) => [
        figure.name,
        each.name,
        figure.of,
        figure.top1,
        figure.low,
        figure.high,
        figure.chance,
        figure.random,
        figure.published?.top1 ?? null,
        figure.published?.source ?? "–",
        figure.more.map(([name, value]) => `${name} ${value}`).join("; "),
      ]),
    );
  return make(
    "div",
    { style: "margin-top:1rem" },
    make("p.table-tools", {}, csvButton("figures", columns, rows)),
    table("All figures", columns, rows()),
  );
}

function record() {
  const section = heading(
    "record",
    "The record",
    report.runs.length > 1 ? "Rows marked ≠ differ between the runs." : "",
  );
  const names = [...new Set(report.runs.flatMap((each) => each.record.map(([name]) => name)))];
  const columns = ["what", ...report.runs.map((each) => each.name)];
  const rows = () =>
    names.map((name) => [
      name,
      ...report.runs.map((each) => each.record.find(([other]) => other === name)?.[1] ?? "–"),
    ]);
  const body = table(
    "What was run, and with what",
    columns,
    rows().map((row) => row.map(String)),
  );
  body
    .querySelectorAll("tbody tr")
    .forEach((row, index) =>
      row.classList.toggle("differs", new Set(rows()[index].slice(1).map(String)).size > 1),
    );
  section.append(
    make("p.table-tools", {}, csvButton("record", columns, rows)),
    body,
    make("p.note", {}, report.made),
  );
}
