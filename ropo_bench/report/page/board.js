// The leaderboard: sorting by a column (reference rows stay first), and the sentence of the cell under the reader.

function startBoard() {
  const table = document.getElementById("board");
  const body = table.tBodies[0];
  const original = [...body.rows];

  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };

  function order(column, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    return [...original].sort((a, b) => {
      const pinned = b.classList.contains("reference") - a.classList.contains("reference");
      if (pinned) return pinned;
      if (column === 0) return sign * a.cells[0].dataset.name.localeCompare(b.cells[0].dataset.name);
      const [x, y] = [value(a, column), value(b, column)];
      if (x === null || y === null) return (x === null) - (y === null); // nothing measured: last, both ways
      return sign * (x - y);
    });
  }

  // First the better end, then the other end, then the order of the run again.
  function sort(header) {
    const first = header.dataset.first;
    const second = first === "descending" ? "ascending" : "descending";
    const now = header.getAttribute("aria-sort");
    const next = now === "none" ? first : now === first ? second : "none";
    for (const other of table.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", next);
    body.append(...(next === "none" ? original : order(Number(header.dataset.column), next)));
  }

  for (const header of table.querySelectorAll("[aria-sort]")) {
    header.querySelector("button").addEventListener("click", () => sort(header));
  }

  startReadout(table);
  const toggle = document.getElementById("intervals");
  toggle.addEventListener("click", () => {
    const shown = table.classList.toggle("with-intervals");
    toggle.setAttribute("aria-pressed", String(shown));
  });
}

// One cell is in the tab order; the arrow keys move on from it. What it says in full stands below the table.
function startReadout(table) {
  const readout = document.getElementById("readout");
  const body = table.tBodies[0];
  const hint = readout.textContent;
  const tell = (event) => {
    const cell = event.target.closest("td[data-says]");
    if (cell) readout.textContent = cell.dataset.says;
  };
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  body.addEventListener("focusin", tell);
  body.addEventListener("mouseover", tell);
  body.addEventListener("mouseleave", () => {
    readout.textContent = hint;
  });
  body.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    event.preventDefault();
    const row = body.rows[cell.parentElement.sectionRowIndex + step[0]];
    const next = row?.cells[cell.cellIndex + step[1]];
    if (next?.tagName !== "TD") return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  for (const cell of body.querySelectorAll("td")) cell.tabIndex = -1;
  const first = body.querySelector("td");
  if (first) first.tabIndex = 0;
}
