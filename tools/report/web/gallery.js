/* The retrieval gallery: queries and their nearest training clips. */

function gallery() {
  const { gallery: found } = run();
  const section = heading("gallery", "Retrieval gallery", found?.note);
  if (!found) {
    section.append(make("p", {}, "No gallery was made."));
    return;
  }
  const places = {
    chip: make("span"),
    said: make("span", { role: "status", id: "gallery-count" }),
    printed: make("div"),
    names: make("div"),
    list: make("div.grid.queries"),
    pager: make("div.controls.pager"),
  };
  const change = (changes) => {
    Object.assign(state.gallery, { page: 0 }, changes);
    fillGallery(found, places, change);
  };
  const { chip, said, printed, names, list, pager } = places;
  const controls = make("div.controls", {}, galleryFilters(found, change), chip, said);
  section.append(controls, printed, names, list, pager, galleryTable(found));
  fillGallery(found, places, change);
}

function galleryFilters(found, change) {
  const wanted = state.gallery;
  const labels = [...new Set(found.queries.map((query) => report.clips[query.clip].label))];
  labels.sort((one, other) => one - other);
  const classes = [["", "all"], ...labels.map((label) => [label, className(label)])];
  const verdicts = [
    ["all", "All"],
    ["right", "✓ Right"],
    ["wrong", "✕ Wrong"],
  ];
  const search = make("input", {
    type: "search",
    id: "search",
    value: wanted.text,
    placeholder: "name of a clip or class",
    "aria-label": "Search by name",
    oninput: () => change({ text: search.value }),
  });
  return [
    select("Class", classes, wanted.label, (label) => change({ label, pair: null })),
    choice("Right or wrong", verdicts, wanted.verdict, (verdict) => change({ verdict })),
    search,
  ];
}

function galleryTable(found) {
  const columns = ["query", "class", "rank", "training clip", "its class", "similarity", "verdict"];
  const rows = () =>
    found.queries.flatMap((query) =>
      query.neighbours.map((pair, rank) => {
        const [one, other] = [report.clips[query.clip], report.clips[pair[0]]];
        const verdict = one.label === other.label ? "right" : "wrong";
        return [
          one.name,
          className(one.label),
          rank + 1,
          other.name,
          className(other.label),
          pair[1],
          verdict,
        ];
      }),
    );
  return asTable("gallery", "Queries and their nearest clips", columns, rows);
}

const isRight = (query) =>
  report.clips[query.neighbours[0][0]].label === report.clips[query.clip].label;

/* What an evaluation says of a clip: its mistake, or else its class. */
function saidOf(test, clip) {
  test.wrong ??= new Map(test.mistakes.map(([name, , said]) => [name, said]));
  return test.wrong.get(clip.name) ?? clip.label;
}

function matches(query, { label, verdict, text, pair }) {
  const clip = report.clips[query.clip];
  const words = [
    clip.name,
    className(clip.label),
    ...query.neighbours.map(([other]) => report.clips[other].name),
  ];
  return (
    (label === "" || clip.label === Number(label)) &&
    (verdict === "all" || isRight(query) === (verdict === "right")) &&
    words.some((word) => word.toLowerCase().includes(text.trim().toLowerCase())) &&
    (!pair || (clip.label === pair.truth && saidOf(run().tests[pair.test], clip) === pair.said))
  );
}

function fillGallery(found, { chip, said, printed, names, list, pager }, change) {
  const { pair, page } = state.gallery;
  const fitting = found.queries.filter((query) => matches(query, state.gallery));
  const total = found.queries.length;
  said.textContent = `${count(fitting.length)} of ${count(total)} ${total === 1 ? "query" : "queries"}`;
  chip.replaceChildren();
  names.replaceChildren();
  if (pair) {
    const text = `${className(pair.truth)} → ${className(pair.said)} ✕`;
    const more = { class: "pair", "aria-label": `${text}: show all pairs again` };
    chip.append(button(text, () => change({ pair: null }), more));
    names.append(pairNames(pair, fitting.length));
  }
  list.replaceChildren(...fitting.slice(page * PAGE, (page + 1) * PAGE).map(queryCard));
  printed.replaceChildren(onPaper(whose(), printedQueries(fitting.length, total)));
  const none = pair ? "None of these clips is among the sampled queries." : "No query fits.";
  if (!fitting.length) list.append(make("p", {}, none));
  fillPager(pager, Math.max(1, Math.ceil(fitting.length / PAGE)), change);
}

/* Which queries are on paper: those on the screen, of those that fit the filters. */
function printedQueries(fitting, total) {
  const { label, verdict, text, page } = state.gallery;
  const only = [
    label === "" ? "" : `class ${className(Number(label))}`,
    verdict === "all" ? "" : verdict,
    text && `search “${text}”`,
  ].filter(Boolean);
  const chosen = only.length ? ` (${only.join(", ")})` : "";
  const places = `${page * PAGE + 1} to ${Math.min(fitting, (page + 1) * PAGE)}`;
  const shown = fitting ? `queries ${places} of ${count(fitting)}` : "no query";
  return `Printed: ${shown}${chosen}; the page on a screen shows all ${count(total)}.`;
}

function fillPager(pager, pages, change) {
  const { page } = state.gallery;
  const go = (to) => {
    change({ page: to });
    $("gallery").scrollIntoView();
  };
  pager.replaceChildren(
    button("← Previous", () => go(page - 1), { disabled: page === 0 }),
    `page ${page + 1} of ${pages}`,
    button("Next →", () => go(page + 1), { disabled: page + 1 >= pages }),
  );
}

function pairNames(pair, here) {
  const test = run().tests[pair.test];
  const all = test.mistakes
    .filter(([, truth, said]) => truth === pair.truth && said === pair.said)
    .map(([name]) => name);
  const total =
    test.counts.find(([truth, said]) => truth === pair.truth && said === pair.said)?.[2] ?? 0;
  const text = `${test.name}: ${plural(total, "clip")} of “${className(pair.truth)}” ${total === 1 ? "was" : "were"} taken for “${className(pair.said)}”; ${here} of them ${here === 1 ? "is" : "are"} in the gallery.`;
  return make(
    "div",
    {},
    make("p.note", {}, text),
    all.length
      ? make("details", {}, make("summary", {}, "Their names"), make("p", {}, all.join(", ")))
      : null,
  );
}

function queryCard(query) {
  const clip = report.clips[query.clip];
  const right = isRight(query);
  const sign = right ? "✓ right" : "✕ wrong";
  const row = [
    clipButton(clip, "first", [
      ["title", "Query"],
      ["what", className(clip.label)],
    ]),
  ];
  for (const [index, similarity] of query.neighbours) {
    const other = report.clips[index];
    const same = other.label === clip.label;
    row.push(
      clipButton(other, same ? "right" : "wrong", [
        ["verdict", same ? "✓ right" : "✕ wrong"],
        ["what", className(other.label)],
        ["near", similarity.toFixed(3)],
      ]),
    );
  }
  return make(
    "article.card.query",
    {},
    make("h3", {}, `${sign}: ${className(clip.label)}`),
    make(
      "p.note",
      {},
      `${clip.name}${right ? "" : ` · nearest says “${className(report.clips[query.neighbours[0][0]].label)}”`}`,
    ),
    make("div.row", {}, row),
  );
}
