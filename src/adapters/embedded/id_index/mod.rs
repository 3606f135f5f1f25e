//! The embedded id index.
