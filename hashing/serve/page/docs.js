// The documentation of the API, from its own OpenAPI description.

import { $, el } from "./dom.js";

const last = (reference) => reference.slice(reference.lastIndexOf("/") + 1);

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return el("a", { href: `#${last(schema.$ref)}` }, last(schema.$ref));
  if (schema.anyOf) return schema.anyOf.flatMap((one, index) => (index ? [" or ", kind(one)] : [kind(one)]));
  if (schema.enum) return schema.enum.join(" or ");
  if (schema.type === "array") return ["list of ", kind(schema.items)];
  return schema.type || "any";
}

function bounds(schema) {
  const all = [schema, ...(schema.anyOf || [])];
  const low = all.map((one) => one.minimum).find((one) => one !== undefined);
  const high = all.map((one) => one.maximum).find((one) => one !== undefined);
  return low === undefined && high === undefined ? "" : `, ${low ?? ""} to ${high ?? ""}`;
}

const table = (head, rows) => el("div", { class: "scroll" }, el("table", {},
  el("thead", {}, el("tr", {}, head.map((one) => el("th", { scope: "col" }, one)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));

function example(path, method, route) {
  const url = `${location.origin}${path.replace(/\{\w+\}/g, "1")}`;
  return method === "post" ? `curl -F photo=@photo.jpg '${url}?limit=5'` : `curl '${url}${route.parameters?.some((one) => one.name === "code") ? "?code=00ff…" : ""}'`;
}

function routeCard(path, method, route) {
  const parameters = (route.parameters || []).map((one) => [
    el("code", {}, one.name), [kind(one.schema), bounds(one.schema), one.required ? ", required" : one.schema.default === undefined ? "" : `, default ${one.schema.default}`].flat(), one.description || one.schema.description || "",
  ]);
  if (route.requestBody) parameters.push([el("code", {}, "photo"), "file, required", "multipart/form-data"]);
  const answers = Object.entries(route.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content || {})[0] || ["", {}];
    return [status, content.schema && Object.keys(content.schema).length ? kind(content.schema) : type, answer.description === "Successful Response" ? "" : answer.description];
  });
  return el("details", { class: "route" },
    el("summary", {}, el("b", {}, method.toUpperCase()), el("code", {}, path), el("span", { class: "soft" }, route.summary || "")),
    el("div", { class: "inside" },
      route.description ? el("p", {}, route.description) : null,
      parameters.length ? table(["Parameter", "Kind", "Meaning"], parameters) : null,
      table(["Status", "Answer", ""], answers),
      el("pre", {}, el("code", {}, example(path, method, route)))));
}

function schemaCard(name, schema) {
  const rows = Object.entries(schema.properties || {}).map(([field, one]) => [el("code", {}, field), kind(one), one.description || ""]);
  return el("section", { id: name }, el("h2", {}, name), schema.description ? el("p", { class: "soft" }, schema.description) : null, table(["Field", "Kind", "Meaning"], rows));
}

try {
  const openapi = await (await fetch("/openapi.json")).json();
  $("about").textContent = openapi.info.description;
  $("routes").replaceChildren(...Object.entries(openapi.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, route]) => routeCard(path, method, route))));
  $("schemas").replaceChildren(...Object.entries(openapi.components.schemas).filter(([name]) => !/ValidationError/.test(name)).map(([name, schema]) => schemaCard(name, schema)));
} catch {
  $("routes").replaceChildren(el("p", { class: "state bad" }, "The server does not answer; start hashpipe serve again."));
}
