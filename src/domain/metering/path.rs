//! JSONPath, the subset meters use: `$`, `.name`, `['name']`, `["name"]`, `[0]`, chained at will.
//!
//! It is the part of the peer's dialect that names one place. Wildcards, slices, filters and `..` name many, and which
//! of them would count is anybody's guess: they are refused when a meter is created.

/// Steps that a path may have: deeper than this the door lets no data in.
pub const STEPS_MAX: usize = 128;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

/// One step down into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of an object with this name, compared unescaped.
    Key(String),
    /// The element of an array, counted from 0.
    Index(usize),
}

/// The text is not a path that weir can follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath at character {at}: {reason}")]
pub struct PathError {
    /// Counted from 0, in characters.
    pub at: usize,
    pub reason: &'static str,
}

impl Path {
    /// Reads a path; `$` alone is the whole of the data.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, rest: text };
        if !reader.take('$') {
            return Err(reader.error("a path starts with $"));
        }
        let mut steps = Vec::new();
        while !reader.rest.is_empty() {
            if steps.len() == STEPS_MAX {
                return Err(reader.error("a path has at most 128 steps"));
            }
            steps.push(reader.step()?);
        }
        Ok(Self(steps))
    }

    /// The way from the whole of the data to the place meant.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn error(&self, reason: &'static str) -> PathError {
        let read = self.text.len() - self.rest.len();
        PathError { at: self.text[..read].chars().count(), reason }
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn step(&mut self) -> Result<Step, PathError> {
        if self.take('.') {
            return self.bare_name();
        }
        if !self.take('[') {
            return Err(self.error("expected .name, ['name'] or [0]"));
        }
        let step = match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted_name(quote)?,
            Some('0'..='9') => self.index()?,
            Some('*') => return Err(self.error("a wildcard names many values; a meter reads one")),
            _ => return Err(self.error("expected a quoted name or an index within [ ]")),
        };
        if !self.take(']') {
            return Err(self.error("expected ]"));
        }
        Ok(step)
    }

    fn bare_name(&mut self) -> Result<Step, PathError> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        if name.is_empty() {
            return Err(self.error(match rest.chars().next() {
                Some('.') => "a search (..) names many values; a meter reads one",
                Some('*') => "a wildcard names many values; a meter reads one",
                Some('"') => "write a quoted name as [\"name\"]",
                _ => "expected a name after the point",
            }));
        }
        self.rest = rest;
        match rest.chars().next() {
            None | Some('.' | '[') => Ok(Step::Key(name.to_owned())),
            Some(_) => Err(self.error("write a name with this character as ['name']")),
        }
    }

    fn quoted_name(&mut self, quote: char) -> Result<Step, PathError> {
        self.take(quote);
        let mut name = String::new();
        loop {
            let Some(next) = self.rest.chars().next() else {
                return Err(self.error("the quoted name does not end"));
            };
            self.take(next);
            if next == quote {
                return Ok(Step::Key(name));
            }
            if next != '\\' {
                name.push(next);
                continue;
            }
            match self.rest.chars().next() {
                Some(escaped @ ('\'' | '"' | '\\')) => {
                    self.take(escaped);
                    name.push(escaped);
                }
                _ => return Err(self.error("after \\ comes a quote or another \\")),
            }
        }
    }

    fn index(&mut self) -> Result<Step, PathError> {
        let length = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        let index = digits.parse::<u32>().map_err(|_| self.error("the index is too large"))?;
        self.rest = rest;
        Ok(Step::Index(index as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn a_path_names_one_place() {
        let table = [
            ("$", vec![]),
            ("$.a", vec![key("a")]),
            ("$.a.b_c-d", vec![key("a"), key("b_c-d")]),
            ("$.größe", vec![key("größe")]),
            ("$['a']", vec![key("a")]),
            ("$[\"a b\"].c", vec![key("a b"), key("c")]),
            (r"$['it\'s \\ a']", vec![key(r"it's \ a")]),
            ("$['']", vec![key("")]),
            ("$.a[0]", vec![key("a"), Step::Index(0)]),
            ("$[1][22].x['y']", vec![Step::Index(1), Step::Index(22), key("x"), key("y")]),
            ("$.0", vec![key("0")]),
        ];
        for (text, steps) in table {
            assert_eq!(Path::parse(text), Ok(Path(steps)), "{text}");
        }
    }

    #[test]
    fn a_bad_path_is_refused_with_its_place() {
        #[rustfmt::skip]
        let table = [
            ("",              0, "a path starts with $"),
            ("a.b",           0, "a path starts with $"),
            ("$a",            1, "expected .name, ['name'] or [0]"),
            ("$.",            2, "expected a name after the point"),
            ("$..a",          2, "a search (..) names many values; a meter reads one"),
            ("$.*",           2, "a wildcard names many values; a meter reads one"),
            ("$.ä[*]",        4, "a wildcard names many values; a meter reads one"),
            ("$.a b",         3, "write a name with this character as ['name']"),
            ("$.a ",          3, "write a name with this character as ['name']"),
            ("$.\"a\"",       2, "write a quoted name as [\"name\"]"),
            ("$[",            2, "expected a quoted name or an index within [ ]"),
            ("$[-1]",         2, "expected a quoted name or an index within [ ]"),
            ("$[?(@.a)]",     2, "expected a quoted name or an index within [ ]"),
            ("$[1:2]",        3, "expected ]"),
            ("$['a'",         5, "expected ]"),
            ("$['a",          4, "the quoted name does not end"),
            (r"$['a\n']",     5, "after \\ comes a quote or another \\"),
            ("$[4294967296]", 2, "the index is too large"),
        ];
        for (text, at, reason) in table {
            assert_eq!(Path::parse(text), Err(PathError { at, reason }), "{text}");
        }
        assert!(Path::parse(&format!("${}", "[0]".repeat(STEPS_MAX))).is_ok());
        assert!(Path::parse(&format!("${}", "[0]".repeat(STEPS_MAX + 1))).is_err());
    }

    proptest! {
        #[test]
        fn any_name_can_be_written_quoted(names in proptest::collection::vec(".{0,8}", 0..5), double in any::<bool>()) {
            let quote = if double { '"' } else { '\'' };
            let quoted = |name: &String| name.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
            let text: String = names.iter().map(|name| format!("[{quote}{}{quote}]", quoted(name))).collect();
            let steps = names.into_iter().map(Step::Key).collect();
            prop_assert_eq!(Path::parse(&format!("${text}")), Ok(Path(steps)));
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".{0,20}", near in "\\$[.\\[\\]'\"\\\\a0*ä ]{0,20}") {
            let _ = Path::parse(&text);
            let _ = Path::parse(&near);
        }
    }
}
