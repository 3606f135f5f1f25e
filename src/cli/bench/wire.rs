//! A keep-alive HTTP/1.1 connection that costs the generator as little as possible: requests are bytes, answers a
//! status and a body.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer as far as the benchmark looks at it.
pub struct Answer {
    pub status: u16,
    /// The answer says that it lags behind what was acknowledged.
    pub behind: bool,
    pub body: Vec<u8>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

impl Wire {
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    pub async fn post_events(&mut self, batch: bool, body: &str) -> io::Result<Answer> {
        let kind = if batch { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        let mut request = Vec::with_capacity(body.len() + 160);
        request.extend_from_slice(b"POST /api/v1/events HTTP/1.1\r\nHost: weir\r\nContent-Type: ");
        request.extend_from_slice(kind.as_bytes());
        request.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body.as_bytes());
        self.exchange(&request).await
    }

    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").as_bytes()).await
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(|_| broken("the answer's head is not text"))?;
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
        let lower = text.to_ascii_lowercase();
        let length = lower.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let length: usize =
            length.map_or(Some(0), |length| length.trim().parse().ok()).ok_or_else(|| broken("length"))?;
        let behind = lower.contains("\r\nx-weir-behind-events:");
        if lower.contains("\r\ntransfer-encoding:") {
            return Err(broken("a chunked answer"));
        }
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(Answer { status, behind, body: self.buffer[head..head + length].to_vec() })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
