//! What the server tells about itself.

/// What is counted.
#[derive(Debug, Default)]
pub struct Telemetry {}
