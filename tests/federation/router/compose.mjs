// Prints what composition says of the schema on standard input, and the supergraph.
import { readFileSync } from "node:fs";
import { compose } from "./supergraph.mjs";

const { errors = [], hints = [], supergraphSdl = "" } = compose(readFileSync(0, "utf8"));
console.log(
  JSON.stringify({
    errors: errors.map((error) => error.message),
    hints: hints.map((hint) => hint.definition.code + " " + hint.message),
    supergraph: supergraphSdl,
  }),
);
