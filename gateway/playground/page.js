// Starts GraphiQL on our page. The element that it fills has its tabs and its endpoint as attributes.
"use strict";

(() => {
  const element = document.getElementById("graphiql");
  const { endpoint, tabs } = element.dataset;

  if (!window.GraphiQL) {
    element.textContent =
      "GraphiQL's files are not on this server and could not be loaded. Reinstall the gateway " +
      `with a network connection to get them. The API itself works: POST your query to ${endpoint}.`;
    return;
  }

  // GraphiQL's components read this nonce for the style elements that they add.
  window.__webpack_nonce__ = document.currentScript.nonce;

  const url = new URL(endpoint, location.href);
  const subscriptionUrl = url.href.replace(/^http/, "ws");
  // Our own namespace in localStorage: other GraphiQL pages may share the origin.
  const storage = GraphiQL.createLocalStorage({ namespace: "twilio-calls-gateway" });
  const httpFetcher = GraphiQL.createFetcher({
    url: url.href,
    subscriptionUrl,
    headers: { accept: "application/graphql-response+json, application/json" },
    enableIncrementalDelivery: false,
  });
  const { fetcher, plugin } = createExplanation(httpFetcher, storage);

  ReactDOM.createRoot(element).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultTabs: JSON.parse(tabs),
      plugins: [plugin],
      storage,
    }),
  );
})();
