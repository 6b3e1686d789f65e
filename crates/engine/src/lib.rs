//! The embedded driver: run loop, timers, recovery, sweeper, admission.
