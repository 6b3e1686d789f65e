//! Every bound of flows and executions, by name, with its unit last.
//!
//! A limit that is hit names itself, the measured value and the constant or setting here.

/// Nodes in one flow.
pub const FLOW_NODES_MAX: usize = 2_000;
/// Edges in one flow.
pub const FLOW_EDGES_MAX: usize = 8_000;
/// Bytes of one flow file.
pub const FLOW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Loops within loops.
pub const LOOP_DEPTH_MAX: usize = 8;
/// Node runs and loop iterations of one execution, unless the flow's `settings.steps_max` is lower.
pub const EXECUTION_STEPS_MAX: u64 = 100_000;
/// Bytes of the journal of one execution.
pub const EXECUTION_JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Elements of one `for_each` or `logic.loop`.
pub const ELEMENTS_MAX: usize = 50_000;
/// Elements of one `for_each` or `logic.loop` running at the same time.
pub const ELEMENT_CONCURRENCY_MAX: u32 = 1_000;
/// Elements that run at the same time where the flow does not say.
pub const ELEMENT_CONCURRENCY_DEFAULT: u32 = 10;
/// Signals kept for an execution before a node waits for them.
pub const SIGNALS_BUFFERED_MAX: usize = 1_000;
/// Warnings kept in one execution.
pub const WARNINGS_MAX: usize = 200;
/// Executions that call each other in a chain.
pub const CALL_DEPTH_MAX: u32 = 32;
/// Attempts of one node.
pub const RETRY_ATTEMPTS_MAX: u32 = 100;
/// Longest delay, timeout or expiry, in milliseconds: ten years.
pub const DURATION_MS_MAX: u64 = 10 * 366 * 24 * 3600 * 1000;
/// Time a cancelled node gets to end by itself, in milliseconds.
pub const CANCEL_GRACE_MS: u64 = 5_000;
/// Timeout of an effect node where the flow does not say, in milliseconds.
pub const NODE_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// Values heavier than this many bytes are kept in objects, the journal holds a reference.
pub const INLINE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one value (input or node output).
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Arrays and objects within each other in one value. JSON readers refuse 128, and a journal record
/// wraps a value in a few more.
pub const VALUE_DEPTH_MAX: usize = 100;
/// Steps of one template: nodes of its expressions that are evaluated, and elements and members that
/// its functions look at.
pub const TEMPLATE_FUEL_MAX: u64 = 1_000_000;
/// Bytes that one template may produce.
pub const TEMPLATE_OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one template's source.
pub const TEMPLATE_SOURCE_BYTES_MAX: usize = 64 * 1024;
/// How deep one template expression may nest.
pub const TEMPLATE_DEPTH_MAX: usize = 64;
/// Elements, members or arguments written out in one place of a template expression.
pub const TEMPLATE_ITEMS_MAX: usize = 500;
/// Bytes that the functions and operators of one template may read.
pub const TEMPLATE_READ_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that the functions and operators of one template may make, intermediate values included.
pub const TEMPLATE_MADE_BYTES_MAX: usize = 16 * 1024 * 1024;
