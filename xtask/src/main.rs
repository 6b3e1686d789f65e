//! `cargo xtask`: the repository's chores. Owns the command line; each chore has its own module.
//! Refuses to be a build system: building, testing and releasing are the Makefile's business.

mod codegen;
mod packages;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <chore>

  tidy              check what style.md asks for and a machine can see
  codegen           write the generated files
  codegen --check   fail if a generated file differs from what would be written";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["tidy"] => tidy::run(root()),
        ["codegen"] => codegen::write(root()),
        ["codegen", "--check"] => codegen::check(root()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository this xtask was built from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root of the repository")
}
