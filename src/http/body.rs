//! Request bodies: read within bounds, decompressed within bounds.
//!
//! The limit counts decompressed bytes, and decompression stops at it: a few kilobytes that unfold to gigabytes cost
//! no more than a body of the largest size allowed.

use super::budget::{Budget, Held};
use super::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Bounds on one body.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// As sent, and decompressed.
    pub bytes_max: usize,
    pub timeout: Duration,
    /// What all bodies together may take.
    pub budget: &'a Arc<Budget>,
}

/// A body as it was sent.
#[derive(Debug)]
pub struct Received {
    bytes: Bytes,
    encoding: Encoding,
    bytes_max: usize,
    held: Held,
}

/// A body, decompressed, with its part of the budget.
#[derive(Debug)]
pub struct Body {
    pub bytes: Bytes,
    pub held: Held,
}

/// Decompressed in steps of this many bytes, each taken from the budget first.
const STEP_BYTES: usize = 64 << 10;

/// zstd frames that need a larger window are refused: 2 to this power, in bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

impl Encoding {
    /// What `Content-Encoding` says; 415 for what weir does not read.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING);
        let first = values.next().map(|value| value.as_bytes());
        match (first, values.next()) {
            (None | Some(b"" | b"identity"), None) => Ok(Self::Identity),
            (Some(b"gzip" | b"x-gzip"), None) => Ok(Self::Gzip),
            (Some(b"zstd"), None) => Ok(Self::Zstd),
            (Some(value), _) => Err(unsupported(&String::from_utf8_lossy(value))),
            (None, Some(_)) => unreachable!("there is no second value without a first"),
        }
    }
}

