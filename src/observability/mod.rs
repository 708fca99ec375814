//! What operators see of a node: its log, its metrics, its traces.

pub mod logging;
pub mod metrics;
pub mod telemetry;
