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
