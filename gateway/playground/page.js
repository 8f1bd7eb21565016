// Starts GraphiQL on our page: its tabs and its endpoint stand on the element that it fills.
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

  // The name under which GraphiQL's parts look for the nonce of the style elements they add.
  window.__webpack_nonce__ = document.currentScript.nonce;

  const url = new URL(endpoint, location.href);
  const subscriptionUrl = url.href.replace(/^http/, "ws");
  // Our own corner of localStorage: other GraphiQLs on the same host and port keep theirs.
  const storage = GraphiQL.createLocalStorage({ namespace: "twilio-calls-gateway" });
  const plain = GraphiQL.createFetcher({
    url: url.href,
    subscriptionUrl,
    headers: { accept: "application/graphql-response+json, application/json" },
    enableIncrementalDelivery: false,
  });
  const { fetcher, plugin } = createExplanation(plain, storage);

  ReactDOM.createRoot(element).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultTabs: JSON.parse(tabs),
      plugins: [plugin],
      storage,
    }),
  );
})();
