// Relay with an artifact as its compiler writes it for persisted queries: the fetch function sends
// the id as `doc_id`. Prints the answer and what was asked.
import { readFileSync } from "node:fs";
import relay from "relay-runtime";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, manifest] = process.argv.slice(2);
const { id } = JSON.parse(readFileSync(manifest)).operations.find((one) => one.body === query);
const variable = { kind: "Variable", name: "sid", variableName: "sid" };
const field = (name) => ({ alias: null, args: null, kind: "ScalarField", name, storageKey: null });
const call = (...names) => ({
  alias: null, args: [variable], concreteType: "Call", kind: "LinkedField", name: "call",
  plural: false, selections: names.map(field), storageKey: null,
});
const definitions = [{ defaultValue: null, kind: "LocalArgument", name: "sid" }];
const artifact = {
  kind: "Request",
  fragment: {
    argumentDefinitions: definitions, kind: "Fragment", metadata: null, name: "One",
    selections: [call("status")], type: "Query", abstractKey: null,
  },
  operation: {
    argumentDefinitions: definitions, kind: "Operation", name: "One",
    selections: [call("status", "id")],
  },
  params: { id, metadata: {}, name: "One", operationKind: "query", text: null },
};

const send = watched();
const network = relay.Network.create(async (request, given) => {
  const response = await send(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ doc_id: request.id, variables: given }),
  });
  return response.json();
});
const store = new relay.Store(new relay.RecordSource());
const environment = new relay.Environment({ network, store });
const data = await relay.fetchQuery(environment, artifact, JSON.parse(variables)).toPromise();
console.log(JSON.stringify({ data }));
console.log(JSON.stringify({ asked }));
