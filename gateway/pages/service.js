/** The gateway's API, as the page uses it. The key is sent with each request and is nowhere else. */

import { noteServerTime } from "./moments.js";

/** What a call comes to that has no answer, or one that refuses. */
export class ServiceError extends Error {}

/** An answer that is a problem document. */
export class Refused extends ServiceError {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `The gateway answered ${status}.`);
    this.status = status;
    this.problem = problem;
    this.retryAfterSeconds = Number(retryAfter) || 0;
  }
}

/** No answer at all. */
export class Unanswered extends ServiceError {}

export class Service {
  #key;

  constructor(key) {
    this.#key = key;
  }

  /** Throws ServiceError. */
  async call(method, path, { body, headers } = {}) {
    const answer = await this.#send(path, {
      method,
      body: body && JSON.stringify(body),
      headers: { ...(body && { "Content-Type": "application/json" }), ...headers },
    });
    return await answer.json();
  }

  /** The job after each of its transitions, and what a long step is at, until it has ended. Throws ServiceError, also when the stream is cut. */
  async *follow(jobId, lastEventId, signal) {
    const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
    const answer = await this.#send(`/jobs/${encodeURIComponent(jobId)}/events`, { headers, signal });
    if (answer.status === 204) return;
    yield* readEvents(answer.body.pipeThrough(new TextDecoderStream()).getReader());
  }

  async #send(path, options) {
    const headers = { ...options.headers, "X-Admin-Key": this.#key };
    let answer;
    try {
      answer = await fetch(path.slice(1), { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Unanswered("The gateway does not answer.");
    }
    noteServerTime(answer.headers.get("Date"));
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Refused(answer.status, problem, answer.headers.get("Retry-After"));
    }
    return answer;
  }
}

/** Server-sent events are read by hand: an EventSource could not send the key. */
async function* readEvents(reader) {
  let text = "";
  try {
    while (true) {
      const { value, done } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new Unanswered("The stream of events was cut.");
      });
      if (done) return;
      text += value;
      const blocks = text.split(/\r\n\r\n|\n\n/);
      text = blocks.pop();
      for (const block of blocks) {
        const event = readEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** `{id, job}`, `{progress}`, or null for a heartbeat. */
function readEvent(block) {
  const lines = block.split(/\r\n|\n/);
  const values = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  const text = values("data").join("\n");
  if (!text) return null;
  if (values("event").at(-1) === "progress") return { progress: JSON.parse(text) };
  return { id: values("id").at(-1), job: JSON.parse(text) };
}
