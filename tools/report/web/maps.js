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
  if (!found) {
    section.append(make("p", {}, "No maps were made: too few clips."));
    return;
  }
  const frame = make("div.grid.maps");
  const key = make("div.key", { role: "group", "aria-label": "Light up a group" });
  const said = make("p.note", { role: "status" });
  const change = (changes) => {
    Object.assign(state, changes);
    fillMaps(found, frame, key, said);
  };
  const levels = found.levels.map((level, index) => [index, level.name]);
  const performers = found.points.some((point) => report.clips[point].who);
  const colours = [["label", "class"], ...(performers ? [["who", "performer"]] : [])];
  const controls = make(
    "div.controls",
    {},
    "Level",
    choice("Level of the encoder", levels, state.level, (level) => change({ level })),
    "Colours by",
    choice("Colours by", colours, state.colour, (colour) => change({ colour, lit: null })),
  );
  section.append(controls, onPaper(whose()), said, frame, key, mapTable(found));
  change({});
}

function mapTable(found) {
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
  const row = (level, index) => {
    const clip = report.clips[found.points[index]];
    const places = [...level.before[index], ...level.after[index]];
    return [clip.name, className(clip.label), clip.who ?? null, level.name, ...places];
  };
  const rows = () =>
    found.levels.flatMap((level) => found.points.map((_, index) => row(level, index)));
  return asTable("maps", "All points of all maps", columns, rows);
}

const groupOf = (clip) => (state.colour === "label" ? clip.label : (clip.who ?? "unknown"));
const groupName = (group) => (state.colour === "label" ? className(group) : `performer ${group}`);

const byName = (one, other) => String(one).localeCompare(String(other), "en", { numeric: true });

function fillMaps(found, frame, key, said) {
  const level = found.levels[state.level];
  const groups = [...new Set(found.points.map((point) => groupOf(report.clips[point])))].sort(
    byName,
  );
  const [before, after] = [level.share_before, level.share_after].map((share) => percent(share, 0));
  said.textContent =
    `${level.about} A clip's nearest other clip has its class: ${before} before training, ` +
    `${after} after; chance ${percent(found.chance, 0)}.`;
  const titles = [
    ["before", "Before training"],
    ["after", "After training"],
  ];
  const parts = titles.map(([side, title]) => map(level[side], title, found, groups));
  const picture = make("canvas", { role: "img", "aria-label": "The clip of the chosen point" });
  const chosen = make("p.note", { id: "chosen" });
  frame.replaceChildren(
    ...parts.map((part) => part.figure),
    make("div.card.preview", {}, picture, chosen),
  );
  const choose = (index, aloud) => {
    const clip = report.clips[found.points[index]];
    const who = clip.who ? [make("br"), `performer ${clip.who}`] : [];
    state.point = index;
    parts.forEach((part) => part.mark(index));
    show(picture, clip);
    chosen.replaceChildren(make("b", {}, className(clip.label)), make("br"), clip.name, ...who);
    if (aloud) say(`${className(clip.label)}, ${clip.name}`);
  };
  parts.forEach((part) => listenToMap(part, choose));
  fillKey(key, groups, parts);
  requestAnimationFrame(() => choose(Math.min(state.point, found.points.length - 1), false));
}

/* The legend, whose entries light up their group. */
function fillKey(key, groups, parts) {
  const light = (group) => {
    state.lit = group;
    parts.forEach((part) => part.light(group));
    [...key.children].forEach((each, index) =>
      each.setAttribute("aria-pressed", String(groups[index] === group)),
    );
  };
  const box = { viewBox: "-1.4 -1.4 2.8 2.8", "aria-hidden": "true" };
  const entry = (group, index) => {
    const sign = draw("svg", box, glyph(index, 0, 0, 1, groupColour(index)));
    const made = button("", () => light(state.lit === group ? null : group));
    made.append(sign, groupName(group));
    return made;
  };
  key.replaceChildren(...groups.map(entry));
  light(state.lit);
}

/* One map: points in a square of 1000, with a ring about the chosen one. */
function map(places, title, found, groups) {
  const clips = found.points.map((point) => report.clips[point]);
  const order = new Map(groups.map((group, index) => [group, index]));
  const size = clips.length > 250 ? 10 : 13;
  const points = places.map(([x, y], index) => {
    const group = order.get(groupOf(clips[index]));
    return glyph(group, x, y, size, groupColour(group), { class: "point" });
  });
  const ring = draw("circle.ring", { r: 26, "vector-effect": "non-scaling-stroke" });
  const clipCount = plural(clips.length, "clip");
  const label = `Map ${title.toLowerCase()}: ${clipCount}; the arrow keys go from clip to clip`;
  const given = {
    viewBox: "-40 -40 1080 1080",
    tabindex: 0,
    role: "application",
    "aria-label": label,
  };
  const svg = draw("svg.plot.card", given, points, ring);
  return {
    places,
    svg,
    figure: make("figure", {}, make("figcaption", {}, title), svg),
    mark: (index) => {
      ring.setAttribute("cx", places[index][0]);
      ring.setAttribute("cy", places[index][1]);
    },
    light: (group) => {
      const dim = (clip) => group !== null && groupOf(clip) !== group;
      points.forEach((point, index) => point.classList.toggle("dim", dim(clips[index])));
    },
  };
}

/* The pointer chooses the nearest point, the arrow keys the next one in their direction. */
function listenToMap({ svg, places }, choose) {
  const nearest = (event) => {
    const { x, y } = pointed(svg, event);
    return least(places, (place) => Math.hypot(place[0] - x, place[1] - y));
  };
  const towards = ([across, down]) => {
    const [x, y] = places[state.point];
    const cost = ([toX, toY]) => {
      const along = (toX - x) * across + (toY - y) * down;
      const aside = Math.abs((toX - x) * down) + Math.abs((toY - y) * across);
      return along <= 0 || aside > 1.5 * along ? Infinity : along + 2 * aside;
    };
    const best = least(places, cost);
    return cost(places[best]) < Infinity ? best : state.point;
  };
  svg.addEventListener("pointermove", (event) => choose(nearest(event), false));
  svg.addEventListener("click", (event) => choose(nearest(event), true));
  svg.addEventListener("keydown", (event) => {
    if (!arrow(event)) return;
    event.preventDefault();
    choose(towards(arrow(event)), true);
  });
}
