//! The first configuration of a server, with fresh keys: what `flux init --server-config` writes.

use anyhow::Context;
use flux_egress::vault::ServerKeys;

use crate::server::access::fresh_admin_key;

/// The text of a `flux-server.toml` with a fresh server key and a fresh bootstrap key.
pub(crate) fn text() -> anyhow::Result<String> {
    let server_key = ServerKeys::generate().context("no server key can be made")?;
    let bootstrap_key = fresh_admin_key()?;
    Ok(format!(
        r#"# Configuration of `flux serve`. Every field: docs/operating/configuration.md.
# Each can be set by a variable instead: FLUX_<SECTION>_<FIELD>.

[process]
roles = ["gateway", "console", "engine", "scheduler"]

[storage]
data = "flux-data"

[gateway]
address = "127.0.0.1:4000"

[console]
address = "127.0.0.1:4001"

[egress]
# Targets that flows may reach although they are not public.
allow = []

[secrets]
# Seals the secrets of projects. Without it they cannot be opened again: keep a copy elsewhere.
server_key = "{}"

[access]
# A key with all rights. Make further ones with `flux keys create`, then remove this line.
bootstrap_key = "{}"
"#,
        server_key.as_str(),
        bootstrap_key.as_str(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_starter_is_a_valid_configuration_with_its_own_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flux-server.toml");
        std::fs::write(&path, text().unwrap()).unwrap();
        let config = Config::load(Some(&path), []).unwrap();
        assert!(config.secrets.server_key.is_some() && config.access.bootstrap_key.is_some());
        assert_ne!(text().unwrap(), text().unwrap());
    }
}
