// urql with documents that are only an id: it sends `documentId`. Prints the answer and what was
// asked.
import { readFileSync } from "node:fs";
import { Client, fetchExchange, makeOperation, mapExchange } from "@urql/core";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, manifest, get] = process.argv.slice(2);
const { id } = JSON.parse(readFileSync(manifest)).operations.find((one) => one.body === query);
const document = { kind: "Document", definitions: [], documentId: id };
const onOperation = (one) => makeOperation(one.kind, { ...one, query: document }, one.context);
const client = new Client({
  url,
  exchanges: [mapExchange({ onOperation }), fetchExchange],
  preferGetMethod: get === "get" && "force",
  fetch: watched(),
});

const { data, error } = await client.query(query, JSON.parse(variables)).toPromise();
console.log(JSON.stringify(error ? { failed: error.message } : { data }));
console.log(JSON.stringify({ asked }));
