//! `[secrets]`: the keys that seal project secrets at rest.

use std::path::PathBuf;

use super::section::{SecretText, section};

section! {
    /// The keys that seal project secrets at rest. One of `server_key` and `server_key_file` is needed.
    Secrets {
        /// The server key: 32 bytes in base64, as `openssl rand -base64 32` prints them.
        server_key: Option<SecretText> = None;
        /// A file that holds the server key.
        server_key_file: Option<PathBuf> = None;
        /// Earlier server keys, kept until everything is sealed with the present one.
        previous_server_keys: Vec<SecretText> = Vec::new();
    }
}
