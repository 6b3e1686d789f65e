//! Frames between the server and a worker, as `protocol/worker-frames.md` describes them: encoding
//! and decoding, and nothing of what they mean.

pub(crate) mod heads;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;
/// Bytes of one frame without its length.
pub(crate) const FRAME_BYTES_MAX: usize = 40 * 1024 * 1024;
/// Length, kind, id and length of the head.
const PREFIX_BYTES: usize = 13;
const LENGTH_BYTES: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What a frame is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name = $code,)*
        }

        impl Kind {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Names the version of the protocol. The first frame.
    Hello = 1;
    /// Loads a bundle.
    Load = 2;
    /// Calls a function. Ids of calls are odd.
    Invoke = 3;
    /// Answers a host call.
    Answer = 4;
    /// A piece of a body, either way.
    Data = 5;
    /// The end of a body, either way.
    End = 6;
    /// Grants more bytes of a body, either way.
    Credit = 7;
    /// Gives up a call, a host call or a body, either way.
    Abort = 8;
    /// Asks the worker to end.
    Shutdown = 9;
    /// Asks for a sign of life.
    Ping = 10;
    /// Answers `Hello`.
    Ready = 64;
    /// Answers `Load`.
    Loaded = 65;
    /// A host call. Ids of host calls are even.
    Call = 66;
    /// A log line of the call with this id; 0 for none.
    Log = 67;
    /// The output of a call.
    Result = 68;
    /// Why a call has no output.
    Failed = 69;
    /// Answers `Ping`.
    Pong = 70;
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    /// JSON, or nothing.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

/// Bytes that are no frame. The connection is not usable after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a frame of {0} bytes, at most {FRAME_BYTES_MAX} (FRAME_BYTES_MAX)")]
    TooLong(usize),
    #[error("a frame of {0} bytes, at least 9")]
    TooShort(usize),
    #[error("a head of {head} bytes in a frame of {frame}")]
    Head { head: usize, frame: usize },
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
}

/// Appends a frame.
pub(crate) fn encode(out: &mut BytesMut, kind: Kind, id: u32, head: &[u8], body: &[u8]) {
    let length = PREFIX_BYTES - LENGTH_BYTES + head.len() + body.len();
    out.reserve(LENGTH_BYTES + length);
    out.put_u32_le(u32::try_from(length).expect("callers keep frames under FRAME_BYTES_MAX"));
    out.put_u8(kind as u8);
    out.put_u32_le(id);
    out.put_u32_le(u32::try_from(head.len()).expect("a head is part of the frame"));
    out.put_slice(head);
    out.put_slice(body);
}

/// Takes the first frame off the front, if all of it is there.
pub(crate) fn decode(bytes: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    if length < PREFIX_BYTES - LENGTH_BYTES {
        return Err(Malformed::TooShort(length));
    }
    if bytes.len() < LENGTH_BYTES + length {
        bytes.reserve(LENGTH_BYTES + length - bytes.len());
        return Ok(None);
    }
    let mut frame = bytes.split_to(LENGTH_BYTES + length).freeze();
    frame.advance(LENGTH_BYTES);
    let code = frame.get_u8();
    let kind = Kind::from_code(code).ok_or(Malformed::Kind(code))?;
    let id = frame.get_u32_le();
    let head_bytes = frame.get_u32_le() as usize;
    if head_bytes > frame.len() {
        return Err(Malformed::Head { head: head_bytes, frame: length });
    }
    let head = frame.split_to(head_bytes);
    Ok(Some(Frame { kind, id, head, body: frame }))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        to: String,
        kind: String,
        id: u32,
        head: String,
        body: String,
        frame: String,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("../../../protocol/worker/frames.json")).unwrap()
    }

    fn name_of(kind: Kind) -> String {
        format!("{kind:?}").to_lowercase()
    }

    #[test]
    fn the_cases_are_written_and_read_byte_for_byte() {
        for case in cases() {
            let bytes = hex::decode(&case.frame).unwrap();
            let mut buffer = BytesMut::from(&bytes[..]);
            let frame = decode(&mut buffer).unwrap().unwrap();
            assert_eq!(name_of(frame.kind), case.kind, "{}", case.name);
            assert_eq!((frame.id, &frame.head[..]), (case.id, case.head.as_bytes()), "{}", case.name);
            assert_eq!(hex::encode(&frame.body), case.body, "{}", case.name);
            assert!(buffer.is_empty());
            let mut written = BytesMut::new();
            encode(&mut written, frame.kind, frame.id, &frame.head, &frame.body);
            assert_eq!(hex::encode(&written), case.frame, "{}", case.name);
        }
    }

    #[test]
    fn every_kind_has_a_case_and_every_head_of_the_worker_is_understood() {
        let cases = cases();
        for kind in Kind::ALL {
            assert!(cases.iter().any(|case| case.kind == name_of(*kind)), "{kind:?} has no case");
        }
        for case in cases.iter().filter(|case| case.to != "worker" && !case.head.is_empty()) {
            let head = case.head.as_bytes();
            let read = match case.kind.as_str() {
                "ready" => serde_json::from_slice::<heads::Ready>(head).map(drop),
                "loaded" => serde_json::from_slice::<heads::Loaded>(head).map(drop),
                "call" => serde_json::from_slice::<heads::Call>(head).map(drop),
                "log" => serde_json::from_slice::<heads::Log>(head).map(drop),
                "result" => serde_json::from_slice::<heads::Run>(head).map(drop),
                "failed" => serde_json::from_slice::<heads::Failed>(head).map(drop),
                "credit" => serde_json::from_slice::<heads::Credit>(head).map(drop),
                "end" if case.id % 2 == 1 => serde_json::from_slice::<heads::Run>(head).map(drop),
                "end" => serde_json::from_slice::<heads::BrokenEnd>(head).map(drop),
                _ => Ok(()),
            };
            read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }

    #[test]
    fn frames_that_come_in_pieces_are_put_together() {
        let all: String = cases().iter().map(|case| case.frame.clone()).collect();
        let all = hex::decode(all).unwrap();
        for size in [1, 3, 14, 1000] {
            let mut buffer = BytesMut::new();
            let mut frames = 0;
            for piece in all.chunks(size) {
                buffer.extend_from_slice(piece);
                while decode(&mut buffer).unwrap().is_some() {
                    frames += 1;
                }
            }
            assert_eq!((frames, buffer.len()), (cases().len(), 0), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        #[derive(Deserialize)]
        struct Bad {
            name: String,
            frame: String,
        }
        let bad: Vec<Bad> =
            serde_json::from_str(include_str!("../../../protocol/worker/malformed.json")).unwrap();
        for Bad { name, frame } in bad {
            assert!(decode(&mut BytesMut::from(&hex::decode(frame).unwrap()[..])).is_err(), "{name}");
        }
    }
}
