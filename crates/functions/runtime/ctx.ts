// `ctx`: what a function may use. Every member is a host call, a value of the invocation, or a log.
import type { HostCalls, Request } from "./calls.ts";
import type { Invocation } from "./invocation.ts";
import type { Level } from "./messages.ts";
import type { Logs } from "./logs.ts";
import type { Scopes } from "./scope.ts";
import { AnswerError, FluxError } from "./thrown.ts";

export interface CtxParts {
  calls: HostCalls;
  logs: Logs;
  scopes: Scopes;
  inspect: (value: unknown) => string;
}

interface SendOptions {
  delayMs?: number;
  idempotencyKey?: string;
  orderingKey?: string;
}

interface StartOptions {
  wait?: boolean;
  idempotencyKey?: string;
}

type Api = (...args: never[]) => unknown;

/** The headers of a request: members in lower case, and the methods one expects. */
class RequestHeaders {
  [name: string]: unknown;
}
Object.defineProperties(RequestHeaders.prototype, {
  get: {
    value(this: Record<string, unknown>, name: string) {
      const lower = String(name).toLowerCase();
      return Object.hasOwn(this, lower) ? this[lower] : null;
    },
  },
  has: {
    value(this: Record<string, unknown>, name: string) {
      return Object.hasOwn(this, String(name).toLowerCase());
    },
  },
});

export function createCtx(invocation: Invocation, parts: CtxParts): Record<string, unknown> {
  const { calls } = parts;
  const { head } = invocation;

  function ask(request: Omit<Request, "invocation">): Promise<unknown> {
    return calls.send({ invocation, ...request }).answer;
  }

  const ctx: Record<string, unknown> = {
    requestId: head.request_id,
    user: head.user ?? null,
    env: Object.freeze({ ...head.env }),
    log: logApi(invocation, parts),
    secrets: {
      get: function get(name: string) {
        const fields = { name: text(name, "ctx.secrets.get", "name") };
        return ask({ op: "secret_get", what: `ctx.secrets.get("${name}")`, fields, below: get });
      },
    },
    db: { query: queryApi(undefined), transaction },
    queue: { send: sendApi(undefined) },
    functions: new Proxy({}, {
      get(_target, name) {
        // A promise is recognised by its `then`; the members are none.
        if (typeof name !== "string" || name === "then") return undefined;
        const call = (input?: unknown) =>
          ask({ op: "function_call", what: `ctx.functions.${name}`, fields: { name }, body: json(input), below: call });
        return call;
      },
    }),
    flows: {
      start: function start(name: string, input?: unknown, options: StartOptions = {}) {
        refuseUnknown("ctx.flows.start", options, ["wait", "idempotencyKey"]);
        return ask({
          op: "flow_start",
          what: `ctx.flows.start("${name}")`,
          fields: {
            name: text(name, "ctx.flows.start", "name"),
            wait: options.wait === true,
            idempotency_key: options.idempotencyKey,
          },
          body: json(input),
          below: start,
        });
      },
    },
    trace: { span: spanApi(invocation, parts) },
    error(status: number, code: string, message: string): never {
      if (!Number.isInteger(status) || status < 400 || status > 599) {
        throw new RangeError(`ctx.error: a status from 400 to 599 is expected, not ${String(status)}`);
      }
      throw new AnswerError(status, text(code, "ctx.error", "code"), String(message ?? code));
    },
  };
  let headers: RequestHeaders | undefined;
  Object.defineProperty(ctx, "headers", {
    enumerable: true,
    get: () => headers ??= Object.freeze(Object.assign(new RequestHeaders(), Object.fromEntries(head.headers ?? []))),
  });

  function queryApi(transaction: number | undefined): Api {
    return function query(asked: unknown): Promise<unknown> {
      const { table, operation } = (asked ?? {}) as { table?: unknown; operation?: unknown };
      const what = `ctx.db.query ${String(operation ?? "select")} ${String(table)}`;
      return ask({ op: "db_query", what, fields: { transaction }, body: json(asked), below: query as Api });
    };
  }

  function sendApi(transaction: number | undefined): Api {
    return function send(name: string, payload?: unknown, options: SendOptions = {}): Promise<unknown> {
      refuseUnknown("ctx.queue.send", options, ["delayMs", "idempotencyKey", "orderingKey"]);
      const fields = {
        function: text(name, "ctx.queue.send", "function"),
        delay_ms: options.delayMs,
        idempotency_key: options.idempotencyKey,
        ordering_key: options.orderingKey,
        transaction,
      };
      return ask({ op: "queue_send", what: `ctx.queue.send("${name}")`, fields, body: json(payload), below: send });
    };
  }

  async function transaction<T>(work: (tx: unknown) => Promise<T>): Promise<T> {
    if (typeof work !== "function") throw new TypeError("ctx.db.transaction expects a function: async (tx) => …");
    const id = ++invocation.transactions;
    const fields = { transaction: id };
    await ask({ op: "db_begin", what: "ctx.db.transaction begin", fields, below: transaction });
    const tx = { query: queryApi(id), queue: { send: sendApi(id) } };
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      await ask({ op: "db_rollback", what: "ctx.db.transaction rollback", fields, below: transaction });
      throw error;
    }
    await ask({ op: "db_commit", what: "ctx.db.transaction commit", fields, below: transaction });
    return result;
  }

  return ctx;
}

function logApi(invocation: Invocation, { logs, inspect }: CtxParts): unknown {
  const writer = (level: Level) => {
    const write = (message: unknown, fields?: unknown): void => {
      const line = typeof message === "string" ? message : inspect(message);
      logs.log(invocation, level, { message: line, fields, below: write });
    };
    return write;
  };
  return Object.assign(writer("info"), {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  });
}

function spanApi(invocation: Invocation, { calls, scopes }: CtxParts): unknown {
  return async function span<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (typeof work !== "function") throw new TypeError("ctx.trace.span expects a name and a function");
    const id = ++invocation.spans;
    const tell = (op: string, fields: Record<string, unknown>) =>
      calls.tell({ invocation, op, what: `ctx.trace.span("${name}")`, fields: { ...fields, opened: id }, below: span });
    tell("span_start", { name: text(name, "ctx.trace.span", "name") });
    try {
      const result = await scopes.run({ invocation, span: id }, work);
      tell("span_end", {});
      return result;
    } catch (error) {
      if (!invocation.ended) tell("span_end", { error: String(error) });
      throw error;
    }
  };
}

function json(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

function text(value: unknown, api: string, name: string): string {
  if (typeof value === "string") return value;
  throw new TypeError(`${api}: \`${name}\` is expected to be a text, not ${value === null ? "null" : typeof value}`);
}

function refuseUnknown(api: string, options: object, known: string[]): void {
  for (const name of Object.keys(options ?? {})) {
    if (!known.includes(name)) {
      throw new FluxError(
        "config_unknown",
        `${api}: there is no option \`${name}\`; known are ${known.join(", ")}`,
        undefined,
      );
    }
  }
}
