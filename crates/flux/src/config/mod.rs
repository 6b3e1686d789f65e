//! The configuration of `flux serve`: `flux-server.toml`, then the environment, then options.
//!
//! One file per section. Every field can be set by `FLUX_<SECTION>_<FIELD>`; a variable or field
//! that does not exist is an error with the nearest that does, because a misspelt limit would
//! otherwise silently not hold. Nothing else reads the environment.

mod access;
mod console;
mod egress;
mod engine;
mod functions;
mod gateway;
mod log;
mod process;
mod secrets;
mod section;
pub(crate) mod starter;
mod storage;

use std::path::Path;

use flux_model::ErrorCode;
use flux_model::diagnostic::nearest;
use toml::{Table, Value};

pub(crate) use access::Access;
pub(crate) use console::Console;
pub(crate) use egress::Egress;
pub(crate) use engine::Engine;
pub(crate) use functions::Functions;
pub(crate) use gateway::Gateway;
pub(crate) use log::{Log, LogFormat};
pub(crate) use process::{Process, Role};
pub(crate) use secrets::Secrets;
pub(crate) use section::Field;
pub(crate) use section::SecretText;
pub(crate) use storage::Storage;

use crate::error::CommandError;
use crate::project::Project;

/// The configuration file that is read where no other is named.
pub(crate) const CONFIG_FILE: &str = "flux-server.toml";
/// What the names of variables begin with.
const PREFIX: &str = "FLUX_";
/// Bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

macro_rules! sections {
    ($($(#[doc = $doc:literal])+ $name:ident: $section:ty,)*) => {
        /// Everything that can be configured.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct Config {
            $($(#[doc = $doc])+ pub(crate) $name: $section,)*
        }

        /// Every section: its name and its fields.
        pub(crate) const SECTIONS: &[(&str, &[Field])] = &[$((stringify!($name), <$section>::FIELDS),)*];

        impl Config {
            /// Reads every section out of its table; what is absent has its default.
            fn of(mut tables: Table) -> Result<Self, CommandError> {
                let config = Self {
                    $($name: {
                        let table = tables.remove(stringify!($name));
                        section::read::<$section>(stringify!($name), table)?
                    },)*
                };
                match tables.keys().next() {
                    None => Ok(config),
                    Some(unknown) => Err(unknown_section(unknown)),
                }
            }

            /// The defaults of every section, for the documentation.
            #[cfg(test)]
            fn default_tables() -> Table {
                let mut tables = Table::new();
                $(tables.insert(
                    stringify!($name).to_owned(),
                    Value::try_from(<$section>::default()).expect("a section is a table"),
                );)*
                tables
            }
        }
    };
}

sections! {
    /// The process itself.
    process: Process,
    /// Where everything is kept.
    storage: Storage,
    /// The public listener.
    gateway: Gateway,
    /// The listener of the console API.
    console: Console,
    /// How executions run.
    engine: Engine,
    /// Outbound calls.
    egress: Egress,
    /// The processes that run TypeScript.
    functions: Functions,
    /// The keys that seal project secrets.
    secrets: Secrets,
    /// Who may use the console API at the start.
    access: Access,
    /// The log.
    log: Log,
}

impl Config {
    /// Reads `file` and the variables.
    pub(crate) fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, CommandError> {
        let mut tables = match file {
            Some(path) => read_file(path)?,
            None => Table::new(),
        };
        apply_variables(&mut tables, variables)?;
        Self::of(tables)
    }

    /// Reads the file that is named, else `flux-server.toml` in the current folder if there is
    /// one, and the environment.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, CommandError> {
        let default = Some(Path::new(CONFIG_FILE)).filter(|path| path.is_file());
        Self::load(named.or(default), environment())
    }

    /// What `flux dev` runs with: the environment, and beside it what the project says.
    pub(crate) fn of_project(project: &Project) -> Result<Self, CommandError> {
        let mut config = Self::load(None, environment())?;
        let is_set = |section, field| std::env::var_os(variable(section, field)).is_some();
        if !is_set("storage", "data") {
            config.storage.data = project.data();
        }
        if !is_set("access", "project") {
            config.access.project = project.name();
        }
        Ok(config)
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A configuration error, with the way out.
pub(crate) fn invalid(message: impl Into<String>) -> CommandError {
    CommandError::local(ErrorCode::ConfigurationInvalid, message)
}

/// The folders in which the operating system looks for programs.
pub(crate) fn search_path() -> Vec<std::path::PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Every variable of the process.
pub(crate) fn whole_environment() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().collect()
}

fn read_file(path: &Path) -> Result<Table, CommandError> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| invalid(format!("{shown} cannot be read: {error}"));
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > CONFIG_BYTES_MAX {
        let message =
            format!("{shown} has {bytes} bytes, at most {CONFIG_BYTES_MAX} are read (CONFIG_BYTES_MAX)");
        return Err(invalid(message));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str(&text)
        .map_err(|error| invalid(format!("{shown} is not TOML: {}", error.to_string().trim_end())))
}

/// Lets `FLUX_<SECTION>_<FIELD>` win over the file. Variables of no section belong to others.
fn apply_variables(
    tables: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), CommandError> {
    for (name, text) in variables {
        let Some((section, fields, field)) = section_of(&name) else { continue };
        let Some(known) = fields.iter().find(|known| known.name == field) else {
            let names: Vec<String> = fields.iter().map(|known| variable(section, known.name)).collect();
            let near = nearest(&name, names.iter().map(String::as_str));
            let hint = near
                .map_or_else(|| format!("known are {}", names.join(", ")), |near| format!("write {near}"));
            return Err(invalid(format!("{name} sets nothing")).hint(hint));
        };
        let value = (known.read)(&text).map_err(|wrong| invalid(format!("{name}: {wrong}")))?;
        let table = tables.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = table {
            table.insert(field, value);
        }
    }
    Ok(())
}

/// The section that a variable is of, its fields, and the field that is named.
fn section_of(variable: &str) -> Option<(&'static str, &'static [Field], String)> {
    let rest = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    SECTIONS.iter().find_map(|(section, fields)| {
        let field = rest.strip_prefix(section)?.strip_prefix('_')?;
        Some((*section, *fields, field.to_owned()))
    })
}

/// The variable that sets a field.
pub(crate) fn variable(section: &str, field: &str) -> String {
    format!("{PREFIX}{}_{}", section.to_ascii_uppercase(), field.to_ascii_uppercase())
}

fn unknown_section(name: &str) -> CommandError {
    let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let hint = nearest(name, known.iter().copied())
        .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("write [{near}]"));
    invalid(format!("there is no section [{name}]")).hint(hint)
}

#[cfg(test)]
mod tests;
