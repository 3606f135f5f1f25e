//! Rollups against a naive map of cells.
