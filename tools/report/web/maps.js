/* Maps of the features in the plane, before and after training, side by side. */

const GLYPHS = [
  "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
  "M-.9-.9h1.8v1.8h-1.8z",
  "M0-1.1 1.05.8h-2.1z",
  "M0-1.2 1.2 0 0 1.2-1.2 0z",
  "M-.35-1h.7v.65h.65v.7h-.65v.65h-.7v-.65h-.65v-.7h.65z",
  "M0 1.1-1.05-.8h2.1z",
];

/* One of six shapes about a place; from 48 on they are hollow. */
function glyph(index, x, y, size, colour, more = {}) {
  const hollow = Math.floor(index / 48) % 2 === 1;
  return draw("path", {
    d: GLYPHS[index % 6],
    transform: `translate(${x} ${y}) scale(${size})`,
    fill: hollow ? "none" : colour,
    stroke: colour,
    "vector-effect": "non-scaling-stroke",
    ...more,
  });
}
const groupColour = (index) => `var(--c${(index + Math.floor(index / 24)) % 8})`;

function maps() {
  const { maps: found } = run();
  const section = heading("maps", "Maps of the features", found?.note);
  if (!found) return;
  const frame = make("div.grid.maps", {});
  const key = make("div.key", { role: "group", "aria-label": "Light up a group" });
  const said = make("p.note", { role: "status" });
  const refresh = () => fillMaps(found, frame, key, said);
  const levels = found.levels.map((level, index) => [index, level.name]);
  const colours = [
    ["label", "class"],
    ...(found.points.some((point) => report.clips[point].who) ? [["who", "performer"]] : []),
  ];
  section.append(
    make(
      "div.controls",
      {},
      "Level",
      choice("Level of the encoder", levels, state.level, (value) => {
        state.level = value;
        refresh();
      }),
      "Colours by",
      choice("Colours by", colours, state.colour, (value) => {
        state.colour = value;
        state.lit = null;
        refresh();
      }),
    ),
    said,
    frame,
    key,
  );
  refresh();
  const columns = [
    "clip",
    "class",
    "performer",
    "level",
    "x before",
    "y before",
    "x after",
    "y after",
  ];
  section.append(
    asTable("maps", "All points of all maps", columns, () =>
      found.levels.flatMap((level) =>
        found.points.map((point, index) => [
          report.clips[point].name,
          className(report.clips[point].label),
          report.clips[point].who ?? null,
          level.name,
          ...level.before[index],
          ...level.after[index],
        ]),
      ),
    ),
  );
}

const groupOf = (clip) => (state.colour === "label" ? clip.label : (clip.who ?? "unknown"));
const groupName = (group) => (state.colour === "label" ? className(group) : `performer ${group}`);

function fillMaps(found, frame, key, said) {
  const level = found.levels[state.level];
  const groups = [...new Set(found.points.map((point) => groupOf(report.clips[point])))].sort(
    (one, other) => (one > other ? 1 : -1),
  );
  said.textContent = `${level.about} A clip's nearest other clip has its class: ${percent(level.share_before, 0)} before training, ${percent(level.share_after, 0)} after; chance ${percent(found.chance, 0)}.`;
  const preview = make(
    "div.card.preview",
    {},
    make("canvas", { role: "img", "aria-label": "The clip of the chosen point" }),
    make("p.note", { id: "chosen" }),
  );
  const parts = [
    ["before", "Before training"],
    ["after", "After training"],
  ].map(([side, title]) => map(level[side], title, found, groups));
  frame.replaceChildren(...parts.map((part) => part.figure), preview);
  const choose = (index, aloud) => {
    state.point = index;
    const clip = report.clips[found.points[index]];
    parts.forEach((part) => part.mark(index));
    show(preview.firstChild, clip);
    preview.lastChild.replaceChildren(
      make("b", {}, className(clip.label)),
      make("br"),
      clip.name,
      clip.who ? make("br") : "",
      clip.who ? `performer ${clip.who}` : "",
    );
    if (aloud) say(`${className(clip.label)}, ${clip.name}`);
  };
  parts.forEach((part) => part.listen(choose));
  const light = () => {
    parts.forEach((part) => part.light(state.lit));
    [...key.children].forEach((button, index) =>
      button.setAttribute("aria-pressed", String(groups[index] === state.lit)),
    );
  };
  key.replaceChildren(
    ...groups.map((group, index) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": "false",
          onclick: () => {
            state.lit = state.lit === group ? null : group;
            light();
          },
        },
        draw(
          "svg",
          { viewBox: "-1.4 -1.4 2.8 2.8", "aria-hidden": "true" },
          glyph(index, 0, 0, 1, groupColour(index)),
        ),
        groupName(group),
      ),
    ),
  );
  light();
  requestAnimationFrame(() => choose(Math.min(state.point, found.points.length - 1), false));
}

/* One map: points in a square of 1000; the pointer or the arrow keys choose one. */
function map(places, title, found, groups) {
  const clips = found.points.map((point) => report.clips[point]);
  const order = new Map(groups.map((group, index) => [group, index]));
  const points = places.map(([x, y], index) => {
    const group = order.get(groupOf(clips[index]));
    return glyph(group, x, y, clips.length > 250 ? 10 : 13, groupColour(group), {
      class: "point",
      "data-index": index,
    });
  });
  const ring = draw("circle.ring", { r: 26, "vector-effect": "non-scaling-stroke" });
  const svg = draw(
    "svg.plot.card",
    {
      viewBox: "-40 -40 1080 1080",
      tabindex: 0,
      role: "application",
      "aria-label": `Map ${title.toLowerCase()}: ${plural(clips.length, "clip")}; the arrow keys go from clip to clip`,
    },
    points,
    ring,
  );
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 1080 - 40;
    const y = ((event.clientY - box.top) / box.height) * 1080 - 40;
    return places.reduce(
      (best, place, index) =>
        Math.hypot(place[0] - x, place[1] - y) <
        Math.hypot(places[best][0] - x, places[best][1] - y)
          ? index
          : best,
      0,
    );
  };
  const towards = ([alongX, alongY]) => {
    const [x, y] = places[state.point];
    const cost = ([toX, toY]) => {
      const along = (toX - x) * alongX + (toY - y) * alongY;
      const aside = Math.abs((toX - x) * alongY) + Math.abs((toY - y) * alongX);
      return along <= 0 || aside > 1.5 * along ? Infinity : along + 2 * aside;
    };
    const best = places.reduce(
      (found_, place, index) => (cost(place) < found_[0] ? [cost(place), index] : found_),
      [Infinity, state.point],
    );
    return best[1];
  };
  return {
    figure: make("figure", {}, make("figcaption", {}, title), svg),
    mark: (index) => {
      ring.setAttribute("cx", places[index][0]);
      ring.setAttribute("cy", places[index][1]);
    },
    light: (group) =>
      points.forEach((point, index) =>
        point.classList.toggle("dim", group !== null && groupOf(clips[index]) !== group),
      ),
    listen: (choose) => {
      svg.addEventListener("pointermove", (event) => choose(nearest(event), false));
      svg.addEventListener("click", (event) => choose(nearest(event), true));
      svg.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
          event.key
        ];
        if (way) {
          event.preventDefault();
          choose(towards(way), true);
        }
      });
    },
  };
}
