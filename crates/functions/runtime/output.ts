// What a function returned, as JSON; what is not JSON is named with its place.

export type Written = { json: string } | { reason: string };

/** Characters of an output. */
export const OUTPUT_CHARS_MAX = 32 * 1024 * 1024;

export function writeOutput(output: unknown): Written {
  let json: string | undefined;
  try {
    json = JSON.stringify(output);
  } catch (error) {
    return { reason: findFault(output) ?? (error instanceof Error ? error.message : String(error)) };
  }
  if (json === undefined) {
    if (output === undefined) return { json: "null" };
    return { reason: `output is a ${typeof output}` };
  }
  if (json.length > OUTPUT_CHARS_MAX) {
    return {
      reason:
        `it has ${json.length} characters, at most ${OUTPUT_CHARS_MAX} (OUTPUT_CHARS_MAX); return a Response with a stream`,
    };
  }
  return { json };
}

/** The first cycle or BigInt, with its path. */
function findFault(output: unknown): string | undefined {
  const open: { value: object; path: string }[] = [];

  function visit(value: unknown, path: string): string | undefined {
    if (typeof value === "bigint") return `${path} is a BigInt: write it with \`.toString()\``;
    if (typeof value !== "object" || value === null) return undefined;
    const outer = open.find((ancestor) => ancestor.value === value);
    if (outer !== undefined) return `${path} refers back to ${outer.path}`;
    if (open.length > 1_000) return `${path.slice(0, 200)}… is nested more than 1000 levels deep`;
    open.push({ value, path });
    for (const [name, member] of Object.entries(value)) {
      const fault = visit(member, Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`);
      if (fault !== undefined) return fault;
    }
    open.pop();
    return undefined;
  }

  try {
    return visit(output, "output");
  } catch {
    return undefined;
  }
}
