/* The retrieval gallery: queries and their nearest training clips. */

function gallery() {
  const { gallery: found } = run();
  const section = heading("gallery", "Retrieval gallery", found?.note);
  if (!found) {
    section.append(make("p", {}, "No gallery was made."));
    return;
  }
  const wanted = state.gallery;
  const labels = [...new Set(found.queries.map((query) => report.clips[query.clip].label))].sort(
    (one, other) => one - other,
  );
  const change = (changes) => {
    Object.assign(wanted, { page: 0 }, changes);
    refresh();
  };
  const search = make("input", {
    type: "search",
    id: "search",
    value: wanted.text,
    placeholder: "name of a clip or class",
    "aria-label": "Search by name",
    oninput: () => change({ text: search.value }),
  });
  const chip = make("span");
  const said = make("span", { role: "status", id: "gallery-count" });
  const list = make("div.grid.queries", {});
  const pager = make("div.controls.pager", {});
  const names = make("div");
  const refresh = () => fillGallery(found, { chip, said, list, pager, names }, change);
  section.append(
    make(
      "div.controls",
      {},
      select(
        "Class",
        [["", "all"], ...labels.map((label) => [label, className(label)])],
        wanted.label,
        (value) => change({ label: value, pair: null }),
      ),
      choice(
        "Right or wrong",
        [
          ["all", "All"],
          ["right", "✓ Right"],
          ["wrong", "✕ Wrong"],
        ],
        wanted.verdict,
        (value) => change({ verdict: value }),
      ),
      search,
      chip,
      said,
    ),
    names,
    list,
    pager,
  );
  refresh();
  const columns = [
    "query",
    "class",
    "rank",
    "training clip",
    "class of it",
    "similarity",
    "verdict",
  ];
  section.append(
    asTable("gallery", "Queries and their nearest clips", columns, () =>
      found.queries.flatMap((query) =>
        query.neighbours.map(([clip, similarity], rank) => {
          const one = report.clips[query.clip];
          const other = report.clips[clip];
          return [
            one.name,
            className(one.label),
            rank + 1,
            other.name,
            className(other.label),
            similarity,
            one.label === other.label ? "right" : "wrong",
          ];
        }),
      ),
    ),
  );
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

function fillGallery(found, { chip, said, list, pager, names }, change) {
  const wanted = state.gallery;
  const fitting = found.queries.filter((query) => matches(query, wanted));
  const pages = Math.max(1, Math.ceil(fitting.length / PAGE));
  said.textContent = `${count(fitting.length)} of ${plural(found.queries.length, "query").replace("querys", "queries")}`;
  chip.replaceChildren(
    ...(wanted.pair
      ? [
          make(
            "button",
            {
              type: "button",
              class: "pair",
              "aria-label": "Show all pairs again",
              onclick: () => change({ pair: null }),
            },
            `${className(wanted.pair.truth)} → ${className(wanted.pair.said)} ✕`,
          ),
        ]
      : []),
  );
  names.replaceChildren(...(wanted.pair ? [pairNames(wanted.pair, fitting.length)] : []));
  list.replaceChildren(
    ...fitting.slice(wanted.page * PAGE, (wanted.page + 1) * PAGE).map(queryCard),
  );
  if (!fitting.length)
    list.append(
      make(
        "p",
        {},
        wanted.pair
          ? "None of these clips is among the sampled queries; their names are above."
          : "No query fits.",
      ),
    );
  const go = (page) => {
    change({ page });
    $("gallery").scrollIntoView();
  };
  pager.replaceChildren(
    make(
      "button",
      { type: "button", disabled: wanted.page === 0, onclick: () => go(wanted.page - 1) },
      "← Previous",
    ),
    `page ${wanted.page + 1} of ${pages}`,
    make(
      "button",
      { type: "button", disabled: wanted.page + 1 >= pages, onclick: () => go(wanted.page + 1) },
      "Next →",
    ),
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
