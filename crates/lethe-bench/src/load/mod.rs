//! A closed loop: each connection sends its next request when the answer to the last one is in; and
//! an open one, paced.
//! One thread, since it shares the cores with the server it measures.

mod connection;
mod interval;
mod paced;
mod response;
mod workload;

pub(crate) use connection::{Connection, connect, handshake};
pub(crate) use interval::{Extent, Interval, Measured, measure};
pub(crate) use paced::{Pace, Tail, measure_paced};
pub(crate) use workload::{Anew, Fixed, Workload, head_before_length};
