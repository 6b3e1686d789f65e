export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export type Test<V> =
  | V
  | {
      eq?: V; neq?: V; gt?: NonNullable<V>; gte?: NonNullable<V>; lt?: NonNullable<V>; lte?: NonNullable<V>;
      in?: NonNullable<V>[]; nin?: NonNullable<V>[]; between?: [NonNullable<V>, NonNullable<V>];
      like?: string; ilike?: string; isNull?: boolean; contains?: string | number | boolean;
    };

export type Where<R> =
  { [C in keyof R]?: Test<R[C]> } & { and?: Where<R>[]; or?: Where<R>[]; not?: Where<R> };

type Direction = "asc" | "desc";
type Name<R> = Extract<keyof R, string>;
export type Order<R> = Name<R> | `-${Name<R>}` | { [C in keyof R]?: Direction };

type Row<T extends keyof Tables> = Tables[T]["row"];
type Other<W> = W extends { one: infer T extends keyof Tables } | { many: infer T extends keyof Tables } ? T : never;

export interface Rows<T extends keyof Tables> {
  columns?: Name<Row<T>>[] | "*";
  where?: Where<Row<T>>;
  order?: Order<Row<T>> | Order<Row<T>>[];
  limit?: number;
  include?: Name<Tables[T]["include"]>[] | Included<T>;
}
export type Included<T extends keyof Tables> =
  & { [N in keyof Tables[T]["include"]]?: boolean | Rows<Other<Tables[T]["include"][N]>> }
  & { [name: string]: boolean | ({ table?: keyof Tables; via?: string } & Rows<any>) };

export interface Select<T extends keyof Tables> extends Rows<T> {
  table: T; operation?: "select"; offset?: number; cursor?: string | null; cache?: { ttl_ms: number };
}
export interface Insert<T extends keyof Tables> {
  table: T; operation: "insert"; values: Tables[T]["insert"] | Tables[T]["insert"][];
  returning?: Name<Row<T>>[] | "*";
}
export interface Upsert<T extends keyof Tables> {
  table: T; operation: "upsert"; values: Tables[T]["insert"] | Tables[T]["insert"][];
  onConflict?: Name<Row<T>>[] | { columns?: Name<Row<T>>[]; update?: boolean | Name<Row<T>>[] };
  returning?: Name<Row<T>>[] | "*";
}
/** An update or delete of every row has to be said: `all: true` instead of `where`. */
type Reach<T extends keyof Tables> = { where: Where<Row<T>>; all?: false } | { all: true; where?: undefined };
export type Update<T extends keyof Tables> =
  { table: T; operation: "update"; set: Tables[T]["update"]; returning?: Name<Row<T>>[] | "*" } & Reach<T>;
export type Delete<T extends keyof Tables> =
  { table: T; operation: "delete"; returning?: Name<Row<T>>[] | "*" } & Reach<T>;
export interface Count<T extends keyof Tables> {
  table: T; operation: "count"; where?: Where<Row<T>>; cache?: { ttl_ms: number };
}
type Measure<R> =
  | { count: Name<R> | "*" } | { countDistinct: Name<R> } | { sum: Name<R> } | { avg: Name<R> }
  | { min: Name<R> } | { max: Name<R> };
export interface Aggregate<T extends keyof Tables> {
  table: T; operation: "aggregate"; aggregate?: { [name: string]: Measure<Row<T>> }; groupBy?: Name<Row<T>>[];
  where?: Where<Row<T>>; order?: string | Record<string, Direction> | (string | Record<string, Direction>)[];
  limit?: number; cache?: { ttl_ms: number };
}

type Shown<T extends keyof Tables, Q> =
  Q extends { columns: readonly (infer C)[] } ? Pick<Row<T>, Extract<C, keyof Row<T>>> : Row<T>;
type Inner<W, Q> =
  W extends { one: infer T extends keyof Tables } ? (Shown<T, Q> & Brought<T, Q>) | null
    : W extends { many: infer T extends keyof Tables } ? (Shown<T, Q> & Brought<T, Q>)[] : unknown;
type Brought<T extends keyof Tables, Q> =
  Q extends { include: readonly (infer N)[] }
    ? { [K in Extract<N, keyof Tables[T]["include"]>]: Inner<Tables[T]["include"][K], {}> }
    : Q extends { include: infer I }
      ? { [K in keyof I]: K extends keyof Tables[T]["include"] ? Inner<Tables[T]["include"][K], I[K]> : any }
      : {};
type Returned<T extends keyof Tables, Q> =
  Q extends { returning: readonly (infer C)[] } ? Pick<Row<T>, Extract<C, keyof Row<T>>>
    : Q extends { returning: "*" } ? Row<T> : never;

export interface Answer<R> {
  rows: R[];
  /** Rows that were read, or changed. */
  affected: number;
  /** What leads to the next page, where there is one. */
  cursor?: string;
}

export interface Queries {
  query<T extends keyof Tables, const Q extends Count<T>>(query: Q & { table: T }): Promise<Answer<{ count: number }>>;
  query<T extends keyof Tables, const Q extends Aggregate<T>>(
    query: Q & { table: T },
  ): Promise<Answer<Record<string, string | number | boolean | null>>>;
  query<T extends keyof Tables, const Q extends Insert<T> | Upsert<T> | Update<T> | Delete<T>>(
    query: Q & { table: T },
  ): Promise<Answer<Returned<T, Q>>>;
  query<T extends keyof Tables, const Q extends Select<T>>(
    query: Q & { table: T },
  ): Promise<Answer<Shown<T, Q> & Brought<T, Q>>>;
}

export interface Db extends Queries {
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<R>(work: (tx: Queries) => Promise<R>): Promise<R>;
}
