// Apollo Client with its persisted-query link: asks twice, prints the answers and what was asked.
import { createHash } from "node:crypto";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { asked, watched } from "./watched-fetch.mjs";

const [url, query, variables, accept, get] = process.argv.slice(2);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const link = new PersistedQueryLink({ sha256, useGETForHashedQueries: get === "get" });
const client = new ApolloClient({
  link: link.concat(new HttpLink({ uri: url, fetch: watched(accept) })),
  cache: new InMemoryCache(),
});

for (let turn = 0; turn < 2; turn++) {
  const given = { query: gql(query), variables: JSON.parse(variables), fetchPolicy: "no-cache" };
  const { data } = await client.query(given);
  console.log(JSON.stringify({ data }));
}
console.log(JSON.stringify({ asked }));
