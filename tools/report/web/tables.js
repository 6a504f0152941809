/* Tables, and their download as CSV. */

/* A cell for a spreadsheet: quoted where it must be, and a text never read as a formula. */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text =
    typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(name, columns, rows) {
  const text = [columns, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: address, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const csvButton = (name, columns, rows) =>
  button(`↓ ${name.replaceAll("_", " ")}.csv`, () => download(name, columns, rows()), {
    "data-csv": name,
  });

function shown(value, numeric) {
  if (value instanceof Node) return value;
  if (value === null || value === undefined) return "–";
  return numeric && !Number.isInteger(value) ? short(value) : String(value);
}

/* A table that scrolls in its own frame; columns of numbers stand to the right. */
function table(caption, columns, rows) {
  const isNumber = (value) => value === null || typeof value === "number";
  const numeric = columns.map((_, at) => rows.length > 0 && rows.every((row) => isNumber(row[at])));
  const kind = (at) => (numeric[at] ? "number" : null);
  const head = columns.map((name, at) => make("th", { scope: "col", class: kind(at) }, name));
  const cell = (value, at) => {
    const given = { scope: at === 0 ? "row" : null, class: kind(at) };
    return make(at === 0 ? "th" : "td", given, shown(value, numeric[at]));
  };
  const lines = rows.map((row) => make("tr", {}, row.map(cell)));
  const parts = [make("thead", {}, make("tr", {}, head)), make("tbody", {}, lines)];
  const frame = { tabindex: 0, role: "region", "aria-label": caption };
  return make("div.scroll", frame, make("table", {}, make("caption", {}, caption), parts));
}

/* The same as a table, made when it is opened, with its download. */
function asTable(name, caption, columns, rows) {
  const body = make("div");
  const open = (event) => {
    if (event.target.open && !body.firstChild) body.append(table(caption, columns, rows()));
  };
  return make(
    "details",
    { ontoggle: open },
    make("summary", {}, `${caption}, as a table`),
    make("p.table-tools", {}, csvButton(name, columns, rows)),
    body,
  );
}
