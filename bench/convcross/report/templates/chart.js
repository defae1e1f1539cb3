// The interactive chart: curves of a chosen set of conditions, image size, cost and phase.
"use strict";
(() => {
  const read = (id) => document.getElementById(id);
  const data = JSON.parse(read("chart-data").textContent);
  const controls = read("chart-controls");
  const chart = read("chart");
  const { where, size, cost, phase } = controls.elements;
  const hidden = new Set(data.hidden); // contenders that are not shown, whatever else is chosen

  function fill(select, options) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => value === before)) select.value = before;
    select.closest("label").hidden = options.length < 2;
  }

  const set = () => data.sets[Number(where.value)];
  const key = () => (cost.value === "time" ? phase.value : cost.value);
  const contenders = () => Object.keys(data.looks).filter((name) => name in set().curves);

  function sizes() {
    const found = new Set(Object.values(set().curves).flatMap((one) => Object.keys(one)));
    return [...found].sort((a, b) => a - b).map((N) => [N, N]);
  }

  function boxes() {
    read("chart-contenders").replaceChildren(...contenders().map((name) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      const swatch = document.createElement("span");
      box.type = "checkbox";
      box.value = name;
      box.checked = !hidden.has(name);
      swatch.className = "swatch";
      swatch.style.background = data.looks[name][0];
      label.append(box, swatch, name);
      return label;
    }));
  }

  // Plotly reads a few HTML tags in names; those of records are text.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  const PREFIXES = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

  function told(value, unit) {
    if (unit === "") return value.toExponential(2);
    const [scale, prefix] = PREFIXES.find(([one]) => value >= one) ?? PREFIXES[PREFIXES.length - 1];
    return `${Number((value / scale).toPrecision(4))} ${prefix}${unit}`;
  }

  function hover(middle, low, high, unit) {
    const value = told(middle, unit);
    return low === null || low === high ? value : `${value} [${told(low, unit)}, ${told(high, unit)}]`;
  }

  // The outline of the interval, a closed part for each stretch of a line without a gap.
  function band(n, low, high) {
    const x = [], y = [];
    for (let from = 0, to; from < n.length; from = to + 1) {
      for (to = from; to < n.length && low[to] !== null && high[to] !== null; to++);
      const part = n.slice(from, to);
      x.push(...part, ...part.slice().reverse(), null);
      y.push(...high.slice(from, to), ...low.slice(from, to).reverse(), null);
    }
    return { x, y };
  }

  function traces(unit) {
    const found = [];
    for (const name of contenders()) {
      const curve = set().curves[name][size.value];
      if (hidden.has(name) || !curve || !curve[key()]) continue;
      const [colour, symbol] = data.looks[name];
      const [middle, low, high] = curve[key()];
      found.push({
        ...band(curve.n, low, high),
        fill: "toself", fillcolor: colour + "2e", line: { width: 0 }, mode: "lines",
        hoverinfo: "skip", name: plain(name), meta: "band",
      }, {
        x: curve.n, y: middle, name: plain(name), mode: "lines+markers", meta: "curve",
        line: { color: colour, width: 2 }, marker: { color: colour, symbol, size: 8 },
        text: middle.map((value, k) => value === null ? "" : hover(value, low[k], high[k], unit)),
        hovertemplate: "<b>%{fullData.name}</b><br>n = %{x}<br>%{text}<extra></extra>",
      });
    }
    return found;
  }

  // Those measured kernels that have room for a label each.
  function ticks(n, width) {
    const apart = Math.log(n[n.length - 1] / n[0]) * 30 / width;
    return n.filter(((last) => (value) => {
      if (last !== null && Math.log(value / last) < apart) return false;
      last = value;
      return true;
    })(null));
  }

  function draw() {
    const [, , axis, unit] = data.costs.find(([name]) => name === cost.value);
    phase.disabled = cost.value !== "time";
    const shown = traces(unit);
    const crossing = set().crossings[key()]?.[size.value];
    const [star, low, high] = crossing?.n ?? [null, null, null];
    const upright = { yref: "paper", y0: 0, y1: 1, layer: "below" };
    const grey = { fillcolor: "#e4e4e4", line: { width: 0 } };
    const dashed = { line: { color: "#222", width: 1.5, dash: "dash" } };
    const shapes = [];
    if (star !== null) {
      if (low !== null) shapes.push({ ...upright, ...grey, type: "rect", x0: low, x1: high });
      shapes.push({ ...upright, ...dashed, type: "line", x0: star, x1: star });
    }
    const n = [...new Set(shown.flatMap((one) => one.x))].filter((one) => one !== null).sort((a, b) => a - b);
    const title = cost.value === "time" ? `time, ${phase.value}` : axis;
    Plotly.react(chart, shown, {
      shapes,
      margin: { l: 70, r: 15, t: 15, b: 55 },
      height: 440,
      showlegend: false,
      hovermode: "closest",
      paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      font: { family: "system-ui, sans-serif", color: "#222" },
      xaxis: {
        type: "log", title: { text: "kernel size n" }, gridcolor: "#e6e6e6",
        tickmode: "array", tickvals: n.length ? ticks(n, chart.clientWidth - 85) : [],
      },
      yaxis: {
        type: "log", title: { text: unit ? `${title} (${unit})` : title }, gridcolor: "#e6e6e6",
        exponentformat: unit ? "SI" : "power", minexponent: 0, ticksuffix: unit,
      },
    }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
    read("chart-said").textContent = shown.length === 0
      ? "No contender chosen has a value here."
      : crossing ? `${crossing.said}.` : "";
  }

  function choose() {
    fill(size, sizes());
    boxes();
    draw();
  }

  fill(where, data.sets.map((one, place) => [String(place), one.where]));
  fill(cost, data.costs);
  fill(phase, data.phases);
  where.addEventListener("change", choose);
  for (const select of [size, cost, phase]) select.addEventListener("change", draw);
  read("chart-contenders").addEventListener("change", ({ target }) => {
    if (target.checked) hidden.delete(target.value);
    else hidden.add(target.value);
    draw();
  });
  choose();
  size.selectedIndex = size.options.length - 1;
  draw();
})();
