/* Colours, navigation, the choice of a run, and what starts it all. */

const ofRun = [gallery, views, maps, classes];
const THEMES = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const dark = state.theme === "dark" || (state.theme === "auto" && darkSystem.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = THEMES[state.theme];
  $("theme").setAttribute(
    "aria-label",
    `Colours: ${state.theme === "auto" ? "as the system" : state.theme}`,
  );
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
  const links = [
    ["overview", "Figures"],
    ["curves", "Curves"],
    ["gallery", "Gallery"],
    ["views", "Views"],
    ["maps", "Maps"],
    ["classes", "Classes"],
    ["record", "Record"],
  ];
  $("sections").replaceChildren(...links.map(([id, text]) => make("a", { href: `#${id}` }, text)));
  const here = new IntersectionObserver(
    (entries) =>
      entries
        .filter((entry) => entry.isIntersecting)
        .forEach(({ target }) => {
          for (const link of $("sections").children)
            link.toggleAttribute("aria-current", link.hash === `#${target.id}`);
        }),
    { rootMargin: "-20% 0px -70% 0px" },
  );
  links.forEach(([id]) => here.observe($(id)));
}

function start() {
  $("theme").addEventListener("click", () => {
    state.theme = { auto: "light", light: "dark", dark: "auto" }[state.theme];
    applyTheme();
  });
  darkSystem.addEventListener("change", applyTheme);
  addEventListener("resize", paintVisible);
  $("closer").addEventListener("close", () => {
    document.body.append($("player"));
    $("player").removeAttribute("style");
  });
  $("run-label").hidden = report.runs.length < 2;
  $("run").replaceChildren(
    ...report.runs.map((each, index) => make("option", { value: index }, each.name)),
  );
  $("run").addEventListener("change", (event) => chooseRun(Number(event.target.value)));
  playerControls();
  readPalette();
  navigation();
  [overview, curves, ...ofRun, record].forEach((section) => section());
  applyTheme();
  requestAnimationFrame(tick);
}

start();
