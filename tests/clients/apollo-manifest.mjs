// Apollo Client with ids from a manifest: asks by GET or POST, prints the answer and what was asked.
import { readFileSync } from "node:fs";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, manifest, get] = process.argv.slice(2);
const ids = generatePersistedQueryIdsFromManifest({
  loadManifest: () => JSON.parse(readFileSync(manifest)),
});
const link = new PersistedQueryLink({ ...ids, useGETForHashedQueries: get === "get" });
const client = new ApolloClient({
  link: link.concat(new HttpLink({ uri: url, fetch: watched() })),
  cache: new InMemoryCache(),
});

const { data } = await client.query({ query: gql(query), variables: JSON.parse(variables) });
console.log(JSON.stringify({ data }));
console.log(JSON.stringify({ asked }));