fn unsupported(encoding: &str) -> Problem {
    let detail = format!("content encoding {encoding:?} is not supported; send gzip, zstd or no encoding");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("request entity too large error: the body is larger than {bytes_max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Reads the whole body as sent.
pub async fn read(mut payload: Payload, headers: &HeaderMap, bounds: Bounds<'_>) -> Result<Received, Problem> {
    let encoding = Encoding::of(headers)?;
    let announced: Option<usize> =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let mut held = bounds.budget.hold();
    let collected = collect(&mut payload, announced, bounds.bytes_max, &mut held);
    let bytes = match tokio::time::timeout(bounds.timeout, collected).await {
        Ok(bytes) => bytes?,
        Err(_) => {
            let detail = format!("the body did not arrive within {} ms", bounds.timeout.as_millis());
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    Ok(Received { bytes, encoding, bytes_max: bounds.bytes_max, held })
}

async fn collect(
    payload: &mut Payload,
    announced: Option<usize>,
    bytes_max: usize,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let broken = |error| Problem::bad_request(format!("the body could not be read: {error}"));
    if announced.is_some_and(|length| length > bytes_max) {
        discard(payload, bytes_max).await;
        return Err(too_large(bytes_max));
    }
    // A body that came in one piece is taken as it is.
    let Some(first) = payload.next().await.transpose().map_err(broken)? else { return Ok(Bytes::new()) };
    held.grow(first.len())?;
    let Some(second) = payload.next().await.transpose().map_err(broken)? else {
        return if first.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(first) };
    };
    held.grow(second.len())?;
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(chunk) = payload.next().await.transpose().map_err(broken)? {
        if whole.len() + chunk.len() > bytes_max {
            discard(payload, bytes_max).await;
            return Err(too_large(bytes_max));
        }
        held.grow(chunk.len())?;
        whole.extend_from_slice(&chunk);
    }
    if whole.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(whole.freeze()) }
}

/// Reads on for a while without keeping anything: a client that is still sending would otherwise see its connection
/// reset before it sees the answer. Bounded by twice the limit, and by the time for the body.
async fn discard(payload: &mut Payload, bytes_max: usize) {
    let mut left = bytes_max.saturating_mul(2);
    while let Some(Ok(chunk)) = payload.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl Received {
    pub fn is_compressed(&self) -> bool {
        self.encoding != Encoding::Identity
    }

    /// Bytes as sent.
    pub fn sent_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The body itself. Takes time in proportion to its decompressed size, which is bounded.
    pub fn decompress(mut self) -> Result<Body, Problem> {
        let broken = |name: &str, error: std::io::Error| {
            Problem::bad_request(format!("request body has an error: the {name} data is broken: {error}"))
        };
        let held = &mut self.held;
        let bytes = match self.encoding {
            Encoding::Identity => self.bytes,
            Encoding::Gzip => {
                let decoder = flate2::read::MultiGzDecoder::new(&self.bytes[..]);
                unfold(decoder, self.bytes_max, held)?.map_err(|error| broken("gzip", error))?
            }
            Encoding::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(&self.bytes[..]).map_err(|error| broken("zstd", error))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| broken("zstd", error))?;
                unfold(decoder, self.bytes_max, held)?.map_err(|error| broken("zstd", error))?
            }
        };
        Ok(Body { bytes, held: self.held })
    }
}

/// Outer error: too large, or no room for it. Inner error: broken data.
fn unfold(mut decoder: impl Read, bytes_max: usize, held: &mut Held) -> Result<std::io::Result<Bytes>, Problem> {
    let mut bytes = Vec::new();
    loop {
        held.grow(STEP_BYTES)?;
        let step = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut bytes);
        match step {
            Ok(0) => return Ok(Ok(bytes.into())),
            Ok(_) if bytes.len() > bytes_max => return Err(too_large(bytes_max)),
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use std::io::Write;

    fn received(bytes: Vec<u8>, encoding: Encoding, bytes_max: usize) -> Received {
        Received { bytes: bytes.into(), encoding, bytes_max, held: Budget::new(1 << 30, 1).hold() }
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_comes_out_as_it_went_in() {
        for plain in [&b""[..], b"{}", &[7; 10_000]] {
            let table = [
                (Encoding::Identity, plain.to_vec()),
                (Encoding::Gzip, gzip(plain)),
                (Encoding::Zstd, zstd::encode_all(plain, 1).unwrap()),
            ];
            for (encoding, sent) in table {
                assert_eq!(received(sent, encoding, 10_000).decompress().unwrap().bytes, plain, "{encoding:?}");
            }
        }
    }

    #[test]
    fn the_limit_counts_decompressed_bytes() {
        let bomb = vec![0; 100 << 20];
        for (encoding, sent) in
            [(Encoding::Gzip, gzip(&bomb)), (Encoding::Zstd, zstd::encode_all(&bomb[..], 1).unwrap())]
        {
            assert!(sent.len() < 1 << 20);
            let problem = received(sent, encoding, 1 << 20).decompress().unwrap_err();
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding:?}");
        }
    }

    #[test]
    fn a_body_that_does_not_fit_into_memory_any_more_is_a_503() {
        let sent = zstd::encode_all(&[0; 1 << 20][..], 1).unwrap();
        let small = Received { held: Budget::new(100_000, 1).hold(), ..received(sent, Encoding::Zstd, 2 << 20) };
        assert_eq!(small.decompress().unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn broken_data_is_a_400() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let problem = received(b"not compressed".to_vec(), encoding, 1_000).decompress().unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{encoding:?}");
        }
    }

    #[test]
    fn only_gzip_and_zstd_are_read() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("content-encoding"), HeaderValue::from_static(value));
            headers
        };
        assert_eq!(Encoding::of(&HeaderMap::new()), Ok(Encoding::Identity));
        assert_eq!(Encoding::of(&headers("gzip")), Ok(Encoding::Gzip));
        assert_eq!(Encoding::of(&headers("zstd")), Ok(Encoding::Zstd));
        for value in ["deflate", "br", "gzip, zstd"] {
            assert_eq!(
                Encoding::of(&headers(value)).unwrap_err().status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{value}"
            );
        }
    }
}
