// `fetch` as a host call: the process itself has no network.
import type { HostCalls, RawResponse } from "./calls.ts";
import { later } from "./globals.ts";
import type { Scopes } from "./scope.ts";
import type { Streams } from "./streams.ts";
import { FluxError } from "./thrown.ts";
import { KIND, type Outbox } from "./wire.ts";

type Fetch = typeof globalThis.fetch;

/** Statuses whose answers have no body (Fetch Standard). */
const NULL_BODY = new Set([101, 103, 204, 205, 304]);

export interface FetchParts {
  calls: HostCalls;
  streams: Streams;
  scopes: Scopes;
  outbox: Outbox;
}

export function createFetch({ calls, streams, scopes, outbox }: FetchParts): Fetch {
  // `data:` and `blob:` never leave the process.
  const local = later<Fetch>("fetch");

  async function hostFetch(input: RequestInfo | URL, init: RequestInit | undefined, below: Fetch): Promise<Response> {
    const request = new Request(input, init);
    const { protocol } = new URL(request.url);
    if (protocol === "data:" || protocol === "blob:") return await local()(request);
    const scope = scopes.current();
    if (scope === undefined) {
      throw new FluxError(
        "fetch_outside",
        "fetch works while a function is called, not while its module loads",
        undefined,
      );
    }
    request.signal.throwIfAborted();
    const stream = streamOf(input, init, request);
    const what = `fetch ${request.method} ${request.url}`;
    const send = (body: Uint8Array | undefined) =>
      calls.send<RawResponse>({
        invocation: scope.invocation,
        op: "fetch",
        what,
        fields: {
          method: request.method,
          url: request.url,
          headers: [...request.headers],
          redirect: request.redirect,
          stream: stream !== null,
        },
        body,
        below,
        abortable: true,
      });
    // A body that is all there is read first; it resolves without waiting for anything.
    const sent = send(
      stream === null && request.body !== null ? new Uint8Array(await request.arrayBuffer()) : undefined,
    );
    const { id } = sent;
    if (stream !== null) upload(id, stream);
    const onAbort = () => {
      sent.abandon(request.signal.reason);
      streams.stop(id, request.signal.reason);
      streams.forget(id, request.signal.reason);
    };
    request.signal.addEventListener("abort", onAbort, { once: true });
    try {
      const raw = await sent.answer;
      return responseOf(id, raw);
    } catch (error) {
      if (error instanceof FluxError) throw asTypeError(error);
      throw error;
    }
  }

  function upload(id: number, body: ReadableStream<Uint8Array>): void {
    streams.send(id, body).then(
      () => outbox.send(KIND.end, id, ""),
      (error) => outbox.send(KIND.end, id, JSON.stringify({ error: String(error) })),
    );
  }

  function responseOf(id: number, { response, body }: RawResponse): Response {
    const content = NULL_BODY.has(response.status)
      ? null
      : response.stream
      ? streams.receive(id, () => outbox.send(KIND.abort, id, ""))
      : body;
    const headers = new Headers(response.headers);
    const made = new Response(content as BodyInit | null, { status: response.status, headers });
    Object.defineProperties(made, {
      url: { value: response.url, configurable: true },
      redirected: { value: response.redirected, configurable: true },
    });
    return made;
  }

  return function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    return hostFetch(input, init, fetch as Fetch);
  } as Fetch;
}

/** The body, if it has to be sent piece by piece. */
function streamOf(
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  request: Request,
): ReadableStream<Uint8Array> | null {
  const streams = init?.body instanceof ReadableStream || (init?.body == null && input instanceof Request);
  return streams ? request.body as ReadableStream<Uint8Array> | null : null;
}

/** `fetch` fails with a TypeError (Fetch Standard); code and status go along. */
function asTypeError(error: FluxError): TypeError {
  const failure = new TypeError(error.message, { cause: error });
  Object.defineProperty(failure, "stack", {
    value: error.stack?.replace(/^FluxError/, "TypeError"),
    configurable: true,
    writable: true,
  });
  return Object.assign(failure, { code: error.code, status: error.status });
}
