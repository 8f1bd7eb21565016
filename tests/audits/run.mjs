// Runs every audit of the npm package graphql-http against the endpoint of its argument, and prints
// one JSON line for each: its id, its name, how it went and why.
import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const { id, name, status, reason } = await audit.fn();
  console.log(JSON.stringify({ id, name: audit.name, status, reason }));
}
