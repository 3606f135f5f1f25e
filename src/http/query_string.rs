//! Query parameters: decoded once, bounded, read by name. Unknown ones are left alone.

use super::problem::Problem;
use super::settings::HttpSettings;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;

/// The parameters of one request, in the order sent.
#[derive(Debug, Clone, Default)]
pub struct QueryString(Vec<(String, String)>);

impl QueryString {
    pub fn of(request: &HttpRequest, settings: &HttpSettings) -> Result<Self, Problem> {
        let text = request.query_string();
        if text.len() > settings.query_bytes_max {
            let detail = format!("the query string is longer than {} bytes", settings.query_bytes_max);
            return Err(Problem::new(StatusCode::URI_TOO_LONG, detail));
        }
        Self::parse(text, settings.query_parameters_max)
    }

    fn parse(text: &str, parameters_max: usize) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == parameters_max {
                return Err(Problem::bad_request(format!("there are more than {parameters_max} query parameters")));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let broken = || Problem::bad_request(format!("the query parameter {name:?} is not percent-encoded UTF-8"));
            pairs.push((form_decode(name).ok_or_else(broken)?, form_decode(value).ok_or_else(broken)?));
        }
        Ok(Self(pairs))
    }

    /// All values of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The members of an object in a query: `name[key]=value`.
    pub fn members<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(key, value)| {
            let inner = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            Some((inner, value.as_str()))
        })
    }
}

/// A parameter that could not be read at all.
pub fn format_fault(name: &str, reason: &str) -> Problem {
    Problem::bad_request(format!("invalid param format {name}: Invalid format for parameter {name}: {reason}"))
}

/// `+` is a space, `%XX` a byte; `None` when an escape is broken or the bytes are not UTF-8.
fn form_decode(text: &str) -> Option<String> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(text.to_string());
    }
    percent_decode(&text.replace('+', " "))
}

/// `%XX` is a byte; `None` when an escape is broken or the bytes are not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

/// A path parameter, decoded.
pub fn path_parameter(request: &HttpRequest, name: &str) -> Result<String, Problem> {
    let raw = request.match_info().get(name).expect("the route's pattern has this parameter");
    percent_decode(raw).ok_or_else(|| Problem::parameter(name, "path", "is not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> QueryString {
        QueryString::parse(text, 10).unwrap()
    }

    #[test]
    fn parameters_are_decoded_and_read_by_name() {
        let query = parsed("subject=a%2Cb&subject=c+d&filterGroupBy[model]=gpt&filterGroupBy%5Btype%5D=in&x");
        assert_eq!(query.all("subject").collect::<Vec<_>>(), ["a,b", "c d"]);
        assert_eq!(query.members("filterGroupBy").collect::<Vec<_>>(), [("model", "gpt"), ("type", "in")]);
        assert_eq!(query.all("x").collect::<Vec<_>>(), [""]);
        assert_eq!(query.all("y").next(), None);
    }

    #[test]
    fn what_cannot_be_read_is_a_400_that_names_it() {
        for text in ["a=%", "a=%zz", "a=%ff", "%=1"] {
            assert_eq!(QueryString::parse(text, 10).unwrap_err().status, StatusCode::BAD_REQUEST, "{text}");
        }
        assert!(QueryString::parse(&"a&".repeat(11), 10).is_err());
    }
}
