//! A message server that keeps messages for phones that are off, as ciphertext and wrapped keys
//! only. It never deletes a row: what expires or is shredded at Lethe becomes unreadable here, in
//! every copy of its database.
//!
//! [`chat`] says what it does, [`store`] where it is kept, [`http`] how it is asked; [`replay`]
//! plays real conversations against it in compressed time and checks what opens.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod chat;
pub mod cli;
pub mod http;
pub mod message;
pub mod replay;
pub mod serve;
pub mod store;
