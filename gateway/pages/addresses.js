/** What the page's address names: a job, a batch of them, the tenants, or one of them. */

export const jobAddress = (jobId) => `#/jobs/${jobId}`;
export const batchAddress = (batchId) => `#/batches/${batchId}`;
export const tenantAddress = (username) => `#/tenants/${encodeURIComponent(username)}`;

/** The job that the address names, or nothing. Ids need no decoding. */
export function namedJob() {
  return location.hash.match(/^#\/jobs\/(.+)$/)?.[1] ?? "";
}

/** The batch that the address names, or nothing. */
export function namedBatch() {
  return location.hash.match(/^#\/batches\/(.+)$/)?.[1] ?? "";
}

/** The tenant that the address names, nothing where it names all of them, null where it is not about tenants. */
export function namedTenant() {
  const named = location.hash.match(/^#\/tenants(?:\/(.*))?$/);
  try {
    return named && decodeURIComponent(named[1] ?? "");
  } catch {
    return "";
  }
}

/** Not one that leads within what is shown. */
export const namesPlace = () => location.hash === "" || location.hash.startsWith("#/");
