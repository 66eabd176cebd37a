// With the types that openapi-typescript makes: submit, wait, result, list, tenant; prints what it saw.
// Arguments: the address, the key, a username.
import process from "node:process";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const [address, key, username] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: address, headers: { "X-Admin-Key": key } });

function given<Body>(answer: { data?: Body; error?: unknown }): Body {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const request: Schemas["BootstrapRequest"] = {
  username,
  namespace: `${username}-ns`,
  operators: { postgresql: true },
  resources: { cpu_cores: 4.5, disk_gb: 64 },
};
const accepted = given(
  await client.POST("/bootstrap/users", {
    body: request,
    params: { header: { "Idempotency-Key": `${username} key` } },
  }),
);
if (!("job_id" in accepted)) throw new Error("a plan came where none was asked for");
const params = { path: { job_id: accepted.job_id }, query: { wait: 30 } };
let job: Schemas["Job"];
do {
  job = given(await client.GET("/jobs/{job_id}", { params }));
} while (job.status !== "succeeded" && job.status !== "failed");
const result: Schemas["Result"] = given(await client.GET("/jobs/{job_id}/result", { params }));
const page = given(await client.GET("/jobs", { params: { query: { username, limit: 10 } } }));
const tenant = given(await client.GET("/tenants/{username}", { params: { path: { username } } }));
console.log(
  JSON.stringify({
    sent: request,
    job,
    result,
    listed: page.jobs.map((listed) => listed.job_id),
    tenant: tenant.data,
  }),
);
