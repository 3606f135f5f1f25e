//! Over a real server.
