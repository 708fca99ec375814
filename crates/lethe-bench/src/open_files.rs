use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as this machine lets us have, for us and for the services that we start.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where this fails, connecting does too, and says so.
    let _ = setrlimit(Resource::Nofile, raised);
}
