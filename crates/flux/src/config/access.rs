//! `[access]`: who may use the console API before anybody made a key.

use super::section::{SecretText, section};

section! {
    /// Who may use the console API before anybody made a key.
    Access {
        /// A key with all rights, of the form `flx_…`. Needed until the store has an admin key; remove
        /// it then.
        bootstrap_key: Option<SecretText> = None;
        /// The name of the default project.
        project: String = "default".to_owned();
    }
}
