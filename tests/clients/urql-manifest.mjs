// urql with persisted documents only: it never sends the text. Prints the answer and what was asked.
import { readFileSync } from "node:fs";
import { Client, fetchExchange, gql } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, manifest, get] = process.argv.slice(2);
const { operations } = JSON.parse(readFileSync(manifest));
const nameOf = (document) => document.definitions.find((one) => one.operation).name.value;
const persisted = persistedExchange({
  enforcePersistedQueries: true,
  preferGetForPersistedQueries: get === "get",
  generateHash: async (_, document) => operations.find((one) => one.name === nameOf(document)).id,
});
const client = new Client({
  url,
  exchanges: [persisted, fetchExchange],
  preferGetMethod: false,
  fetch: watched(),
});

const { data, error } = await client.query(gql(query), JSON.parse(variables)).toPromise();
console.log(JSON.stringify(error ? { failed: error.message } : { data }));
console.log(JSON.stringify({ asked }));
