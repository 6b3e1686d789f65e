//! The TypeScript that runs in workers, as part of this binary, and its place on disk.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../runtime/", $name)))),*]
    };
}

/// Every module of a worker.
const FILES: &[(&str, &str)] = files!(
    "calls.ts",
    "clock.ts",
    "cpu.ts",
    "ctx.ts",
    "determinism.ts",
    "fetch.ts",
    "globals.ts",
    "invocation.ts",
    "load.ts",
    "logs.ts",
    "main.ts",
    "messages.ts",
    "output.ts",
    "random.ts",
    "refuse.ts",
    "scope.ts",
    "serve.ts",
    "stacks.ts",
    "streams.ts",
    "thrown.ts",
    "timers.ts",
    "wire.ts",
);
/// The module that is run.
const MAIN: &str = "main.ts";
/// Workers may run as another user.
const READABLE: u32 = 0o644;
/// Digits of the hash that names the folder.
const NAME_DIGITS: usize = 16;

/// Writes the modules to a folder named by their content below `data`, unless it is there; gives the
/// module to run.
pub(crate) fn write(data: &Path) -> io::Result<PathBuf> {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name.as_bytes());
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    let name = hex::encode(hash.finalize());
    let folder = data.join(format!("runtime-{}", &name[..NAME_DIGITS]));
    let main = folder.join(MAIN);
    fs::create_dir_all(&folder)?;
    // Always written: a file that was cut off or changed would be run otherwise.
    for (name, text) in FILES {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
            continue;
        }
        let mut part = tempfile::NamedTempFile::new_in(&folder)?;
        part.write_all(text.as_bytes())?;
        part.as_file().set_permissions(fs::Permissions::from_mode(READABLE))?;
        part.persist(&path)?;
    }
    Ok(main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_in_the_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime");
        let mut found: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".ts") && !name.ends_with("_test.ts") && !name.ends_with(".d.ts"))
            .collect();
        found.sort();
        assert_eq!(found, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn a_changed_file_is_written_again() {
        let data = tempfile::tempdir().unwrap();
        let main = write(data.path()).unwrap();
        fs::write(&main, "changed").unwrap();
        assert_eq!(write(data.path()).unwrap(), main);
        assert!(fs::read_to_string(main).unwrap().starts_with("// The worker"));
    }
}
