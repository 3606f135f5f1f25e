//! Going through the frames of one segment, in order, through a window of its bytes.

use super::frame::{FrameHead, HEAD_BYTES, MAGIC};
use crate::adapters::embedded::disk::DiskFile;
use std::io;

/// What is read from disk at once, in bytes; a longer frame is read whole.
pub const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Frames of a segment from one place to another.
pub struct Walker<'a> {
    file: &'a dyn DiskFile,
    segment: u64,
    /// Where the next frame begins.
    at: u64,
    /// Nothing at or beyond it is looked at.
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What lies at a place where a frame should begin.
#[derive(Debug)]
pub enum Found {
    Frame(FrameHead),
    /// The end, exactly.
    End,
    /// No frame of this segment.
    Bad(&'static str),
}

impl<'a> Walker<'a> {
    pub fn new(file: &'a dyn DiskFile, segment: u64, from: u64, end: u64) -> Self {
        Self { file, segment, at: from, end, window: Vec::new(), window_at: from }
    }

    /// Where the frame lies that [`Walker::head`] looks at.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The head of the frame here. Its payload is not looked at.
    pub fn head(&mut self) -> io::Result<Found> {
        let (at, end) = (self.at, self.end);
        if at >= end {
            return Ok(Found::End);
        }
        if end - at < HEAD_BYTES as u64 {
            return Ok(Found::Bad("the head of a frame is cut"));
        }
        let segment = self.segment;
        let head = FrameHead::decode(self.bytes(at, HEAD_BYTES as u64)?, segment, at);
        Ok(match head {
            None => Found::Bad("no valid frame begins here"),
            Some(head) if head.frame_bytes() > end - at => Found::Bad("the frame is cut"),
            Some(head) => Found::Frame(head),
        })
    }

    /// The payload of the frame here; `None` when its checksum does not match.
    pub fn payload(&mut self, head: &FrameHead) -> io::Result<Option<&[u8]>> {
        let payload = self.bytes(self.at + HEAD_BYTES as u64, u64::from(head.payload_bytes))?;
        Ok(head.matches(payload).then_some(payload))
    }

    /// Goes on behind the frame here.
    pub fn pass(&mut self, head: &FrameHead) {
        self.at += head.frame_bytes();
    }

    /// Looks for a frame of this segment behind this place, byte by byte, and goes there. Old bytes and payloads that
    /// look like a frame are told apart by the checksum, which covers segment and place.
    pub fn seek_next(&mut self) -> io::Result<Option<FrameHead>> {
        let segment = self.segment;
        let mut at = self.at + 1;
        while self.end.saturating_sub(at) >= HEAD_BYTES as u64 {
            let length = READ_AHEAD_BYTES.min(self.end - at);
            let bytes = self.bytes(at, length)?;
            let decode =
                |start: usize| FrameHead::decode(&bytes[start..], segment, at + start as u64).map(|head| (start, head));
            let found = candidates(bytes).find_map(decode);
            if let Some((start, head)) = found {
                self.at = at + start as u64;
                return Ok(Some(head));
            }
            // Windows overlap by a head, so that none is missed for being cut in two.
            at += length - (HEAD_BYTES as u64 - 1);
        }
        Ok(None)
    }

    /// The bytes `[from, from + length)`, which lie below the end.
    fn bytes(&mut self, from: u64, length: u64) -> io::Result<&[u8]> {
        let window_end = self.window_at + self.window.len() as u64;
        if from < self.window_at || from + length > window_end {
            let read = length.max(READ_AHEAD_BYTES).min(self.end - from);
            self.window.resize(to_usize(read)?, 0);
            self.window_at = from;
            self.file.read_at(from, &mut self.window)?;
        }
        let start = to_usize(from - self.window_at)?;
        Ok(&self.window[start..start + to_usize(length)?])
    }
}

/// Where the magic of a frame stands, with room for a whole head behind it.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let last = (bytes.len() + 1).saturating_sub(HEAD_BYTES);
    (0..last).filter(|start| bytes[*start] == MAGIC[0] && bytes[*start..].starts_with(&MAGIC))
}

fn to_usize(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}
