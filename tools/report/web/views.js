/* The same clip as recorded and as pre-training sees it. */

function views() {
  const { views: found } = run();
  const section = heading("views", "Views as the network sees them", found?.note);
  if (!found) return;
  section.append(onPaper(whose()));
  for (const one of found.clips) {
    const row = one.views.map((view) => viewButton(one, view));
    const title = `${className(one.label)} · ${one.name}`;
    section.append(make("h3", {}, title), make("div.view-row", {}, row));
  }
  const columns = ["clip", "class", "view", "what was done", "joints touched"];
  const line = (one, view) => {
    const touched = view.touched.map((joint) => report.joints[joint]).join("; ");
    return [one.name, className(one.label), view.title, view.said, touched];
  };
  const rows = () => found.clips.flatMap((one) => one.views.map((view) => line(one, view)));
  section.append(asTable("views", "What was done to each view", columns, rows));
}

/* All views of a clip are drawn at the scale of the first. */
function viewButton(one, view) {
  const clip = { ...view.clip, name: one.name, label: one.label };
  const lines = [
    ["title", view.title],
    ["what", view.said],
  ];
  return clipButton(clip, "", lines, { touched: view.touched, like: one.views[0].clip });
}
