//! The API role.
