"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data")?.textContent || "{}");
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  document.documentElement.classList.add("script");

  // Theme: the reader's choice, kept if the browser lets a file keep anything.
  const theme = one("#theme");
  const setTheme = (name) => {
    if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    if (theme) theme.value = name;
  };
  let kept = "auto";
  try { kept = localStorage.getItem("gmembench-theme") || "auto"; } catch { /* not allowed for this file */ }
  setTheme(["light", "dark"].includes(kept) ? kept : "auto");
  theme?.addEventListener("change", () => {
    setTheme(theme.value);
    try { localStorage.setItem("gmembench-theme", theme.value); } catch { /* not allowed for this file */ }
  });

  // Where a number is from.
  const panel = one("#source");
  const sourceOf = (number) => {
    const [name, , , , file] = data.cells[number];
    return { name, file: data.files[file] };
  };
  const plain = (element) => {
    const copy = element.cloneNode(true);
    all("sup, .kind, title", copy).forEach((part) => part.remove());
    all(".below, .unit", copy).forEach((part) => part.prepend(" "));
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const headOf = (cell) => cell.closest("table")?.tHead?.rows[cell.closest("table").tHead.rows.length - 1].cells[cell.cellIndex];
  const showSource = (number, what) => {
    const { name, file } = sourceOf(number);
    const [path, command, digest, , tier] = file;
    const rows = [["number", what], ["cell", name], ["file", path], ["command", command || "not recorded"],
      ["this cell alone", `add to the command: ${tier ? `--${tier} ` : ""}--counted --cells '${name}'`], ["SHA-256 of the file", digest]];
    one("dl", panel).replaceChildren(...rows.filter(([, text]) => text).flatMap(([label, text]) =>
      [make("dt", { textContent: label }), make("dd", { textContent: text })]));
    panel.hidden = false;
  };
  const hideSource = () => { panel.hidden = true; };
  if (panel) {
    one("button", panel).addEventListener("click", hideSource);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideSource(); });
  }
  const pointed = (event) => event.target.closest?.("[data-c]");
  document.addEventListener("click", (event) => {
    const owner = pointed(event);
    if (!owner || !panel || event.target.closest("a, summary")) return;
    if (owner.className === "source") { showSource(owner.dataset.c, owner.closest("li").querySelector("span:not(.kind)").firstChild.textContent.trim()); return; }
    const cell = event.target.closest("td, th");
    const head = cell && headOf(cell);
    const said = one(":scope > title", event.target.closest("g") || owner)?.textContent || cell?.dataset.told || (cell && `${head ? head.dataset.name || plain(head) : ""}: ${plain(cell)}`);
    showSource(owner.dataset.c, said);
  });
  document.addEventListener("mouseover", (event) => {
    const cell = event.target.closest?.("td");
    const owner = cell && pointed(event);
    if (!owner || cell.title) return;
    const { name, file } = sourceOf(owner.dataset.c);
    cell.title = `${headOf(cell)?.dataset.name || ""} · ${name} · ${file[0]} · ${file[1]}`;
  });

  // Tables that sort, filter and leave as CSV.
  const valueOf = (cell) => {
    if (!cell) return null;
    const text = cell.dataset.v ?? plain(cell);
    const number = /^[-+]?[\d,]*\.?\d/.test(text) ? parseFloat(text.replace(/,/g, "")) : NaN;
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const compare = (left, right, way) => {
    const numbers = [typeof left, typeof right].map((type) => type === "number");
    if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;  // what is no number stands last, both ways
    if (numbers[0]) return way * (left - right);
    return way * String(left ?? "").localeCompare(String(right ?? ""));
  };
  const quoted = (text) => {
    const safe = /^[=+\-@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;  // no formula of a spreadsheet
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const csvOf = (table, rows) => {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const traced = rows.some((row) => row.dataset.c !== undefined);
    const lines = [[...heads.map((head) => head.dataset.name || plain(head)), ...(traced ? ["cell", "file", "command"] : [])]];
    for (const row of rows) {
      const texts = [...row.cells].flatMap((cell) => [cell.dataset.csv ?? plain(cell), ...Array(cell.colSpan - 1).fill("")]);
      if (row.dataset.c !== undefined) {
        const { name, file } = sourceOf(row.dataset.c);
        texts.push(name, file[0], file[1]);
      }
      lines.push(texts);
    }
    return lines.map((line) => line.map((text) => quoted(/^-?[\d,]+(\.\d+)?$/.test(text) ? text.replace(/,/g, "") : text)).join(",")).join("\r\n") + "\r\n";
  };
  const save = (name, text) => {
    const link = make("a", { href: URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const prepare = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const name = table.dataset.name;
    const field = make("input", { type: "search", placeholder: "words, all of which a row must have", ariaLabel: `Filter ${name}` });
    const told = make("span", { className: "told" });
    told.setAttribute("role", "status");
    const csv = make("button", { type: "button", textContent: "CSV", title: "Save the rows that are shown as CSV" });
    const tools = make("div", { className: "tools" }, csv, told);
    if (rows.length > 6) tools.prepend(make("label", {}, "Filter ", field));
    table.parentElement.before(tools);
    const texts = rows.map((row) => row.textContent.toLowerCase().replace(/\s+/g, " "));
    const filter = (only) => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, number) => {
        row.hidden = only === undefined ? !words.every((word) => texts[number].includes(word)) : plain(row.cells[0]) !== only;
        shown += !row.hidden;
      });
      told.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    };
    field.addEventListener("input", () => filter());
    filter();
    csv.addEventListener("click", () => save(`${name.replace(/\W+/g, "-")}.csv`, csvOf(table, [...body.rows].filter((row) => !row.hidden))));
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", className: "sort", title: "Sort by this column" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
        const keys = new Map(rows.map((row) => [row, valueOf(row.cells[column])]));
        body.append(...[...rows].sort((left, right) => compare(keys.get(left), keys.get(right), way)));
      });
    });
    table.filterBy = (text) => { field.value = text; filter(text); };  // of the first column, and no longer name
  };
  all("table[data-name]").forEach(prepare);
  all("#cells-table tr[data-c] > th").forEach((head) => {  // for the keyboard, which cannot click a number
    const button = make("button", { type: "button", className: "sort", title: "Where these numbers are from" });
    button.append(...head.childNodes);
    head.append(button);
  });

  // The overview: metric, baseline, hardware and page size as the reader chooses.
  const grid = one("#heat");
  const choices = { metric: one("#metric"), baseline: one("#baseline"), group: one("#group") };
  const ratioText = (value) => {
    if (value > 0 && value < 0.005) return "under 0.01";
    if (value === Math.round(value) || value >= 1000) return Math.round(value).toLocaleString("en-US");
    return value >= 10 ? value.toFixed(1) : value.toFixed(2);
  };
  const shadeOf = (ratio) => {
    const far = ratio >= 1 ? ratio : (ratio ? 1 / ratio : Infinity);
    const shade = data.shades.find(([least]) => far >= least);
    return shade ? `${ratio > 1 ? "more" : "less"}-${shade[1]}` : "same";
  };
  const compared = (value, base) => {
    if (value === null) return ["n/a", "none"];
    if (base === null || base === undefined) return [ratioText(value), "alone"];
    if (value === base) return ["1×", "same"];
    if (base === 0) return [`${ratioText(value)} : 0`, "more-3"];
    return [`${ratioText(value / base)}×`, shadeOf(value / base)];
  };
  const draw = () => {
    const metric = Number(choices.metric.value), group = Number(choices.group.value);
    const baseline = choices.baseline.value;
    const [, label, unit, kind, key] = data.metrics[metric];
    const named = (value) => `${ratioText(value)}${unit && ` ${unit}`}`;
    const cells = new Map(), reasons = new Map();
    data.cells.forEach(([, scenario, design, its], number) => { if (its === group) cells.set(`${scenario}\n${design}`, number); });
    data.reasons.forEach(([scenario, design, its, reason]) => { if (its === group) reasons.set(`${scenario}\n${design}`, reason); });
    for (const row of grid.tBodies[0].rows) {
      const scenario = row.dataset.scenario;
      row.hidden = !data.designs.some((design) => cells.has(`${scenario}\n${design}`));
      const baseCell = cells.get(`${scenario}\n${baseline}`);
      const base = baseCell === undefined ? null : data.values[baseCell][metric];
      data.designs.forEach((design, column) => {
        const field = row.cells[column + 1];
        const number = cells.get(`${scenario}\n${design}`);
        delete field.dataset.c;
        field.classList.remove(...[...field.classList].filter((name) => name !== "field"));
        if (number === undefined) {
          const reason = reasons.get(`${scenario}\n${design}`);
          [field.textContent, field.title] = [reason ? "n/a" : "", reason ? `not applicable: ${reason}` : "not in these results"];
          field.classList.add("none");
          return;
        }
        const value = data.values[number][metric];
        const [text, tone] = compared(value, base);
        field.textContent = text;
        field.classList.add(tone);
        field.dataset.c = number;
        field.dataset.told = value === null ? `it has no ${label}` : `${label}: ${named(value)} (${kind}; ${key})` +
          (base === null || base === undefined ? "" : `; ${baseline}: ${named(base)}`);
        field.title = `${data.cells[number][0]}: ${field.dataset.told}`;
      });
    }
    one("#heat-kind").className = `kind ${kind}`;
    one("#heat-kind").textContent = kind;
    one("#heat-said").textContent = `${label}${unit && `, ${unit}`}: ratio to ${baseline}, hardware ${data.groups[group][0]}, ${data.groups[group][1]}`;
    [...grid.tHead.rows[0].cells].forEach((head, column) => head.classList.toggle("base", data.designs[column - 1] === baseline));
  };
  if (grid) {
    const remember = () => {
      draw();
      const state = Object.values(choices).map((select) => encodeURIComponent(select.value)).join(",");
      history.replaceState(null, "", `#overview=${state}`);
    };
    Object.values(choices).forEach((select) => select.addEventListener("change", remember));
  }

  // Links into the page: open what hides the place, and take over choices that the link has.
  const follow = () => {
    const [id, state] = decodeURIComponent(location.hash.slice(1)).split("=");
    if (id === "overview" && state && grid) {
      const values = location.hash.split("=")[1].split(",").map(decodeURIComponent);
      Object.values(choices).forEach((select, number) => {
        if ([...select.options].some((option) => option.value === values[number])) select.value = values[number];
      });
      draw();
    }
    const place = id && document.getElementById(id);
    if (!place) return;
    for (let part = place; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    place.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();
  all("a[data-filter]").forEach((link) => link.addEventListener("click", () => one("#cells-table")?.filterBy(link.dataset.filter)));
  all("button[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const text = one("code", button.parentElement);
    try { await navigator.clipboard.writeText(text.textContent); button.textContent = "copied"; } catch {
      getSelection().selectAllChildren(text);  // the clipboard is not for everybody: the text is marked
    }
  }));
})();
