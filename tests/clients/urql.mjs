// urql over fetch: plain queries in JSON, subscriptions as server-sent events.
import { Client, fetchExchange } from "@urql/core";

const [url, query, variables] = process.argv.slice(2);
const asked = [];
const client = new Client({
  url,
  exchanges: [fetchExchange],
  fetchSubscriptions: true,
  preferGetMethod: false,
  fetch: async (...given) => {
    const response = await fetch(...given);
    asked.push(response.headers.get("content-type"));
    return response;
  },
});
const print = (value) => console.log(JSON.stringify(value));
let told;
const operate = query.startsWith("subscription") ? client.subscription : client.query;

operate.call(client, query, JSON.parse(variables)).subscribe(({ data, error, hasNext }) => {
  const news = JSON.stringify(error ? { failed: error.message } : { data });
  if ((data || error) && news !== told) console.log((told = news)); // the end repeats the last
  if (!hasNext) print({ asked });
});
