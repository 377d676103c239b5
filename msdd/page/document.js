"use strict";
(() => {
  const all = (where, selector) => [...where.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  document.documentElement.classList.add("js");

  // What is known of a figure: on hover, focus and tap.
  const tip = make("div", { className: "tip", id: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  let told = null;

  function knownOf(cell) {
    if (!cell.matches("td, th")) return cell.dataset.note || "";
    const table = cell.closest("table"), column = table.tHead?.rows[0]?.cells[cell.cellIndex];
    if (!column || cell.closest("tr.group")) return "";
    if (cell === column) return cell.dataset.about || "";
    const value = cell.dataset.value, figure = value === undefined ? "" : Number(value).toPrecision(7).replace(/\.?0+$/, "");
    const interval = cell.querySelector("small")?.textContent;
    const parts = [
      figure && `${column.textContent.trim()}: ${figure}${interval ? `, 95 % interval [${interval.replace(/^\[|\]$/g, "")}]` : ""}`,
      cell.dataset.note,
      figure && column.dataset.about,
      cell.matches("[scope=row], [data-value]") ? cell.parentElement.dataset.about : "",
    ];
    return parts.filter(Boolean).join("\n");
  }

  function show(element, text, x, y) {
    if (!text) return hide();
    if (told && told !== element) told.removeAttribute("aria-describedby");
    told = element;
    tip.textContent = text;
    tip.hidden = false;
    element.setAttribute("aria-describedby", "tip");
    place(x, y);
  }

  function place(x, y) {
    const box = told.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = x ?? box.left, below = y === undefined ? box.bottom + 6 : y + 16;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - own.width - 8))}px`;
    const above = (y ?? box.top) - own.height - 8;
    tip.style.top = `${below + own.height < innerHeight || above < 0 ? below : above}px`;
  }

  function hide() {
    tip.hidden = true;
    told?.removeAttribute("aria-describedby");
    told = null;
  }

  const noted = (event) => event.target.closest?.(".sheet td, .sheet th, [data-note]");
  const showNoted = (event) => {
    const element = noted(event);
    if (element) show(element, knownOf(element));
    else hide();
  };
  for (const kind of ["pointerover", "focusin", "click"]) document.addEventListener(kind, showNoted);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", () => told && place(), { passive: true });

  // Tables: sort within groups, filter, and arrow keys from cell to cell.
  const keyOf = (row, column, numbers) => {
    const cell = row.cells[column];
    if (!numbers) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  function sort(table, column, ascending) {
    const numbers = table.tHead.rows[0].cells[column].classList.contains("number");
    const compare = (a, b) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = numbers ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return ascending ? order : -order;
    };
    for (const body of table.tBodies) {
      const rows = all(body, "tr:not(.group)").map((row) => [keyOf(row, column, numbers), row]);
      rows.sort((a, b) => compare(a[0], b[0]));
      body.append(...rows.map((pair) => pair[1]));
    }
  }

  function sortable(table) {
    all(table.tHead, "th").forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.firstElementChild.childNodes);
      head.firstElementChild.replaceWith(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const next = head.getAttribute("aria-sort") === first ? other : first;
        all(table.tHead, "th").forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", next);
        sort(table, column, next === "ascending");
      });
    });
  }

  function filterable(sheet, table) {
    const label = table.caption.textContent.trim();
    const search = make("input", { type: "search", placeholder: "filter rows" });
    search.setAttribute("aria-label", `Filter the rows of: ${label}`);
    const count = make("output");
    const bodies = [...table.tBodies].filter((body) => body.dataset.group);
    const chips = bodies.length < 2 ? [] : bodies.map((body) => {
      const chip = make("button", { type: "button", textContent: body.dataset.group });
      chip.setAttribute("aria-pressed", "true");
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
        filter();
      });
      return chip;
    });
    const rows = all(table, "tbody tr:not(.group)").map((row) => [row, row.textContent.toLowerCase()]);

    function filter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      bodies.forEach((body, k) => body.classList.toggle("out", chips[k]?.getAttribute("aria-pressed") === "false"));
      let shown = 0;
      for (const [row, text] of rows) {
        const fits = words.every((word) => text.includes(word));
        row.classList.toggle("out", !fits);
        shown += fits && !row.parentElement.classList.contains("out");
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    }

    search.addEventListener("input", filter);
    const tools = make("div", { className: "tools" }, search, ...chips, count);
    sheet.prepend(tools);
    filter();
  }

  function walkable(table) {
    const first = table.tBodies[0]?.querySelector("tr:not(.group)")?.cells[0];
    if (first) first.tabIndex = 0;
    table.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td, tbody th");
      if (!cell || event.target !== cell) return;
      const rows = all(table, "tbody:not(.out) tr:not(.group):not(.out)"), here = rows.indexOf(cell.parentElement);
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const [down, right] = moves[event.key] || [];
      const next = rows[here + down]?.cells[cell.cellIndex + right];
      if (!next) return;
      event.preventDefault();
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      show(next, knownOf(next));
    });
  }

  for (const sheet of all(document, ".sheet")) {
    const table = sheet.querySelector("table");
    sortable(table);
    walkable(table);
    if (Number(sheet.dataset.rows) > 3) filterable(sheet, table);
  }

  // Pictures: a slider and a toggle for each decode.
  for (const controls of all(document, ".controls")) {
    const figure = controls.closest("figure"), range = controls.querySelector("input"), button = controls.querySelector("button");
    controls.hidden = false;
    const cut = () => {
      figure.classList.remove("whole");
      button.setAttribute("aria-pressed", "false");
      figure.style.setProperty("--cut", `${range.value}%`);
    };
    range.addEventListener("input", cut);
    button.addEventListener("click", () => {
      const whole = figure.classList.toggle("whole");
      button.setAttribute("aria-pressed", whole);
    });
    cut();
  }

  // Curves: the nearest recorded loss under the pointer.
  for (const svg of all(document, "svg.curves")) {
    const lines = all(svg, ".line").map((line) => {
      const places = line.firstElementChild.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
      return { line, places, values: line.dataset.losses.split(" ") };
    });
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      let best = null;
      for (const { line, places, values } of lines) {
        places.forEach(([a, b], k) => {
          const far = (a - x) ** 2 + (b - y) ** 2;
          if (!best || far < best.far) best = { far, line, value: values[k] };
        });
      }
      if (!best || best.far > 900) return hide();
      const [images, loss] = best.value.split(":");
      show(best.line, `${best.line.dataset.name}\n${Number(images).toLocaleString("en")} images: loss ${loss}`, event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", hide);
  }

  // Params: what differs between two rows.
  const data = document.getElementById("settings"), differ = document.querySelector(".differ");
  if (data && differ) {
    const { shared, keys, values, rows, students } = JSON.parse(data.textContent);
    const names = Object.keys(rows), sides = ["a", "b"].map((side) => document.getElementById(`differ-${side}`));
    const table = document.getElementById("differences");
    const valuesOf = (name) => {
      const found = new Map(keys.map((key, k) => [key, rows[name][k] === null ? "–" : values[k][rows[name][k]]]));
      for (const [key, value] of Object.entries(shared)) {
        found.set(key, key.startsWith("distil.") && !students.includes(name) ? "–" : value);
      }
      return found;
    };
    const tell = () => {
      const [a, b] = sides.map((side) => side.value), [left, right] = [a, b].map(valuesOf);
      let different = [...left.keys()].filter((key) => left.get(key) !== right.get(key));
      const count = different.length;
      // Of a student and a teacher one line stands for the distillation that one of them lacks.
      if (students.includes(a) !== students.includes(b)) {
        const whole = different.filter((key) => key.startsWith("distil."));
        different = [...different.filter((key) => !key.startsWith("distil.")), "distil"];
        const has = `${whole.length} params of its distillation`;
        left.set("distil", students.includes(a) ? has : "–");
        right.set("distil", students.includes(b) ? has : "–");
      }
      table.caption.textContent = count ? `${count} param${count === 1 ? "" : "s"} of ${left.size} differ${count === 1 ? "s" : ""}.` : "Nothing differs.";
      const heads = ["param", a, b].map((text) => make("th", { scope: "col" }, make("bdi", { textContent: text })));
      table.tHead.replaceChildren(make("tr", {}, ...heads));
      table.tBodies[0].replaceChildren(...different.map((key) => make("tr", {},
        make("th", { scope: "row", textContent: key }),
        ...[left, right].map((side) => make("td", {}, make("bdi", { textContent: side.get(key) }))))));
    };
    sides.forEach((side, k) => {
      side.append(...names.map((name) => make("option", { value: name, textContent: name })));
      side.value = names[Math.min(k, names.length - 1)];
      side.addEventListener("change", tell);
    });
    differ.hidden = false;
    tell();
  }

  addEventListener("beforeprint", () => all(document, "details").forEach((one) => (one.open = true)));
})();
