// Apollo Client over graphql-ws: prints each result, then how the operation ended.
import { ApolloClient, InMemoryCache, gql } from "@apollo/client/core";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket; // the link looks for it, as in a browser
const [url, query, variables] = process.argv.slice(2);
const socket = createClient({ url: url.replace("http", "ws"), webSocketImpl: WebSocket, retryAttempts: 0 });
const client = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
const print = (value) => console.log(JSON.stringify(value));

client.subscribe({ query: gql(query), variables: JSON.parse(variables) }).subscribe({
  next: ({ data, error }) => print(error ? { failed: error.message } : { data }),
  error: (error) => (print({ failed: error.message }), socket.dispose()),
  complete: () => (print("complete"), socket.dispose()),
});
