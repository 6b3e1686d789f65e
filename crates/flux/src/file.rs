//! Writing files that must not exist yet, some of them for their owner's eyes only.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// As the user's settings say.
    Public,
    /// Only its owner.
    OwnerOnly,
}

/// Writes a file that must not exist yet.
pub(crate) fn write_new(path: &Path, text: &str, secrecy: Secrecy) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    if secrecy == Secrecy::OwnerOnly {
        options.mode(0o600);
    }
    let mut file = options.open(path).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)
}
