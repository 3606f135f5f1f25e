//! Scanning: one pass over JSON text that picks out the values at a set of places, without building a tree.
//!
//! The paths wanted are merged into a tree of steps; the scan walks text and tree together and runs over everything
//! else by counting brackets. When an object has a key twice the last one counts, with all that lies below it: what
//! had been found under the first is forgotten. The text has been validated at the door. Should it be broken all the
//! same, the scan ends and says so; it never panics, and its stack is bounded by the paths, not by the text.

use super::path::{Path, Step};
use std::ops::Range;

/// What lies at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'d> {
    Missing,
    Null,
    Bool(bool),
    /// The number's text as sent.
    Number(&'d str),
    Text(RawText<'d>),
    Object,
    Array,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawText<'d> {
    pub raw: &'d str,
    /// There is a backslash in it: it must be unescaped.
    pub escaped: bool,
}

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// The paths wanted, merged where they share steps. Equal paths share a slot.
#[derive(Debug, Default)]
pub struct PathTree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    keys: Vec<(Box<str>, Node)>,
    elements: Vec<(usize, Node)>,
    /// A path ends here; its slot is the first of `slots`.
    wanted: bool,
    /// Slots of this place and of all below it.
    slots: Range<usize>,
}

impl PathTree {
    /// Merges the paths. Ask [`PathTree::slot`] where each is found.
    pub fn of<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        let mut root = Node::default();
        for path in paths {
            let end = path.steps().iter().fold(&mut root, Node::child_for);
            end.wanted = true;
        }
        root.number(0);
        Self { root }
    }

    /// How many places are wanted.
    pub fn slots(&self) -> usize {
        self.root.slots.end
    }

    /// The slot of a path that the tree was made of.
    pub fn slot(&self, path: &Path) -> Option<usize> {
        let end = path.steps().iter().try_fold(&self.root, |node, step| node.child(step))?;
        end.wanted.then_some(end.slots.start)
    }

    /// Fills `found`, one entry per slot, from `data`; where nothing is wanted, the text is not looked at.
    pub fn scan<'d>(&self, data: &'d str, found: &mut [Found<'d>]) -> Result<(), Broken> {
        assert_eq!(found.len(), self.slots(), "one entry per slot");
        if found.is_empty() {
            return Ok(());
        }
        let mut text = Cursor { text: data, at: 0 };
        text.skip_space();
        let scanned = self.root.scan(&mut text, found);
        text.skip_space();
        match scanned {
            Some(()) if text.at == data.len() => Ok(()),
            _ => Err(Broken),
        }
    }
}

impl Node {
    fn child(&self, step: &Step) -> Option<&Node> {
        match step {
            Step::Key(key) => self.keys.iter().find(|(name, _)| **name == **key).map(|(_, node)| node),
            Step::Index(index) => self.element(*index),
        }
    }

