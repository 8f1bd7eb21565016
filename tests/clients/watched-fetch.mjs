// A fetch that notes what was asked how, and with which status it was answered; `accept`, where it
// is given, takes the place of the client's own header.
export const asked = [];

export const watched = (accept) => async (url, options) => {
  const headers = new Headers(options.headers);
  if (accept) headers.set("accept", accept);
  const response = await fetch(url, { ...options, headers });
  const given = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(url).searchParams);
  const kind = "query" in given ? "query" : "hash";
  asked.push(`${options.method ?? "GET"} ${kind}: ${response.status}`);
  return response;
};
