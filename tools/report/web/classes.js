/* The confusion matrix, the worst pairs and the accuracy of each class. */

function classes() {
  const { tests } = run();
  const section = heading(
    "classes",
    "Classes and confusions",
    "Rows are true classes, columns what was said. A click on a cell, or Enter at the arrow keys' place, leads to the clips of that pair.",
  );
  if (!tests.length) {
    section.append(make("p", {}, "No evaluation has left the answers for each clip."));
    return;
  }
  state.test = Math.min(state.test, tests.length - 1);
  const body = make("div");
  const refresh = () => {
    const test = tests[state.test];
    const parts = [matrixPart(test), make("div", {}, pairsPart(test), accuraciesPart(test))];
    const note = make("p.note", {}, test.note);
    body.replaceChildren(onPaper(whose(), `${test.name}:`), note, make("div.grid.two", {}, parts));
  };
  const names = tests.map((test, index) => [index, test.name]);
  const choose = (value) => {
    state.test = Number(value);
    refresh();
  };
  section.append(make("div.controls", {}, select("Evaluation", names, state.test, choose)), body);
  refresh();
}

function matrixPart(test) {
  const named = ([truth, said]) => [className(truth), className(said)];
  const counts = () => test.counts.map((one) => [...named(one), one[2]]);
  const mistakes = () => test.mistakes.map(([name, ...pair]) => [name, ...named(pair)]);
  const tools = make(
    "p.table-tools",
    {},
    csvButton("confusions", ["true class", "said", "clips"], counts),
    " ",
    csvButton("mistakes", ["clip", "true class", "said"], mistakes),
  );
  return make("div", {}, make("h3", {}, "Confusion matrix"), matrix(test), tools);
}

function pairsPart(test) {
  const pairs = test.counts.filter(([truth, said]) => truth !== said);
  pairs.sort((one, other) => other[2] - one[2]);
  const clips = new Map(test.classes.map(([label, number]) => [label, number]));
  const columns = ["true class", "taken for", "clips", "% of the class"];
  const row = ([truth, said, number]) => [
    className(truth),
    className(said),
    number,
    (100 * number) / clips.get(truth),
  ];
  const lead = ([truth, said]) => button("Show clips", () => goToPair(truth, said));
  const worst = pairs.slice(0, 15).map((pair) => [...row(pair), lead(pair)]);
  return [
    make("h3", {}, "Worst pairs"),
    make(
      "p.table-tools",
      {},
      csvButton("worst_pairs", columns, () => pairs.map(row)),
    ),
    table("The pairs most often confused", [...columns, "clips of it"], worst),
  ];
}

function accuraciesPart(test) {
  const columns = ["class", "clips", "right", "accuracy %", "95 % from", "to"];
  const row = ([label, ...numbers]) => [className(label), ...numbers];
  const having = test.classes.filter(([, clips]) => clips > 0);
  having.sort((one, other) => one[3] - other[3]);
  const rows = having.map((one) => [...row(one), bar(...one.slice(3))]);
  return [
    make("h3", {}, "Accuracy of each class, worst first"),
    make(
      "p.table-tools",
      {},
      csvButton("classes", columns, () => having.map(row)),
    ),
    table("Accuracy with 95 % Wilson intervals", [...columns, "0 to 100 %"], rows),
  ];
}