    fn child_for<'n>(&'n mut self, step: &Step) -> &'n mut Node {
        fn place<K: PartialEq>(children: &mut Vec<(K, Node)>, key: K) -> &mut Node {
            let at = children.iter().position(|(name, _)| *name == key).unwrap_or(children.len());
            if at == children.len() {
                children.push((key, Node::default()));
            }
            &mut children[at].1
        }
        match step {
            Step::Key(key) => place(&mut self.keys, key.as_str().into()),
            Step::Index(index) => place(&mut self.elements, *index),
        }
    }

    /// Numbers the slots from `next` on, so that those below a node lie side by side; returns the next free one.
    fn number(&mut self, next: usize) -> usize {
        let below = self.keys.iter_mut().map(|(_, node)| node).chain(self.elements.iter_mut().map(|(_, node)| node));
        let end = below.fold(next + usize::from(self.wanted), |next, node| node.number(next));
        self.slots = next..end;
        end
    }

    fn element(&self, index: usize) -> Option<&Node> {
        self.elements.iter().find(|(at, _)| *at == index).map(|(_, node)| node)
    }

    fn member(&self, key: RawText<'_>) -> Option<&Node> {
        let is_it = |name: &str| if key.escaped { key.equals(name) } else { key.raw == name };
        self.keys.iter().find(|(name, _)| is_it(name)).map(|(_, node)| node)
    }

    /// Reads the value at the cursor, which is what lies at this node's place.
    fn scan<'d>(&self, text: &mut Cursor<'d>, found: &mut [Found<'d>]) -> Option<()> {
        found[self.slots.clone()].fill(Found::Missing);
        let value = match text.peek()? {
            b'{' if !self.keys.is_empty() => self.scan_object(text, found)?,
            b'[' if !self.elements.is_empty() => self.scan_array(text, found)?,
            _ => text.value()?,
        };
        if self.wanted {
            found[self.slots.start] = value;
        }
        Some(())
    }

    fn scan_object<'d>(&self, text: &mut Cursor<'d>, found: &mut [Found<'d>]) -> Option<Found<'d>> {
        text.at += 1;
        text.skip_space();
        if text.take(b'}') {
            return Some(Found::Object);
        }
        loop {
            let key = text.string()?;
            text.skip_space();
            text.take(b':').then_some(())?;
            text.skip_space();
            match self.member(key) {
                Some(node) => node.scan(text, found)?,
                None => text.skip_value()?,
            }
            text.skip_space();
            if text.take(b'}') {
                return Some(Found::Object);
            }
            text.take(b',').then_some(())?;
            text.skip_space();
        }
    }

    fn scan_array<'d>(&self, text: &mut Cursor<'d>, found: &mut [Found<'d>]) -> Option<Found<'d>> {
        text.at += 1;
        text.skip_space();
        if text.take(b']') {
            return Some(Found::Array);
        }
        for index in 0.. {
            match self.element(index) {
                Some(node) => node.scan(text, found)?,
                None => text.skip_value()?,
            }
            text.skip_space();
            if text.take(b']') {
                break;
            }
            text.take(b',').then_some(())?;
            text.skip_space();
        }
        Some(Found::Array)
    }
}

/// A place in the text. Everything returns `None` where the text is broken.
struct Cursor<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Cursor<'d> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_it = self.peek() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads one value whole; of objects and arrays only that they are there.
    fn value(&mut self) -> Option<Found<'d>> {
        match self.peek()? {
            b'"' => self.string().map(Found::Text),
            b'{' => self.skip_nested().map(|()| Found::Object),
            b'[' => self.skip_nested().map(|()| Found::Array),
            _ => match self.word() {
                "null" => Some(Found::Null),
                "true" => Some(Found::Bool(true)),
                "false" => Some(Found::Bool(false)),
                number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Some(Found::Number(number)),
                _ => None,
            },
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_string().map(|_| ()),
            b'{' | b'[' => self.skip_nested(),
            _ => (!self.word().is_empty()).then_some(()),
        }
    }

    /// A number, `true`, `false` or `null`: everything up to what can follow a value.
    fn word(&mut self) -> &'d str {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r' | b'"' | b':');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let word = &self.text[self.at..self.at + length];
        self.at += length;
        word
    }

    /// Reads a string, quotes included.
    fn string(&mut self) -> Option<RawText<'d>> {
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        Some(RawText { raw: &self.text[start..self.at - 1], escaped })
    }

    /// Runs over a string, and tells whether there is an escape in it.
    #[inline]
    fn skip_string(&mut self) -> Option<bool> {
        self.take(b'"').then_some(())?;
        let mut escaped = false;
        loop {
            self.at = quote_or_backslash(self.text.as_bytes(), self.at)?;
            if self.take(b'"') {
                return Some(escaped);
            }
            // What is escaped may be a quote, and is never more than a byte that could be taken for one.
            escaped = true;
            self.at += 2;
        }
    }

    /// Runs over an object or array by counting brackets outside of strings.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Where the next `"` or `\` stands, at `from` or behind it. Eight bytes at a time: strings are most of the text.
fn quote_or_backslash(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let hits = bytes_equal(word, b'"') | bytes_equal(word, b'\\');
        if hits != 0 {
            return Some(from + i * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(from + words.len() * 8 + at)
}

/// The high bit of each byte of `word` that equals `byte`; bits above the lowest hit may be wrong.
fn bytes_equal(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let zero_where_equal = word ^ (ONES * u64::from(byte));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
}

/// A stretch of a string: as it stands, or one character that was escaped.
enum Piece<'d> {
    Plain(&'d str),
    Escaped(char),
}

impl<'d> RawText<'d> {
    /// Appends the string itself. Half a surrogate pair becomes U+FFFD, as with the peer.
    pub fn unescape_into(&self, out: &mut Vec<u8>) {
        if !self.escaped {
            return out.extend_from_slice(self.raw.as_bytes());
        }
        for piece in self.pieces() {
            match piece {
                Piece::Plain(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Escaped(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    /// Compares the string itself.
    fn equals(&self, name: &str) -> bool {
        let mut rest = Some(name);
        for piece in self.pieces() {
            rest = match piece {
                Piece::Plain(text) => rest.and_then(|rest| rest.strip_prefix(text)),
                Piece::Escaped(c) => rest.and_then(|rest| rest.strip_prefix(c)),
            };
        }
        rest == Some("")
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'d>> {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let Some(escape) = rest.strip_prefix('\\') else {
                let (plain, after) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
                rest = after;
                return Some(Piece::Plain(plain));
            };
            let (c, after) = unescape(escape);
            rest = after;
            Some(Piece::Escaped(c))
        })
    }
}

/// The character that an escape stands for, without its backslash, and what follows it.
fn unescape(escape: &str) -> (char, &str) {
    let mut chars = escape.chars();
    let c = match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unescape_unicode(chars.as_str()),
        Some(other) => other,
        None => char::REPLACEMENT_CHARACTER,
    };
    (c, chars.as_str())
}

fn unescape_unicode(text: &str) -> (char, &str) {
    let Some((high, rest)) = four_digits(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    if (0xd800..0xdc00).contains(&high)
        && let Some((low @ 0xdc00..0xe000, rest)) = rest.strip_prefix("\\u").and_then(four_digits)
        && let Some(c) = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    {
        return (c, rest);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

fn four_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(digits, 16).ok().map(|number| (number, rest))
}

#[cfg(test)]
mod tests;
