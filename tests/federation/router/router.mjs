// A router over the running gateway and two made-up neighbours: prints the answer to each query.
// Arguments: the gateway's URL, the queries as JSON. The schema comes on standard input.
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { getOperationAST, parse } from "graphql";
import { readFileSync } from "node:fs";
import { compose } from "./supergraph.mjs";

const [url, queries] = process.argv.slice(2);
const sid = (number) => "CA" + number.toString(16).padStart(32, "0");
const contact = (number) => ({ __typename: "PhoneNumber", contact: { name: "Owner of " + number } });
const operations = { calls: [], crm: [], billing: [] };

// What each neighbour answers; the router takes what it asked for.
const neighbours = {
  crm: ({ representations = [] }) => ({
    contacts: [{ name: "Kevin", number: { __typename: "PhoneNumber", number: "+16175550101" } }],
    _entities: representations.map(({ number }) => contact(number)),
  }),
  billing: ({ representations = [] }) => ({
    invoices: Array.from({ length: 200 }, (_, index) => ({
      amount: "1.50",
      call: { __typename: "Call", sid: sid(index + 1) },
    })),
    _entities: representations.map(() => ({ __typename: "Call", invoice: { amount: "1.50" } })),
  }),
};

const { supergraphSdl, errors } = compose(readFileSync(0, "utf8"), url);
if (errors) throw new Error(errors.join("\n"));
const gateway = new ApolloGateway({
  supergraphSdl,
  buildService: ({ name }) => {
    const calls = new RemoteGraphQLDataSource({ url });
    return {
      process(options) {
        const representations = options.request.variables?.representations;
        operations[name].push(representations?.length ?? 0);
        if (name === "calls") return calls.process(options);
        return { data: neighbours[name](options.request.variables ?? {}) };
      },
    };
  },
});
const { executor } = await gateway.load();
for (const query of JSON.parse(queries)) {
  const document = parse(query);
  const kept = new Map();
  const { data, errors } = await executor({
    source: query,
    document,
    operation: getOperationAST(document),
    operationName: null,
    queryHash: query,
    request: { query, variables: {} },
    cache: { get: async (key) => kept.get(key), set: async (key, value) => kept.set(key, value) },
    context: {},
    metrics: {},
    schema: gateway.schema,
  });
  console.log(JSON.stringify({ data, errors, operations }));
  for (const each of Object.values(operations)) each.length = 0;
}
await gateway.stop();
