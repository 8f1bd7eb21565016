// Where the page is and who uses it: the badge beside the title, and the form for a credential if
// the gateway needs one. A credential stays in this page's memory; it is sent only to our own
// origin.
"use strict";

const createAccount = ({ access, sandbox, accountUrl }) => {
  const h = (...args) => React.createElement(...args);
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  const TOKEN = {
    needs: "This gateway needs a token",
    header: "Authorization: Bearer …",
    fields: { token: "Token" },
    headersOf: ({ token }) => ({ Authorization: `Bearer ${token}` }),
  };
  const PASSTHROUGH = {
    needs: "This gateway needs your Twilio credential",
    header: "Authorization: Basic …",
    fields: {
      sid: "Account SID",
      key: "API key SID, if you use one",
      secret: "Auth token or key secret",
    },
    headersOf: ({ sid, key, secret }) => ({
      Authorization: `Basic ${base64(`${key || sid}:${secret}`)}`,
      ...(key && { "Gateway-Account-Sid": sid }),
    }),
  };
  const MODE = { token: TOKEN, jwt: TOKEN, passthrough: PASSTHROUGH }[access];
  const SECRET = new Set(["token", "secret"]);

  const listeners = new Set();
  let state = { account: "", isAccepted: !MODE, isRefused: false };
  let credential = {};
  const change = (changes) => {
    state = { ...state, ...changes };
    listeners.forEach((listener) => listener());
  };
  const subscribe = (listener) => (listeners.add(listener), () => listeners.delete(listener));
  const get = () => state;

  const isPresent = (headers) =>
    Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
  const isUnauthenticated = (result) =>
    (result?.errors ?? []).some(({ extensions }) => extensions?.code === "UNAUTHENTICATED");

  // The gateway says whose calls these are only to a credential that it accepts.
  const askAccount = async (headers) => {
    if (sandbox) return;
    const response = await fetch(accountUrl, { headers });
    if (response.ok) change({ account: (await response.json()).account });
  };

  // Wraps a fetcher: adds the credential, and says where it goes while there is none.
  const authenticated = (fetcher) => async (params, options) => {
    const headers = { ...credential, ...options?.headers };
    if (MODE && !isPresent(headers)) {
      const message = `${MODE.needs}. It goes into the form above the tabs.`;
      return { data: null, errors: [{ message, extensions: { code: "UNAUTHENTICATED" } }] };
    }
    const result = await fetcher(params, { ...options, headers });
    const isRefused = isUnauthenticated(result);
    const isNews = !isRefused && (!state.isAccepted || !state.account);
    if (MODE) change({ isAccepted: !isRefused, isRefused });
    if (isNews) askAccount(headers).catch(() => {});
    return result;
  };

  const Badge = () => {
    const { account } = React.useSyncExternalStore(subscribe, get);
    const text = sandbox ? "sandbox" : account || "Twilio account";
    const title = sandbox ? "Invented calls; nobody is called." : "Real calls of this account.";
    return h("span", { className: sandbox ? "badge" : "badge badge-real", title }, text);
  };

  const Title = () => h("h1", { className: "title" }, "Twilio Calls ", h(Badge));

  const Field = ({ name, label }) =>
    h(
      "label",
      null,
      `${label} `,
      h("input", {
        name,
        type: SECRET.has(name) ? "password" : "text",
        required: name !== "key",
        autoComplete: "off",
        spellCheck: false,
      }),
    );

  const CredentialForm = () => {
    const { isAccepted, isRefused } = React.useSyncExternalStore(subscribe, get);
    const { introspect } = GraphiQL.React.useSchemaStore();
    if (isAccepted) return null;
    const submit = (event) => {
      event.preventDefault();
      const given = [...new FormData(event.target)].map(([name, text]) => [name, text.trim()]);
      credential = MODE.headersOf(Object.fromEntries(given));
      change({ account: "" });
      introspect();
    };
    return h(
      "form",
      { className: "graphiql-container credential", "aria-label": "Credential", onSubmit: submit },
      h(
        "p",
        null,
        `${MODE.needs}. It goes here; every tab sends it as “${MODE.header}”, `,
        "until you reload the page.",
        isRefused && h("strong", { role: "alert" }, " The gateway refused it."),
      ),
      Object.entries(MODE.fields).map(([name, label]) => h(Field, { key: name, name, label })),
      h(GraphiQL.React.Button, { type: "submit" }, "Use"),
    );
  };

  return { authenticated, Title, CredentialForm };
};
