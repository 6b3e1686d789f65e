// Loading a bundle: each function's module by a computed import, so that the permissions of the
// process hold for it and for everything it imports.
import type { LoadedFunction, LoadHead } from "./messages.ts";
import type { Stacks } from "./stacks.ts";
import { describe, FluxError } from "./thrown.ts";

export type Handler = (input: unknown, ctx: unknown) => unknown;

export interface Loaded {
  handlers: Map<string, Handler>;
  report: LoadedFunction[];
}

export async function load({ root, functions }: LoadHead, stacks: Stacks): Promise<Loaded> {
  const handlers = new Map<string, Handler>();
  const report = await Promise.all(functions.map(async ({ name, file }): Promise<LoadedFunction> => {
    try {
      const module: { default?: unknown } = await import(new URL(file, `file://${root}`).href);
      const { handler, input, output } = await read(module.default, file);
      handlers.set(name, handler);
      return { name, input, output };
    } catch (error) {
      return { name, error: describe(error, stacks) };
    }
  }));
  return { handlers, report };
}

interface Declared {
  handler: Handler;
  input?: unknown;
  output?: unknown;
}

function read(exported: unknown, file: string): Declared {
  if (typeof exported === "function") return { handler: exported as Handler };
  const expected = "write `export default async (input, ctx) => …`, or `export default { input, output, handler }`";
  if (exported === undefined) {
    throw new FluxError("no_default_export", `${file} has no default export: ${expected}`, undefined);
  }
  if (typeof exported !== "object" || exported === null) {
    throw new FluxError("no_handler", `the default export of ${file} is a ${typeof exported}: ${expected}`, undefined);
  }
  const { handler, input, output, ...rest } = exported as Record<string, unknown>;
  if (typeof handler !== "function") {
    throw new FluxError(
      "no_handler",
      `the default export of ${file} has no function \`handler\`: ${expected}`,
      undefined,
    );
  }
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw new FluxError(
      "config_unknown",
      `the default export of ${file} has a member \`${unknown}\`; known are input, output, handler`,
      undefined,
    );
  }
  return {
    handler: handler.bind(exported) as Handler,
    input: schema(input, "input", file),
    output: schema(output, "output", file),
  };
}

/** A JSON Schema, or an object of a validation library that gives one (standardschema.dev). */
function schema(given: unknown, side: "input" | "output", file: string): unknown {
  if (given === undefined) return undefined;
  if (typeof given === "boolean") return given;
  if (typeof given === "object" || typeof given === "function") {
    // deno-lint-ignore no-explicit-any
    const standard = (given as any)?.["~standard"]?.jsonSchema?.[side];
    if (typeof standard === "function") return standard({ target: "draft-2020-12" });
    // deno-lint-ignore no-explicit-any
    const own = (given as any)?.toJSONSchema;
    if (typeof own === "function") return own.call(given);
    if (given !== null && !("~standard" in given) && typeof given === "object") {
      return JSON.parse(JSON.stringify(given));
    }
  }
  throw new FluxError("config_invalid", `\`${side}\` of ${file} is no JSON Schema`, undefined);
}
