//! Black-box tests of the core.

mod template_properties;
mod templates;
