//! Seeded simulator with faults and checkers. Never shipped.
