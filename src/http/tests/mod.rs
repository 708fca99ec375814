//! The endpoints without sockets, TLS and child processes: each request goes through the responder of a
//! connection, the finished router and the pipeline. Tests over the wire are in the folder `tests`.

mod access;
mod approvals;
mod bodies;
mod cases;
mod data_keys;
mod keyspaces;
mod limits;
mod operations;
mod outages;
mod places;
mod shred_window;
mod shreds;
mod world;