const bar = (value, low, high) =>
  draw(
    "svg",
    { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("path.axis", { d: "M0 6H100", "vector-effect": "non-scaling-stroke" }),
    draw("path", {
      d: `M${low} 6H${high}`,
      stroke: "var(--accent)",
      "stroke-width": 5,
      opacity: 0.4,
      "vector-effect": "non-scaling-stroke",
    }),
    draw("path", {
      d: `M${value} 0V12`,
      stroke: "var(--ink)",
      "stroke-width": 2.5,
      "vector-effect": "non-scaling-stroke",
    }),
  );

function goToPair(truth, said) {
  Object.assign(state.gallery, {
    pair: { truth, said, test: state.test },
    label: "",
    verdict: "all",
    text: "",
    page: 0,
  });
  gallery();
  $("gallery").scrollIntoView();
  const chip = $("gallery").querySelector(".pair");
  chip?.focus({ preventScroll: true });
  say(`${className(truth)} taken for ${className(said)}: ${$("gallery-count").textContent}`);
}

const MATRIX_NOTE =
  "✓ blue, on the diagonal: right. ✕ orange: wrong. Stronger: a larger share of the row.";

/* Cells shaded by their share of the row; a cursor says which is which. */
function matrix(test) {
  const labels = test.classes.map(([label]) => label);
  const named = labels.length <= 40;
  const edge = named ? 150 : 26;
  const cell = (760 - edge) / labels.length;
  const place = new Map(labels.map((label, index) => [label, edge + index * cell]));
  const label = "Confusion matrix; the arrow keys go from cell to cell, Enter shows the clips";
  const given = { viewBox: "0 0 768 768", tabindex: 0, role: "application", "aria-label": label };
  const cursor = draw("rect.cursor", { width: cell, height: cell, visibility: "hidden" });
  const edges = matrixEdges(labels, named, edge, cell);
  const svg = draw("svg.plot.matrix.card", given, edges, matrixCells(test, place, cell), cursor);
  const said = make("p.said.note", { role: "status" }, MATRIX_NOTE);
  const under = (event) => {
    const { x, y } = pointed(svg, event);
    return [y, x].map((place) => Math.floor((place - edge) / cell));
  };
  const mark = (truth, answer, text) => {
    fill(cursor, { x: place.get(answer), y: place.get(truth), visibility: "visible" }, []);
    said.textContent = text;
  };
  listenToMatrix(svg, test, labels, under, mark);
  return make("div", {}, make("div.broad", {}, svg), said);
}

function matrixEdges(labels, named, edge, cell) {
  const cut = (text) => (text.length > 20 ? `${text.slice(0, 19)}…` : text);
  const low = 760;
  const lines =
    labels.length > 60
      ? ""
      : labels
          .map(
            (_, index) =>
              `M${edge} ${edge + index * cell}H${low}M${edge + index * cell} ${edge}V${low}`,
          )
          .join("");
  const frame = draw("path.axis", {
    fill: "none",
    d: `${lines}M${edge} ${edge}H${low}V${low}H${edge}Z`,
  });
  if (!named)
    return [
      frame,
      draw("text", { x: edge, y: 17 }, "said →"),
      draw("text", { transform: `translate(17 ${edge}) rotate(90)` }, "true class →"),
    ];
  const style = `font-size:${Math.min(12, cell * 0.8).toFixed(1)}px`;
  return [
    frame,
    ...labels.flatMap((label, index) => {
      const middle = edge + (index + 0.5) * cell + 4;
      return [
        draw(
          "text",
          { x: edge - 6, y: middle, "text-anchor": "end", style },
          cut(className(label)),
        ),
        draw(
          "text",
          { transform: `translate(${middle} ${edge - 6}) rotate(-90)`, style },
          cut(className(label)),
        ),
      ];
    }),
  ];
}

function matrixCells(test, place, cell) {
  const clips = new Map(test.classes.map(([label, number]) => [label, number]));
  return test.counts.flatMap(([truth, answer, number]) => {
    const share = number / clips.get(truth);
    const [x, y] = [place.get(answer), place.get(truth)];
    const strength = 0.12 + 0.88 * Math.sqrt(share);
    const colour = truth === answer ? "var(--right)" : "var(--wrong)";
    const rect = draw("rect.cell", {
      x,
      y,
      width: cell,
      height: cell,
      fill: colour,
      "fill-opacity": strength.toFixed(2),
    });
    const ink = strength > 0.6 ? "var(--card)" : "var(--ink)";
    const text = draw(
      "text",
      {
        x: x + cell / 2,
        y: y + cell / 2 + 4,
        "text-anchor": "middle",
        style: `font-weight:600;pointer-events:none;fill:${ink}`,
      },
      number,
    );
    return cell > 22 ? [rect, text] : [rect];
  });
}

function listenToMatrix(svg, test, labels, under, mark) {
  const clips = new Map(test.classes.map(([label, number]) => [label, number]));
  const numbers = new Map(
    test.counts.map(([truth, answer, number]) => [`${truth} ${answer}`, number]),
  );
  let at = [0, 0];
  const read = (place) => {
    at = place.map((each) => Math.max(0, Math.min(labels.length - 1, each)));
    const [truth, answer] = at.map((each) => labels[each]);
    const number = numbers.get(`${truth} ${answer}`) ?? 0;
    const of = `${number} of ${clips.get(truth)}`;
    mark(
      truth,
      answer,
      truth === answer
        ? `“${className(truth)}”: ${of} right`
        : `“${className(truth)}” taken for “${className(answer)}”: ${of}`,
    );
  };
  const go = () => goToPair(labels[at[0]], labels[at[1]]);
  const inside = (place) => place.every((each) => each >= 0 && each < labels.length);
  svg.addEventListener("pointermove", (event) => {
    if (inside(under(event))) read(under(event));
  });
  svg.addEventListener("click", (event) => {
    if (inside(under(event))) {
      read(under(event));
      go();
    }
  });
  svg.addEventListener("keydown", (event) => {
    const way = arrow(event);
    if (!way && event.key !== "Enter") return;
    event.preventDefault(); // else Enter presses the button that gets the focus
    if (way) read([at[0] + way[1], at[1] + way[0]]);
    else go();
  });
}
