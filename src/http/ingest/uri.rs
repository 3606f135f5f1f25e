//! URI references, checked as loosely as the peer checks them: a source that worked there works here.
//!
//! Spaces and non-ASCII letters are let through (the peer escapes them, weir keeps them as sent); what has no reading
//! is refused: control characters, a broken percent escape, a scheme that starts with `:`, a first segment with a
//! colon, a broken authority.

/// True when `text` can be read as a URI reference (RFC 3986, section 4.1).
pub fn is_uri_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Most sources are a name or a plain URL: nothing in them needs a closer look.
    if bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
        return true;
    }
    if bytes.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return false;
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    if !escapes_are_whole(fragment) {
        return false;
    }
    let Some((has_scheme, rest)) = after_scheme(rest) else { return false };
    let path = rest.split_once('?').map_or(rest, |(path, _query)| path);
    if !path.starts_with('/') {
        let first_segment = path.split_once('/').map_or(path, |(first, _)| first);
        // With a scheme this is an opaque part, such as `urn:a:b`, which is not looked into.
        return has_scheme || (!first_segment.contains(':') && escapes_are_whole(path));
    }
    match path.strip_prefix("//") {
        Some(after) if has_scheme || !path.starts_with("///") => {
            let (authority, path) = after.find('/').map_or((after, ""), |at| after.split_at(at));
            is_authority(authority) && escapes_are_whole(path)
        }
        _ => escapes_are_whole(path),
    }
}

/// Whether there is a scheme, and what follows it; `None` when it is missing in front of its colon.
fn after_scheme(text: &str) -> Option<(bool, &str)> {
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return None,
            b':' => return Some((true, &text[i + 1..])),
            _ => break,
        }
    }
    Some((false, text))
}

/// Every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    let whole = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| whole(at))
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user_is_plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    if !user_is_plain || !escapes_are_whole(user) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[') {
        let Some((_, port)) = inner.split_once(']') else { return false };
        return is_port(port) && escapes_are_whole(inner);
    }
    let (name, port) = host.rfind(':').map_or((host, ""), |at| host.split_at(at));
    is_port(port) && escapes_are_whole(name) && name.bytes().all(in_host)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

fn in_host(byte: u8) -> bool {
    byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_can_parse_is_a_uri_reference() {
        #[rustfmt::skip]
        let table = [
            ("edge", true), ("my source", true), ("/a/b", true), ("https://acme.example/x?y=1#z", true), ("a/b:c", true),
            ("urn:uuid:1", true), ("mailto:a@b", true), ("größe", true), ("//host/x", true), ("?q", true), ("#f", true),
            ("http://[::1]:80/x", true), ("http://u:p@h:1/", true), ("a%20b", true), ("*", true), ("./1:2", true), ("", true),
            ("1:2", false), ("100%", false), (":x", false), ("a%2", false), ("a\nb", false), ("http://h:x/", false),
            ("http://[::1/x", false), ("http://a b/", false), ("http://h/%zz", false), ("x#%", false), ("a b:c", false),
        ];
        for (text, good) in table {
            assert_eq!(is_uri_reference(text), good, "{text:?}");
        }
    }
}
