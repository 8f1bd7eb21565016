// Starts GraphiQL on our page. The element that it fills has its tabs, its endpoint, and what
// answers there as attributes. A query in the page's own URL is opened in a tab and never run.
"use strict";

(() => {
  const element = document.getElementById("graphiql");
  const { endpoint, tabs, access, sandbox, account: accountPath } = element.dataset;

  if (!window.GraphiQL) {
    element.textContent =
      "GraphiQL's files are not on this server and could not be loaded. Reinstall the gateway " +
      `with a network connection to get them. The API itself works: POST your query to ${endpoint}.`;
    return;
  }

  // GraphiQL's components read this nonce for the style elements that they add.
  window.__webpack_nonce__ = document.currentScript.nonce;

  const h = (...args) => React.createElement(...args);
  const { href: url } = new URL(endpoint, location.href);
  // Our own namespace in localStorage: other GraphiQL pages may share the origin.
  const storage = GraphiQL.createLocalStorage({ namespace: "twilio-calls-gateway" });
  const httpFetcher = GraphiQL.createFetcher({
    url,
    headers: { accept: "application/graphql-response+json, application/json" },
    enableIncrementalDelivery: false,
  });
  const explanation = createExplanation(httpFetcher, storage);
  const watch = createWatch(url);
  const account = createAccount({ access, sandbox: sandbox === "true", accountUrl: accountPath });
  const fetcher = account.authenticated((params, options) =>
    watch.isSubscription(params, options)
      ? watch.start(params, options.headers)
      : explanation.fetcher(params, options),
  );

  // The query and variables of a link to this page, as a tab; {} if there are none.
  const linked = () => {
    const parameters = new URLSearchParams(location.search);
    const query = parameters.get("query");
    return query ? { query, variables: parameters.get("variables") ?? "" } : {};
  };

  const Editors = () => {
    const { queryEditor, variableEditor } = GraphiQL.React.useEditorContext();
    React.useEffect(() => {
      for (const editor of [queryEditor, variableEditor]) editor?.setOption("lineWrapping", true);
    }, [queryEditor, variableEditor]);
    return null;
  };

  const defaultTabs = JSON.parse(tabs);
  const link = linked();
  const Page = () =>
    h(
      GraphiQL,
      {
        fetcher,
        ...link,
        defaultQuery: defaultTabs[0].query,
        defaultTabs: link.query ? [link, ...defaultTabs] : defaultTabs,
        defaultEditorToolsVisibility: "variables",
        storage,
        ...panels,
      },
      h(GraphiQL.Logo, null, h(account.Title)),
      h(GraphiQL.Footer, null, h(watch.Watch)),
      h(account.CredentialForm),
      h(Editors),
    );

  // GraphiQL shows an open panel only if it knows of it before it is drawn for the first time.
  const panels = { plugins: [explanation.plugin], ...explanation.visibility };
  const Opened = () => {
    const [isKnown, setKnown] = React.useState(false);
    React.useEffect(() => setKnown(true), []);
    return h(GraphiQL.React.PluginContextProvider, panels, isKnown && h(Page));
  };

  ReactDOM.createRoot(element).render(h(Opened));
})();
