//! Content-addressed payload storage over the object_store crate.
