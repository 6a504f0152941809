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
  make(
    "button",
    { type: "button", "data-csv": name, onclick: () => download(name, columns, rows()) },
    `↓ ${name.replaceAll("_", " ")}.csv`,
  );

function table(caption, columns, rows, cells = (row) => row) {
  const numeric = columns.map(
    (_, index) =>
      rows.length > 0 && rows.every((row) => row[index] === null || typeof row[index] === "number"),
  );
  const shown = (value, index) =>
    value instanceof Node
      ? value
      : value === null || value === undefined
        ? "–"
        : numeric[index] && !Number.isInteger(value)
          ? short(value)
          : String(value);
  const cell = (value, index) =>
    make(
      index === 0 ? "th" : "td",
      { scope: index === 0 ? "row" : null, class: numeric[index] ? "number" : null },
      shown(value, index),
    );
  return make(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": caption },
    make(
      "table",
      {},
      make("caption", {}, caption),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          columns.map((name, index) =>
            make("th", { scope: "col", class: numeric[index] ? "number" : null }, name),
          ),
        ),
      ),
      make(
        "tbody",
        {},
        rows.map((row) => make("tr", {}, cells(row).map(cell))),
      ),
    ),
  );
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
