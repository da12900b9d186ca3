// /openapi.json as a page, without anything from other hosts.

function element(name, text = "", parts = []) {
  const made = document.createElement(name);
  made.textContent = text.replaceAll("`", "");
  made.append(...parts);
  return made;
}

function typeOf(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).filter((type) => type !== "null").join(" | ");
  if (schema.$ref) return schema.$ref.split("/").pop();
  const range = [schema.minimum, schema.maximum].some((limit) => limit !== undefined) ? ` ${schema.minimum ?? ""}..${schema.maximum ?? ""}` : "";
  return schema.type === "array" ? `list of ${typeOf(schema.items || { type: "any" })}` : `${schema.format || schema.type || "any"}${range}`;
}

function table(headings, rows) {
  const head = element("tr", "", headings.map((text) => element("th", text)));
  const body = rows.map((row) => element("tr", "", row.map((text) => element("td", String(text)))));
  const wide = element("div", "", [element("table", "", [element("thead", "", [head]), element("tbody", "", body)])]);
  wide.className = "wide";
  return wide;
}

// A schema's fields, and those of the records they name.
function fields(schema) {
  const rows = (one, above = "") => Object.entries(one.properties || {}).map(([name, field]) => {
    const needed = (one.required || []).includes(name) || field.const !== undefined;
    const usual = field.default ?? null;
    return [above + name, typeOf(field), needed ? "yes" : usual === null ? "no" : `no: ${JSON.stringify(usual)}`, field.description || ""];
  });
  const inner = Object.entries(schema.$defs || {}).flatMap(([name, one]) => rows(one, `${name}.`));
  return table(["field", "type", "needed", "what"], [...rows(schema), ...inner]);
}

function messages(heading, said) {
  return Object.entries(said || {}).map(([name, schema]) => element("details", "", [element("summary", `${heading}: ${name}`), fields(schema)]));
}

// Every failure: of an error event and the code that closes the socket, or of an HTTP answer.
function failures(said) {
  const rows = Object.entries(said || {}).map(([code, one]) => [code, one.title, one.close_code, one.status, one.retryable ? "yes" : "no"]);
  return rows.length ? [element("details", "", [element("summary", "failures, of uploads too"), table(["code", "what", "closes with", "status", "try again"], rows)])] : [];
}

function route(path, method, about) {
  const answers = Object.entries(about.responses).map(([status, { description, content }]) => [status, description, Object.keys(content || {}).join(", ")]);
  const form = about.requestBody && Object.values(about.requestBody.content)[0].schema;
  return element("section", "", [
    element("h2", `${method.toUpperCase()} ${path}`), element("p", about.summary), element("p", about.description || ""),
    ...(form && form.properties ? [fields(form)] : []),
    ...messages("client says", about["x-client-messages"]), ...messages("server says", about["x-server-messages"]),
    ...failures(about["x-failures"]),
    table(["status", "when", "content"], answers),
  ]);
}

try {
  const api = await (await fetch("openapi.json")).json();
  document.querySelector("#about").replaceChildren(element("span", api.info.description));
  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => route(path, method, about)));
  document.querySelector("#routes").replaceChildren(...sections);
} catch (error) {
  document.querySelector("#routes").textContent = `The OpenAPI document cannot be read: ${error.message}.`;
}
