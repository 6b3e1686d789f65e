//! Header names: which ones a request may not set, and which ones carry credentials.

/// Headers that belong to the connection or are computed: a request may not set them.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Words that make a name one of a credential, wherever they stand between `-`, `_` and `.`.
const PRIVATE_WORDS: &[&str] = &[
    "apikey",
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "passwd",
    "password",
    "secret",
    "sig",
    "signature",
    "token",
];

/// Pairs of words that make a name one of a credential.
const PRIVATE_PAIRS: &[(&str, &str)] =
    &[("api", "key"), ("access", "key"), ("subscription", "key"), ("functions", "key"), ("session", "id")];

/// Whether a request may not set the header `name` (lower case).
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether the value of a header or parameter of this name is a credential.
pub(crate) fn is_private_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if name == "key" {
        return true;
    }
    let words: Vec<&str> = name.split(['-', '_', '.']).collect();
    words.iter().any(|word| PRIVATE_WORDS.contains(word))
        || words.windows(2).any(|pair| PRIVATE_PAIRS.contains(&(pair[0], pair[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_name() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-API-Key",
            "api_key",
            "apikey",
            "X-Auth-Token",
            "Private-Token",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
            "Ocp-Apim-Subscription-Key",
            "x-goog-api-key",
            "access_token",
            "client_secret",
            "password",
            "key",
        ] {
            assert!(is_private_name(name), "{name}");
        }
        for name in
            ["Content-Type", "Idempotency-Key", "ETag", "x-ratelimit-remaining-tokens", "keys", "author"]
        {
            assert!(!is_private_name(name), "{name}");
        }
    }
}
