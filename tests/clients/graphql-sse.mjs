// graphql-sse in its distinct connections mode: prints each result, then how the operation ended.
import { createClient } from "graphql-sse";

const [url, query, variables] = process.argv.slice(2);
const client = createClient({ url, singleConnection: false, retryAttempts: 0 });
const print = (value) => console.log(JSON.stringify(value));

client.subscribe(
  { query, variables: JSON.parse(variables) },
  {
    next: print,
    error: (error) => (print({ failed: error }), client.dispose()),
    complete: () => (print("complete"), client.dispose()),
  },
);
