// GraphiQL's panel of an operation's upstream requests (`extensions.upstream`), as bars on a time
// axis. Requests that differ only in their SIDs share a row, which opens to each of them. Every
// text of a response becomes a text node or an attribute, never markup. It must not know the page:
// page.js passes it a fetcher and a storage.
"use strict";

const createExplanation = (() => {
  const h = (...args) => React.createElement(...args);
  const ms = (number) => `${(number ?? 0).toFixed(1)} ms`;
  const predicted = (exchange) => ({ requests: 0, milliseconds: 0, ...exchange.predicted });
  const isPlanned = (exchange) => exchange.status === "planned";
  const isFailed = (exchange) => exchange.status !== "ok" && !isPlanned(exchange);
  const sent = (exchange) => (exchange.start ?? 0) + (exchange.wait ?? 0);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  // Whether to explain operations, and the upstream requests of the last one, for React.
  const createState = (storage) => {
    const listeners = new Set();
    const isExplained = storage.getItem("explain") !== "false";
    let state = { isExplained, operation: 0, upstream: undefined };
    const change = (changes) => {
      state = { ...state, ...changes };
      listeners.forEach((listener) => listener());
    };
    return {
      get: () => state,
      subscribe: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
      setExplained: (isExplained) => (storage.setItem("explain", isExplained), change({ isExplained })),
      begin: () => (change({ operation: state.operation + 1, upstream: undefined }), state.operation),
      // A response to an earlier operation is not shown, as in GraphiQL itself.
      show: (operation, upstream) => operation === state.operation && change({ upstream: upstream ?? null }),
    };
  };

  const withHeader = (options, mode) => ({
    ...options,
    headers: mode ? { ...options?.headers, "Gateway-Explain": mode } : options?.headers,
  });

  // Wraps the page's fetcher: requests an explanation and passes it to the state.
  const explaining = (fetcher, state, dryRun) => async (params, options) => {
    if (params.operationName === "IntrospectionQuery") return fetcher(params, options);
    const mode = dryRun.isRequested ? "plan" : state.get().isExplained && "requests";
    const operation = state.begin();
    try {
      const response = await fetcher(params, withHeader(options, mode));
      state.show(operation, response?.extensions?.upstream);
      return response;
    } catch (error) {
      state.show(operation, null);
      throw error;
    }
  };

  // The length of the axis in ms: the measured time and, for planned requests, the predicted one.
  const endOf = ({ milliseconds, exchanges }) =>
    Math.max(
      1,
      milliseconds ?? 0,
      ...exchanges.map((exchange) => sent(exchange) + (exchange.duration ?? 0)),
      ...exchanges.filter(isPlanned).map((exchange) => predicted(exchange).milliseconds),
    );

  const kindOf = (exchange) => {
    if (isFailed(exchange)) return "failed";
    return exchange.way === "scan" ? "scan" : "per-key";
  };

  const Span = ({ kind, from, length, end }) => {
    const x = (from / end) * 1000;
    const width = Math.max((length / end) * 1000, 2);
    return h("rect", { className: `explain-${kind}`, x: Math.min(x, 998), width, height: 10 });
  };

  const spansOf = (exchange) => {
    const from = sent(exchange);
    if (isPlanned(exchange)) {
      return [{ kind: `planned-${kindOf(exchange)}`, from, length: predicted(exchange).milliseconds }];
    }
    const read = { kind: kindOf(exchange), from, length: exchange.duration ?? 0 };
    const wait = { kind: "wait", from: exchange.start ?? 0, length: exchange.wait };
    return exchange.wait > 0 ? [wait, read] : [read];
  };

  // The wait and the duration of each, one over the other, and the predicted time as an outline; a
  // planned request starts at zero.
  const Bar = ({ exchanges, end }) => {
    const spans = exchanges.flatMap((exchange) => spansOf(exchange));
    const from = Math.min(...exchanges.map(sent));
    const length = Math.max(...exchanges.map((exchange) => predicted(exchange).milliseconds));
    if (length > 0) spans.push({ kind: "predicted", from, length });
    return h(
      "svg",
      {
        className: exchanges.length > 1 ? "explain-bar explain-overlaid" : "explain-bar",
        viewBox: "0 0 1000 10",
        preserveAspectRatio: "none",
        "aria-hidden": true,
      },
      spans.map((span, i) => h(Span, { key: i, ...span, end })),
    );
  };

  const addressOf = ({ path, query }) => (query ? `${path}?${query}` : `${path}`);
  const SID = /\b([A-Z]{2})[0-9a-f]{28}([0-9a-f]{4})\b/g;
  // The end of a SID is enough to tell it apart; the title and the details have all of it.
  const shortenSids = (text) => text.replace(SID, "$1…$2");
  const withoutSids = (text) => text.replace(SID, "{sid}");

  // Requests that differ only in their SIDs become one group, at the place of the first.
  const folded = (exchanges) => {
    const groups = new Map();
    for (const exchange of exchanges) {
      const { way, status, fields } = exchange;
      const kind = JSON.stringify([withoutSids(addressOf(exchange)), way, status, fields]);
      if (groups.has(kind)) groups.get(kind).push(exchange);
      else groups.set(kind, [exchange]);
    }
    return [...groups.values()];
  };

  // One row for all: its requests and rows are sums, its times those of the whole group.
  const asOne = (group) => {
    if (group.length === 1) return group[0];
    const start = Math.min(...group.map((exchange) => exchange.start ?? 0));
    const end = Math.max(...group.map((exchange) => sent(exchange) + (exchange.duration ?? 0)));
    const total = (name) => sum(group.map((exchange) => exchange[name] ?? 0));
    const predictions = group.map(predicted);
    return {
      ...group[0],
      path: withoutSids(group[0].path ?? ""),
      query: withoutSids(group[0].query ?? ""),
      rows: total("rows"),
      used: total("used"),
      retries: total("retries"),
      start,
      wait: Math.max(...group.map((exchange) => exchange.wait ?? 0)),
      duration: end - start,
      predicted: {
        requests: sum(predictions.map(({ requests }) => requests)),
        milliseconds: Math.max(...predictions.map(({ milliseconds }) => milliseconds)),
      },
    };
  };

  const rowsOf = (exchange) =>
    isPlanned(exchange)
      ? `~${predicted(exchange).requests} req`
      : `${exchange.used ?? 0}/${exchange.rows ?? 0} rows`;
  const timeOf = (exchange) =>
    isPlanned(exchange) ? `~${ms(predicted(exchange).milliseconds)}` : ms(exchange.duration);

  const Mark = ({ exchange }) => {
    if (isPlanned(exchange)) return h("em", null, "planned ");
    return isFailed(exchange) && h("strong", { className: "explain-mark" }, `✗ ${exchange.status} `);
  };

  const prediction = ({ requests, milliseconds }) =>
    `${ms(milliseconds)}, ${requests} request${requests === 1 ? "" : "s"}`;

  const facts = (exchange) => [
    ["Request", addressOf(exchange)],
    ["Fields", (exchange.fields ?? []).join(", ")],
    ["Way", exchange.way],
    ["Status", exchange.status],
    ["Predicted", prediction(predicted(exchange))],
    ...(isPlanned(exchange) ? [] : measured(exchange)),
  ];

  const measured = ({ rows, used, start, wait, duration, retries }) => [
    ["Rows", `${rows ?? 0} read, ${used ?? 0} used`],
    ["Start", ms(start)],
    ["Wait", ms(wait)],
    ["Duration", ms(duration)],
    ["Retries", `${retries ?? 0}`],
  ];

  const Facts = ({ of, className }) =>
    h(
      "dl",
      { className },
      of.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, `${value}`))),
    );

  // A row for one exchange or a group of them; it opens to its facts, and to the rows of the group.
  const Row = ({ group, end }) => {
    const exchange = asOne(group);
    const isGroup = group.length > 1;
    return h(
      "details",
      null,
      h(
        "summary",
        { className: "explain-row" },
        h(
          "span",
          { className: "explain-request", title: addressOf(exchange) },
          h(Mark, { exchange }),
          isGroup && h("b", null, `${group.length} × `),
          shortenSids(addressOf(exchange)),
          h("small", null, ` ← ${(exchange.fields ?? []).join(", ")}`),
        ),
        h("span", { className: "explain-rows" }, rowsOf(exchange)),
        h("span", { className: "explain-time" }, timeOf(exchange)),
        h(Bar, { exchanges: group, end }),
      ),
      h(Facts, { of: facts(exchange), className: "explain-facts" }),
      isGroup && h(Rows, { groups: group.map((one) => [one]), end }),
    );
  };

  const Rows = ({ groups, end, ...rest }) =>
    h("ol", rest, groups.map((group, i) => h("li", { key: i }, h(Row, { group, end }))));

  const totals = ({ requests, rows, known, milliseconds, exchanges = [] }) => {
    const plans = exchanges.filter(isPlanned);
    const planned = sum(plans.map((exchange) => predicted(exchange).requests));
    return [
      ["Requests", requests ?? 0],
      ["Rows", rows ?? 0],
      ["Known", known ?? 0],
      ["Time", ms(milliseconds)],
      ...(plans.length ? [["Planned", planned]] : []),
    ];
  };

  const Axis = ({ end }) =>
    h(
      "div",
      { className: "explain-row explain-axis", "aria-hidden": true },
      h("span", { className: "explain-bar" }, [0, 0.5, 1].map((part) => h("span", { key: part }, ms(part * end)))),
    );

  const KINDS = ["per-key", "scan", "failed", "wait", "predicted"];
  const Legend = () =>
    h(
      "ul",
      { className: "explain-legend" },
      KINDS.map((kind) =>
        h(
          "li",
          { key: kind },
          h(
            "svg",
            { viewBox: "0 0 20 10", "aria-hidden": true },
            h("rect", { className: `explain-${kind}`, width: 20, height: 10 }),
          ),
          kind === "failed" ? "✗ failed" : kind,
        ),
      ),
    );

  const Exchanges = ({ upstream }) => {
    const end = endOf(upstream);
    return h(
      React.Fragment,
      null,
      h(Legend),
      h(Axis, { end }),
      h(Rows, {
        groups: folded(upstream.exchanges),
        end,
        className: "explain-exchanges",
        "aria-label": "Upstream requests",
      }),
    );
  };

  const Result = ({ upstream, isExplained }) => {
    if (upstream === undefined) return h("p", null, "Run an operation to see its upstream requests.");
    if (upstream === null) {
      const hint = isExplained ? "The last response has no explanation." : "Tick “Explain every run”, then run the operation.";
      return h("p", null, hint);
    }
    return h(
      React.Fragment,
      null,
      h("div", { role: "status" }, h(Facts, { of: totals(upstream), className: "explain-totals" })),
      upstream.exchanges?.length > 0
        ? h(Exchanges, { upstream })
        : h("p", null, "There were no upstream requests, or only totals were requested."),
    );
  };

  const Controls = ({ state, dryRun }) => {
    const { isFetching, isSubscribed, run } = GraphiQL.React.useExecutionContext();
    const plan = () => {
      // GraphiQL's run() calls the fetcher synchronously or not at all.
      dryRun.isRequested = true;
      run();
      dryRun.isRequested = false;
    };
    return h(
      "div",
      { className: "explain-controls" },
      h(
        "label",
        null,
        h("input", {
          type: "checkbox",
          checked: state.get().isExplained,
          onChange: (event) => state.setExplained(event.target.checked),
        }),
        " Explain every run",
      ),
      h(GraphiQL.React.Button, { type: "button", disabled: isFetching || isSubscribed, onClick: plan }, "Plan only"),
    );
  };

  const createPanel = (state, dryRun) => () => {
    const { isExplained, operation, upstream } = React.useSyncExternalStore(state.subscribe, state.get);
    return h(
      "section",
      { className: "explain", "aria-label": "Upstream Requests" },
      h(
        "div",
        { className: "explain-head" },
        h("h2", null, "Upstream Requests"),
        h(Controls, { state, dryRun }),
      ),
      h(Result, { key: operation, upstream, isExplained }),
    );
  };

  // GraphiQL's other icons have no words; nobody would look for this panel behind lines alone.
  const Icon = (props) =>
    h(
      "span",
      { className: "explain-icon", ...props },
      h(
        "svg",
        { viewBox: "0 0 20 20", fill: "none", stroke: "currentColor", strokeWidth: 2.5 },
        h("path", { d: "M2 4h8M5 10h9M10 16h8" }),
      ),
      "Upstream",
    );

  // GraphiQL does not remember which panel is open. Ours is, until somebody closes it.
  const visibilityOf = (plugin, storage) => ({
    visiblePlugin: storage.getItem("panel") === "closed" ? undefined : plugin,
    onTogglePluginVisibility: (shown) =>
      storage.setItem("panel", shown === plugin ? "open" : "closed"),
  });

  return (fetcher, storage) => {
    const state = createState(storage);
    const dryRun = { isRequested: false };
    const plugin = { title: "Upstream Requests", icon: Icon, content: createPanel(state, dryRun) };
    return {
      fetcher: explaining(fetcher, state, dryRun),
      plugin,
      visibility: visibilityOf(plugin, storage),
    };
  };
})();
