/* Moving skeletons on canvases: one clock, so that all move in step. */

const drawn = new Map(); // canvas -> what it shows
const visible = new Set();
const palette = {};
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      visible[isIntersecting ? "add" : "delete"](target);
      if (isIntersecting) paint(target);
    }
    $("player").classList.toggle("away", visible.size === 0 && !$("closer").open);
  },
  { rootMargin: "80px" },
);

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["limb-middle", "limb-left", "limb-right", "shadow", "wrong", "card"])
    palette[name] = style.getPropertyValue(`--${name}`).trim();
}

/* Coordinates of a clip, metres times an unimportant scale: frame, body, joint, axis. */
function decode(clip) {
  if (!clip.values) {
    clip.values = new Int8Array(
      Uint8Array.from(atob(clip.data), (letter) => letter.charCodeAt(0)).buffer,
    );
    const reach = [];
    const heights = [];
    for (let at = 0; at < clip.values.length; at += 3) {
      const [x, y, z] = clip.values.subarray(at, at + 3);
      if (x || y || z) {
        reach.push(Math.hypot(x, y));
        heights.push(z);
      }
    }
    const sort = (values) => values.sort((one, other) => one - other);
    const share = (values, part) =>
      values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0;
    sort(reach);
    sort(heights); // a few stray joints must not shrink the body
    clip.box = {
      reach: share(reach, 0.995),
      low: share(heights, 0.005),
      high: share(heights, 0.995),
    };
  }
  return clip;
}

function show(canvas, clip, more = {}) {
  drawn.set(canvas, {
    clip: decode(clip),
    box: decode(more.like ?? clip).box,
    ratio: (more.like?.scale ?? clip.scale) / clip.scale,
    touched: new Set(more.touched ?? []),
  });
  seen.observe(canvas);
  paint(canvas);
  return canvas;
}

/* Where each joint of a body is on the canvas at a moment, or null where nobody is. */
function pose(clip, place, moment, body) {
  const frames = clip.frames;
  const joints = report.bones.length;
  const at = Math.min(frames - 1, Math.max(0, moment));
  const before = Math.floor(at);
  const share = at - before;
  const first = (before * clip.bodies + body) * joints * 3;
  const next = (Math.min(frames - 1, before + 1) * clip.bodies + body) * joints * 3;
  const points = [];
  let anything = false;
  for (let joint = 0; joint < joints * 3; joint += 3) {
    const [x, y, z] = [0, 1, 2].map(
      (axis) =>
        clip.values[first + joint + axis] * (1 - share) + clip.values[next + joint + axis] * share,
    );
    anything ||= x !== 0 || y !== 0 || z !== 0;
    points.push(place(x, y, z));
  }
  return anything ? points : null;
}

function placer(width, height, { box, ratio }) {
  const turn = (state.turn * Math.PI) / 180;
  const cos = Math.cos(turn);
  const sin = Math.sin(turn);
  const size =
    (0.9 * Math.min(width / (2 * box.reach + 1), height / (1.08 * (box.high - box.low) + 1))) /
    ratio;
  const middle = ((box.high + box.low) / 2) * ratio;
  const floor = box.low * ratio;
  const place = (x, y, z) => [
    width / 2 + size * (x * cos - y * sin),
    height / 2 - size * (z - middle),
  ];
  return { place, floor: place(0, 0, floor)[1], reach: size * box.reach * ratio };
}

function paint(canvas) {
  const what = drawn.get(canvas);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!what || !width) return;
  const dense = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  const { place, floor, reach } = placer(width, height, what);
  const { clip } = what;
  const moment = state.phase * (clip.frames - 1);
  context.fillStyle = palette.shadow;
  context.beginPath();
  context.ellipse(width / 2, floor, Math.min(width * 0.45, reach * 0.8), 0.06 * height, 0, 0, 7);
  context.fill();
  for (const [back, strength] of [
    [clip.frames / 4, 0.1],
    [clip.frames / 8, 0.2],
    [0, 1],
  ]) {
    // where it was a moment ago
    if (moment - back < 0) continue;
    for (let body = clip.bodies - 1; body >= 0; body--) {
      const points = pose(clip, place, moment - back, body);
      if (points)
        paintBody(
          context,
          points,
          Math.max(1.4, Math.min(width, height) / 52),
          strength * (body ? 0.65 : 1),
          back ? null : what.touched,
        );
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
    context.beginPath();
    context.moveTo(...points[parent]);
    context.lineTo(...points[joint]);
    context.stroke();
  });
  if (touched) {
    points.forEach(([x, y], joint) => {
      const odd = touched.has(joint);
      context.fillStyle = odd ? palette.card : palette[`limb-${report.sides[joint]}`];
      context.strokeStyle = palette.wrong;
      context.lineWidth = thick * 0.55;
      context.beginPath();
      context.arc(x, y, joint === 3 ? thick * 2 : thick * (odd ? 1.1 : 0.75), 0, 7);
      context.fill();
      if (odd) context.stroke();
    });
  }
  context.globalAlpha = 1;
}

function paintVisible() {
  for (const canvas of visible) {
    if (canvas.isConnected) paint(canvas);
    else {
      visible.delete(canvas);
      drawn.delete(canvas);
      seen.unobserve(canvas);
    }
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
  const button = make(
    "button",
    {
      type: "button",
      class: `clip ${kind}`,
      title: clip.name,
      "aria-label": `${label}. Closer look`,
      onclick: () => closeLook(clip, lines, more),
    },
    canvas,
    lines.map(([style, text]) =>
      make(style === "verdict" || style === "title" ? "b" : "span", { class: style }, text),
    ),
  );
  requestAnimationFrame(() => show(canvas, clip, more));
  return button;
}

function closeLook(clip, lines, more) {
  const dialog = $("closer");
  const canvas = make("canvas", { role: "img", "aria-label": `Skeleton of ${clip.name}` });
  const facts = [
    clip.label === undefined ? null : `class: ${className(clip.label)}`,
    clip.who ? `performer ${clip.who}` : null,
    clip.recorded ? `${plural(clip.recorded, "recorded frame")}, ${clip.frames} shown` : null,
  ];
  dialog.replaceChildren(
    make("h2", { id: "closer-title" }, clip.name || "A clip"),
    make("p.note", {}, facts.filter(Boolean).join(" · ")),
    make("p", {}, lines.map(([, text]) => text).join(" · ")),
    canvas,
    $("player"),
    make(
      "p",
      {},
      button("Close", () => dialog.close()),
    ),
  );
  $("player").style.position = "static";
  $("player").style.transform = "none";
  dialog.showModal();
  show(canvas, clip, more);
}

function playerControls() {
  const play = button("", () => setPlaying(!state.playing), { id: "play" });
  const moment = { min: 0, max: 1000, value: 0, "aria-label": "Moment, 0 to 1000" };
  const frame = slider("frame", moment, (value) => {
    setPlaying(false);
    state.phase = value / 1000;
    paintVisible();
  });
  const degrees = {
    min: 0,
    max: 360,
    value: state.turn,
    "aria-label": "Turn all skeletons, degrees",
  };
  const turn = slider("turn", degrees, (value) => {
    state.turn = value;
    paintVisible();
  });
  const speeds = [
    [0.5, "½×"],
    [1, "1×"],
    [2, "2×"],
  ];
  const speed = select("Speed", speeds, 1, (value) => {
    state.speed = Number(value);
  });
  speed.classList.add("wide");
  const labelled = make("label", {}, make("span.wide", {}, "Moment"), frame);
  $("player").replaceChildren(play, labelled, speed, make("label", {}, "Turn", turn));
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
