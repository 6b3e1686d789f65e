//! The gateway and the console API.
