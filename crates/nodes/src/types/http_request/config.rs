//! The config of `http.request`.

use flux_model::Value;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::pagination::Pagination;
use super::text::Text;

/// The config of `http.request`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The method. GET where absent.
    #[serde(default)]
    pub(super) method: Method,
    /// The URL, `http` or `https`.
    pub(super) url: String,
    /// Parameters added to the URL. An array gives the parameter several times, `null` leaves it
    /// out.
    #[serde(default)]
    pub(super) query: IndexMap<String, Value>,
    /// Headers. `null` leaves one out.
    #[serde(default)]
    pub(super) headers: IndexMap<String, Value>,
    /// How the request is authenticated.
    #[serde(default)]
    pub(super) auth: Auth,
    /// What is sent.
    #[serde(default)]
    pub(super) body: Option<Body>,
    /// What is made of the answer's body.
    #[serde(default)]
    pub(super) response: ResponseMode,
    /// Which statuses make the node fail: a number stands for that status and every higher one, a
    /// list for the statuses in it. 400 where absent.
    #[serde(default)]
    pub(super) fail_on_status: FailOn,
    /// How to ask for further pages; `body` of the output is then the array of all items.
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
    /// How long one call may take, in milliseconds. The node's timeout holds besides.
    #[serde(default)]
    pub(super) timeout_ms: Option<u64>,
    /// How many redirects are followed. With 0 the answer that redirects is the output.
    #[serde(default)]
    pub(super) redirects_max: Option<u32>,
    /// Whether a request that may change something carries an `Idempotency-Key` header, the same
    /// for every attempt. `true` where absent.
    #[serde(default)]
    pub(super) idempotency_key: Option<bool>,
}

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the method promises to change nothing (RFC 9110, section 9.2.1).
    pub(super) const fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options => true,
            Self::Post | Self::Put | Self::Patch | Self::Delete => false,
        }
    }
}

/// How the request is authenticated.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A user name and a password.
    Basic {
        /// The user name, without colon.
        username: Text,
        /// The password.
        password: Text,
    },
    /// A token in the header `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Text,
    },
    /// A header of its own.
    Header {
        /// The header.
        name: String,
        /// Its value.
        value: Text,
    },
    /// A parameter of the URL.
    Query {
        /// The parameter.
        name: String,
        /// Its value.
        value: Text,
    },
}

/// What is sent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// Any value, as JSON.
    Json(Value),
    /// Named values, as a form (`application/x-www-form-urlencoded`).
    Form(IndexMap<String, Value>),
    /// Named values and files, as a form with parts (`multipart/form-data`).
    Multipart(IndexMap<String, Value>),
    /// A text; its type is what the header `content-type` says.
    Text(Text),
    /// A file.
    File(Value),
}

/// What is made of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseMode {
    /// What its content type says: JSON, text, else a file.
    #[default]
    Auto,
    /// JSON; anything else is a failure.
    Json,
    /// Text.
    Text,
    /// A file.
    File,
}

/// Which statuses make the node fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum FailOn {
    /// This one and every higher one.
    From(u16),
    /// These.
    These(Vec<u16>),
}

impl Default for FailOn {
    fn default() -> Self {
        Self::From(400)
    }
}

impl FailOn {
    pub(super) fn counts(&self, status: u16) -> bool {
        match self {
            Self::From(lowest) => status >= *lowest,
            Self::These(statuses) => statuses.contains(&status),
        }
    }
}
