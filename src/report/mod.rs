//! The result and the story: one model, one file a format.

pub mod print;
