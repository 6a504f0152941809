/* The same clip as recorded and as pre-training sees it. */

function views() {
  const { views: found } = run();
  const section = heading("views", "Views as the network sees them", found?.note);
  if (!found) return;
  for (const one of found.clips) {
    section.append(
      make("h3", {}, `${className(one.label)} · ${one.name}`),
      make(
        "div.view-row",
        {},
        one.views.map((view) =>
          clipButton(
            { ...view.clip, name: one.name, label: one.label },
            "",
            [
              ["title", view.title],
              ["what", view.said],
            ],
            { touched: view.touched, like: one.views[0].clip },
          ),
        ),
      ),
    );
  }
  section.append(
    asTable(
      "views",
      "What was done to each view",
      ["clip", "class", "view", "what was done", "joints touched"],
      () =>
        found.clips.flatMap((one) =>
          one.views.map((view) => [
            one.name,
            className(one.label),
            view.title,
            view.said,
            view.touched.map((joint) => report.joints[joint]).join("; "),
          ]),
        ),
    ),
  );
}
