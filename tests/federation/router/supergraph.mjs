// Composes the gateway's schema with two made-up neighbours.
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";
import { readFileSync } from "node:fs";

const read = (file) => readFileSync(new URL(file, import.meta.url), "utf8");

export function compose(sdl, url = "http://calls") {
  return composeServices([
    { name: "calls", url, typeDefs: parse(sdl) },
    { name: "crm", url: "http://crm", typeDefs: parse(read("crm.graphql")) },
    { name: "billing", url: "http://billing", typeDefs: parse(read("billing.graphql")) },
  ]);
}
