// urql with its persisted-query exchange: asks twice, prints the answers and what was asked.
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, accept, get] = process.argv.slice(2);
const client = new Client({
  url,
  exchanges: [persistedExchange({ preferGetForPersistedQueries: get === "get" }), fetchExchange],
  preferGetMethod: false,
  fetch: watched(accept),
});

for (let turn = 0; turn < 2; turn++) {
  const { data, error } = await client.query(query, JSON.parse(variables)).toPromise();
  console.log(JSON.stringify(error ? { failed: error.message } : { data }));
}
console.log(JSON.stringify({ asked }));
