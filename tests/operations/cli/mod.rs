//! The command line as operators and their supervisors meet it.

mod dev;
mod files;
mod log;
mod pin;
mod streams;
