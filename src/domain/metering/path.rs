//! JSONPath, the subset meters use: `$`, `.name`, `['name']`, `["name"]`, `[0]`.

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    Key(String),
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
    pub fn parse(_text: &str) -> Result<Self, PathError> {
        todo!()
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}
