//! Functions between texts and their encoded forms, and names derived from content.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use flux_model::value::Value;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Call, Doc, Function};
use crate::template::error::TemplateError;

/// What RFC 3986 calls unreserved stays as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Decodes with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) const TABLE: &[Function] = &[
    Function::new("base64", "text", Doc("As Base64.", "base64(\"hé\")", "\"aMOp\""), |call| {
        Ok(Value::text(STANDARD.encode(call.text(0)?.as_bytes())))
    }),
    Function::new(
        "base64_decode",
        "text",
        Doc(
            "The text that Base64 holds; the URL alphabet and missing padding are accepted.",
            "base64_decode(\"aMOp\")",
            "\"hé\"",
        ),
        base64_decode,
    ),
    Function::new(
        "url_encode",
        "text",
        Doc("Fit for any part of a URL.", "url_encode(\"a b&c\")", "\"a%20b%26c\""),
        |call| {
            let mut encoded = call.builder();
            let text = call.text(0)?;
            utf8_percent_encode(&text, RESERVED).try_for_each(|piece| encoded.push(piece))?;
            Ok(encoded.value())
        },
    ),
    Function::new(
        "url_decode",
        "text",
        Doc("The text that was encoded.", "url_decode(\"a%20b\")", "\"a b\""),
        |call| {
            let text = call.text(0)?;
            let decoded = percent_decode_str(&text).decode_utf8();
            Ok(Value::text(decoded.map_err(|_| call.error("what is encoded is not text in UTF-8"))?))
        },
    ),
    Function::new(
        "escape_html",
        "text",
        Doc("Fit for HTML: `&`, `<`, `>` and quotes escaped.", "escape_html(\"<b>\")", "\"&lt;b&gt;\""),
        escape_html,
    ),
    Function::new(
        "hash",
        "text, algorithm?",
        Doc(
            "The checksum in hexadecimal: `sha256`, `sha384` or `sha512`.",
            "hash(\"a\") | slice(0, 16)",
            "\"ca978112ca1bbdca\"",
        ),
        hash,
    ),
    Function::new(
        "uuid",
        "text",
        Doc(
            "A UUID derived from the text, always the same for the same text (RFC 9562 version 8, SHA-256).",
            "uuid(\"order 17\")",
            "\"0bcc920e-3938-81b8-ae34-83fc9888c6d6\"",
        ),
        uuid,
    ),
];

fn base64_decode(call: &Call<'_>) -> Result<Value, TemplateError> {
    let text = call.text(0)?;
    let standard: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    let bytes =
        LENIENT.decode(standard).map_err(|error| call.error(format!("the text is not Base64: {error}")))?;
    let decoded = String::from_utf8(bytes).map_err(|_| call.error("what is encoded is not text in UTF-8"))?;
    Ok(Value::text(decoded))
}

fn escape_html(call: &Call<'_>) -> Result<Value, TemplateError> {
    let mut escaped = call.builder();
    let text = call.text(0)?;
    for piece in text.split_inclusive(['&', '<', '>', '"', '\'']) {
        let plain = piece.trim_end_matches(['&', '<', '>', '"', '\'']);
        escaped.push(plain)?;
        escaped.push(match &piece[plain.len()..] {
            "&" => "&amp;",
            "<" => "&lt;",
            ">" => "&gt;",
            "\"" => "&quot;",
            "'" => "&#39;",
            _ => "",
        })?;
    }
    Ok(escaped.value())
}

fn hash(call: &Call<'_>) -> Result<Value, TemplateError> {
    let text = call.text(0)?;
    let digest = match &*call.text_or(1, "sha256")? {
        "sha256" => hex::encode(Sha256::digest(text.as_bytes())),
        "sha384" => hex::encode(Sha384::digest(text.as_bytes())),
        "sha512" => hex::encode(Sha512::digest(text.as_bytes())),
        _ => return Err(call.wrong_type(1, "`sha256`, `sha384` or `sha512`")),
    };
    Ok(Value::text(digest))
}

fn uuid(call: &Call<'_>) -> Result<Value, TemplateError> {
    let digest = Sha256::digest(call.text(0)?.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    Ok(Value::text(format!(
        "{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )))
}
