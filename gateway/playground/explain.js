// GraphiQL's panel that shows what an operation asked upstream (`extensions.upstream`): requests as
// bars on a time axis. Every text of an answer is a text node or an attribute, never markup. It must
// not know how the page is put together: page.js hands it a fetcher and a storage.
"use strict";

const createExplanation = (() => {
  const h = (...given) => React.createElement(...given);
  const ms = (number) => `${(number ?? 0).toFixed(1)} ms`;
  const predicted = (exchange) => ({ requests: 0, milliseconds: 0, ...exchange.predicted });
  const isPlanned = (exchange) => exchange.status === "planned";
  const isFailed = (exchange) => exchange.status !== "ok" && !isPlanned(exchange);
  const sent = (exchange) => (exchange.start ?? 0) + (exchange.wait ?? 0);
  const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);

  // What the next operation asks for and what the last one answered; React follows it.
  const createState = (storage) => {
    const followers = new Set();
    let state = { isAsked: storage.getItem("explain") === "true", turn: 0, upstream: undefined };
    const change = (changes) => {
      state = { ...state, ...changes };
      followers.forEach((follower) => follower());
    };
    return {
      get: () => state,
      follow: (follower) => (followers.add(follower), () => followers.delete(follower)),
      ask: (isAsked) => (storage.setItem("explain", isAsked), change({ isAsked })),
      begin: () => (change({ turn: state.turn + 1, upstream: undefined }), state.turn),
      // An answer that a later operation has overtaken is not shown, as in GraphiQL itself.
      show: (turn, upstream) => turn === state.turn && change({ upstream: upstream ?? null }),
    };
  };

  const withHeader = (options, how) => ({
    ...options,
    headers: how ? { ...options?.headers, "Gateway-Explain": how } : options?.headers,
  });

  // The fetcher of the page, which asks for an explanation and keeps what comes.
  const explaining = (fetcher, state, dryRun) => async (params, options) => {
    if (params.operationName === "IntrospectionQuery") return fetcher(params, options);
    const how = dryRun.isWanted ? "plan" : state.get().isAsked && "requests";
    const turn = state.begin();
    try {
      const answer = await fetcher(params, withHeader(options, how));
      state.show(turn, answer?.extensions?.upstream);
      return answer;
    } catch (error) {
      state.show(turn, null);
      throw error;
    }
  };

  // The length of the axis: what was measured and, where nothing was sent, what is predicted.
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

  // Wait, reading, and as an outline the predicted time; what is only planned begins at zero.
  const Bar = ({ exchange, end }) => {
    const from = sent(exchange);
    const length = predicted(exchange).milliseconds;
    return h(
      "svg",
      { className: "explain-bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": true },
      exchange.wait > 0 &&
        h(Span, { kind: "wait", from: exchange.start ?? 0, length: exchange.wait, end }),
      !isPlanned(exchange) &&
        h(Span, { kind: kindOf(exchange), from, length: exchange.duration ?? 0, end }),
      isPlanned(exchange) && h(Span, { kind: `planned-${kindOf(exchange)}`, from, length, end }),
      length > 0 && h(Span, { kind: "predicted", from, length, end }),
    );
  };

  const addressOf = ({ path, query }) => (query ? `${path}?${query}` : `${path}`);
  // A SID's end tells it from others; the whole one stands in the title and among the facts.
  const shortened = (text) => text.replace(/\b([A-Z]{2})[0-9a-f]{28}([0-9a-f]{4})\b/g, "$1…$2");
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

  const Exchange = ({ exchange, end }) =>
    h(
      "details",
      null,
      h(
        "summary",
        { className: "explain-row" },
        h(
          "span",
          { className: "explain-request", title: addressOf(exchange) },
          h(Mark, { exchange }),
          shortened(addressOf(exchange)),
          h("small", null, ` ← ${(exchange.fields ?? []).join(", ")}`),
        ),
        h("span", { className: "explain-rows" }, rowsOf(exchange)),
        h("span", { className: "explain-time" }, timeOf(exchange)),
        h(Bar, { exchange, end }),
      ),
      h(Facts, { of: facts(exchange), className: "explain-facts" }),
    );

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
      h(
        "ol",
        { className: "explain-exchanges", "aria-label": "Upstream requests" },
        upstream.exchanges.map((exchange, i) => h("li", { key: i }, h(Exchange, { exchange, end }))),
      ),
    );
  };

  const Answer = ({ upstream, isAsked }) => {
    if (upstream === undefined) return h("p", null, "Run an operation to see its upstream requests.");
    if (upstream === null) {
      const hint = isAsked ? "The last answer holds no explanation." : "Tick Explain, then run the operation.";
      return h("p", null, hint);
    }
    return h(
      React.Fragment,
      null,
      h("div", { role: "status" }, h(Facts, { of: totals(upstream), className: "explain-totals" })),
      upstream.exchanges?.length > 0
        ? h(Exchanges, { upstream })
        : h("p", null, "Nothing was asked upstream, or only totals were wanted."),
    );
  };

  const Controls = ({ state, dryRun }) => {
    const { isFetching, isSubscribed, run } = GraphiQL.React.useExecutionContext();
    const plan = () => {
      // GraphiQL calls the fetcher before its run() first waits, or not at all.
      dryRun.isWanted = true;
      run();
      dryRun.isWanted = false;
    };
    return h(
      "div",
      { className: "explain-controls" },
      h(
        "label",
        null,
        h("input", {
          type: "checkbox",
          checked: state.get().isAsked,
          onChange: (event) => state.ask(event.target.checked),
        }),
        " Explain",
      ),
      h(GraphiQL.React.Button, { type: "button", disabled: isFetching || isSubscribed, onClick: plan }, "Plan only"),
    );
  };

  const createPanel = (state, dryRun) => () => {
    const { isAsked, turn, upstream } = React.useSyncExternalStore(state.follow, state.get);
    return h(
      "section",
      { className: "explain", "aria-label": "Upstream Requests" },
      h("div", { className: "graphiql-doc-explorer-title" }, "Upstream Requests"),
      h(Controls, { state, dryRun }),
      h(Answer, { key: turn, upstream, isAsked }),
    );
  };

  const Icon = (given) =>
    h(
      "svg",
      { viewBox: "0 0 20 20", fill: "none", stroke: "currentColor", strokeWidth: 2.5, ...given },
      h("path", { d: "M2 4h8M5 10h9M10 16h8" }),
    );

  return (fetcher, storage) => {
    const state = createState(storage);
    const dryRun = { isWanted: false };
    return {
      fetcher: explaining(fetcher, state, dryRun),
      plugin: { title: "Upstream Requests", icon: Icon, content: createPanel(state, dryRun) },
    };
  };
})();
