// Subscriptions as a list of events below the response. GraphiQL ends a subscription when its tab
// is left, and shows only the last event; this list belongs to the page, so that a call made in
// another tab is seen ringing. Every text of an event becomes a text node, never markup.
"use strict";

const createWatch = (url) => {
  const h = (...args) => React.createElement(...args);
  const LONGEST = 200; // events; older ones leave the list
  const ACCEPT = "application/graphql-response+json, application/json, text/event-stream";

  const listeners = new Set();
  let state = { name: null, phase: "stopped", events: [], count: 0 };
  let controller = new AbortController();
  const change = (changes) => {
    state = { ...state, ...changes };
    listeners.forEach((listener) => listener());
  };
  const subscribe = (listener) => (listeners.add(listener), () => listeners.delete(listener));
  const get = () => state;
  const stop = () => (controller.abort(), change({ phase: "stopped" }));
  const close = () => (controller.abort(), change({ name: null }));

  // The messages of a stream of server-sent events, each as { event, data }.
  const messagesOf = async function* (body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
        yield Object.fromEntries(fields);
      }
    }
  };

  const add = (result) => {
    const event = { number: state.count + 1, arrived: new Date().toISOString(), result };
    change({ count: event.number, events: [event, ...state.events].slice(0, LONGEST) });
  };

  // Reads to the end; a stream that ends without "complete" was cut off.
  const read = async (response, signal) => {
    let phase = "cut off";
    try {
      for await (const { event, data } of messagesOf(response.body)) {
        if (signal.aborted) return;
        if (event === "next") add(JSON.parse(data));
        if (event === "complete") phase = "complete";
      }
    } catch {
      // The network failed, or somebody stopped it.
    }
    if (!signal.aborted) change({ phase });
  };

  const nameOf = ({ operationName }) => operationName ?? "Subscription";

  // Starts a subscription instead of the one before; resolves with what GraphiQL is to show.
  const start = async (params, headers) => {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    change({ name: nameOf(params), phase: "connecting", events: [], count: 0 });
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers, Accept: ACCEPT },
      body: JSON.stringify(params),
      signal,
    }).catch((error) => (signal.aborted || close(), Promise.reject(error)));
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
      close();
      return response.json();
    }
    change({ phase: "connected" });
    read(response, signal);
    const says = "Connected. Its events are listed below, in every tab, until you stop it.";
    return { [nameOf(params)]: says };
  };

  const isSubscription = ({ operationName }, options) =>
    (options?.documentAST?.definitions ?? []).some(
      ({ operation, name }) =>
        operation === "subscription" && (!operationName || name?.value === operationName),
    );

  const statusText = ({ phase, count }) => {
    const events = `${count} event${count === 1 ? "" : "s"}`;
    if (phase === "connecting") return "connecting …";
    if (phase === "connected") return `connected, ${count ? events : "waiting for events"}`;
    if (phase === "cut off") return `the connection was cut off, ${events}; run it again`;
    return `${phase}, ${events}`; // complete or stopped
  };

  // What an event of the schema says, as far as its fields were selected.
  const cellsOf = ({ arrived, result }) => {
    const event = Object.values(result.data ?? {})[0] ?? {};
    const { sid, status, from, to } = event.call ?? {};
    const errors = (result.errors ?? []).map(({ message }) => `✗ ${message}`);
    const selected = (parts, separator) => parts.filter(Boolean).join(separator);
    const shortSid = sid && `${sid.slice(0, 2)}…${sid.slice(-4)}`;
    return {
      time: (event.receivedAt ?? arrived).slice(11, 19),
      status: selected([event.previousStatus, status], " → ") || selected(errors, " "),
      source: event.source,
      call: selected([shortSid, from && to && `${from} → ${to}`], " "),
    };
  };

  const Row = ({ cells }) =>
    Object.entries(cells).map(([name, text]) =>
      h("span", { key: name, className: `watch-${name}` }, text),
    );

  const HEADING = { time: "UTC", status: "Status", source: "Source", call: "Call" };

  const Watch = () => {
    const shown = React.useSyncExternalStore(subscribe, get);
    if (shown.name === null) return null;
    const isOn = ["connecting", "connected"].includes(shown.phase);
    return h(
      "section",
      { className: "watch", "aria-label": "Events" },
      h(
        "div",
        { className: "watch-head" },
        h("span", { className: isOn ? "watch-light watch-on" : "watch-light", "aria-hidden": true }),
        h("strong", null, shown.name),
        h("span", { role: "status" }, statusText(shown)),
        h(
          GraphiQL.React.Button,
          { type: "button", onClick: isOn ? stop : close },
          isOn ? "Stop" : "Close",
        ),
      ),
      shown.count > 0 &&
        h(
          "div",
          { className: "watch-row watch-heading", "aria-hidden": true },
          h(Row, { cells: HEADING }),
        ),
      h(
        "ol",
        { role: "log", "aria-label": "Events, newest first" },
        shown.events.map((event) =>
          h(
            "li",
            { key: event.number },
            h(
              "details",
              null,
              h("summary", { className: "watch-row" }, h(Row, { cells: cellsOf(event) })),
              h("pre", null, JSON.stringify(event.result, null, 2)),
            ),
          ),
        ),
      ),
    );
  };

  return { start, isSubscription, Watch };
};
